//! A step through tensor operations: the rules of [`crate::fused`] on any device.
//!
//! Muon's matrix products are computed here, with sums of this crate, because a crate for other programs should not
//! depend on `ops` for one product, and bits must not depend on the processor. A layer of 512×4608 takes 0.15 s on
//! two cores.

use crate::fused::{COEFFICIENTS, NORM_EPS};
use crate::method::{Granularity, MomentumState};
use crate::step::{Applied, Center, Direction, Projection, Rescale, Step, UPDATE_NORM_DECAY};
use crate::sums::SMALLEST;
use candle_core::{Result, Tensor, Var};

/// A parameter and its state, seen as `rows` rows of `len` values.
pub(crate) struct Rows<'a> {
    pub(crate) rows: usize,
    pub(crate) len: usize,
    pub(crate) w: &'a Var,
    /// Momentum.
    pub(crate) m: Option<&'a Var>,
    /// Second moment.
    pub(crate) v: Option<&'a Var>,
    /// State with one value a row, `[rows]`.
    pub(crate) row_state: Option<&'a Var>,
    /// Target norms, `[rows]` or `[1]`.
    pub(crate) targets: Option<&'a Var>,
}

impl Rows<'_> {
    fn rows(&self, tensor: &Tensor) -> Result<Tensor> {
        tensor.reshape((self.rows, self.len))
    }

    fn set(&self, var: &Var, rows: &Tensor) -> Result<()> {
        var.set(&rows.reshape(var.shape())?.contiguous()?)
    }
}

/// Takes a step with gradient `g`. Returns the factors `[rows, 1]` or `[1, 1]` that weights were rescaled with.
pub(crate) fn step(step: &Step, weight: &Rows<'_>, g: &Tensor) -> Result<Option<Tensor>> {
    let before = match step.rescale {
        Some(first) if first.first => Some(rescale(&first, weight)?),
        _ => None,
    };
    let (raw, w) = (weight.rows(&g.detach())?, weight.rows(&weight.w.as_tensor().detach())?);
    let mut g = (&raw * f64::from(step.clip))?;
    if step.riemannian {
        let square = sum(&w.sqr()?)?;
        g = (&g - w.broadcast_mul(&guarded(&sum(&(&g * &w)?)?, &square)?)?)?;
    }
    if step.coupled != 0.0 {
        g = (&g + (&w * f64::from(step.coupled))?)?;
    }
    if step.centered {
        g = centered(&g)?;
    }
    let (mut u, mut rate) = direct(step, weight, &g)?;
    let mut ratio = 1.0;
    if let Some(projection) = &step.projection
        && let Some(view) = looks_scale_invariant(projection, &raw, &w)?
    {
        ratio = projection.wd_ratio;
        let of = |rows: Tensor| -> Result<Tensor> {
            let sums = sum(&rows)?;
            if view == Granularity::Filter { Ok(sums) } else { sums.sum_keepdim(0) }
        };
        let norm = (of(w.sqr()?)?.sqrt()? + projection.eps)?;
        u = (&u - w.broadcast_mul(&(of((&w * &u)?)? / norm.sqr()?)?)?)?;
        if let (true, Some(m)) = (projection.in_place, weight.m) {
            weight.set(m, &u)?;
        }
    }
    match step.applied {
        Applied::Straight => {}
        Applied::Orthogonal { iterations } => u = orthogonal(&u, iterations)?,
        Applied::Hyperball => {
            let Some(target) = weight.targets else { return Ok(None) };
            let norm = u.sqr()?.sum_all()?.sqrt()?.reshape((1, 1))?;
            let target = target.as_tensor().reshape((1, 1))?;
            rate = guarded(&(target * f64::from(step.lr))?.mul(&norm)?, &norm.sqr()?)?;
        }
        Applied::Rotational { angle, zero_mean, correction } => {
            let (Some(targets), Some(row_state)) = (weight.targets, weight.row_state) else { return Ok(None) };
            let targets = targets.as_tensor().reshape((weight.rows, 1))?;
            // Rows without direction stay as they are, with their state; so do single values.
            let turns = if weight.len > 1 { targets.ge(SMALLEST)? } else { targets.ge(f32::INFINITY)? };
            if zero_mean {
                u = centered(&u)?;
            }
            u = (&u - w.broadcast_mul(&guarded(&sum(&(&u * &w)?)?, &targets.sqr()?)?)?)?;
            let before = row_state.as_tensor().reshape((weight.rows, 1))?;
            let fresh = (sum(&u.sqr()?)? * (1.0 - UPDATE_NORM_DECAY))?;
            let square = turns.where_cond(&((&before * UPDATE_NORM_DECAY)? + fresh)?, &before)?;
            weight.set(row_state, &square)?;
            rate = ((targets * angle)? / ((square * correction)?.sqrt()? + 1e-8)?)?;
            rate = turns.where_cond(&rate, &rate.zeros_like()?)?;
        }
    }
    let moved = u.broadcast_mul(&rate)?;
    let w = if step.cautious == 0.0 {
        ((&w * (1.0 - step.decoupled * ratio))? - moved)?
    } else {
        let decay = (&w * &u)?.ge(0.0)?.where_cond(&(&w * f64::from(step.cautious))?, &w.zeros_like()?)?;
        ((&w - moved)? - decay)?
    };
    weight.set(weight.w, &w)?;
    match &step.rescale {
        Some(Rescale { first: true, .. }) => Ok(before),
        Some(rescale) => self::rescale(rescale, weight).map(Some),
        None => Ok(None),
    }
}

