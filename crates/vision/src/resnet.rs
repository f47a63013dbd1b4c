//! Residual networks (He et al., arXiv 1512.03385).

use crate::backbone::Backbone;
use crate::layers::ConvBn;
use candle_core::Result;
use ops::{Conv2d, FeatureMap, MaxPool2d, Statistics};
use regularize::{Error, Mistake, Params};

/// A residual network: a stem, then stages of residual blocks, each stage at half the side of the one before
/// and twice as wide. Shortcuts that change shape are 1×1 convolutions with batch norm (option B).
///
/// ```
/// use vision::{ResNetConfig, Stem};
/// # fn main() -> Result<(), regularize::Error> {
/// // ResNet-18 for small images, its last two stages dilated.
/// let config = ResNetConfig { stem: Stem::Small, output_stride: Some(2), ..ResNetConfig::imagenet(18)? };
/// # let params = regularize::Params::new(0, &candle_core::Device::Cpu);
/// # vision::ResNet::new(&params, 3, &config)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNetConfig {
    /// What comes before the first stage.
    pub stem: Stem,
    /// What the stages are made of.
    pub block: Block,
    /// Blocks of each stage; one to five stages of at least one block.
    pub blocks: Vec<usize>,
    /// Channels of the stem, and of the 3×3 convolutions of the first stage.
    pub width: usize,
    /// The stride, in pixels of the image, that no stage exceeds: later ones have their convolutions dilated
    /// instead, so that each pixel sees what it would have seen, as torchvision's
    /// `replace_stride_with_dilation`. A power of two, at least the stem's stride; `None` for no limit.
    pub output_stride: Option<usize>,
}

/// What comes before the first stage of a residual network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stem {
    /// A 3×3 convolution of stride 1, for small images.
    Small,
    /// A 7×7 convolution of stride 2, then a 3×3 max-pooling of stride 2.
    ImageNet,
}

/// A residual block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// A 1×1, a 3×3 and a 1×1 convolution, the last of four times as many channels. The 3×3 one has the
    /// stride, as in torchvision ("v1.5").
    Bottleneck,
}

impl ResNetConfig {
    /// Depths that [`ResNetConfig::imagenet`] has.
    pub const DEPTHS: [usize; 6] = [10, 18, 34, 50, 101, 152];

    /// The networks for small images of arXiv 1512.03385 §4.2: three stages of basic blocks at full, half and
    /// quarter side. `depth` is 6·blocks + 2, that is 8, 14, 20, 32, …; `width` is 16 in the paper.
    ///
    /// # Errors
    ///
    /// Where `depth` is none of those.
    pub fn cifar(depth: usize, width: usize) -> std::result::Result<Self, Error> {
        if depth < 8 || depth % 6 != 2 {
            return Err(error(Mistake::new("depth", "8, 14, 20, …", depth)));
        }
        Ok(Self {
            stem: Stem::Small,
            block: Block::Basic,
            blocks: vec![(depth - 2) / 6; 3],
            width,
            output_stride: None,
        })
    }

    /// The networks of arXiv 1512.03385 §4.1: `depth` 18 or 34 with basic blocks, 50, 101 or 152 with
    /// bottlenecks; 64 channels wide, four stages. And 10, of one basic block a stage, which is not in the paper.
    ///
    /// # Errors
    ///
    /// Where `depth` is none of those.
    pub fn imagenet(depth: usize) -> std::result::Result<Self, Error> {
        let (block, blocks) = match depth {
            10 => (Block::Basic, [1, 1, 1, 1]),
            18 => (Block::Basic, [2, 2, 2, 2]),
            34 => (Block::Basic, [3, 4, 6, 3]),
            50 => (Block::Bottleneck, [3, 4, 6, 3]),
            101 => (Block::Bottleneck, [3, 4, 23, 3]),
            152 => (Block::Bottleneck, [3, 8, 36, 3]),
            depth => return Err(error(Mistake::new("depth", "10, 18, 34, 50, 101 or 152", depth))),
        };
        Ok(Self { stem: Stem::ImageNet, block, blocks: blocks.into(), width: 64, output_stride: None })
    }

    fn check(&self) -> std::result::Result<(), Mistake> {
        let Self { blocks, width, output_stride, stem, .. } = self;
        if !(1..=5).contains(&blocks.len()) || blocks.contains(&0) {
            let expected = "one to five stages of at least one block";
            return Err(Mistake::new("blocks", expected, format!("{blocks:?}")));
        }
        if *width == 0 {
            return Err(Mistake::new("width", "at least 1", 0));
        }
        match *output_stride {
            Some(stride) if !stride.is_power_of_two() || stride < stem.stride() => {
                let least = stem.stride();
                let expected = format!("{least}, {}, {}, …", 2 * least, 4 * least);
                Err(Mistake::new("output_stride", expected, stride))
            }
            _ => Ok(()),
        }
    }
}

fn error(mistake: Mistake) -> Error {
    Error::settings("resnet", mistake)
}

impl Stem {
    /// Pixels of the image between neighboring pixels of the stem's result.
    fn stride(self) -> usize {
        match self {
            Self::Small => 1,
            Self::ImageNet => 4,
        }
    }
}

