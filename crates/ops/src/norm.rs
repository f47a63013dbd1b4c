//! Batch normalization (arXiv 1502.03167), alone or after a convolution, with a residual and a ReLU in the
//! same pass.
//!
//! Convolution, batch norm, residual and ReLU are one operation because they share memory: the statistics are
//! computed while the convolution's result is in the cache, and its gradient replaces it. In evaluation it is one
//! pass.

use crate::conv::{Conv2d, ConvSizes};
use crate::engine::Epilogue;
use crate::feature_map::{FeatureMap, common_engine};
use crate::graph::{Edge, is_no_grad};
use crate::values::check;
use candle_core::{Result, Tensor, Var, bail};
use std::sync::Arc;

/// Parameters and running statistics of a batch norm over `c` channels; names as in
/// `torch.nn.BatchNorm2d`.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    /// Scale γ, `[c]`.
    pub weight: Tensor,
    /// Shift β, `[c]`.
    pub bias: Tensor,
    /// Running mean, `[c]`; changed in place by training.
    pub running_mean: Var,
    /// Running unbiased variance, `[c]`; changed in place by training.
    pub running_var: Var,
    /// Added to the variance; torch's default is 1e-5.
    pub eps: f64,
    /// Share of a new batch in the running statistics; torch's default is 0.1.
    pub momentum: f64,
}

/// Which mean and variance normalize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistics {
    /// Those of the batch, which also update the running ones: training.
    Batch,
    /// The running ones, which are constants: evaluation, and frozen layers. A layer in this mode is
    /// not invariant to the scale of the weight before it.
    Running,
}

/// Normalizes `x` `[n, h, w, c]` per channel: `γ·(x − mean)/√(var + ε) + β`, then `max(·, 0)` where `relu`
/// says so.
///
/// The batch variance that normalizes is biased, the running one unbiased, as in torch. Sums are taken in
/// blocks of rows and added up in `f64`.
///
/// # Errors
///
/// Where shapes differ, or `Statistics::Batch` meets a single value per channel.
pub fn batch_norm(x: &FeatureMap, norm: &BatchNorm, statistics: Statistics, relu: bool) -> Result<FeatureMap> {
    const NAME: &str = "batch_norm";
    let (dims, engine) = (x.dims(), x.engine);
    norm.check(NAME, dims, statistics)?;
    let moments = match statistics {
        Statistics::Batch => Some(engine.moments(&x.values, dims[3])?),
        Statistics::Running => None,
    };
    if let Some(moments) = &moments {
        engine.update_running(norm, moments)?;
    }
    let normalization = engine.normalization(norm, moments.as_ref())?;
    let mut y = engine.allocate(x.values.len())?;
    engine.normalize(&normalization, &x.values, None, relu, &mut y)?;
    let y = Arc::new(y);
    let (weight_edge, dweight) = Edge::enter(engine, NAME, &norm.weight)?;
    let (bias_edge, dbias) = Edge::enter(engine, NAME, &norm.bias)?;
    FeatureMap::from_op(NAME, engine, &[&x.edge, &weight_edge, &bias_edge], dims, y.clone(), {
        let (values, wanted) = (x.values.clone(), x.wanted());
        move |mut dy| {
            let mut dx = engine.copy(&values)?;
            let rectified = relu.then_some(&*y);
            let [dgamma, dbeta] = engine.normalize_backward(&normalization, &mut dx, &mut dy, rectified, false)?;
            dweight.add_buffer(dgamma)?;
            dbias.add_buffer(dbeta)?;
            wanted.map_or(Ok(()), |gradient| gradient.add_buffer(dx))
        }
    })
}

