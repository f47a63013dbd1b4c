//! Image classification: one label an image, ranked by top-1 accuracy.

mod config;
mod model;
mod task;

pub use config::{Config, ModelConfig};
pub use task::{Batch, Classification, Example};
