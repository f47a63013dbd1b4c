//! The fully connected layer.

use crate::conv::column_sums;
use crate::graph::{Edge, Gradient};
use crate::matrix::{Matrix, multiply};
use crate::memory::Buffer;
use crate::values::{check, kernels_for, recorded, with_values};
use candle_core::{Result, Tensor, bail};

/// `x · weightᵀ + bias` with `x` `[n, in]`, `weight` `[out, in]`, `bias` `[out]`; the result is `[n, out]`.
///
/// As `torch.nn.functional.linear`.
///
/// # Errors
///
/// Where the shapes do not fit each other.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    check(NAME, "x", x, "[n, in]", 2)?;
    check(NAME, "weight", weight, "[out, in]", 2)?;
    let ((n, inputs), (outputs, weight_inputs)) = (x.dims2()?, weight.dims2()?);
    if inputs != weight_inputs {
        bail!("{NAME}: expected x [n, in] and weight [out, in], found {:?} and {:?}", x.dims(), weight.dims());
    }
    if let Some(bias) = bias {
        check(NAME, "bias", bias, "[out]", 1)?;
        if bias.dims() != [outputs] {
            bail!("{NAME}: expected weight [out, in] and bias [out], found {:?} and {:?}", weight.dims(), bias.dims());
        }
    }
    let Some(kernels) = kernels_for(x)? else {
        return candle(x, weight, bias);
    };
    let mut y = vec![0.0; n * outputs];
    with_values(NAME, x, |x| {
        let x = Matrix::new(x, n, inputs);
        with_values(NAME, weight, |weight| multiply(&mut y, x, Matrix::new(weight, outputs, inputs).transposed()))
    })??;
    if let Some(bias) = bias {
        with_values(NAME, bias, |bias| {
            for row in y.chunks_exact_mut(outputs.max(1)) {
                for (y, bias) in row.iter_mut().zip(bias) {
                    *y += bias;
                }
            }
        })?;
    }
    let (x_edge, dx) = Edge::enter(NAME, x)?;
    let (weight_edge, dw) = Edge::enter(NAME, weight)?;
    let (bias_edge, db) = match bias {
        Some(bias) => Edge::enter(NAME, bias)?,
        None => (Edge::NONE, Gradient::default()),
    };
    let dy = Gradient::default();
    let node = Edge::node(NAME, &[&x_edge, &weight_edge, &bias_edge], {
        let (x, weight, dy) = (x.clone(), weight.clone(), dy.clone());
        let [x_edge, weight_edge, bias_edge] = [&x_edge, &weight_edge, &bias_edge].map(Edge::is_tracked);
        move || {
            let dy = dy.take(NAME)?;
            let by_row = Matrix::new(&dy, n, outputs);
            if bias_edge {
                db.add_buffer(column_sums(kernels, &dy, outputs)?);
            }
            if weight_edge {
                let mut sum = Buffer::arbitrary(outputs * inputs)?;
                with_values(NAME, &x, |x| multiply(&mut sum, by_row.transposed(), Matrix::new(x, n, inputs)))?;
                dw.add_buffer(sum);
            }
            if x_edge {
                let mut sum = Buffer::arbitrary(n * inputs)?;
                with_values(NAME, &weight, |weight| multiply(&mut sum, by_row, Matrix::new(weight, outputs, inputs)))?;
                dx.add_buffer(sum);
            }
            Ok(())
        }
    })?;
    node.exit(NAME, y, (n, outputs), move |gradient| {
        dy.add_buffer(Buffer::copy(gradient)?);
        Ok(())
    })
}

/// Through candle's own operations.
fn candle(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (n, inputs) = x.dims2()?;
    let outputs = weight.dims()[0];
    let y = if n * inputs * outputs == 0 {
        Tensor::zeros((n, outputs), x.dtype(), x.device())?
    } else {
        recorded(x).matmul(&recorded(weight).t()?)?
    };
    match bias {
        Some(bias) => y.broadcast_add(&recorded(bias)),
        None => Ok(y),
    }
}

const NAME: &str = "linear";
