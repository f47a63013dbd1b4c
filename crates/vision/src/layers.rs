//! Layers that register their parameters and roles.

use candle_core::{Result, Tensor, bail};
use candle_nn::init::{FanInOut, Init, NonLinearity, NormalOrUniform};
use ops::{BatchNorm, Conv2d, FeatureMap, Statistics};
use regularize::{Normalization, Params, Weight};

/// A convolution without bias and the batch norm behind it, with an optional ReLU.
pub struct ConvBn {
    weight: Weight,
    geometry: Conv2d,
    norm: BatchNorm,
}

impl ConvBn {
    /// A `kernel`×`kernel` convolution from `inputs` to `outputs` channels, its `weight` in `conv` and its
    /// batch norm in `bn`. The weight is drawn from a normal distribution of variance `2 / (outputs·kernel²)`
    /// (He et al., arXiv 1502.01852, on the outputs, as torchvision) and registered as scale-invariant.
    ///
    /// # Errors
    ///
    /// Where a parameter of the name exists with another shape.
    pub fn new(
        conv: &Params,
        bn: &Params,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        geometry: Conv2d,
    ) -> std::result::Result<Self, regularize::Error> {
        let statistics = running_statistics(bn, outputs)?;
        let shape = (outputs, inputs / geometry.groups.max(1), kernel, kernel);
        let weight = conv.scale_invariant("weight", shape, HE, vec![statistics.clone()])?;
        Ok(Self { weight, geometry, norm: batch_norm(bn, outputs, statistics)? })
    }

    /// `[n, h, w, inputs]` to `[n, h', w', outputs]`, with a ReLU where `relu` says so.
    ///
    /// # Errors
    ///
    /// Where the shape does not fit.
    pub fn forward(&self, x: &FeatureMap, statistics: Statistics, relu: bool) -> Result<FeatureMap> {
        ops::conv_bn(x, &self.weight.tensor()?, self.geometry, &self.norm, statistics, None, relu)
    }

    /// As [`ConvBn::forward`], plus `residual`, then a ReLU: the end of a residual block.
    ///
    /// # Errors
    ///
    /// Where a shape does not fit.
    pub fn forward_residual(
        &self,
        x: &FeatureMap,
        residual: &FeatureMap,
        statistics: Statistics,
    ) -> Result<FeatureMap> {
        ops::conv_bn(x, &self.weight.tensor()?, self.geometry, &self.norm, statistics, Some(residual), true)
    }
}

/// A convolution without bias that several maps share, each with a batch norm of its own behind it: the layers of a
/// detector's head, which meet each level of a pyramid. Levels have statistics of their own, so a common batch norm
/// would evaluate with running statistics of none of them.
pub struct SharedConvBn {
    weight: Weight,
    geometry: Conv2d,
    norms: Vec<BatchNorm>,
}

impl SharedConvBn {
    /// As [`ConvBn::new`], with the batch norm of each of `maps` maps in `bn.<map>`.
    ///
    /// # Errors
    ///
    /// Where a parameter of the name exists with another shape.
    pub fn new(
        conv: &Params,
        bn: &Params,
        maps: usize,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        geometry: Conv2d,
    ) -> std::result::Result<Self, regularize::Error> {
        let bns: Vec<Params> = (0..maps).map(|map| bn.pp(map)).collect();
        let statistics = bns.iter().map(|bn| running_statistics(bn, outputs)).collect::<Result<Vec<_>>>()?;
        let shape = (outputs, inputs / geometry.groups.max(1), kernel, kernel);
        let weight = conv.scale_invariant("weight", shape, HE, statistics.clone())?;
        let norms = bns.iter().zip(statistics).map(|(bn, statistics)| batch_norm(bn, outputs, statistics));
        Ok(Self { weight, geometry, norms: norms.collect::<Result<_>>()? })
    }

