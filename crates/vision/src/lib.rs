//! Layers, backbones and metrics that the tasks share.
//!
//! Images are `[n, h, w, c]`. Parameters are named as torchvision names them. Every convolution that a
//! train-mode batch norm follows is registered as scale-invariant, with the statistics that hang on it.

mod backbone;
mod layers;
mod metrics;
mod resnet;
mod vgg;

pub use backbone::{Backbone, Classifier};
pub use layers::{ConvBn, Linear};
pub use metrics::TopOne;
pub use resnet::{Block, ResNet, ResNetConfig, Stem};
pub use vgg::{VggBn, VggConfig};
