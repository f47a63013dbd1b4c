//! Residual networks (He et al., arXiv 1512.03385).

use crate::layers::{ConvBn, Linear};
use candle_core::{Result, Tensor};
use ops::{Conv2d, FeatureMap, Statistics};
use regularize::{Error, Params};

/// The residual networks for small images of arXiv 1512.03385 §4.2: a 3×3 stem, then three stages of
/// basic blocks at full, half and quarter side, each twice as wide as the one before. Shortcuts that
/// change shape are 1×1 convolutions with batch norm (option B).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResNetConfig {
    /// Weighted layers: 6·blocks + 2, that is 8, 14, 20, 32, …
    pub depth: usize,
    /// Channels of the first stage; 16 in the paper.
    pub width: usize,
    /// Channels of the image.
    pub channels: usize,
    /// Classes.
    pub classes: usize,
}

/// See [`ResNetConfig`].
pub struct ResNet {
    stem: ConvBn,
    blocks: Vec<Block>,
    head: Linear,
}

struct Block {
    first: ConvBn,
    second: ConvBn,
    downsample: Option<ConvBn>,
}

impl ResNet {
    /// A network with its parameters in `params`.
    ///
    /// # Errors
    ///
    /// Where `depth` is not 6·blocks + 2, or parameters exist with other shapes.
    pub fn new(params: &Params, config: ResNetConfig) -> std::result::Result<Self, Error> {
        let ResNetConfig { depth, width, channels, classes } = config;
        if depth < 8 || depth % 6 != 2 || width == 0 {
            let message = format!("expected `depth` 8, 14, 20, … and `width` of at least 1, found {depth} and {width}");
            return Err(Error::Settings { kind: "resnet".into(), message });
        }
        let stem = ConvBn::new(&params.pp("conv1"), &params.pp("bn1"), channels, width, 3, same(1))?;
        let mut blocks = Vec::new();
        let mut inputs = width;
        for stage in 0..3 {
            let outputs = width << stage;
            for index in 0..(depth - 2) / 6 {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let params = params.pp(format!("layer{}.{index}", stage + 1));
                blocks.push(Block::new(&params, inputs, outputs, stride)?);
                inputs = outputs;
            }
        }
        Ok(Self { stem, blocks, head: Linear::new(&params.pp("fc"), inputs, classes)? })
    }

    /// `[n, h, w, channels]` to logits `[n, classes]`.
    ///
    /// # Errors
    ///
    /// Where the shape does not fit.
    pub fn forward(&self, x: &Tensor, statistics: Statistics) -> Result<Tensor> {
        let mut x = self.stem.forward(&FeatureMap::from_tensor(x)?, statistics, true)?;
        for block in &self.blocks {
            x = block.forward(&x, statistics)?;
        }
        self.head.forward(&ops::global_avg_pool2d(&x)?)
    }
}

impl Block {
    fn new(params: &Params, inputs: usize, outputs: usize, stride: usize) -> std::result::Result<Self, Error> {
        let downsample = if stride != 1 || inputs != outputs {
            let params = params.pp("downsample");
            let geometry = Conv2d { stride, ..Conv2d::default() };
            Some(ConvBn::new(&params.pp(0), &params.pp(1), inputs, outputs, 1, geometry)?)
        } else {
            None
        };
        Ok(Self {
            first: ConvBn::new(&params.pp("conv1"), &params.pp("bn1"), inputs, outputs, 3, same(stride))?,
            second: ConvBn::new(&params.pp("conv2"), &params.pp("bn2"), outputs, outputs, 3, same(1))?,
            downsample,
        })
    }

    fn forward(&self, x: &FeatureMap, statistics: Statistics) -> Result<FeatureMap> {
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(x, statistics, false)?,
            None => x.clone(),
        };
        self.second.forward_residual(&self.first.forward(x, statistics, true)?, &shortcut, statistics)
    }
}

fn same(stride: usize) -> Conv2d {
    Conv2d { stride, padding: 1, ..Conv2d::default() }
}
