//! Layers, backbones and metrics that the tasks share.
//!
//! Images are `[n, h, w, c]`. Parameters are named as torchvision names them. Every convolution that a
//! train-mode batch norm follows is registered as scale-invariant, with the statistics that hang on it.

mod backbone;
mod config;
mod layers;
mod metrics;
mod pyramid;
mod resnet;
mod vgg;

pub use backbone::{Backbone, Classifier};
pub use config::BackboneConfig;
pub use layers::{Conv, ConvBn, Linear, SharedConvBn};
pub use metrics::TopOne;
pub use pyramid::{Pyramid, PyramidConfig};
pub use resnet::{Block, ResNet, ResNetConfig, Stem};
pub use vgg::{VggBn, VggConfig};

/// The code of the guide is tested here, because this crate depends on both libraries.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/libraries.md")]
mod guide {}
