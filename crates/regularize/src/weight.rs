//! The weight that a network sees, where a method puts something between it and the stored one.
//!
//! Layers call [`Weight::tensor`], because weight standardization and its relatives stand between the stored weight
//! and the network. `Params` knows the method before layers are made, so no layer names a method.

use crate::in_place::{current, read};
use crate::method::Reparametrization;
use crate::sums::{SMALLEST, dot, mean, square};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use kernels::Kernels;
use rayon::prelude::*;

/// A scale-invariant weight as a layer holds it, made by [`crate::Params::scale_invariant`].
#[derive(Debug, Clone)]
pub struct Weight {
    stored: Tensor,
    gain: Option<Tensor>,
    reparametrization: Reparametrization,
}

impl Weight {
    pub(crate) fn new(stored: Tensor, gain: Option<Tensor>, reparametrization: Reparametrization) -> Self {
        Self { stored, gain, reparametrization }
    }

    /// What the network sees, `[out, …]`: to be asked for in every forward pass. The stored weight itself,
    /// unless a method says otherwise; differentiable in any case.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn tensor(&self) -> Result<Tensor> {
        let rows = self.stored.dims().first().copied().unwrap_or(1).max(1);
        let len = self.stored.elem_count() / rows;
        if len == 0 {
            return Ok(self.stored.clone());
        }
        let root = (len as f64).sqrt();
        // A weight in half precision is normalized in f32.
        let stored = self.stored.to_dtype(DType::F32)?;
        let normalized = |scaling, gain| normalize_rows(&stored, scaling, gain)?.to_dtype(self.stored.dtype());
        match (self.reparametrization, &self.gain) {
            (Reparametrization::Standardized, _) => {
                // A filter of one value has no deviation; it is standardized to 0.
                let per_norm = 1.0 / ((len as f64 - 1.0).max(1.0)).sqrt();
                normalized(Scaling { centered: true, eps: 1e-5, per_norm }, None)
            }
            (Reparametrization::Forced, _) => {
                normalized(Scaling { centered: false, eps: 1e-4 * root, per_norm: 1.0 }, None)
            }
            (Reparametrization::Normalized, Some(gain)) => {
                normalized(Scaling { centered: false, eps: 0.0, per_norm: 1.0 }, Some(gain))
            }
            (Reparametrization::Normalized, None) | (Reparametrization::None, _) => Ok(self.stored.clone()),
        }
    }
}

/// `y = c / (eps + per_norm·‖c‖)` for each row, with `c` the row or, `centered`, the row less its mean; 0 for a
/// row of norm below 1e-12.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scaling {
    centered: bool,
    eps: f64,
    per_norm: f64,
}

/// `scaling` of each row of dimension 0, times the row's `gain` (`[rows, 1, …]`) where there is one, with gradients.
fn normalize_rows(x: &Tensor, scaling: Scaling, gain: Option<&Tensor>) -> Result<Tensor> {
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        let (x, op) = (x.contiguous()?, Normalize { scaling, kernels: current()? });
        return match gain {
            // Candle's sum over a row, the gain's gradient, depends on the processor.
            Some(gain) => x.apply_op2(&gain.contiguous()?, op),
            None => x.apply_op1(op),
        };
    }
    let y = through_tensors(x, scaling)?;
    gain.map_or(Ok(y.clone()), |gain| y.broadcast_mul(gain))
}

fn through_tensors(x: &Tensor, scaling: Scaling) -> Result<Tensor> {
    let rows = x.flatten_from(1)?;
    let rows = if scaling.centered { rows.broadcast_sub(&rows.mean_keepdim(1)?)? } else { rows };
    // The square root has no gradient at 0.
    let norm = (rows.sqr()?.sum_keepdim(1)? + SMALLEST * SMALLEST)?.sqrt()?;
    let scaled = rows.broadcast_div(&((&norm * scaling.per_norm)? + scaling.eps)?)?;
    let has_direction = norm.detach().gt(2.0 * SMALLEST)?.to_dtype(x.dtype())?;
    scaled.broadcast_mul(&has_direction)?.reshape(x.shape())
}

impl Scaling {
    /// The mean that is subtracted, and the norm of what is left.
    #[inline(always)]
    fn of(self, row: &[f32]) -> (f32, f64) {
        if !self.centered {
            return (0.0, square(row).sqrt());
        }
        let mean = mean(row) as f32;
        // Around the mean: the difference of squares would cancel.
        let square: f64 = row.iter().map(|x| f64::from(x - mean) * f64::from(x - mean)).sum();
        (mean, square.sqrt())
    }

