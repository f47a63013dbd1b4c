//! Losses through candle's own operations. Arguments have been checked.

use crate::loss::{Binary, Distance, Factors};
use candle_core::{Result, Tensor};

pub(super) fn cross_entropy(logits: &Tensor, targets: &[u32], factors: &Factors) -> Result<Tensor> {
    let (device, classes) = (logits.device(), factors.hit.len());
    let counted = targets.iter().enumerate().filter(|(_, target)| Some(**target) != factors.ignore);
    let (rows, targets): (Vec<u32>, Vec<u32>) = counted.map(|(row, target)| (row as u32, *target)).unzip();
    if rows.is_empty() {
        return no_terms(logits);
    }
    let n = rows.len();
    let hit: Vec<f32> = targets.iter().map(|target| factors.hit[*target as usize] as f32).collect();
    let x = logits.index_select(&Tensor::from_vec(rows, n, device)?, 0)?;
    let x = x.broadcast_sub(&x.detach().max_keepdim(1)?)?;
    let log_p = x.broadcast_sub(&x.exp()?.sum_keepdim(1)?.log()?)?;
    let at_target = log_p.gather(&Tensor::from_vec(targets, (n, 1), device)?, 1)?;
    let mut sum = (at_target * Tensor::from_vec(hit, (n, 1), device)?)?.sum_all()?;
    if !factors.spread.is_empty() {
        let spread = factors.spread.iter().map(|spread| *spread as f32).collect();
        sum = (sum + log_p.broadcast_mul(&Tensor::from_vec(spread, (1, classes), device)?)?.sum_all()?)?;
    }
    sum.neg()
}

/// The value and the derivative by the formulas of [`Binary`].
pub(super) fn binary(logits: &Tensor, targets: &Tensor, terms: Binary) -> Result<Tensor> {
    if logits.elem_count() == 0 {
        return no_terms(logits);
    }
    let (x, t) = (logits.detach(), targets.detach());
    let (zero, rest) = (x.zeros_like()?, t.affine(-1.0, 1.0)?);
    let positive = x.gt(0f64)?;
    let u = positive.where_cond(&x.neg()?, &x)?.exp()?;
    let one_more = (&u + 1.0)?;
    let (larger, smaller) = (one_more.recip()?, (u / &one_more)?);
    let (p, not_p) = (positive.where_cond(&larger, &smaller)?, positive.where_cond(&smaller, &larger)?);
    let q = ((&t * &not_p)? + (&rest * &p)?)?;
    let hinge = positive.where_cond(&(&rest * &x)?, &(&t * x.neg()?)?)?;
    let loss = (hinge + one_more.log()?)?;
    let power = if terms.gamma == 0.0 { q.ones_like()? } else { q.powf(f64::from(terms.gamma))? };
    let alpha = t.affine(f64::from(terms.positive - terms.negative), f64::from(terms.negative))?;
    let weight = (alpha * power)?;
    let share = q.gt(0f64)?.where_cond(&((&p * &not_p)? / &q)?, &zero)?;
    let easy = ((&loss * t.affine(-2.0, 1.0)?)? * share)?;
    let slope = (((rest * p)? - (t * not_p)?)? + (easy * f64::from(terms.gamma))?)?;
    // 0 with the gradient `weight·slope`.
    let moved = ((logits - x)? * (&weight * slope)?)?;
    ((weight * loss)? + moved)?.sum_all()
}

/// The sum of the terms by the formulas of [`Distance`].
pub(super) fn distance(input: &Tensor, target: &Tensor, terms: Distance) -> Result<Tensor> {
    if input.elem_count() == 0 {
        return no_terms(input);
    }
    let d = (input - target.detach())?;
    // Candle's `abs` has the slope 1 at 0.
    let absolute = (&d * d.detach().sign()?)?;
    match terms {
        Distance::Squared => d.sqr()?.sum_all(),
        Distance::Absolute => absolute.sum_all(),
        Distance::Smooth { beta } => {
            let beta = f64::from(beta);
            let (near, far) = (d.sqr()?.affine(0.5 / beta, 0.0)?, absolute.affine(1.0, -0.5 * beta)?);
            absolute.lt(beta)?.where_cond(&near, &far)?.sum_all()
        }
    }
}

/// `[Σ p·g, Σ p, Σ g]` `[3, classes]` over the rows whose target is not `ignore`.
pub(super) fn class_sums(logits: &Tensor, targets: &[u32], ignore: Option<u32>) -> Result<Tensor> {
    let (classes, device) = (logits.dim(1)?, logits.device());
    let counted = targets.iter().enumerate().filter(|(_, target)| Some(**target) != ignore);
    let (rows, targets): (Vec<u32>, Vec<u32>) = counted.map(|(row, target)| (row as u32, *target)).unzip();
    if rows.is_empty() || classes == 0 {
        return Tensor::zeros((3, classes), logits.dtype(), device);
    }
    let n = rows.len();
    let hits = targets.iter().flat_map(|target| (0..classes).map(move |class| f32::from(class == *target as usize)));
    let hits = Tensor::from_vec(hits.collect::<Vec<_>>(), (n, classes), device)?;
    let x = logits.index_select(&Tensor::from_vec(rows, n, device)?, 0)?;
    let exp = x.broadcast_sub(&x.detach().max_keepdim(1)?)?.exp()?;
    let p = exp.broadcast_div(&exp.sum_keepdim(1)?)?;
    Tensor::stack(&[(&p * &hits)?.sum(0)?, p.sum(0)?, hits.sum(0)?], 0)
}

/// 0 with a gradient of zeros: the sum over no terms.
fn no_terms(logits: &Tensor) -> Result<Tensor> {
    if logits.elem_count() == 0 {
        return Tensor::zeros((), logits.dtype(), logits.device());
    }
    let zeros = logits.zeros_like()?;
    zeros.gt(0f64)?.where_cond(logits, &zeros)?.sum_all()
}
