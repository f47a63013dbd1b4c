//! Rectified linear units. The slope at exactly 0 is 0, as in torch.

use crate::values::{check, gradient, output, values, vectorized, with_values};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// `max(x, 0)`, any shape; not-a-number stays so.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    check("relu", "x", x, "any", x.rank())?;
    x.apply_op1(Relu)
}

/// `max(a + b, 0)`: where a residual branch joins. Shapes must be equal.
///
/// # Errors
///
/// Where the shapes differ.
pub fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check("add_relu", "a", a, "any", a.rank())?;
    check("add_relu", "b", b, "that of a", a.rank())?;
    if a.dims() != b.dims() {
        bail!("add_relu: expected two equal shapes, found {:?} and {:?}", a.dims(), b.dims());
    }
    a.apply_op2(b, AddRelu)
}

/// Values a task of the thread pool takes.
const CHUNK: usize = 1 << 14;

/// `max(x, 0)` that keeps not-a-number, so that a diverging run is seen.
#[inline(always)]
pub(crate) fn rectify(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// The gradient of a rectified `y`: `dy` where `y` is positive, else 0.
fn masked(op: &str, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let values = with_values(op, y, |y| {
        with_values(op, dy, |dy| {
            let mut dx = vec![0.0; y.len()];
            dx.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).zip(dy.par_chunks(CHUNK)).for_each(|((dx, y), dy)| {
                vectorized(|| {
                    for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                        *dx = if *y > 0.0 { *dy } else { 0.0 };
                    }
                });
            });
            dx
        })
    })??;
    gradient(values, y)
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values("relu", storage, layout)?;
        let mut y = vec![0.0; x.len()];
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
            vectorized(|| {
                for (y, x) in y.iter_mut().zip(x) {
                    *y = rectify(*x);
                }
            });
        });
        Ok(output(y, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(masked("relu", y, dy)?))
    }
}

struct AddRelu;

impl CustomOp2 for AddRelu {
    fn name(&self) -> &'static str {
        "add_relu"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (values("add_relu", s1, l1)?, values("add_relu", s2, l2)?);
        let mut y = vec![0.0; a.len()];
        y.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK)).for_each(|((y, a), b)| {
            vectorized(|| {
                for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
                    *y = rectify(a + b);
                }
            });
        });
        Ok(output(y, l1.shape().clone()))
    }

    fn bwd(&self, _a: &Tensor, _b: &Tensor, y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = masked("add_relu", y, dy)?;
        Ok((Some(dx.clone()), Some(dx)))
    }
}