    #[inline(always)]
    fn factor(self, norm: f64) -> f64 {
        if norm < SMALLEST { 0.0 } else { 1.0 / (self.eps + self.per_norm * norm) }
    }

    #[inline(always)]
    fn forward(self, row: &[f32], gain: f32, y: &mut [f32]) {
        let (mean, norm) = self.of(row);
        let factor = self.factor(norm) as f32;
        for (y, x) in y.iter_mut().zip(row) {
            *y = (x - mean) * factor * gain;
        }
    }

    /// `dx` for `dy`: with `d = eps + per_norm·‖c‖`, `dc = dy/d − c·(dy·c)·per_norm/(d²·‖c‖)`, less its mean
    /// where `c` is centered; all of it times the gain.
    #[inline(always)]
    fn backward(self, row: &[f32], gain: f32, dy: &[f32], dx: &mut [f32]) {
        let (mean, norm) = self.of(row);
        if norm < SMALLEST {
            dx.fill(0.0);
            return;
        }
        let denominator = self.eps + self.per_norm * norm;
        let total = if self.centered { self::mean(dy) } else { 0.0 };
        // c·dy, where c sums to 0 if it is centered.
        let product = dot(row, dy) - f64::from(mean) * total * row.len() as f64;
        let gain = f64::from(gain);
        let (across, along) =
            ((gain / denominator) as f32, (gain * product * self.per_norm / (denominator * denominator * norm)) as f32);
        for ((dx, x), dy) in dx.iter_mut().zip(row).zip(dy) {
            *dx = (dy - total as f32) * across - (x - mean) * along;
        }
    }

    /// The derivative by the row's gain.
    #[inline(always)]
    fn by_gain(self, row: &[f32], dy: &[f32]) -> f32 {
        let (mean, norm) = self.of(row);
        let total = if self.centered { self::mean(dy) * row.len() as f64 } else { 0.0 };
        (self.factor(norm) * (dot(row, dy) - f64::from(mean) * total)) as f32
    }
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(all), Some((start, end))) => Ok(&all[start..end]),
        _ => bail!("expected a contiguous weight of type f32"),
    }
}

/// A [`Scaling`] of all rows of a weight.
#[derive(Debug, Clone, Copy)]
struct Normalize {
    scaling: Scaling,
    kernels: Kernels,
}

impl Normalize {
    /// Calls `f` with each row of `x`, its gain (of all rows, or none of any), and where to write: as many values as the
    /// row has, or one.
    fn rows(
        self,
        layout: &Layout,
        x: &[f32],
        gains: &[f32],
        out: &mut [f32],
        f: impl Fn(Scaling, usize, &[f32], f32, &mut [f32]) + Sync,
    ) {
        let rows = layout.dims().first().copied().unwrap_or(1).max(1);
        let len = (x.len() / rows).max(1);
        // Few values are not worth a thread.
        let least = ((1 << 15) / len).max(1);
        let Self { scaling, kernels } = self;
        let out_len = (out.len() / rows).max(1);
        out.par_chunks_mut(out_len).zip(x.par_chunks(len)).enumerate().with_min_len(least).for_each(
            |(row, (out, x))| {
                let gain = gains.get(row).copied().unwrap_or(1.0);
                kernels.run(
                    #[inline(always)]
                    || f(scaling, row * len, x, gain, out),
                );
            },
        );
    }

    fn forward(self, layout: &Layout, x: &[f32], gains: &[f32]) -> (CpuStorage, Shape) {
        let mut y = vec![0.0; x.len()];
        self.rows(
            layout,
            x,
            gains,
            &mut y,
            #[inline(always)]
            |scaling, _, x, gain, y| scaling.forward(x, gain, y),
        );
        (CpuStorage::F32(y), layout.shape().clone())
    }

    fn backward(self, layout: &Layout, x: &[f32], gains: &[f32], dy: &[f32]) -> (CpuStorage, Shape) {
        let mut dx = vec![0.0; x.len()];
        self.rows(
            layout,
            x,
            gains,
            &mut dx,
            #[inline(always)]
            |scaling, start, x, gain, dx| scaling.backward(x, gain, &dy[start..start + x.len()], dx),
        );
        (CpuStorage::F32(dx), layout.shape().clone())
    }
}

impl CustomOp1 for Normalize {
    fn name(&self) -> &'static str {
        "normalise rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(self.forward(layout, values(x, layout)?, &[]))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(x.apply_op2_no_bwd(&dy.contiguous()?, &Backward(*self))?))
    }
}

