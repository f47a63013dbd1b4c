//! The `[task]` table.

use data::augment::Augmentation;
use serde::{Deserialize, Serialize};
use settings::{Mistake, within};
use std::fmt;
use train::at_least_one_example;
use vision::BackboneConfig;

/// The `[task]` table of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The network.
    pub model: ModelConfig,
    /// What training minimizes.
    #[serde(default)]
    pub loss: LossConfig,
    /// Height and width in pixels of the window that training sees of an image; evaluation sees the whole image.
    pub size: [usize; 2],
    /// What happens to training images, whose window is `size`.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// The longest side in pixels that images are let have, in training and evaluation: larger ones are resized, and their
    /// points with them. There is no limit where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<usize>,
    /// Training examples to use; all of them where it is not given.
    #[serde(default)]
    pub examples: Option<usize>,
}

/// A network and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelConfig {
    /// CSRNet (arXiv 1802.10062), configuration B, with batch norm: the first ten convolutions of VGG16, then six of
    /// dilation 2. Cells of 8×8 pixels.
    Csrnet {
        /// Channels of the first stage, 64 in the paper.
        #[serde(default = "csrnet_width")]
        width: usize,
    },
    /// MCNN (Zhang et al., CVPR 2016) with batch norm: three columns with kernels of three sizes. Cells of 4×4 pixels.
    Mcnn {
        /// Channels of the first convolution of the column with the largest kernels, 16 in the paper: a multiple of 8.
        #[serde(default = "mcnn_width")]
        width: usize,
    },
    /// A ResNet whose last stages are dilated, and two convolutions of dilation 2.
    Resnet {
        /// Layers of the ResNet: 10, 18, 34, 50, 101 or 152; see [`vision::ResNetConfig::imagenet`].
        depth: usize,
        /// Channels of its first stage.
        #[serde(default = "resnet_width")]
        width: usize,
        /// Sides of a cell in pixels, the stride that no stage exceeds: 4, 8, 16 or 32.
        #[serde(default = "resnet_output_stride")]
        output_stride: usize,
        /// Channels of the two convolutions behind it.
        #[serde(default = "resnet_channels")]
        channels: usize,
    },
}

fn csrnet_width() -> usize {
    64
}

fn mcnn_width() -> usize {
    16
}

fn resnet_width() -> usize {
    64
}

fn resnet_output_stride() -> usize {
    8
}

fn resnet_channels() -> usize {
    128
}

/// The backbone of [`ModelConfig::Resnet`].
pub(crate) fn resnet(depth: usize, width: usize, output_stride: usize) -> BackboneConfig {
    BackboneConfig::ResNet { depth, width, output_stride: Some(output_stride), stages: 4 }
}

/// How wide the Gaussian of a person is in a density map.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DensityConfig {
    /// The same for all.
    Fixed {
        /// Standard deviation in pixels of what the network sees.
        #[serde(default = "sigma")]
        sigma: f64,
    },
    /// Geometry-adaptive (MCNN, CVPR 2016 §2.2): in proportion to the mean distance to the nearest others, on the whole image and
    /// scaled with it.
    Adaptive {
        /// Standard deviation over that mean.
        #[serde(default = "beta")]
        beta: f64,
        /// Number of the nearest others; all of them where there are fewer.
        #[serde(default = "neighbours")]
        neighbours: usize,
        /// The largest standard deviation, which those get who are alone: in pixels of the whole image.
        #[serde(default = "largest")]
        largest: f64,
    },
}

fn sigma() -> f64 {
    4.0
}

fn beta() -> f64 {
    0.3
}

fn neighbours() -> usize {
    3
}

fn largest() -> f64 {
    15.0
}

impl Default for DensityConfig {
    fn default() -> Self {
        Self::Fixed { sigma: sigma() }
    }
}

/// What training minimizes. All losses are in units that do not depend on how crowded a data set is, see
/// [`Scale`](crate::Scale).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LossConfig {
    /// Mean squared error of the cells of a density map.
    Density {
        /// How wide the Gaussians are.
        #[serde(default)]
        spread: DensityConfig,
    },
    /// See [`Bayesian`](crate::Bayesian).
    Bayesian(crate::Bayesian),
    /// See [`DistributionMatching`](crate::DistributionMatching).
    DistributionMatching(crate::DistributionMatching),
}