/// See [`crate::fused`]'s.
fn orthogonal(u: &Tensor, iterations: u32) -> Result<Tensor> {
    let (rows, len) = u.dims2()?;
    let u = if rows > len { u.t()?.contiguous()? } else { u.clone() };
    let norm = (u.sqr()?.sum_all()?.sqrt()? + NORM_EPS)?;
    let mut x = u.broadcast_div(&norm)?;
    let [a, b, c] = COEFFICIENTS.map(f64::from);
    for _ in 0..iterations {
        let square = x.matmul(&x.t()?.contiguous()?)?;
        let polynomial = ((&square * b)? + (square.matmul(&square)? * c)?)?;
        x = ((&x * a)? + polynomial.matmul(&x)?)?;
    }
    if rows > len { x.t()?.contiguous() } else { Ok(x) }
}

/// The update, and what it must be multiplied with, `[rows, 1]` or `[1, 1]`.
fn direct(step: &Step, weight: &Rows<'_>, g: &Tensor) -> Result<(Tensor, Tensor)> {
    let rate = Tensor::full(step.lr, (1, 1), g.device())?;
    let update = match (step.direction, weight.m, weight.v) {
        (Direction::Sgd { momentum, keep, take, nesterov }, Some(m), _) => {
            let buffer = ((weight.rows(m)? * f64::from(keep))? + (g * f64::from(take))?)?;
            weight.set(m, &buffer)?;
            if nesterov { (g + (buffer * f64::from(momentum))?)? } else { buffer }
        }
        (Direction::Adam { betas: [beta1, beta2], correction1, correction2, eps, nesterov }, Some(m), Some(v)) => {
            let first = ((weight.rows(m)? * beta1)? + (g * (1.0 - beta1))?)?;
            let second = ((weight.rows(v)? * beta2)? + (g.sqr()? * (1.0 - beta2))?)?;
            weight.set(m, &first)?;
            weight.set(v, &second)?;
            let first = if nesterov { ((first * beta1)? + (g * (1.0 - beta1))?)? } else { first };
            let denominator = ((second.sqrt()? * f64::from(correction2))? + f64::from(eps))?;
            ((first * f64::from(correction1))? / denominator)?
        }
        (Direction::Nero { beta, correction, scale }, ..) => {
            let Some(row_state) = weight.row_state else { return Ok((g.clone(), rate)) };
            let before = (row_state.as_tensor().reshape((weight.rows, 1))? * beta)?;
            let mean = (before + (sum(&g.sqr()?)? * (1.0 - beta))?)?;
            weight.set(row_state, &mean)?;
            let root = (&mean * correction)?.sqrt()?;
            let turned = (root.recip()? * (f64::from(step.lr) * scale))?;
            return Ok((g.clone(), mean.gt(0.0)?.where_cond(&turned, &mean.zeros_like()?)?));
        }
        (Direction::Sgd { .. } | Direction::Adam { .. }, ..) => g.clone(),
    };
    Ok((update, rate))
}

