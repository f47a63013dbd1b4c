//! Losses.

use crate::values::{check, gradient, output, values, with_values};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

/// The mean softmax cross-entropy in nats of `logits` `[n, classes]` against class indices
/// `targets` (`n` of them), as `torch.nn.functional.cross_entropy`; a scalar.
///
/// Computed from `x − max(x)` and summed in `f64`, so it is finite for all finite logits.
///
/// # Errors
///
/// Where `n` is 0, the lengths differ, or a target is not a class.
pub fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    check(NAME, "logits", logits, "[n, classes]", 2)?;
    let (n, classes) = (logits.dims()[0], logits.dims()[1]);
    if n == 0 || n != targets.len() {
        bail!(
            "{NAME}: expected a target for each of n > 0 rows, found logits {:?} and {} targets",
            logits.dims(),
            targets.len()
        );
    }
    if let Some((row, target)) = targets.iter().enumerate().find(|(_, target)| **target as usize >= classes) {
        bail!("{NAME}: expected targets below {classes}, the number of classes; found {target} in row {row}");
    }
    logits.apply_op1(CrossEntropy { targets: targets.to_vec() })
}

const NAME: &str = "cross_entropy";

struct CrossEntropy {
    targets: Vec<u32>,
}

/// The largest of `row`, and the logarithm of the sum of `exp(x − largest)`.
fn log_sum(row: &[f32]) -> (f64, f64) {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    (largest, row.iter().map(|x| (f64::from(*x) - largest).exp()).sum::<f64>().ln())
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let logits = values(NAME, storage, layout)?;
        let rows = logits.chunks_exact(layout.dims()[1]).zip(&self.targets);
        let sum: f64 = rows
            .map(|(row, target)| {
                let (largest, log_sum) = log_sum(row);
                log_sum + largest - f64::from(row[*target as usize])
            })
            .sum();
        Ok(output(vec![(sum / self.targets.len() as f64) as f32], ()))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, dloss: &Tensor) -> Result<Option<Tensor>> {
        let classes = logits.dims()[1];
        let scale = with_values(NAME, dloss, |dloss| f64::from(dloss[0]) / self.targets.len() as f64)?;
        let mut dx = Vec::with_capacity(logits.elem_count());
        with_values(NAME, logits, |logits| {
            for (row, target) in logits.chunks_exact(classes).zip(&self.targets) {
                let (largest, log_sum) = log_sum(row);
                dx.extend(row.iter().enumerate().map(|(class, x)| {
                    let softmax = (f64::from(*x) - largest - log_sum).exp();
                    ((softmax - f64::from(u8::from(class == *target as usize))) * scale) as f32
                }));
            }
        })?;
        Ok(Some(gradient(dx, logits)?))
    }
}
