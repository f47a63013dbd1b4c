//! The `[task]` table.

use serde::{Deserialize, Serialize};

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
