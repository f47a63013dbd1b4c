//! The `[task]` table.

use data::augment::Augmentation;
use serde::{Deserialize, Serialize};
use settings::{Mistake, above, among, within};
use std::ops::Range;
use train::at_least_one_example;
use vision::BackboneConfig;

/// The `[task]` table of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The network.
    pub model: ModelConfig,
    /// Height and width in pixels of what the network sees: in evaluation the whole image, resized to fit.
    pub size: [usize; 2],
    /// What happens to training images, whose window is `size`.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// Training examples to use; all of them where it is not given.
    #[serde(default)]
    pub examples: Option<usize>,
    /// What becomes of detections that overlap.
    #[serde(default)]
    pub suppression: Suppression,
}

/// A fully convolutional one-stage detector (FCOS, arXiv 2006.09214): a ResNet, a feature pyramid with batch norm,
/// and a head that all levels of the pyramid share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Layers of the ResNet: 10, 18, 34, 50, 101 or 152; see [`vision::ResNetConfig::imagenet`].
    pub depth: usize,
    /// Channels of its first stage.
    #[serde(default = "default_width")]
    pub width: usize,
    /// Pixels of the image between neighboring pixels of the finest level: 4, 8, 16 or 32.
    #[serde(default = "default_stride")]
    pub stride: usize,
    /// Levels of the pyramid, each of half the side of the one before.
    #[serde(default = "default_levels")]
    pub levels: usize,
    /// Channels of the pyramid and of the head.
    #[serde(default = "default_channels")]
    pub channels: usize,
    /// Convolutions of either branch of the head, before the one that predicts.
    #[serde(default = "default_convs")]
    pub convs: usize,
    /// Whether batch norms normalize by running statistics in training too, which then stay as they are. No weight
    /// is scale-invariant then.
    #[serde(default)]
    pub freeze_norms: bool,
}

fn default_width() -> usize {
    64
}

fn default_stride() -> usize {
    8
}

fn default_levels() -> usize {
    5
}

fn default_channels() -> usize {
    256
}

fn default_convs() -> usize {
    4
}

/// What becomes of a detection that overlaps one of the same class and a higher score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Suppression {
    /// It is dropped.
    Nms {
        /// Where their intersection over union exceeds this.
        iou: f32,
    },
    /// Its score is multiplied by `exp(−IoU² / sigma)` (arXiv 1704.04503).
    SoftNms {
        /// How gently, above 0; 0.5 in the paper.
        sigma: f32,
    },
}

impl Default for Suppression {
    fn default() -> Self {
        Self::Nms { iou: 0.6 }
    }
}

impl ModelConfig {
    /// The stages of the backbone that the pyramid stands on: the first has stride 4, and those coarser than the pyramid's
    /// last level are not made.
    pub(crate) fn stages(&self) -> Range<usize> {
        let first = (self.stride / 4).ilog2() as usize;
        first..(first + self.levels).min(4)
    }

    /// What the pyramid stands on.
    pub(crate) fn backbone(&self) -> BackboneConfig {
        let Self { depth, width, .. } = *self;
        BackboneConfig::ResNet { depth, width, output_stride: None, stages: self.stages().end }
    }
}

impl Config {
    /// Whether the settings make sense.
    ///
    /// # Errors
    ///
    /// The key at fault, what was expected there, and what was found.
    pub fn check(&self) -> Result<(), Mistake> {
        let Self { model, size, augmentation, suppression, examples } = self;
        at_least_one_example(*examples)?;
        if !size.iter().all(|side| (32..=8192).contains(side)) {
            return Err(Mistake::new("size", "height and width from 32 to 8192", format!("{size:?}")));
        }
        augmentation.with_size(*size)?;
        among("model.stride", model.stride, &BackboneConfig::STRIDES)?;
        within("model.levels", model.levels, 1..=8)?;
        model.backbone().check().map_err(|mistake| mistake.inside("model"))?;
        within("model.channels", model.channels, 1..=4096)?;
        within("model.convs", model.convs, 0..=16)?;
        let (coarsest, longer) = (model.stride << (model.levels - 1), size[0].max(size[1]));
        if coarsest > longer {
            return Err(Mistake::new(
                "model.levels",
                format!("levels of strides up to {longer}, the longer side of `size`"),
                format!("{}, of which the last has stride {coarsest}", model.levels),
            ));
        }
        match *suppression {
            Suppression::Nms { iou } => within("suppression.nms.iou", iou, 0.0..=1.0),
            Suppression::SoftNms { sigma } => above("suppression.soft-nms.sigma", f64::from(sigma), 0.0),
        }
    }
}
