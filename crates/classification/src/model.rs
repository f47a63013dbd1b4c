//! The networks to choose from.

use crate::config::ModelConfig;
use regularize::{Error, Params};
use vision::Classifier;

impl ModelConfig {
    /// The network for images of `channels` channels and `classes` classes, its parameters in `params`.
    ///
    /// # Errors
    ///
    /// Where there is no network of that size.
    pub fn network(self, params: &Params, channels: usize, classes: usize) -> Result<Classifier, Error> {
        let head = match self {
            Self::Resnet { .. } => "fc",
            Self::VggBn { .. } => "classifier",
        };
        Classifier::new(self.backbone().build(params, channels)?, &params.pp(head), classes)
    }
}
