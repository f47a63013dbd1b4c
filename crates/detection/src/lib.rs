//! Object detection: boxes of objects in images, ranked by COCO's average precision.

mod eval;
pub mod metric;

pub use eval::eval;
