//! VGG with batch norm (Simonyan and Zisserman, arXiv 1409.1556).

use crate::backbone::Backbone;
use crate::layers::ConvBn;
use candle_core::{Result, bail};
use ops::{Conv2d, FeatureMap, MaxPool2d, Statistics};
use regularize::{Error, Mistake, Params};

/// VGG with batch norm: five stages of 3×3 convolutions, each followed by a 2×2 max-pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VggConfig {
    /// 11, 13, 16 or 19.
    pub depth: usize,
    /// Channels of the first stage, 64 in the paper; later stages are 2, 4, 8 and 8 times as wide.
    pub width: usize,
}

/// The stages of a VGG as a [`Backbone`], each with its pooling; see [`VggConfig`]. Images must have sides of
/// at least 32 pixels, which the five poolings halve to 1.
pub struct VggBn {
    stages: Vec<Vec<ConvBn>>,
    channels: Vec<usize>,
}

impl VggBn {
    /// A network for images of `channels` channels, with its parameters in `params`, `features.<i>` as
    /// torchvision counts them.
    ///
    /// # Errors
    ///
    /// Where `depth` is none of those listed, `width` is 0, or parameters exist with other shapes.
    pub fn new(params: &Params, channels: usize, config: VggConfig) -> std::result::Result<Self, Error> {
        let error = |key, expected, found| Error::settings("vgg", Mistake::new(key, expected, found));
        let layers: [usize; 5] = match config.depth {
            11 => [1, 1, 2, 2, 2],
            13 => [2, 2, 2, 2, 2],
            16 => [2, 2, 3, 3, 3],
            19 => [2, 2, 4, 4, 4],
            depth => return Err(error("depth", "11, 13, 16 or 19", depth)),
        };
        if config.width == 0 {
            return Err(error("width", "at least 1", 0));
        }
        let features = params.pp("features");
        let geometry = Conv2d { padding: 1, ..Conv2d::default() };
        let (mut inputs, mut index) = (channels, 0);
        let (mut stages, mut channels) = (Vec::new(), Vec::new());
        for (count, scale) in layers.into_iter().zip([1, 2, 4, 8, 8]) {
            let mut stage = Vec::new();
            for _ in 0..count {
                let outputs = config.width * scale;
                stage.push(ConvBn::new(&features.pp(index), &features.pp(index + 1), inputs, outputs, 3, geometry)?);
                // Convolution, batch norm, ReLU.
                index += 3;
                inputs = outputs;
            }
            // Pooling.
            index += 1;
            stages.push(stage);
            channels.push(inputs);
        }
        Ok(Self { stages, channels })
    }
}

impl Backbone for VggBn {
    fn channels(&self) -> &[usize] {
        &self.channels
    }

    fn features(&self, images: &FeatureMap, statistics: Statistics) -> Result<Vec<FeatureMap>> {
        let [h, w] = images.size();
        if h.min(w) < 32 {
            bail!("vgg: expected images of at least 32×32 pixels, which five poolings halve to 1; found {h}×{w}");
        }
        let mut x = images.clone();
        let mut features = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            for layer in stage {
                x = layer.forward(&x, statistics, true)?;
            }
            x = ops::max_pool2d(&x, MaxPool2d { kernel: 2, stride: 2, padding: 0 })?;
            features.push(x.clone());
        }
        Ok(features)
    }
}
