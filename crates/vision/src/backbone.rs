//! What backbones have in common, and classifiers on top of them.

use crate::layers::Linear;
use candle_core::{Result, Tensor, bail};
use ops::{FeatureMap, Statistics};
use regularize::{Error, Mistake, Params};

/// A network that turns images into feature maps of several resolutions: what classifiers, segmentation
/// decoders and feature pyramids stand on.
pub trait Backbone: Send + Sync {
    /// Channels of each stage's result, finest stage first.
    fn channels(&self) -> &[usize];

    /// Images `[n, h, w, channels]` to the result of each stage, finest first.
    ///
    /// # Errors
    ///
    /// Where the shape does not fit.
    fn features(&self, images: &FeatureMap, statistics: Statistics) -> Result<Vec<FeatureMap>>;
}

impl<T: Backbone + 'static> From<T> for Box<dyn Backbone> {
    fn from(backbone: T) -> Self {
        Box::new(backbone)
    }
}

/// A backbone, the mean over the pixels of its last stage, and a linear layer.
pub struct Classifier {
    backbone: Box<dyn Backbone>,
    head: Linear,
}

impl Classifier {
    /// A classifier of `classes` classes, the `weight` and `bias` of its linear layer in `head`.
    ///
    /// # Errors
    ///
    /// Where the backbone has no stage, or a parameter of the name exists with another shape.
    pub fn new(
        backbone: impl Into<Box<dyn Backbone>>,
        head: &Params,
        classes: usize,
    ) -> std::result::Result<Self, Error> {
        let backbone = backbone.into();
        let Some(inputs) = backbone.channels().last() else {
            return Err(Error::settings("classifier", Mistake::of_all("a backbone of at least one stage", "none")));
        };
        let head = Linear::new(head, *inputs, classes)?;
        Ok(Self { backbone, head })
    }

    /// Images `[n, h, w, channels]` to logits `[n, classes]`.
    ///
    /// # Errors
    ///
    /// Where the shape does not fit.
    pub fn forward(&self, images: &Tensor, statistics: Statistics) -> Result<Tensor> {
        let mut features = self.backbone.features(&FeatureMap::from_tensor(images)?, statistics)?;
        let Some(last) = features.pop() else {
            bail!("classifier: expected features of at least one stage, found none")
        };
        self.head.forward(&ops::global_avg_pool2d(&last)?)
    }
}
