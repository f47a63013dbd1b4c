//! Layers that register their parameters and roles.

use candle_core::{Result, Tensor};
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
        let init =
            Init::Kaiming { dist: NormalOrUniform::Normal, fan: FanInOut::FanOut, non_linearity: NonLinearity::ReLU };
        let running_mean = bn.buffer("running_mean", outputs, 0.0)?;
        let running_var = bn.buffer("running_var", outputs, 1.0)?;
        let normalization =
            Normalization { running_mean: running_mean.clone(), running_var: running_var.clone(), bias: None };
        let shape = (outputs, inputs / geometry.groups.max(1), kernel, kernel);
        let weight = conv.scale_invariant("weight", shape, init, vec![normalization])?;
        let norm = BatchNorm {
            weight: bn.get("weight", outputs, Init::Const(1.0))?,
            bias: bn.get("bias", outputs, Init::Const(0.0))?,
            running_mean,
            running_var,
            eps: 1e-5,
            momentum: 0.1,
        };
        Ok(Self { weight, geometry, norm })
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
        let weight = params.get("weight", (outputs, inputs / geometry.groups.max(1), kernel, kernel), init)?;
        Ok(Self { weight, bias: params.get("bias", outputs, Init::Const(0.0))?, geometry })
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
