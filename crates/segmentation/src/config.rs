//! The `[task]` table.

use data::augment::Augmentation;
use serde::{Deserialize, Serialize};
use settings::{Mistake, at_least, within};
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
    /// Height and width in pixels of the window that training sees of an image.
    pub size: [usize; 2],
    /// Height and width in pixels of the windows that evaluation sees an image through, at its full resolution; `size`
    /// where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tile: Option<[usize; 2]>,
    /// What happens to training images, whose window is `size`.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// Training examples to use; all of them where it is not given.
    #[serde(default)]
    pub examples: Option<usize>,
}

/// A network and its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelConfig {
    /// See [`DeepLabConfig`].
    Deeplab(DeepLabConfig),
    /// A U-Net (arXiv 1505.04597) with padded convolutions, and bilinear upsampling in place of transposed convolutions:
    /// an encoder of `levels` levels, each of half the side of the one before and twice as wide, two 3×3 convolutions a
    /// level, and a decoder that joins them again.
    Unet {
        /// Channels of the first level.
        #[serde(default = "default_width")]
        width: usize,
        /// Levels, the bottom included: 2 to 7; 5 in the paper.
        #[serde(default = "default_levels")]
        levels: usize,
    },
}

/// DeepLabv3+ (arXiv 1802.02611): a ResNet whose last stages are dilated, atrous spatial pyramid pooling, and a decoder at a
/// quarter of the image's resolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeepLabConfig {
    /// Layers of the ResNet: 10, 18, 34, 50, 101 or 152; see [`vision::ResNetConfig::imagenet`].
    pub depth: usize,
    /// Channels of its first stage.
    #[serde(default = "default_width")]
    pub width: usize,
    /// The stride, in pixels of the image, that no stage exceeds: 4, 8, 16 or 32.
    #[serde(default = "default_output_stride")]
    pub output_stride: usize,
    /// Channels of the pyramid pooling and of the decoder.
    #[serde(default = "default_channels")]
    pub channels: usize,
    /// Channels that the first stage's features are brought to, before the decoder joins them.
    #[serde(default = "default_low_level")]
    pub low_level: usize,
    /// Dilations of the pyramid's 3×3 convolutions, in pixels of the last stage; 6, 12 and 18 at an output stride of
    /// 16, where they are not given, twice as much at 8, and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<Vec<usize>>,
}

fn default_width() -> usize {
    64
}

fn default_output_stride() -> usize {
    16
}

fn default_channels() -> usize {
    256
}

fn default_low_level() -> usize {
    48
}

fn default_levels() -> usize {
    5
}

/// What training minimizes: cross-entropy over the pixels that are not void, with what is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// Exponent of the [`median_frequency`](crate::median_frequency) weights that the pixels of each class count with: at 0 all
    /// count the same, at 1 rare classes count as much as the paper has it, and between the two less.
    pub median_frequency: f64,
    /// Share of a pixel's probability that is spread evenly over all classes.
    pub label_smoothing: f64,
    /// Only the hard pixels count, where it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ohem: Option<Ohem>,
    /// Weight of the soft Dice loss that is added; none is at 0.
    pub dice: f64,
}

/// Online hard example mining (arXiv 1604.03540), of pixels: the cross-entropy counts those whose class has a probability below
/// `threshold`, and where these are fewer than `least`, those that are harder than all others. Which those are is decided
/// as in HRNet's public code; the mean over them is that of [`ops::cross_entropy`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ohem {
    /// Probability of a pixel's class from which on it is easy.
    #[serde(default = "default_threshold")]
    pub threshold: f64,
    /// Share of a batch's labeled pixels that count at least: one pixel or more; where several are as hard as the first that
    /// would be too many, none of these.
    #[serde(default = "default_least")]
    pub least: f64,
}

fn default_threshold() -> f64 {
    0.7
}

fn default_least() -> f64 {
    1.0 / 16.0
}

impl DeepLabConfig {
    /// What the pyramid pooling stands on.
    pub(crate) fn backbone(&self) -> BackboneConfig {
        let Self { depth, width, output_stride, .. } = *self;
        BackboneConfig::ResNet { depth, width, output_stride: Some(output_stride), stages: 4 }
    }
}

impl ModelConfig {
    fn check(&self) -> Result<(), Mistake> {
        match self {
            Self::Deeplab(config @ DeepLabConfig { channels, low_level, rates, .. }) => {
                config.backbone().check().map_err(|mistake| mistake.inside("model.deeplab"))?;
                within("model.deeplab.channels", *channels, 1..=4096)?;
                within("model.deeplab.low_level", *low_level, 1..=4096)?;
                match rates {
                    Some(rates) if rates.len() > 8 || !rates.iter().all(|rate| (1..=256).contains(rate)) => Err(
                        Mistake::new("model.deeplab.rates", "at most 8 dilations from 1 to 256", format!("{rates:?}")),
                    ),
                    _ => Ok(()),
                }
            }
            Self::Unet { width, levels } => {
                within("model.unet.levels", *levels, 2..=7)?;
                // The bottom is 2^(levels − 1) times as wide.
                within("model.unet.width", *width, 1..=8192 >> (levels - 1))
            }
        }
    }

    /// The shortest side of an image that the network can see.
    fn shortest(&self) -> usize {
        match self {
            Self::Deeplab(_) => 32,
            // At the bottom there are more pixels than one, of which statistics can be taken.
            Self::Unet { levels, .. } => 16.max(2 << (levels - 1)),
        }
    }
}

impl LossConfig {
    fn check(&self) -> Result<(), Mistake> {
        let Self { median_frequency, label_smoothing, ohem, dice } = *self;
        let share = |key: &str, value: f64| within(&format!("loss.{key}"), value, 0.0..=1.0);
        share("median_frequency", median_frequency)?;
        share("label_smoothing", label_smoothing)?;
        if let Some(Ohem { threshold, least }) = ohem {
            share("ohem.threshold", threshold)?;
            share("ohem.least", least)?;
        }
        at_least("loss.dice", dice, 0.0)
    }
}

impl Config {
    /// Height and width of what evaluation sees at once.
    pub(crate) fn tile(&self) -> [usize; 2] {
        self.tile.unwrap_or(self.size)
    }

    /// Whether the settings make sense.
    ///
    /// # Errors
    ///
    /// The key at fault, what was expected there, and what was found.
    pub fn check(&self) -> Result<(), Mistake> {
        let Self { model, loss, size, tile, augmentation, examples } = self;
        at_least_one_example(*examples)?;
        model.check()?;
        let shortest = model.shortest();
        for (key, size) in [("size", Some(size)), ("tile", tile.as_ref())] {
            if let Some(size) = size.filter(|size| !size.iter().all(|side| (shortest..=8192).contains(side))) {
                let expected = format!("height and width from {shortest} to 8192");
                return Err(Mistake::new(key, expected, format!("{size:?}")));
            }
        }
        augmentation.with_size(*size)?;
        loss.check()
    }
}
