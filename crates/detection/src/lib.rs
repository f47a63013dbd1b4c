//! Object detection: boxes of objects in images, ranked by COCO's average precision.
//!
//! The network is FCOS (arXiv 2006.09214) with batch norm throughout, so that all its convolutions but the last ones
//! are scale-invariant.

mod assign;
mod config;
mod detect;
mod eval;
mod loss;
pub mod metric;
mod model;
mod task;

pub use assign::{Grid, Target, assign, centerness};
pub use config::{Config, ModelConfig, Suppression};
pub use detect::detect;
pub use eval::eval;
pub use loss::loss;
pub use model::{Detector, Level};
pub use task::{Batch, Example, ObjectDetection};
