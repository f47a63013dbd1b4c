//! The network.
//!
//! The head has one batch norm per level. Its convolutions are shared by all levels of the pyramid, whose statistics
//! differ; a common batch norm would evaluate with running statistics that fit none of them. So a scale-invariant
//! weight may be followed by several normalizations, all of which are rescaled with it.

use crate::assign::Grid;
use crate::config::ModelConfig;
use candle_core::{Result, Tensor};
use candle_nn::init::Init;
use ops::{Conv2d, FeatureMap, Statistics};
use regularize::{Error, Mistake, Params};
use vision::{Backbone, BackboneConfig, Conv, Pyramid, PyramidConfig, SharedConvBn};

/// See [`ModelConfig`]. Parameters of the backbone and the pyramid's levels are named as in torchvision's `FCOS`; those of
/// the head are `head.<branch>.conv.<layer>`, with a batch norm a level, `head.<branch>.bn.<layer>.<level>`, and its last
/// convolutions `cls_logits` and `bbox_reg`, which gives box and centerness.
pub struct Detector {
    backbone: Box<dyn Backbone>,
    /// The backbone's stages that the pyramid stands on.
    stages: std::ops::Range<usize>,
    pyramid: Pyramid,
    classification: Branch,
    regression: Branch,
    frozen: bool,
}

/// What the head says of a level's pixels.
#[derive(Debug, Clone)]
pub struct Level {
    /// Height and width of the level.
    pub size: [usize; 2],
    /// Pixels of the image between neighboring pixels of the level.
    pub stride: usize,
    /// Logits of the classes, `[n·h·w, classes]`.
    pub classes: Tensor,
    /// Logarithms of the distances from the pixel to the left, top, right and bottom of its box, in strides; and the
    /// logit of its centerness: `[n·h·w, 5]`.
    pub boxes: Tensor,
}

impl Level {
    /// Its pixels in the image.
    pub fn grid(&self) -> Grid {
        Grid { size: self.size, stride: self.stride }
    }
}

/// Share of the pixels that are taken for objects at first (arXiv 1708.02002 §4.1).
const PRIOR: f64 = 0.01;

impl Detector {
    /// A detector of `classes` classes in images of `channels` channels, its parameters in `params`.
    ///
    /// # Errors
    ///
    /// Where there is no network of that size.
    pub fn new(
        params: &Params,
        channels: usize,
        classes: usize,
        config: ModelConfig,
    ) -> std::result::Result<Self, Error> {
        let ModelConfig { stride, levels, convs, freeze_norms, .. } = config;
        if !BackboneConfig::STRIDES.contains(&stride) || levels == 0 {
            let expected = "a `stride` of 4, 8, 16 or 32 and `levels` of at least 1";
            return Err(Error::settings("detector", Mistake::of_all(expected, format!("{stride}, {levels}"))));
        }
        let backbone = params.pp("backbone");
        let stages = config.stages();
        let body = config.backbone().build(&backbone.pp("body"), channels)?;
        let pyramid = PyramidConfig { channels: config.channels, norm: true, extra: levels - stages.len() };
        let inputs = body.channels()[stages.clone()].to_vec();
        let pyramid = Pyramid::new(&backbone.pp("fpn"), &inputs, pyramid)?;
        let branch = |name: &str, last: &str, outputs: usize, bias: f64| {
            Branch::new(&params.pp("head").pp(name), last, levels, [config.channels, outputs], convs, bias)
        };
        let detector = Self {
            backbone: body,
            stages,
            pyramid,
            classification: branch("classification_head", "cls_logits", classes, libm::log(PRIOR / (1.0 - PRIOR)))?,
            regression: branch("regression_head", "bbox_reg", 5, 0.0)?,
            frozen: freeze_norms,
        };
        if freeze_norms {
            params.freeze_normalizations();
        }
        Ok(detector)
    }

    /// Images `[n, h, w, channels]` to what the head says of each level, finest first.
    ///
    /// # Errors
    ///
    /// Where the shape does not fit.
    pub fn forward(&self, images: &Tensor, statistics: Statistics) -> Result<Vec<Level>> {
        let statistics = if self.frozen { Statistics::Running } else { statistics };
        let features = self.backbone.features(&FeatureMap::from_tensor(images)?, statistics)?;
        let levels = self.pyramid.forward(&features[self.stages.clone()], statistics)?;
        let classes = self.classification.forward(&levels, statistics)?;
        let boxes = self.regression.forward(&levels, statistics)?;
        let level = |(index, (classes, boxes)): (usize, (FeatureMap, FeatureMap))| {
            let (size, stride) = (classes.size(), 4 << (self.stages.start + index));
            Ok(Level { size, stride, classes: rows(&classes)?, boxes: rows(&boxes)? })
        };
        classes.into_iter().zip(boxes).enumerate().map(level).collect()
    }
}

/// The pixels of `map`, a row each.
fn rows(map: &FeatureMap) -> Result<Tensor> {
    map.to_tensor()?.reshape(((), map.channels()))
}

/// Convolutions that all levels share, each with a batch norm of a level's own and a ReLU, and one that predicts.
struct Branch {
    convs: Vec<SharedConvBn>,
    last: Conv,
}

impl Branch {
    fn new(
        params: &Params,
        last: &str,
        levels: usize,
        [channels, outputs]: [usize; 2],
        convs: usize,
        bias: f64,
    ) -> std::result::Result<Self, Error> {
        let geometry = Conv2d { padding: 1, ..Conv2d::default() };
        let conv = |index: usize| {
            let (conv, bn) = (params.pp("conv").pp(index), params.pp("bn").pp(index));
            SharedConvBn::new(&conv, &bn, levels, channels, channels, 3, geometry)
        };
        let convs = (0..convs).map(conv).collect::<std::result::Result<_, Error>>()?;
        let init = Init::Randn { mean: 0.0, stdev: 0.01 };
        let last = Conv::with_init(&params.pp(last), [channels, outputs], 3, geometry, init, bias)?;
        Ok(Self { convs, last })
    }

    fn forward(&self, levels: &[FeatureMap], statistics: Statistics) -> Result<Vec<FeatureMap>> {
        let mut maps = levels.to_vec();
        for conv in &self.convs {
            maps = conv.forward(&maps, statistics, true)?;
        }
        maps.iter().map(|map| self.last.forward(map)).collect()
    }
}
