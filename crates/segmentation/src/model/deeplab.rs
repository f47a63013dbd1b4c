//! DeepLabv3+.

use super::{conv_bn, resize_like};
use crate::config::DeepLabConfig;
use candle_core::{Result, bail};
use ops::{Conv2d, FeatureMap, Statistics};
use regularize::{Error, Mistake, Params};
use vision::{Backbone, Conv, ConvBn};

/// See [`DeepLabConfig`]. Parameters are named as in torchvision's `DeepLabV3` as far as that has them: `backbone`,
/// `aspp.convs.<branch>`, `aspp.project`; then `decoder.low_level`, `decoder.convs.<index>` and `classifier`.
pub(super) struct DeepLab {
    backbone: Box<dyn Backbone>,
    branches: Vec<ConvBn>,
    pooling: ConvBn,
    project: ConvBn,
    low_level: ConvBn,
    convs: [ConvBn; 2],
    classifier: Conv,
}

impl DeepLab {
    pub(super) fn new(
        params: &Params,
        channels: usize,
        classes: usize,
        config: &DeepLabConfig,
    ) -> std::result::Result<Self, Error> {
        let DeepLabConfig { output_stride, channels: inner, low_level, rates, .. } = config;
        let backbone = config.backbone().build(&params.pp("backbone"), channels)?;
        let [first, .., last] = *backbone.channels() else {
            let found = format!("{:?}", backbone.channels());
            return Err(Error::settings("deeplab", Mistake::of_all("a backbone of at least two stages", found)));
        };
        let rates = rates.clone().unwrap_or_else(|| [6, 12, 18].map(|rate| (rate * 16 / output_stride).max(1)).into());
        let (aspp, decoder) = (params.pp("aspp"), params.pp("decoder"));
        let convs = aspp.pp("convs");
        let atrous = rates.iter().zip(1..).map(|(rate, index)| conv_bn(&convs.pp(index), last, *inner, 3, *rate));
        let branches = std::iter::once(conv_bn(&convs.pp(0), last, *inner, 1, 1)).chain(atrous);
        let branches = branches.collect::<std::result::Result<Vec<_>, Error>>()?;
        // The mean over the pixels is at index 0.
        let pooling = convs.pp(branches.len());
        let pooling = ConvBn::new(&pooling.pp(1), &pooling.pp(2), last, *inner, 1, Conv2d::default())?;
        let conv = |index, inputs| conv_bn(&decoder.pp("convs").pp(index), inputs, *inner, 3, 1);
        Ok(Self {
            backbone,
            project: conv_bn(&aspp.pp("project"), (branches.len() + 1) * inner, *inner, 1, 1)?,
            branches,
            pooling,
            low_level: conv_bn(&decoder.pp("low_level"), first, *low_level, 1, 1)?,
            convs: [conv(0, inner + low_level)?, conv(1, *inner)?],
            classifier: Conv::new(&params.pp("classifier"), *inner, classes, 1, Conv2d::default())?,
        })
    }

    /// The stem's map, of half the side, and those of a quarter: the first stage's and the decoder's.
    pub(super) fn values_per_pixel(&self) -> usize {
        let (first, inner) = (self.backbone.channels()[0], self.classifier.inputs());
        first + inner / 4
    }

    pub(super) fn forward(&self, images: &FeatureMap, statistics: Statistics) -> Result<FeatureMap> {
        let features = self.backbone.features(images, statistics)?;
        let [first, .., last] = features.as_slice() else {
            bail!("deeplab: expected features of at least two stages, found {}", features.len())
        };
        let pyramid = self.pyramid(last, statistics)?;
        let low_level = self.low_level.forward(first, statistics, true)?;
        let mut x = ops::concat(&[&resize_like(&pyramid, first)?, &low_level])?;
        for conv in &self.convs {
            x = conv.forward(&x, statistics, true)?;
        }
        resize_like(&self.classifier.forward(&x)?, images)
    }

    /// Atrous spatial pyramid pooling (arXiv 1706.05587 §3.3).
    fn pyramid(&self, x: &FeatureMap, statistics: Statistics) -> Result<FeatureMap> {
        let (n, channels) = (x.dims()[0], x.channels());
        let mean = ops::global_avg_pool2d(x)?.reshape((n, 1, 1, channels))?;
        let mean = self.pooling.forward(&FeatureMap::from_tensor(&mean)?, statistics, true)?;
        let branches = self.branches.iter().map(|branch| branch.forward(x, statistics, true));
        let branches = branches.chain([resize_like(&mean, x)]).collect::<Result<Vec<_>>>()?;
        self.project.forward(&ops::concat(&branches.iter().collect::<Vec<_>>())?, statistics, true)
    }
}
