//! The `[task]` table.

use serde::{Deserialize, Serialize};
use settings::{Mistake, within};
use train::at_least_one_example;
use vision::BackboneConfig;

/// The `[task]` table of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The network.
    pub model: ModelConfig,
    /// Side of the square that images are resized and cropped to; without it, they must be of one size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Pixels of black border from which training images are cropped at random.
    #[serde(default)]
    pub padding: usize,
    /// Whether half of the training images are mirrored.
    #[serde(default)]
    pub flip: bool,
    /// Training examples to use, a stratified part; all of them where it is not given.
    #[serde(default)]
    pub examples: Option<usize>,
}

/// A network and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelConfig {
    /// See [`vision::ResNetConfig::cifar`].
    Resnet {
        /// 8, 14, 20, …
        depth: usize,
        /// Channels of the first stage.
        #[serde(default = "resnet_width")]
        width: usize,
    },
    /// See [`vision::VggConfig`].
    VggBn {
        /// 11, 13, 16 or 19.
        depth: usize,
        /// Channels of the first stage.
        #[serde(default = "vgg_width")]
        width: usize,
    },
}

fn resnet_width() -> usize {
    16
}

fn vgg_width() -> usize {
    64
}

impl ModelConfig {
    /// The network without its last layer.
    pub fn backbone(&self) -> BackboneConfig {
        match *self {
            Self::Resnet { depth, width } => BackboneConfig::SmallResNet { depth, width },
            Self::VggBn { depth, width } => BackboneConfig::VggBn { depth, width },
        }
    }

    fn check(&self) -> Result<(), Mistake> {
        let key = match self {
            Self::Resnet { .. } => "model.resnet",
            Self::VggBn { .. } => "model.vgg-bn",
        };
        self.backbone().check().map_err(|mistake| mistake.inside(key))
    }
}

impl Config {
    /// Whether the settings make sense.
    ///
    /// # Errors
    ///
    /// The key at fault, what was expected there, and what was found.
    pub fn check(&self) -> Result<(), Mistake> {
        let Self { model, size, padding, examples, .. } = self;
        model.check()?;
        if let Some(size) = size {
            within("size", *size, model.backbone().shortest()..=8192)?;
        }
        // A border that is as wide as the image leaves crops of nothing else.
        within("padding", *padding, 0..=size.map_or(4096, |size| size - 1))?;
        at_least_one_example(*examples)
    }
}