/// Which view of the weight its gradient looks orthogonal to, if any.
fn looks_scale_invariant(projection: &Projection, g: &Tensor, w: &Tensor) -> Result<Option<Granularity>> {
    let products = [(g * w)?, g.sqr()?, w.sqr()?].map(|product| sum(&product));
    let [gw, gg, ww] = products;
    let products = [gw?, gg?, ww?];
    let largest = |[gw, gg, ww]: &[Tensor; 3]| -> Result<f32> {
        let norms = (gg.sqrt()?.maximum(projection.eps)? * ww.sqrt()?.maximum(projection.eps)?)?;
        (gw.abs()? / norms)?.flatten_all()?.max(0)?.to_scalar()
    };
    let (rows, len) = w.dims2()?;
    if f64::from(largest(&products)?) < projection.delta / (len as f64).sqrt() {
        return Ok(Some(Granularity::Filter));
    }
    let [gw, gg, ww] = products.map(|product| product.sum_keepdim(0));
    let threshold = projection.delta / ((rows * len) as f64).sqrt();
    Ok((f64::from(largest(&[gw?, gg?, ww?])?) < threshold).then_some(Granularity::Layer))
}

/// Puts all rows back to their norms. Returns the factors, `[rows, 1]` or `[1, 1]`.
pub(crate) fn rescale(rescale: &Rescale, weight: &Rows<'_>) -> Result<Tensor> {
    let mut w = weight.rows(&weight.w.as_tensor().detach())?;
    if rescale.center == Center::Always {
        w = centered(&w)?;
    }
    let of = |sums: Tensor| match rescale.granularity {
        Granularity::Filter => Ok(sums),
        Granularity::Layer => sums.sum_keepdim(0),
    };
    let norm = of(sum(&w.sqr()?)?)?.sqrt()?;
    let Some(targets) = weight.targets else { return norm.ones_like() };
    let targets = targets.as_tensor().reshape(((), 1))?;
    let factor = match rescale.rule {
        Some(_) => on_host(rescale, &norm, &targets)?,
        None => factor(rescale, &norm, &targets)?,
    };
    let w = w.broadcast_mul(&factor)?;
    weight.set(weight.w, &w)?;
    match rescale.state {
        MomentumState::Keep => {}
        MomentumState::Rescale => {
            for (state, factor) in [(weight.m, factor.clone()), (weight.v, factor.sqr()?)] {
                if let Some(state) = state {
                    weight.set(state, &weight.rows(state)?.broadcast_div(&factor)?)?;
                }
            }
        }
        MomentumState::Project => {
            if let Some(m) = weight.m {
                let rows = weight.rows(m)?;
                let along = guarded(&of(sum(&(&w * &rows)?)?)?, &of(sum(&w.sqr()?)?)?)?;
                weight.set(m, &(rows - w.broadcast_mul(&along)?)?)?;
            }
        }
    }
    Ok(factor)
}

/// What weights of norms `norm` are multiplied with; `[rows, 1]` or `[1, 1]`, as all of these.
fn factor(rescale: &Rescale, norm: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let factor = (targets * rescale.strength)?.div(&(norm + rescale.eps)?.maximum(SMALLEST)?)?;
    let factor = (factor + (1.0 - rescale.strength))?;
    // Neither a weight nor a target without direction.
    let factor = norm.ge(SMALLEST)?.where_cond(&factor, &factor.ones_like()?)?;
    targets.ge(SMALLEST)?.where_cond(&factor, &factor.ones_like()?)
}

/// The same of a rule that is no tensor operation: norms come to the host, and factors go back.
fn on_host(rescale: &Rescale, norm: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let (norms, targets) = (values(norm)?, values(targets)?);
    let factor = |(norm, target): (&f32, &f32)| rescale.factor(f64::from(*norm), f64::from(*target)) as f32;
    let factors: Vec<f32> = norms.iter().zip(&targets).map(factor).collect();
    Tensor::from_vec(factors, norm.shape(), norm.device())
}

/// Sums over rows, `[rows, 1]`.
fn sum(rows: &Tensor) -> Result<Tensor> {
    rows.sum_keepdim(1)
}

/// Rows less their means; single values, which would be 0 ever after, as they are.
fn centered(rows: &Tensor) -> Result<Tensor> {
    if rows.dim(1)? <= 1 {
        return Ok(rows.clone());
    }
    rows.broadcast_sub(&rows.mean_keepdim(1)?)
}

/// `numerator / square`, 0 where the square is one of no direction.
fn guarded(numerator: &Tensor, square: &Tensor) -> Result<Tensor> {
    let quotient = (numerator / square.maximum(SMALLEST * SMALLEST)?)?;
    square.gt(SMALLEST * SMALLEST)?.where_cond(&quotient, &quotient.zeros_like()?)
}