    /// Each of `maps` `[n, hᵢ, wᵢ, inputs]` to `[n, hᵢ', wᵢ', outputs]`, with a ReLU where `relu` says so.
    ///
    /// # Errors
    ///
    /// Where a shape does not fit, or there are not as many maps as batch norms.
    pub fn forward(&self, maps: &[FeatureMap], statistics: Statistics, relu: bool) -> Result<Vec<FeatureMap>> {
        if maps.len() != self.norms.len() {
            bail!("shared convolution: expected {} maps, one a batch norm; found {}", self.norms.len(), maps.len());
        }
        let weight = self.weight.tensor()?;
        let map = |(x, norm)| ops::conv_bn(x, &weight, self.geometry, norm, statistics, None, relu);
        maps.iter().zip(&self.norms).map(map).collect()
    }
}

/// The variance of arXiv 1502.01852, on the outputs.
const HE: Init =
    Init::Kaiming { dist: NormalOrUniform::Normal, fan: FanInOut::FanOut, non_linearity: NonLinearity::ReLU };

fn running_statistics(bn: &Params, channels: usize) -> Result<Normalization> {
    let running_mean = bn.buffer("running_mean", channels, 0.0)?;
    Ok(Normalization { running_mean, running_var: bn.buffer("running_var", channels, 1.0)?, bias: None })
}

fn batch_norm(bn: &Params, channels: usize, statistics: Normalization) -> Result<BatchNorm> {
    let Normalization { running_mean, running_var, .. } = statistics;
    Ok(BatchNorm {
        weight: bn.get("weight", channels, Init::Const(1.0))?,
        bias: bn.get("bias", channels, Init::Const(0.0))?,
        running_mean,
        running_var,
        eps: 1e-5,
        momentum: 0.1,
    })
}

/// A convolution with bias.
pub struct Conv {
    weight: Tensor,
    bias: Tensor,
    geometry: Conv2d,
}

impl Conv {
    /// A `kernel`×`kernel` convolution from `inputs` to `outputs` channels, its `weight` and `bias` in
    /// `params`. The weight is drawn uniformly with variance `1 / fan-in`, the bias is 0, as in torchvision's
    /// feature pyramid.
    ///
    /// # Errors
    ///
    /// Where a parameter of the name exists with another shape.
    pub fn new(
        params: &Params,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        geometry: Conv2d,
    ) -> std::result::Result<Self, regularize::Error> {
        let init =
            Init::Kaiming { dist: NormalOrUniform::Uniform, fan: FanInOut::FanIn, non_linearity: NonLinearity::Linear };
        Self::with_init(params, [inputs, outputs], kernel, geometry, init, 0.0)
    }

    /// As [`Conv::new`] from `[inputs, outputs]` channels, with the weight drawn from `init` and the bias `bias`.
    ///
    /// # Errors
    ///
    /// Where a parameter of the name exists with another shape.
    pub fn with_init(
        params: &Params,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        geometry: Conv2d,
        init: Init,
        bias: f64,
    ) -> std::result::Result<Self, regularize::Error> {
        let weight = params.get("weight", (outputs, inputs / geometry.groups.max(1), kernel, kernel), init)?;
        Ok(Self { weight, bias: params.get("bias", outputs, Init::Const(bias))?, geometry })
    }

    /// Channels that it reads.
    pub fn inputs(&self) -> usize {
        self.weight.dims().get(1).copied().unwrap_or(0) * self.geometry.groups
    }

    /// `[n, h, w, inputs]` to `[n, h', w', outputs]`.
    ///
    /// # Errors
    ///
    /// Where the shape does not fit.
    pub fn forward(&self, x: &FeatureMap) -> Result<FeatureMap> {
        ops::conv2d(x, &self.weight, Some(&self.bias), self.geometry)
    }
}

/// A fully connected layer with bias.
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// `weight` and `bias` in `params`, drawn uniformly from `±1/√inputs`, as torch.
    ///
    /// # Errors
    ///
    /// Where a parameter of the name exists with another shape.
    pub fn new(params: &Params, inputs: usize, outputs: usize) -> std::result::Result<Self, regularize::Error> {
        let bound = 1.0 / (inputs.max(1) as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        Ok(Self { weight: params.get("weight", (outputs, inputs), init)?, bias: params.get("bias", outputs, init)? })
    }

    /// `[n, inputs]` to `[n, outputs]`.
    ///
    /// # Errors
    ///
    /// Where the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.weight, Some(&self.bias))
    }
}
