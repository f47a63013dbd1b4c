//! The `[task]` table.

use serde::{Deserialize, Serialize};
use settings::{Mistake, among, within};
use train::at_least_one_example;

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
    fn check(&self) -> Result<(), Mistake> {
        match *self {
            Self::Resnet { depth, .. } if depth % 6 != 2 || !(8..=1202).contains(&depth) => {
                Err(Mistake::new("model.resnet.depth", "8, 14, 20, … up to 1202", depth))
            }
            Self::Resnet { width, .. } => within("model.resnet.width", width, 1..=1024),
            Self::VggBn { depth, width } => {
                among("model.vgg-bn.depth", depth, &[11, 13, 16, 19])?;
                within("model.vgg-bn.width", width, 1..=1024)
            }
        }
    }

    /// The shortest side of an image that the network can see.
    fn shortest(&self) -> usize {
        match self {
            Self::Resnet { .. } => 1,
            // Five poolings halve it to 1.
            Self::VggBn { .. } => 32,
        }
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
            within("size", *size, model.shortest()..=8192)?;
        }
        // A border that is as wide as the image leaves crops of nothing else.
        within("padding", *padding, 0..=size.map_or(4096, |size| size - 1))?;
        at_least_one_example(*examples)
    }
}
