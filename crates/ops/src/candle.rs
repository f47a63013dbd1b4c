//! The operations through candle's own, for devices without kernels of this crate.
//!
//! Only candle operations whose gradients are right are used (see docs/candle.md): convolutions and windows
//! are sums over taps of shifted copies, so that all gradients come from slicing, padding and matrix
//! products. Maps are plain tensors `[n, h, w, c]`; shapes have been checked.

use crate::conv::Conv2d;
use crate::norm::{BatchNorm, Statistics};
use crate::pool::{AvgPool2d, MaxPool2d};
use crate::resize::Tap;
use crate::values::recorded;
use candle_core::{D, Result, Tensor};

/// `x` with `before` and `behind` zeros along `dim`; negative `behind` cuts off.
fn pad(x: &Tensor, dim: usize, before: usize, behind: isize) -> Result<Tensor> {
    match usize::try_from(behind) {
        Ok(behind) => x.pad_with_zeros(dim, before, behind),
        Err(_) => {
            let x = x.pad_with_zeros(dim, before, 0)?;
            x.narrow(dim, 0, x.dims()[dim].saturating_sub(behind.unsigned_abs()))
        }
    }
}

/// Every `stride`-th index of `dim` from `start` on, `len` of them.
fn every(x: &Tensor, dim: usize, start: usize, stride: usize, len: usize) -> Result<Tensor> {
    if stride == 1 || len == 1 {
        return x.narrow(dim, start, len);
    }
    // Cut into pieces of `stride`, of which the first of each is taken.
    let room = x.dims()[dim] - start;
    let x = x.narrow(dim, start, room.min(len * stride))?;
    let x = pad(&x, dim, 0, (len * stride) as isize - x.dims()[dim] as isize)?;
    let mut dims = x.dims().to_vec();
    dims[dim] = len;
    dims.insert(dim + 1, stride);
    x.reshape(dims)?.narrow(dim + 1, 0, 1)?.squeeze(dim + 1)
}

/// For each tap of a window the values it reads: `[n, h', w', c]`, row by row.
pub(crate) fn taps(
    x: &Tensor,
    [k_h, k_w]: [usize; 2],
    geometry: Conv2d,
    [out_h, out_w]: [usize; 2],
) -> Result<Vec<Tensor>> {
    let Conv2d { stride, padding, dilation, .. } = geometry;
    let x = x.pad_with_zeros(1, padding, padding)?.pad_with_zeros(2, padding, padding)?;
    let mut all = Vec::with_capacity(k_h * k_w);
    for ky in 0..k_h {
        let rows = every(&x, 1, ky * dilation, stride, out_h)?;
        for kx in 0..k_w {
            all.push(every(&rows, 2, kx * dilation, stride, out_w)?);
        }
    }
    Ok(all)
}

