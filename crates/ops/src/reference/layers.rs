//! Layers through candle's own operations.
//!
//! Only candle operations whose gradients are right are used (see docs/candle.md): convolutions and windows
//! are sums over taps of shifted copies, so that all gradients come from slicing, padding and matrix
//! products. Maps are plain tensors `[n, h, w, c]`; shapes have been checked.

use crate::activation::Activation;
use crate::conv::Conv2d;
use crate::pool::{AvgPool2d, MaxPool2d};
use crate::resize::Tap;
use candle_core::{Result, Tensor};

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
pub(super) fn taps(
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

pub(super) fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, geometry: Conv2d) -> Result<Tensor> {
    let (n, h, w, in_c) = x.dims4()?;
    let (out_c, group_in, k_h, k_w) = weight.dims4()?;
    let Conv2d { stride, padding, dilation, groups } = geometry;
    let size = |side: usize, kernel: usize| (side + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
    let (out_h, out_w) = (size(h, k_h), size(w, k_w));
    let rows = n * out_h * out_w;
    if rows * in_c * out_c == 0 {
        let zeros = Tensor::zeros((n, out_h, out_w, out_c), x.dtype(), x.device())?;
        return match bias {
            Some(bias) if rows * out_c > 0 => zeros.broadcast_add(bias),
            _ => Ok(zeros),
        };
    }
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
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

/// The function of each value, with its slope of [`relu`](crate::relu) and its like at the kinks.
pub(super) fn activate(f: Activation, x: &Tensor) -> Result<Tensor> {
    // Not by `gt`: not-a-number must stay visible.
    let relu = |x: &Tensor| x.le(0f64)?.where_cond(&x.zeros_like()?, x);
    match f {
        Activation::Relu => relu(x),
        Activation::Relu6 => x.ge(6f64)?.where_cond(&Tensor::full(6f32, x.shape(), x.device())?, &relu(x)?),
        Activation::LeakyRelu { negative_slope } => {
            x.gt(0f64)?.where_cond(x, &x.affine(f64::from(negative_slope), 0.0)?)
        }
    }
}

/// `x · weightᵀ + bias`.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let ((n, inputs), outputs) = (x.dims2()?, weight.dim(0)?);
    let y = if n * inputs * outputs == 0 {
        Tensor::zeros((n, outputs), x.dtype(), x.device())?
    } else {
        x.matmul(&weight.t()?)?
    };
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

/// `[rows, c]`, normalized by its own moments, without γ and β.
pub(super) fn standardize(x: &Tensor, eps: f64) -> Result<Tensor> {
    let centered = x.broadcast_sub(&x.mean_keepdim(0)?)?;
    let var = centered.sqr()?.mean_keepdim(0)?;
    centered.broadcast_div(&(var + eps)?.sqrt()?)
}

/// The first largest value of each window; its gradient goes there alone.
pub(super) fn max_pool2d(x: &Tensor, geometry: MaxPool2d, [out_h, out_w]: [usize; 2]) -> Result<Tensor> {
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
pub(super) fn avg_pool2d(x: &Tensor, geometry: AvgPool2d, shares: &Tensor) -> Result<Tensor> {
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
pub(super) fn resize(x: &Tensor, rows: &[Tap], columns: &[Tap]) -> Result<Tensor> {
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