/// A convolution without bias, the batch norm after it, plus `residual` where there is one, then
/// `max(·, 0)` where `relu` says so: one layer of a residual network in one operation.
///
/// `x` is `[n, h, w, in]`, `weight` `[out, in / groups, kh, kw]`, `residual` and the result
/// `[n, h', w', out]`. Faster and smaller than the operations apart: statistics are taken while the
/// convolution's result is in the cache, its gradient replaces it in memory, and under
/// [`no_grad`](crate::no_grad) with running statistics nothing is computed twice.
///
/// # Errors
///
/// As [`conv2d`](crate::conv2d) and [`batch_norm`], and where `residual` has another shape than the result.
pub fn conv_bn(
    x: &FeatureMap,
    weight: &Tensor,
    geometry: Conv2d,
    norm: &BatchNorm,
    statistics: Statistics,
    residual: Option<&FeatureMap>,
    relu: bool,
) -> Result<FeatureMap> {
    const NAME: &str = "conv_bn";
    let sizes = ConvSizes::check(NAME, x, weight, geometry)?;
    let dims = sizes.output();
    norm.check(NAME, dims, statistics)?;
    if let Some(residual) = residual
        && residual.dims() != dims
    {
        bail!("{NAME}: expected a residual of the result's shape {dims:?}, found {:?}", residual.dims());
    }
    let engine = common_engine(NAME, x, residual.as_slice())?;
    let mut z = engine.allocate(dims.iter().product())?;
    let added = residual.map(|residual| &*residual.values);
    if is_no_grad() && statistics == Statistics::Running {
        let by = engine.normalization(norm, None)?;
        let epilogue = Epilogue::Normalize { by: &by, residual: added, relu };
        engine.conv(&sizes, &x.values, weight, &mut z, epilogue)?;
        return Ok(FeatureMap::constant(engine, dims, z));
    }
    let moments = match statistics {
        Statistics::Batch => {
            let moments = engine.conv_moments(&sizes, &x.values, weight, &mut z)?;
            engine.update_running(norm, &moments)?;
            Some(moments)
        }
        Statistics::Running => {
            engine.conv(&sizes, &x.values, weight, &mut z, Epilogue::None)?;
            None
        }
    };
    let normalization = engine.normalization(norm, moments.as_ref())?;
    let mut y = engine.allocate(z.len())?;
    engine.normalize(&normalization, &z, added, relu, &mut y)?;
    let y = Arc::new(y);
    let (kernel_edge, dkernel) = Edge::enter(engine, NAME, weight)?;
    let (weight_edge, dweight) = Edge::enter(engine, NAME, &norm.weight)?;
    let (bias_edge, dbias) = Edge::enter(engine, NAME, &norm.bias)?;
    let mut edges = vec![&x.edge, &kernel_edge, &weight_edge, &bias_edge];
    edges.extend(residual.map(|residual| &residual.edge));
    FeatureMap::from_op(NAME, engine, &edges, dims, y.clone(), {
        let (x, weight, tracks_kernel) = (x.clone(), weight.clone(), kernel_edge.is_tracked());
        let residual = residual.and_then(FeatureMap::wanted);
        move |mut dy| {
            // From here on, `z` is the gradient of the convolution.
            let rectified = relu.then_some(&*y);
            let [dgamma, dbeta] =
                engine.normalize_backward(&normalization, &mut z, &mut dy, rectified, residual.is_some())?;
            drop(y);
            dweight.add_buffer(dgamma)?;
            dbias.add_buffer(dbeta)?;
            match residual {
                Some(residual) => residual.add_buffer(dy)?,
                None => drop(dy),
            }
            if tracks_kernel {
                dkernel.add(sizes.weights(), |dw, add| engine.conv_weight_gradient(&sizes, &x.values, &z, dw, add))?;
            }
            if let Some(gradient) = x.wanted() {
                gradient.add(x.values.len(), |dx, add| engine.conv_input_gradient(&sizes, &z, &weight, dx, add))?;
            }
            Ok(())
        }
    })
}

impl BatchNorm {
    fn check(&self, op: &str, dims: [usize; 4], statistics: Statistics) -> Result<()> {
        let channels = dims[3];
        let running: [&Tensor; 2] = [&self.running_mean, &self.running_var];
        let tensors = [&self.weight, &self.bias, running[0], running[1]];
        for (name, tensor) in ["weight", "bias", "running_mean", "running_var"].into_iter().zip(tensors) {
            check(op, name, tensor, "[c]", 1)?;
            if tensor.dims() != [channels] {
                bail!("{op}: the map to normalize, {dims:?}, has {channels} channels; {name} is {:?}", tensor.dims());
            }
        }
        if statistics == Statistics::Batch && dims[0] * dims[1] * dims[2] < 2 {
            bail!("{op}: expected more than one value per channel to take statistics of, found {dims:?}");
        }
        Ok(())
    }
}
