//! The weight that a network sees, where a method puts something between it and the stored one.

use crate::in_place::read;
use crate::method::Reparametrization;
use crate::sums::{dot, mean, square};
use crate::treatment::SMALLEST;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};
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
        let normalised = |scaling| normalise_rows(&self.stored, scaling);
        match (self.reparametrization, &self.gain) {
            (Reparametrization::Standardized, _) => {
                // A filter of one value has no deviation; it is standardised to 0.
                let per_norm = 1.0 / ((len as f64 - 1.0).max(1.0)).sqrt();
                normalised(Scaling { centred: true, slack: 1e-5, per_norm })
            }
            (Reparametrization::Forced, _) => normalised(Scaling { centred: false, slack: 1e-4 * root, per_norm: 1.0 }),
            (Reparametrization::Normalized, Some(gain)) => {
                normalised(Scaling { centred: false, slack: 0.0, per_norm: 1.0 })?.broadcast_mul(gain)
            }
            (Reparametrization::Normalized, None) | (Reparametrization::None, _) => Ok(self.stored.clone()),
        }
    }
}

/// `y = c / (slack + per_norm·‖c‖)` for each row, with `c` the row or, `centred`, the row less its mean; 0 for a
/// row of norm below 1e-12.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scaling {
    centred: bool,
    slack: f64,
    per_norm: f64,
}

/// `scaling` of each row of dimension 0, with its gradient.
fn normalise_rows(x: &Tensor, scaling: Scaling) -> Result<Tensor> {
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        return x.contiguous()?.apply_op1(scaling);
    }
    through_tensors(x, scaling)
}

fn through_tensors(x: &Tensor, scaling: Scaling) -> Result<Tensor> {
    let rows = x.flatten_from(1)?;
    let rows = if scaling.centred { rows.broadcast_sub(&rows.mean_keepdim(1)?)? } else { rows };
    // The square root has no gradient at 0.
    let norm = (rows.sqr()?.sum_keepdim(1)? + SMALLEST * SMALLEST)?.sqrt()?;
    let scaled = rows.broadcast_div(&((&norm * scaling.per_norm)? + scaling.slack)?)?;
    let has_direction = norm.detach().gt(2.0 * SMALLEST)?.to_dtype(x.dtype())?;
    scaled.broadcast_mul(&has_direction)?.reshape(x.shape())
}

impl Scaling {
    /// The mean that is subtracted, and the norm of what is left.
    #[inline(always)]
    fn of(self, row: &[f32]) -> (f32, f64) {
        if !self.centred {
            return (0.0, square(row).sqrt());
        }
        let mean = mean(row) as f32;
        // Around the mean: the difference of squares would cancel.
        let square: f64 = row.iter().map(|x| f64::from(x - mean) * f64::from(x - mean)).sum();
        (mean, square.sqrt())
    }

    #[inline(always)]
    fn forward(self, row: &[f32], y: &mut [f32]) {
        let (mean, norm) = self.of(row);
        let factor = if norm < SMALLEST { 0.0 } else { 1.0 / (self.slack + self.per_norm * norm) };
        for (y, x) in y.iter_mut().zip(row) {
            *y = (x - mean) * factor as f32;
        }
    }

    /// `dx` for `dy`: with `d = slack + per_norm·‖c‖`, `dc = dy/d − c·(dy·c)·per_norm/(d²·‖c‖)`, less its mean
    /// where `c` is centred.
    #[inline(always)]
    fn backward(self, row: &[f32], dy: &[f32], dx: &mut [f32]) {
        let (mean, norm) = self.of(row);
        if norm < SMALLEST {
            dx.fill(0.0);
            return;
        }
        let denominator = self.slack + self.per_norm * norm;
        let total = if self.centred { self::mean(dy) } else { 0.0 };
        // c·dy, where c sums to 0 if it is centred.
        let product = dot(row, dy) - f64::from(mean) * total * row.len() as f64;
        let (across, along) =
            ((1.0 / denominator) as f32, (product * self.per_norm / (denominator * denominator * norm)) as f32);
        for ((dx, x), dy) in dx.iter_mut().zip(row).zip(dy) {
            *dx = (dy - total as f32) * across - (x - mean) * along;
        }
    }
}

/// Rows of `values` as tasks; few values are not worth a thread.
fn rows(layout: &Layout) -> (usize, usize) {
    let rows = layout.dims().first().copied().unwrap_or(1).max(1);
    let len = (layout.shape().elem_count() / rows).max(1);
    (len, ((1 << 15) / len).max(1))
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(all), Some((start, end))) => Ok(&all[start..end]),
        _ => bail!("expected a contiguous weight of type f32"),
    }
}

impl CustomOp1 for Scaling {
    fn name(&self) -> &'static str {
        "normalise rows"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout)?;
        let (len, least) = rows(layout);
        let mut y = vec![0.0; x.len()];
        let scaling = *self;
        y.par_chunks_mut(len).zip(x.par_chunks(len)).with_min_len(least).for_each(|(y, x)| {
            pulp::Arch::new().dispatch(
                #[inline(always)]
                move || scaling.forward(x, y),
            );
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(x.contiguous()?.apply_op2_no_bwd(&dy.contiguous()?, &Backward(*self))?))
    }
}

struct Backward(Scaling);

impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "gradient of normalise rows"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        dy: &CpuStorage,
        dy_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, dy) = (values(x, x_layout)?, values(dy, dy_layout)?);
        let (len, least) = rows(x_layout);
        let mut dx = vec![0.0; x.len()];
        let scaling = self.0;
        let tasks = dx.par_chunks_mut(len).zip(x.par_chunks(len)).zip(dy.par_chunks(len));
        tasks.with_min_len(least).for_each(|((dx, x), dy)| {
            pulp::Arch::new().dispatch(
                #[inline(always)]
                move || scaling.backward(x, dy, dx),
            );
        });
        Ok((CpuStorage::F32(dx), x_layout.shape().clone()))
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
            Scaling { centred: true, slack: 1e-5, per_norm: 0.3 },
            Scaling { centred: false, slack: 0.2, per_norm: 1.0 },
            Scaling { centred: false, slack: 0.0, per_norm: 1.0 },
        ] {
            let of = |y: Tensor| {
                let gradients = (&y * &upstream).unwrap().sum_all().unwrap().backward().unwrap();
                let dx = gradients.get(&weight).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                (y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), dx)
            };
            let kernel = of(normalise_rows(&weight, scaling).unwrap());
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
            let through = through_tensors(&weight, Scaling { centred: true, slack: 0.0, per_norm: 1.0 }).unwrap();
            let gradients = through.sum_all().unwrap().backward().unwrap();
            let gradient = gradients.get(&weight).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(gradient.iter().all(|g| *g == 0.0), "{gradient:?}");
        }
    }
}
