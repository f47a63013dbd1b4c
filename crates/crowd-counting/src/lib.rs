//! Crowd counting: how many people are in an image, from a map of their density, ranked by mean absolute error.
//!
//! Three networks with batch norm behind every convolution but the last: CSRNet (arXiv 1802.10062), MCNN (CVPR 2016) and a
//! dilated ResNet. Three losses: squared error of density maps, the Bayesian loss (arXiv 1908.03684) and
//! distribution matching (arXiv 2009.13077).

mod config;
mod density;
mod eval;
mod loss;
mod metric;
mod model;
mod task;

pub use config::{Config, DensityConfig, LossConfig, ModelConfig, Sign};
pub use density::{Map, density, dots, spreads};
pub use eval::eval;
pub use loss::{Bayesian, DistributionMatching, Loss, People, Scale};
pub use metric::{Counts, Range, Summary, game};
pub use model::Counter;
pub use task::{Batch, CrowdCounting, Example, Meter};
