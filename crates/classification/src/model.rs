//! The networks to choose from.

use crate::config::ModelConfig;
use candle_core::Tensor;
use ops::Statistics;
use regularize::{Error, Params};
use vision::{ResNet, ResNetConfig, VggBn, VggConfig};

/// A classifier.
pub enum Network {
    /// See [`ResNet`].
    ResNet(ResNet),
    /// See [`VggBn`].
    VggBn(VggBn),
}

impl Network {
    /// The network of `config` for images of `channels` channels and `classes` classes.
    ///
    /// # Errors
    ///
    /// Where there is no network of that size.
    pub fn new(params: &Params, config: ModelConfig, channels: usize, classes: usize) -> Result<Self, Error> {
        Ok(match config {
            ModelConfig::Resnet { depth, width } => {
                Self::ResNet(ResNet::new(params, ResNetConfig { depth, width, channels, classes })?)
            }
            ModelConfig::VggBn { depth, width } => {
                Self::VggBn(VggBn::new(params, VggConfig { depth, width, channels, classes })?)
            }
        })
    }

    /// Images `[n, h, w, channels]` to logits `[n, classes]`.
    ///
    /// # Errors
    ///
    /// Where the shape does not fit.
    pub fn forward(&self, x: &Tensor, statistics: Statistics) -> candle_core::Result<Tensor> {
        match self {
            Self::ResNet(network) => network.forward(x, statistics),
            Self::VggBn(network) => network.forward(x, statistics),
        }
    }
}