/// The stages of a residual network as a [`Backbone`], parameters named as torchvision names them; see
/// [`ResNetConfig`].
pub struct ResNet {
    stem: ConvBn,
    pooling: Option<MaxPool2d>,
    stages: Vec<Vec<Residual>>,
    channels: Vec<usize>,
}

impl ResNet {
    /// A network for images of `channels` channels, with its parameters in `params`.
    ///
    /// # Errors
    ///
    /// Where `config` is not as it says, or parameters exist with other shapes.
    pub fn new(params: &Params, channels: usize, config: &ResNetConfig) -> std::result::Result<Self, Error> {
        config.check().map_err(error)?;
        let (kernel, geometry, pooling) = match config.stem {
            Stem::Small => (3, same(3, 1, 1), None),
            Stem::ImageNet => (7, same(7, 2, 1), Some(MaxPool2d { kernel: 3, stride: 2, padding: 1 })),
        };
        let stem = ConvBn::new(&params.pp("conv1"), &params.pp("bn1"), channels, config.width, kernel, geometry)?;
        let (mut stages, mut channels) = (Vec::new(), Vec::new());
        let (mut inputs, mut output_stride, mut dilation) = (config.width, config.stem.stride(), 1);
        for (stage, blocks) in config.blocks.iter().enumerate() {
            let params = params.pp(format!("layer{}", stage + 1));
            let width = config.width << stage;
            let (mut stride, before) = (1, dilation);
            if stage > 0 {
                if config.output_stride.is_some_and(|limit| output_stride >= limit) {
                    dilation *= 2;
                } else {
                    (stride, output_stride) = (2, output_stride * 2);
                }
            }
            let mut residuals = Vec::new();
            for index in 0..*blocks {
                // The pixels that the first block reads are those of the stage before.
                let (stride, before) = if index == 0 { (stride, before) } else { (1, dilation) };
                let spacing = Spacing { stride, before, after: dilation };
                let block = Residual::new(&params.pp(index), config.block, inputs, width, spacing)?;
                inputs = block.channels;
                residuals.push(block);
            }
            stages.push(residuals);
            channels.push(inputs);
        }
        Ok(Self { stem, pooling, stages, channels })
    }
}

impl Backbone for ResNet {
    fn channels(&self) -> &[usize] {
        &self.channels
    }

    fn features(&self, images: &FeatureMap, statistics: Statistics) -> Result<Vec<FeatureMap>> {
        let mut x = self.stem.forward(images, statistics, true)?;
        if let Some(pooling) = self.pooling {
            x = ops::max_pool2d(&x, pooling)?;
        }
        let mut features = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            for block in stage {
                x = block.forward(&x, statistics)?;
            }
            features.push(x.clone());
        }
        Ok(features)
    }
}

/// Stride of a block, and dilation of its convolutions before and after the stride.
#[derive(Debug, Clone, Copy)]
struct Spacing {
    stride: usize,
    before: usize,
    after: usize,
}

/// A residual block with its parameters.
struct Residual {
    inner: Vec<ConvBn>,
    last: ConvBn,
    downsample: Option<ConvBn>,
    channels: usize,
}

impl Residual {
    fn new(
        params: &Params,
        block: Block,
        inputs: usize,
        width: usize,
        spacing: Spacing,
    ) -> std::result::Result<Self, Error> {
        let Spacing { stride, before, after } = spacing;
        let layer = |index: usize, inputs: usize, outputs: usize, kernel: usize, stride: usize, dilation: usize| {
            let (conv, bn) = (params.pp(format!("conv{index}")), params.pp(format!("bn{index}")));
            ConvBn::new(&conv, &bn, inputs, outputs, kernel, same(kernel, stride, dilation))
        };
        let (inner, last, channels) = match block {
            Block::Basic => {
                let inner = vec![layer(1, inputs, width, 3, stride, before)?];
                (inner, layer(2, width, width, 3, 1, after)?, width)
            }
            Block::Bottleneck => {
                let inner = vec![layer(1, inputs, width, 1, 1, 1)?, layer(2, width, width, 3, stride, before)?];
                (inner, layer(3, width, 4 * width, 1, 1, 1)?, 4 * width)
            }
        };
        let downsample = if stride != 1 || inputs != channels {
            let params = params.pp("downsample");
            Some(ConvBn::new(&params.pp(0), &params.pp(1), inputs, channels, 1, same(1, stride, 1))?)
        } else {
            None
        };
        Ok(Self { inner, last, downsample, channels })
    }

    fn forward(&self, x: &FeatureMap, statistics: Statistics) -> Result<FeatureMap> {
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(x, statistics, false)?,
            None => x.clone(),
        };
        let mut x = x.clone();
        for layer in &self.inner {
            x = layer.forward(&x, statistics, true)?;
        }
        self.last.forward_residual(&x, &shortcut, statistics)
    }
}

/// The geometry that keeps the side of the image, divided by `stride`.
fn same(kernel: usize, stride: usize, dilation: usize) -> Conv2d {
    Conv2d { stride, padding: kernel / 2 * dilation, dilation, ..Conv2d::default() }
}
