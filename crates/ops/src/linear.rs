//! The fully connected layer.

use crate::matrix::{Matrix, multiply};
use crate::values::{check, gradient, output, values, with_values};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

/// `x · weightᵀ + bias` with `x` `[n, in]`, `weight` `[out, in]`, `bias` `[out]`, as
/// `torch.nn.functional.linear`.
///
/// # Errors
///
/// Where the shapes do not fit each other.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    check(NAME, "x", x, "[n, in]", 2)?;
    check(NAME, "weight", weight, "[out, in]", 2)?;
    check(NAME, "bias", bias, "[out]", 1)?;
    if x.dims()[1] != weight.dims()[1] || weight.dims()[0] != bias.dims()[0] {
        bail!(
            "{NAME}: expected x [n, in], weight [out, in] and bias [out], found {:?}, {:?} and {:?}",
            x.dims(),
            weight.dims(),
            bias.dims()
        );
    }
    x.apply_op3(weight, bias, Linear)
}

const NAME: &str = "linear";

struct Linear;

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, inputs, outputs) = (l1.dims()[0], l1.dims()[1], l2.dims()[0]);
        let (x, weight, bias) = (values(NAME, s1, l1)?, values(NAME, s2, l2)?, values(NAME, s3, l3)?);
        let mut y = Vec::with_capacity(n * outputs);
        for _ in 0..n {
            y.extend_from_slice(&bias);
        }
        let weight = Matrix::new(&weight, outputs, inputs, inputs).transposed();
        multiply(&mut y, outputs, true, Matrix::new(&x, n, inputs, inputs), weight);
        Ok(output(y, (n, outputs)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (n, inputs, outputs) = (x.dims()[0], x.dims()[1], weight.dims()[0]);
        let [dx, dw, db] = with_values(NAME, dy, |dy| {
            let by_row = Matrix::new(dy, n, outputs, outputs);
            let mut dx = vec![0.0; n * inputs];
            with_values(NAME, weight, |weight| {
                multiply(&mut dx, inputs, false, by_row, Matrix::new(weight, outputs, inputs, inputs));
            })?;
            let mut dw = vec![0.0; outputs * inputs];
            with_values(NAME, x, |x| {
                multiply(&mut dw, inputs, false, by_row.transposed(), Matrix::new(x, n, inputs, inputs));
            })?;
            let mut db = vec![0.0; outputs];
            for row in dy.chunks_exact(outputs.max(1)) {
                for (sum, value) in db.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            Ok::<_, candle_core::Error>([dx, dw, db])
        })??;
        Ok((Some(gradient(dx, x)?), Some(gradient(dw, weight)?), Some(gradient(db, bias)?)))
    }
}
