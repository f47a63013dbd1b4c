//! Which classes of garment occur in a scene: several labels an image, ranked by macro F1.

mod meter;
pub mod task;

pub use meter::Meter;
pub use task::ExampleTask;