impl Default for LossConfig {
    fn default() -> Self {
        Self::Density { spread: DensityConfig::default() }
    }
}

/// Whether a map may have cells with fewer than no people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It may: errors where nobody is cancel each other in the sum.
    Any,
    /// It may not: the map is the absolute value of the last layer, whose slope is never 0 as that of a ReLU.
    Positive,
}

impl LossConfig {
    /// Of squared errors, each cell is judged alone, and the map has no sign, as CSRNet's; the other losses are of
    /// distributions.
    pub fn sign(&self) -> Sign {
        match self {
            Self::Density { .. } => Sign::Any,
            Self::Bayesian(_) | Self::DistributionMatching(_) => Sign::Positive,
        }
    }
}

impl ModelConfig {
    /// Sides of a cell of the map that the network makes, in pixels of the image.
    pub fn stride(&self) -> usize {
        match self {
            Self::Csrnet { .. } => 8,
            Self::Mcnn { .. } => 4,
            Self::Resnet { output_stride, .. } => *output_stride,
        }
    }

    fn check(&self) -> Result<(), Mistake> {
        match *self {
            Self::Csrnet { width } => within("model.csrnet.width", width, 1..=1024),
            Self::Mcnn { width } if width % 8 != 0 || !(8..=1024).contains(&width) => {
                Err(Mistake::new("model.mcnn.width", "a multiple of 8 from 8 to 1024", width))
            }
            Self::Mcnn { .. } => Ok(()),
            Self::Resnet { depth, width, output_stride, channels } => {
                let checked = resnet(depth, width, output_stride).check();
                checked.map_err(|mistake| mistake.inside("model.resnet"))?;
                within("model.resnet.channels", channels, 1..=4096)
            }
        }
    }
}

/// One line for reports.
impl fmt::Display for ModelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Csrnet { width } => write!(f, "CSRNet of width {width}"),
            Self::Mcnn { width } => write!(f, "MCNN of width {width}"),
            Self::Resnet { depth, width, output_stride, channels } => {
                write!(f, "{}, {channels} channels", resnet(*depth, *width, *output_stride))
            }
        }
    }
}

impl DensityConfig {
    fn check(&self) -> Result<(), Mistake> {
        let key = |name: &str| format!("loss.density.spread.{name}");
        match *self {
            Self::Fixed { sigma } => within(&key("fixed.sigma"), sigma, 0.0..=1000.0),
            Self::Adaptive { beta, neighbours, largest } => {
                within(&key("adaptive.beta"), beta, 0.0..=10.0)?;
                within(&key("adaptive.neighbours"), neighbours, 1..=1000)?;
                within(&key("adaptive.largest"), largest, 0.0..=1000.0)
            }
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
        let Self { model, loss, size, augmentation, longest, examples } = self;
        at_least_one_example(*examples)?;
        model.check()?;
        let stride = model.stride();
        if !size.iter().all(|side| side % stride == 0 && (32..=8192).contains(side)) {
            let expected = format!("height and width from 32 to 8192, multiples of {stride}, the sides of a cell");
            return Err(Mistake::new("size", expected, format!("{size:?}")));
        }
        if let Some(longest) = longest {
            within("longest", *longest, 1..=65_536)?;
        }
        augmentation.with_size(*size)?;
        match loss {
            LossConfig::Density { spread } => spread.check(),
            LossConfig::Bayesian(loss) => {
                within("loss.bayesian.sigma", loss.sigma, 0.1..=1000.0)?;
                within("loss.bayesian.background", loss.background, 0.0..=10.0)
            }
            LossConfig::DistributionMatching(loss) => {
                let key = |name: &str| format!("loss.distribution-matching.{name}");
                within(&key("transport"), loss.transport, 0.0..=1e6)?;
                within(&key("variation"), loss.variation, 0.0..=1e6)?;
                within(&key("regularization"), loss.regularization, 0.1..=1e6)?;
                within(&key("iterations"), loss.iterations, 1..=10_000)
            }
        }
    }
}
