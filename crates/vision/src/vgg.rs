//! VGG with batch norm (Simonyan and Zisserman, arXiv 1409.1556).

use crate::layers::{ConvBn, Linear};
use candle_core::{Result, Tensor, bail};
use ops::{Conv2d, FeatureMap, MaxPool2d, Statistics};
use regularize::{Error, Params};

/// VGG with batch norm and one linear layer, as commonly used on 32×32 images: stages of 3×3 convolutions,
/// each followed by a 2×2 max-pooling, then the mean over what pixels are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VggConfig {
    /// 11, 13, 16 or 19.
    pub depth: usize,
    /// Channels of the first stage, 64 in the paper; later stages are 2, 4, 8 and 8 times as wide.
    pub width: usize,
    /// Channels of the image.
    pub channels: usize,
    /// Classes.
    pub classes: usize,
}

/// See [`VggConfig`].
pub struct VggBn {
    stages: Vec<Vec<ConvBn>>,
    head: Linear,
}

impl VggBn {
    /// A network with its parameters in `params`, `features.<i>` as torchvision counts them.
    ///
    /// # Errors
    ///
    /// Where `depth` is none of those listed, or parameters exist with other shapes.
    pub fn new(params: &Params, config: VggConfig) -> std::result::Result<Self, Error> {
        let layers: [usize; 5] = match config.depth {
            11 => [1, 1, 2, 2, 2],
            13 => [2, 2, 2, 2, 2],
            16 => [2, 2, 3, 3, 3],
            19 => [2, 2, 4, 4, 4],
            depth => {
                let message = format!("expected `depth` 11, 13, 16 or 19, found {depth}");
                return Err(Error::Settings { kind: "vgg".into(), message });
            }
        };
        let features = params.pp("features");
        let geometry = Conv2d { padding: 1, ..Conv2d::default() };
        let (mut inputs, mut index) = (config.channels, 0);
        let mut stages = Vec::new();
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
        }
        Ok(Self { stages, head: Linear::new(&params.pp("classifier"), inputs, config.classes)? })
    }

    /// `[n, h, w, channels]` to logits `[n, classes]`; `h` and `w` of at least 32.
    ///
    /// # Errors
    ///
    /// Where the shape does not fit.
    pub fn forward(&self, x: &Tensor, statistics: Statistics) -> Result<Tensor> {
        if x.rank() != 4 || x.dims()[1].min(x.dims()[2]) < 32 {
            bail!(
                "vgg: expected images [n, h, w, c] of at least 32×32 pixels, which five poolings halve to 1; found {:?}",
                x.dims()
            );
        }
        let mut x = FeatureMap::from_tensor(x)?;
        for stage in &self.stages {
            for layer in stage {
                x = layer.forward(&x, statistics, true)?;
            }
            x = ops::max_pool2d(&x, MaxPool2d { kernel: 2, stride: 2, padding: 0 })?;
        }
        self.head.forward(&ops::global_avg_pool2d(&x)?)
    }
}
