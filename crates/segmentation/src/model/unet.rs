//! The U-Net.

use super::{conv_bn, resize_like};
use candle_core::{Result, bail};
use ops::{Conv2d, FeatureMap, MaxPool2d, Statistics};
use regularize::{Error, Params};
use vision::{Conv, ConvBn};

/// See [`crate::ModelConfig::Unet`]. Parameters are `encoder.<level>.<conv>`, `decoder.<level>.<conv>`, level 0 the finest,
/// and `classifier`.
pub(super) struct UNet {
    encoder: Vec<[ConvBn; 2]>,
    decoder: Vec<[ConvBn; 2]>,
    classifier: Conv,
}

impl UNet {
    pub(super) fn new(
        params: &Params,
        channels: usize,
        classes: usize,
        width: usize,
        levels: usize,
    ) -> std::result::Result<Self, Error> {
        let wide = |level: usize| width << level;
        let pair = |name: &str, level: usize, inputs: usize| {
            let params = params.pp(name).pp(level);
            Ok([
                conv_bn(&params.pp(0), inputs, wide(level), 3, 1)?,
                conv_bn(&params.pp(1), wide(level), wide(level), 3, 1)?,
            ])
        };
        let encoder = |level: usize| pair("encoder", level, if level == 0 { channels } else { wide(level - 1) });
        let decoder = |level: usize| pair("decoder", level, wide(level) + wide(level + 1));
        Ok(Self {
            encoder: (0..levels).map(encoder).collect::<std::result::Result<_, Error>>()?,
            decoder: (0..levels - 1).map(decoder).collect::<std::result::Result<_, Error>>()?,
            classifier: Conv::new(&params.pp("classifier"), width, classes, 1, Conv2d::default())?,
        })
    }

    /// Where the finest level is decoded: the encoder's maps, the coarser one resized, both joined, and two convolutions.
    pub(super) fn values_per_pixel(&self) -> usize {
        9 * self.classifier.inputs()
    }

    pub(super) fn forward(&self, images: &FeatureMap, statistics: Statistics) -> Result<FeatureMap> {
        let twice = |[one, two]: &[ConvBn; 2], x: &FeatureMap| {
            two.forward(&one.forward(x, statistics, true)?, statistics, true)
        };
        let mut features: Vec<FeatureMap> = Vec::with_capacity(self.encoder.len());
        for level in &self.encoder {
            let x = match features.last() {
                Some(finer) => ops::max_pool2d(finer, MaxPool2d { kernel: 2, stride: 2, padding: 0 })?,
                None => images.clone(),
            };
            features.push(twice(level, &x)?);
        }
        let Some(mut x) = features.pop() else { bail!("u-net: expected at least one level, found none") };
        for level in self.decoder.iter().rev() {
            let Some(skip) = features.pop() else { break };
            // Maps are freed as soon as nobody needs them.
            x = resize_like(&x, &skip)?;
            x = ops::concat(&[&skip, &x])?;
            drop(skip);
            x = twice(level, &x)?;
        }
        self.classifier.forward(&x)
    }
}
