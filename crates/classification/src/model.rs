//! The networks to choose from.

use crate::config::ModelConfig;
use regularize::{Error, Params};
use vision::{Classifier, ResNet, ResNetConfig, VggBn, VggConfig};

impl ModelConfig {
    /// The network for images of `channels` channels and `classes` classes, its parameters in `params`.
    ///
    /// # Errors
    ///
    /// Where there is no network of that size.
    pub fn network(self, params: &Params, channels: usize, classes: usize) -> Result<Classifier, Error> {
        match self {
            Self::Resnet { depth, width } => {
                let backbone = ResNet::new(params, channels, &ResNetConfig::cifar(depth, width)?)?;
                Classifier::new(backbone, &params.pp("fc"), classes)
            }
            Self::VggBn { depth, width } => {
                let backbone = VggBn::new(params, channels, VggConfig { depth, width })?;
                Classifier::new(backbone, &params.pp("classifier"), classes)
            }
        }
    }
}
