//! Semantic segmentation: a class for each pixel, ranked by mean IoU.
//!
//! Two networks, both with batch norm behind every convolution but the last: DeepLabv3+ on a ResNet (arXiv 1802.02611)
//! and a U-Net (arXiv 1505.04597).

mod config;
mod eval;
mod loss;
mod metric;
mod model;
mod task;
mod tiles;
mod values;
mod weights;

pub use config::{Config, DeepLabConfig, LossConfig, ModelConfig, Ohem};
pub use eval::eval;
pub use loss::Loss;
pub use metric::{Confusion, Summary};
pub use model::Segmenter;
pub use task::{Batch, Example, SemanticSegmentation};
pub use weights::median_frequency;
