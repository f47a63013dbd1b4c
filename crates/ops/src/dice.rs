//! The soft Dice loss.

use crate::graph::Edge;
use crate::values::{check, engine_for};
use candle_core::{Result, Tensor, bail};

/// The soft Dice loss (arXiv 1606.04797 eq. 2, without squares) of `logits` `[rows, classes]` against class indices
/// `targets`, one a row; a scalar, 0 to 1:
/// the mean of `1 − 2·Σ p·g / (Σ p + Σ g)` over the classes that are the target of a row, with `p` the softmax of a row at the
/// class, `g` 1 where the class is the row's target and 0 elsewhere, and sums over the rows whose target is not
/// `ignore_index`.
///
/// As `segmentation_models_pytorch`'s `DiceLoss(mode="multiclass")`, whose mean is over all classes, with 0 for those that
/// are no target. Where no row counts, the loss and its gradient are 0. Sums are taken in `f64`.
///
/// # Errors
///
/// Where the lengths differ, or a target is neither a class nor ignored.
pub fn dice_loss(logits: &Tensor, targets: &[u32], ignore_index: Option<u32>) -> Result<Tensor> {
    check(NAME, "logits", logits, "[rows, classes]", 2)?;
    let (rows, classes) = logits.dims2()?;
    if rows != targets.len() {
        bail!("{NAME}: expected a target a row, found logits {:?} and {} targets", logits.dims(), targets.len());
    }
    let wrong = |target: &u32| *target as usize >= classes && Some(*target) != ignore_index;
    if let Some(row) = targets.iter().position(wrong) {
        bail!("{NAME}: expected targets below {classes}, the number of classes; found {} in row {row}", targets[row]);
    }
    let engine = engine_for(NAME, logits)?;
    let (loss, by_class) = loss_of(&engine.class_sums(logits, targets, ignore_index)?);
    let (edge, gradient) = Edge::enter(engine, NAME, logits)?;
    let (logits, targets) = (logits.clone(), targets.to_vec());
    edge.exit(NAME, vec![loss as f32], (), move |dloss| {
        let dloss = f64::from(dloss[0]);
        gradient.add_buffer(engine.class_sums_backward(&logits, &targets, ignore_index, &by_class, dloss)?)
    })
}

const NAME: &str = "dice_loss";

/// The loss, and of each class its derivatives by `Σ p·g` and `Σ p`.
fn loss_of(sums: &[[f64; 3]]) -> (f64, Vec<[f64; 2]>) {
    let occurring = sums.iter().filter(|[.., g]| *g > 0.0).count() as f64;
    let mut loss = 0.0;
    let by_class = sums.iter().map(|[both, p, g]| {
        if *g <= 0.0 {
            return [0.0; 2];
        }
        loss += (1.0 - 2.0 * both / (p + g)) / occurring;
        [-2.0 / (p + g) / occurring, 2.0 * both / ((p + g) * (p + g)) / occurring]
    });
    let by_class = by_class.collect();
    (loss, by_class)
}
