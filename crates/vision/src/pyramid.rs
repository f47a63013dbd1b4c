//! Feature pyramids (Lin et al., arXiv 1612.03144).

use crate::layers::{Conv, ConvBn};
use candle_core::{Result, bail};
use ops::{Conv2d, FeatureMap, Resize, Statistics};
use regularize::{Error, Mistake, Params};

/// A feature pyramid: the stages of a backbone are brought to one number of channels by 1×1 convolutions, each
/// gets the next coarser sum added (nearest pixel), and a 3×3 convolution makes a level of each sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PyramidConfig {
    /// Channels of each level; 256 in the paper.
    pub channels: usize,
    /// Whether each convolution has a batch norm behind it in place of a bias; not in the paper.
    pub norm: bool,
    /// Further levels, each by a 3×3 convolution of stride 2 from the coarsest one so far, with a ReLU between
    /// two of them: P6 and P7 of arXiv 1708.02002 §4.
    pub extra: usize,
}

/// See [`PyramidConfig`]. Parameters are named `inner_blocks.<stage>.0`, `layer_blocks.<stage>.0`, as in
/// torchvision's `FeaturePyramidNetwork`, and `extra_blocks.<index>.0`; batch norms `.1` in place of `.0`.
pub struct Pyramid {
    inner: Vec<Layer>,
    levels: Vec<Layer>,
    extra: Vec<Layer>,
}

impl Pyramid {
    /// A pyramid on stages of `inputs` channels, finest first, with its parameters in `params`.
    ///
    /// # Errors
    ///
    /// Where there is no stage, `channels` is 0, or parameters exist with other shapes.
    pub fn new(params: &Params, inputs: &[usize], config: PyramidConfig) -> std::result::Result<Self, Error> {
        let PyramidConfig { channels, norm, extra } = config;
        if inputs.is_empty() || channels == 0 {
            let found = format!("{inputs:?} and {channels}");
            return Err(Error::settings(
                "feature pyramid",
                Mistake::of_all("stages, and `channels` of at least 1", found),
            ));
        }
        let layers = |name: &str, inputs: &[usize], kernel: usize, stride: usize| {
            let params = params.pp(name);
            let geometry = Conv2d { stride, padding: kernel / 2, ..Conv2d::default() };
            let layer = |(i, inputs): (usize, &usize)| {
                let (first, second) = (params.pp(i).pp(0), params.pp(i).pp(1));
                Ok(if norm {
                    Layer::ConvBn(ConvBn::new(&first, &second, *inputs, channels, kernel, geometry)?)
                } else {
                    Layer::Conv(Conv::new(&first, *inputs, channels, kernel, geometry)?)
                })
            };
            inputs.iter().enumerate().map(layer).collect::<std::result::Result<Vec<_>, Error>>()
        };
        Ok(Self {
            inner: layers("inner_blocks", inputs, 1, 1)?,
            levels: layers("layer_blocks", &vec![channels; inputs.len()], 3, 1)?,
            extra: layers("extra_blocks", &vec![channels; extra], 3, 2)?,
        })
    }

    /// The levels of a backbone's `stages` `[n, hᵢ, wᵢ, inputsᵢ]`, finest first: `[n, hᵢ, wᵢ, channels]`, then
    /// the further ones, each of half the side, rounded up.
    ///
    /// # Errors
    ///
    /// Where the stages do not fit.
    pub fn forward(&self, stages: &[FeatureMap], statistics: Statistics) -> Result<Vec<FeatureMap>> {
        if stages.len() != self.inner.len() {
            bail!("feature pyramid: expected {} stages, found {}", self.inner.len(), stages.len());
        }
        let mut levels = Vec::with_capacity(self.levels.len() + self.extra.len());
        let mut coarser: Option<FeatureMap> = None;
        for ((inner, level), stage) in self.inner.iter().zip(&self.levels).zip(stages).rev() {
            let mut sum = inner.forward(stage, statistics)?;
            if let Some(coarser) = coarser {
                sum = ops::add(&sum, &ops::resize(&coarser, sum.size(), Resize::Nearest)?)?;
            }
            levels.push(level.forward(&sum, statistics)?);
            coarser = Some(sum);
        }
        levels.reverse();
        for (index, layer) in self.extra.iter().enumerate() {
            let Some(coarsest) = levels.last() else {
                bail!("feature pyramid: expected at least one level, found none")
            };
            let level = match index {
                0 => layer.forward(coarsest, statistics)?,
                _ => layer.forward(&ops::relu(coarsest)?, statistics)?,
            };
            levels.push(level);
        }
        Ok(levels)
    }
}

enum Layer {
    Conv(Conv),
    ConvBn(ConvBn),
}

impl Layer {
    fn forward(&self, x: &FeatureMap, statistics: Statistics) -> Result<FeatureMap> {
        match self {
            Self::Conv(layer) => layer.forward(x),
            Self::ConvBn(layer) => layer.forward(x, statistics, false),
        }
    }
}