pub(crate) fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, geometry: Conv2d) -> Result<Tensor> {
    let (n, h, w, in_c) = x.dims4()?;
    let (out_c, group_in, k_h, k_w) = weight.dims4()?;
    let Conv2d { stride, padding, dilation, groups } = geometry;
    let size = |side: usize, kernel: usize| (side + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
    let (out_h, out_w) = (size(h, k_h), size(w, k_w));
    let rows = n * out_h * out_w;
    if rows * in_c * out_c == 0 {
        let zeros = Tensor::zeros((n, out_h, out_w, out_c), x.dtype(), x.device())?;
        return match bias {
            Some(bias) if rows * out_c > 0 => zeros.broadcast_add(&recorded(bias)),
            _ => Ok(zeros),
        };
    }
    let weight = recorded(weight);
    let taps = taps(x, [k_h, k_w], geometry, [out_h, out_w])?;
    let mut sum: Option<Tensor> = None;
    for (index, tap) in taps.into_iter().enumerate() {
        // [groups, rows, in / groups] · [groups, in / groups, out / groups]
        let tap = tap.reshape((rows, groups, group_in))?.transpose(0, 1)?.contiguous()?;
        let weight = weight.narrow(2, index / k_w, 1)?.narrow(3, index % k_w, 1)?;
        let weight = weight.reshape((groups, out_c / groups, group_in))?.transpose(1, 2)?.contiguous()?;
        let product = tap.matmul(&weight)?;
        sum = Some(match sum {
            Some(sum) => (sum + product)?,
            None => product,
        });
    }
    let Some(sum) = sum else {
        return Tensor::zeros((n, out_h, out_w, out_c), x.dtype(), x.device());
    };
    let y = sum.transpose(0, 1)?.contiguous()?.reshape((n, out_h, out_w, out_c))?;
    match bias {
        Some(bias) => y.broadcast_add(&recorded(bias)),
        None => Ok(y),
    }
}

/// `max(x, 0)` with slope 0 at 0.
pub(crate) fn relu(x: &Tensor) -> Result<Tensor> {
    // Not by `gt`: not-a-number must stay visible.
    x.le(0f64)?.where_cond(&x.zeros_like()?, x)
}

/// `min(max(x, 0), 6)` with slope 0 at 0 and 6.
pub(crate) fn relu6(x: &Tensor) -> Result<Tensor> {
    let six = Tensor::full(6f32, x.shape(), x.device())?;
    x.ge(6f64)?.where_cond(&six, &relu(x)?)
}

/// `x`, times `negative_slope` where it is not positive.
pub(crate) fn leaky_relu(x: &Tensor, negative_slope: f64) -> Result<Tensor> {
    x.gt(0f64)?.where_cond(x, &x.affine(negative_slope, 0.0)?)
}

pub(crate) fn batch_norm(
    x: &Tensor,
    norm: &BatchNorm,
    statistics: Statistics,
    residual: Option<&Tensor>,
    relu: bool,
) -> Result<Tensor> {
    let c = x.dim(D::Minus1)?;
    let rows = x.elem_count() / c.max(1);
    let flat = x.reshape((rows, c))?;
    let (centred, var) = match statistics {
        Statistics::Batch => {
            let mean = flat.mean_keepdim(0)?;
            let centred = flat.broadcast_sub(&mean)?;
            let var = centred.sqr()?.mean_keepdim(0)?;
            let blend = |running: &candle_core::Var, batch: Tensor| {
                let old = (running.as_tensor().detach() * (1.0 - norm.momentum))?;
                running.set(&(old + (batch.detach().flatten_all()? * norm.momentum)?)?)
            };
            blend(&norm.running_mean, mean)?;
            blend(&norm.running_var, (&var * (rows as f64 / (rows as f64 - 1.0)))?)?;
            (centred, var)
        }
        Statistics::Running => {
            let mean = norm.running_mean.as_detached_tensor().reshape((1, c))?;
            (flat.broadcast_sub(&mean)?, norm.running_var.as_detached_tensor().reshape((1, c))?)
        }
    };
    let std = (var + norm.eps)?.sqrt()?;
    let y =
        centred.broadcast_div(&std)?.broadcast_mul(&recorded(&norm.weight))?.broadcast_add(&recorded(&norm.bias))?;
    let mut y = y.reshape(x.shape())?;
    if let Some(residual) = residual {
        y = (y + residual)?;
    }
    if relu { self::relu(&y) } else { Ok(y) }
}

/// The first largest value of each window; its gradient goes there alone.
pub(crate) fn max_pool2d(x: &Tensor, geometry: MaxPool2d, [out_h, out_w]: [usize; 2]) -> Result<Tensor> {
    let MaxPool2d { kernel, stride, padding } = geometry;
    let geometry = Conv2d { stride, padding, dilation: 1, groups: 1 };
    let (n, _, _, c) = x.dims4()?;
    if n * c == 0 {
        // Candle's choice between empty tensors that are not contiguous panics.
        return x.reshape((n, out_h, out_w, c));
    }
    let values = taps(x, [kernel; 2], geometry, [out_h, out_w])?;
    // Padding must not win: it is lower than anything.
    let inside = taps(&x.detach().ones_like()?, [kernel; 2], geometry, [out_h, out_w])?;
    let lowest = Tensor::full(f32::NEG_INFINITY, (n, out_h, out_w, c), x.device())?;
    let mut largest = lowest.clone();
    for (value, inside) in values.iter().zip(&inside) {
        let value = inside.gt(0f64)?.where_cond(value, &lowest)?;
        largest = value.gt(&largest)?.where_cond(&value, &largest)?;
        // Nothing is greater than not-a-number, which must stay visible.
        largest = value.ne(&value)?.where_cond(&value, &largest)?;
    }
    Ok(largest)
}

/// The sum of each window times `shares` `[1, h', w', 1]`.
pub(crate) fn avg_pool2d(x: &Tensor, geometry: AvgPool2d, shares: &Tensor) -> Result<Tensor> {
    let AvgPool2d { kernel, stride, padding, .. } = geometry;
    let geometry = Conv2d { stride, padding, dilation: 1, groups: 1 };
    let ((n, _, _, c), (_, out_h, out_w, _)) = (x.dims4()?, shares.dims4()?);
    let mut sum = Tensor::zeros((n, out_h, out_w, c), x.dtype(), x.device())?;
    for tap in taps(x, [kernel; 2], geometry, [out_h, out_w])? {
        sum = (sum + tap)?;
    }
    sum.broadcast_mul(shares)
}

/// Rows and columns of another number, each read through a tap.
pub(crate) fn resize(x: &Tensor, rows: &[Tap], columns: &[Tap]) -> Result<Tensor> {
    interpolate(&interpolate(x, 1, rows)?, 2, columns)
}

/// The slices of `dim` that `taps` read.
fn interpolate(x: &Tensor, dim: usize, taps: &[Tap]) -> Result<Tensor> {
    let x = x.contiguous()?;
    let pick = |index: fn(&Tap) -> usize| {
        let indices: Vec<i64> = taps.iter().map(|tap| index(tap) as i64).collect();
        x.index_select(&Tensor::new(indices, x.device())?, dim)
    };
    let low = pick(|tap| tap.low)?;
    if taps.iter().all(|tap| tap.share == 0.0) {
        return Ok(low);
    }
    let mut shape = [1; 4];
    shape[dim] = taps.len();
    let share = |of: fn(&Tap) -> f32| Tensor::from_vec(taps.iter().map(of).collect::<Vec<_>>(), &shape, x.device());
    let low = low.broadcast_mul(&share(|tap| 1.0 - tap.share)?)?;
    low + pick(|tap| tap.high)?.broadcast_mul(&share(|tap| tap.share)?)?
}