/// With gains.
impl CustomOp2 for Normalize {
    fn name(&self) -> &'static str {
        "normalise rows with gains"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout, gains: &CpuStorage, of: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(self.forward(layout, values(x, layout)?, values(gains, of)?))
    }

    fn bwd(&self, x: &Tensor, gains: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let by_gains = x.apply_op2_no_bwd(&dy, &ByGains(*self))?.reshape(gains.shape())?;
        Ok((Some(x.apply_op3_no_bwd(&dy, gains, &Backward(*self))?), Some(by_gains)))
    }
}

struct Backward(Normalize);

impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "gradient of normalise rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout, dy: &CpuStorage, of_dy: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(self.0.backward(layout, values(x, layout)?, &[], values(dy, of_dy)?))
    }
}

/// With gains.
impl CustomOp3 for Backward {
    fn name(&self) -> &'static str {
        "gradient of normalise rows with gains"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        dy: &CpuStorage,
        of_dy: &Layout,
        gains: &CpuStorage,
        of_gains: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(self.0.backward(layout, values(x, layout)?, values(gains, of_gains)?, values(dy, of_dy)?))
    }
}

struct ByGains(Normalize);

impl CustomOp2 for ByGains {
    fn name(&self) -> &'static str {
        "gradient of the gains of rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout, dy: &CpuStorage, of_dy: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, dy) = (values(x, layout)?, values(dy, of_dy)?);
        let rows = layout.dims().first().copied().unwrap_or(1);
        let mut by_gains = vec![0.0; rows];
        self.0.rows(
            layout,
            x,
            &[],
            &mut by_gains,
            #[inline(always)]
            |scaling, start, x, _, out| out.fill(scaling.by_gain(x, &dy[start..start + x.len()])),
        );
        Ok((CpuStorage::F32(by_gains), rows.into()))
    }
}

/// The norm of each row of dimension 0 of `weight`, `[out, 1, …]`.
pub(crate) fn row_norms(weight: &Tensor) -> Result<Tensor> {
    let mut dims = vec![1; weight.rank()];
    dims[0] = weight.dims()[0];
    let len = (weight.elem_count() / dims[0].max(1)).max(1);
    let norms: Vec<f32> = read(&weight.to_device(&candle_core::Device::Cpu)?, |values| {
        let mut rows = values.chunks(len);
        (0..dims[0]).map(|_| square(rows.next().unwrap_or_default()).sqrt() as f32).collect()
    })?;
    Tensor::from_vec(norms, dims, weight.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn the_kernel_is_the_tensor_operations_with_their_gradient() {
        let weight: Vec<f32> = (0..60).map(|i| ((i * 37 % 23) as f32 - 11.0) / 7.0).collect();
        let weight = Var::from_vec(weight, (4, 5, 3), &Device::Cpu).unwrap();
        let upstream: Vec<f32> = (0..60).map(|i| ((i * 17 % 31) as f32 - 15.0) / 9.0).collect();
        let upstream = Tensor::from_vec(upstream, (4, 5, 3), &Device::Cpu).unwrap();
        for scaling in [
            Scaling { centered: true, eps: 1e-5, per_norm: 0.3 },
            Scaling { centered: false, eps: 0.2, per_norm: 1.0 },
            Scaling { centered: false, eps: 0.0, per_norm: 1.0 },
        ] {
            let of = |y: Tensor| {
                let gradients = (&y * &upstream).unwrap().sum_all().unwrap().backward().unwrap();
                let dx = gradients.get(&weight).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                (y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), dx)
            };
            let kernel = of(normalize_rows(&weight, scaling, None).unwrap());
            let tensors = of(through_tensors(&weight, scaling).unwrap());
            for (found, expected) in [(kernel.0, tensors.0), (kernel.1, tensors.1)] {
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-5, "{scaling:?}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_row_of_zeros_is_zeros_with_no_gradient() {
        let weight = Var::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        for reparametrization in
            [Reparametrization::Standardized, Reparametrization::Forced, Reparametrization::Normalized]
        {
            let gain = Some(Tensor::ones((2, 1), DType::F32, &Device::Cpu).unwrap());
            let seen = Weight::new(weight.as_tensor().clone(), gain, reparametrization).tensor().unwrap();
            let gradients = seen.sum_all().unwrap().backward().unwrap();
            for values in [&seen, gradients.get(&weight).unwrap()] {
                assert_eq!(values.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0.0; 6]);
            }
            let through = through_tensors(&weight, Scaling { centered: true, eps: 0.0, per_norm: 1.0 }).unwrap();
            let gradients = through.sum_all().unwrap().backward().unwrap();
            let gradient = gradients.get(&weight).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(gradient.iter().all(|g| *g == 0.0), "{gradient:?}");
        }
    }
}
