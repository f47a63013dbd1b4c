//! A step on the CPU: in place, without temporary tensors, and but for what couples rows, one pass.
//!
//! A parameter is a list of rows, each of which is worked on while it is in the cache: its update, then what
//! the method does with the update, then its norm. Where values of a row do not depend on each other, rows are
//! pieces of any length. What couples all rows of a layer (hyperball, an orthogonal update, a projection or norm per
//! layer) takes further passes. Every row is computed alone and sums over rows are taken in their order, so results do not
//! depend on threads.

mod orthogonal;
mod run;
mod walk;

use crate::method::{Granularity, MomentumState};
use crate::step::{Applied, Center, Direction, Projection, Rescale, Step, UPDATE_NORM_DECAY};
use crate::sums::{SMALLEST, dot, mean, products, square};
use orthogonal::orthogonalize;
use run::{Pass, Row, Sums, run};
use walk::{Apply, Write, walk};

pub(crate) use orthogonal::{COEFFICIENTS, NORM_EPS};
pub(crate) use run::Rows;

/// Values of a row where rows do not matter: all that a step needs of it fits into the first cache.
const PIECE: usize = 1024;

/// Takes a step on all rows; `kept` is memory that is used again and again. Returns the factors that weights
/// were rescaled with: one a row, one for all, or none.
pub(crate) fn step(step: &Step, mut rows: Rows<'_>, kept: &mut Vec<f32>) -> Vec<f64> {
    if !step.by_rows() {
        // Targets are of rows; nothing is rescaled in this step.
        (rows.len, rows.targets) = (PIECE, &[]);
        run(&OnePass { step, shrink: shrink(step, 1.0), project: false }, rows);
        return Vec::new();
    }
    let before = match step.rescale {
        Some(first) if first.first => rescale(&first, rows.reborrow_all()),
        _ => Vec::new(),
    };
    let mut results = vec![Sums::default(); rows.w.len() / rows.len];
    let projected = step.projection.and_then(|projection| {
        let (view, square) = looks_scale_invariant(&projection, rows.reborrow(&mut results))?;
        Some((view, square, projection))
    });
    let shrink = shrink(step, projected.map_or(1.0, |(.., projection)| projection.wd_ratio));
    match (step.applied, projected) {
        (Applied::Hyperball, _) | (_, Some((Granularity::Layer, ..))) => {
            kept.resize(kept.len().max(rows.w.len()), 0.0);
            let mut with_u = Rows { u: &mut kept[..rows.w.len()], ..rows.reborrow(&mut results) };
            run(&Direct { step }, with_u.reborrow_all());
            let projection = projected.map(|(_, square, projection)| (square, projection));
            run(&ApplyKept::new(step, &with_u, projection, shrink), with_u);
        }
        (Applied::Orthogonal { iterations }, _) => {
            let (values, len) = (rows.w.len(), rows.len);
            kept.resize(kept.len().max(values + orthogonal::workspace(values / len, len)), 0.0);
            let (u, work) = kept.split_at_mut(values);
            let mut with_u = Rows { u, ..rows.reborrow(&mut results) };
            run(&Direct { step }, with_u.reborrow_all());
            orthogonalize(with_u.kernels, with_u.u, len, work, iterations);
            run(&ApplyKept { step, shrink, rate: step.lr, along: None }, with_u);
        }
        _ => run(&OnePass { step, shrink, project: projected.is_some() }, rows.reborrow(&mut results)),
    }
    match step.rescale {
        None => Vec::new(),
        Some(Rescale { first: true, .. }) => before,
        Some(Rescale { granularity: Granularity::Filter, .. }) => factors(&results),
        Some(rescale) => layer(&rescale, rows, &mut results),
    }
}

/// Puts all rows back to their norms. Returns the factors: one a row, or one for all.
pub(crate) fn rescale(rescale: &Rescale, mut rows: Rows<'_>) -> Vec<f64> {
    let mut results = vec![Sums::default(); rows.w.len() / rows.len];
    run(&Norms { rescale }, rows.reborrow(&mut results));
    match rescale.granularity {
        Granularity::Filter => factors(&results),
        Granularity::Layer => layer(rescale, rows, &mut results),
    }
}

fn factors(results: &[Sums]) -> Vec<f64> {
    results.iter().map(|[factor, ..]| *factor).collect()
}

/// The factor of the weight before the update.
fn shrink(step: &Step, ratio: f64) -> f32 {
    (1.0 - step.decoupled * ratio) as f32
}

/// Which view of the weight its gradient looks orthogonal to, if any, and the weight's norm².
fn looks_scale_invariant(projection: &Projection, mut rows: Rows<'_>) -> Option<(Granularity, f64)> {
    let Projection { delta, eps, .. } = *projection;
    run(&Products, rows.reborrow_all());
    let cosine = |[gw, gg, ww]: Sums| gw.abs() / (gg.sqrt().max(eps) * ww.sqrt().max(eps));
    let (len, values) = (rows.len as f64, rows.w.len() as f64);
    let sum = |which: usize| rows.results.iter().map(|sums| sums[which]).sum::<f64>();
    let sums = [sum(0), sum(1), sum(2)];
    if rows.results.iter().all(|sums| cosine(*sums) < delta / len.sqrt()) {
        return Some((Granularity::Filter, sums[2]));
    }
    (cosine(sums) < delta / values.sqrt()).then_some((Granularity::Layer, sums[2]))
}

/// `[g·w, ‖g‖², ‖w‖²]` of each row.
struct Products;

impl Pass for Products {
    #[inline(always)]
    fn row(&self, row: Row<'_>) {
        if let Some(result) = row.result {
            *result = products(row.g, row.w);
        }
    }
}

/// Update, and all that follows from a row alone.
struct OnePass<'a> {
    step: &'a Step,
    shrink: f32,
    project: bool,
}

impl Pass for OnePass<'_> {
    #[inline(always)]
    fn row(&self, mut row: Row<'_>) {
        let Self { step, mut shrink, project } = *self;
        if !step.updates_by_rows() && !project && step.cautious == 0.0 {
            let square = walk(step, [step.coupled, 0.0], &mut row, Apply { shrink, rate: step.lr });
            if let Some(rescale) = &step.rescale {
                settle(rescale, row, square);
            }
            return;
        }
        let Update { factor, along } = direct(step, &mut row);
        let mut rate = step.lr * factor;
        if let (true, Some(projection), Some(sums)) = (project, &step.projection, &row.result) {
            let norm = sums[2].sqrt() + projection.eps;
            let along = (along / (norm * norm)) as f32;
            if projection.in_place {
                add(row.m, row.w, -along);
            }
            shrink += rate * along;
        }
        if let Applied::Rotational { angle, zero_mean, correction } = step.applied {
            rate = rotate(&mut row, angle, zero_mean, correction);
        }
        finish(step, row, shrink, rate);
    }
}

/// The update alone, and of its row what couples the rows of a layer.
struct Direct<'a> {
    step: &'a Step,
}

impl Pass for Direct<'_> {
    #[inline(always)]
    fn row(&self, mut row: Row<'_>) {
        let Update { along, .. } = direct(self.step, &mut row);
        if let Some(result) = row.result {
            result[0] = match self.step.applied {
                Applied::Hyperball => square(row.u),
                _ => along,
            };
        }
    }
}

/// Applies the updates of a layer.
struct ApplyKept<'a> {
    step: &'a Step,
    shrink: f32,
    rate: f32,
    /// The momentum's part along the weight, to be removed.
    along: Option<f32>,
}

impl Pass for ApplyKept<'_> {
    #[inline(always)]
    fn row(&self, row: Row<'_>) {
        if let Some(along) = self.along {
            add(row.m, row.w, -along);
        }
        finish(self.step, row, self.shrink, self.rate);
    }
}

impl<'a> ApplyKept<'a> {
    /// From what [`Direct`] says of the rows; `projection` with the norm² of the weight.
    fn new(step: &'a Step, rows: &Rows<'_>, projection: Option<(f64, Projection)>, shrink: f32) -> Self {
        let sum: f64 = rows.results.iter().map(|[sum, ..]| sum).sum();
        if let Some((square, Projection { eps, in_place, .. })) = projection {
            let norm = square.sqrt() + eps;
            let along = (sum / (norm * norm)) as f32;
            return Self { step, shrink: shrink + step.lr * along, rate: step.lr, along: in_place.then_some(along) };
        }
        let target = rows.targets.first().map_or(0.0, |target| f64::from(*target));
        let rate = if sum > 0.0 { f64::from(step.lr) * target / sum.sqrt() } else { 0.0 };
        Self { step, shrink, rate: rate as f32, along: None }
    }
}

/// What there is to say of an update `u`.
struct Update {
    /// What it must be multiplied with.
    factor: f32,
    /// `w·u`.
    along: f64,
}

/// Writes the update of a row, and moves its state.
#[inline(always)]
fn direct(step: &Step, row: &mut Row<'_>) -> Update {
    let mut pull = step.coupled;
    if step.riemannian {
        let square = square(row.w);
        if square > SMALLEST * SMALLEST {
            pull -= (f64::from(step.clip) * dot(row.g, row.w) / square) as f32;
        }
    }
    let mean = if step.centered { f64::from(step.clip) * mean(row.g) + f64::from(pull) * mean(row.w) } else { 0.0 };
    let along = walk(step, [pull, mean as f32], row, Write);
    let mut factor = 1.0;
    if let (Direction::Nero { beta, correction, scale }, Some(row_state)) = (step.direction, &mut row.row_state) {
        let mean = beta * f64::from(**row_state) + (1.0 - beta) * square(row.u);
        **row_state = mean as f32;
        factor = if mean > 0.0 { (scale / (mean * correction).sqrt()) as f32 } else { 0.0 };
    }
    Update { factor, along }
}

/// Turns an update into one of a rotational variant, and returns its rate.
#[inline(always)]
fn rotate(row: &mut Row<'_>, angle: f64, zero_mean: bool, correction: f64) -> f32 {
    let Some(row_state) = &mut row.row_state else { return 0.0 };
    // A single value has no direction to turn to.
    if row.target < SMALLEST || row.u.len() < 2 {
        return 0.0;
    }
    if zero_mean {
        center(row.u);
    }
    add(row.u, row.w, (-dot(row.u, row.w) / (row.target * row.target)) as f32);
    let square = UPDATE_NORM_DECAY * f64::from(**row_state) + (1.0 - UPDATE_NORM_DECAY) * square(row.u);
    **row_state = square as f32;
    (angle * row.target / ((square * correction).sqrt() + 1e-8)) as f32
}

/// Applies the update of a row; its norm, and its own factor of a rescale.
#[inline(always)]
fn finish(step: &Step, row: Row<'_>, shrink: f32, rate: f32) {
    apply(step, row.w, row.u, shrink, rate);
    if let Some(rescale) = step.rescale.as_ref().filter(|rescale| !rescale.first) {
        if rescale.center == Center::Always {
            center(row.w);
        }
        let square = square(row.w);
        settle(rescale, row, square);
    }
}

#[inline(always)]
fn apply(step: &Step, w: &mut [f32], u: &[f32], shrink: f32, rate: f32) {
    if step.cautious == 0.0 {
        for (w, u) in w.iter_mut().zip(u) {
            *w = *w * shrink - rate * u;
        }
    } else {
        for (w, u) in w.iter_mut().zip(u) {
            let decay = if *w * u >= 0.0 { step.cautious } else { 0.0 };
            *w -= rate * u + decay * *w;
        }
    }
}

/// Says the square of a row's norm where a layer has one norm; otherwise applies the row's own factor.
#[inline(always)]
fn settle(rescale: &Rescale, row: Row<'_>, square: f64) {
    let Row { w, m, v, target, result, .. } = row;
    let said = match rescale.granularity {
        Granularity::Layer => square,
        Granularity::Filter => {
            let factor = rescale.factor(square.sqrt(), target);
            scale(w, factor as f32);
            carry(rescale.state, w, m, v, factor);
            factor
        }
    };
    if let Some(result) = result {
        result[0] = said;
    }
}

/// What happens to the state of a row that was scaled by `factor`.
#[inline(always)]
fn carry(state: MomentumState, w: &[f32], m: &mut [f32], v: &mut [f32], factor: f64) {
    match state {
        MomentumState::Keep => {}
        MomentumState::Rescale => {
            scale(m, (1.0 / factor) as f32);
            scale(v, (1.0 / (factor * factor)) as f32);
        }
        MomentumState::Project => {
            if !m.is_empty() {
                add(m, w, -along(dot(w, m), square(w)));
            }
        }
    }
}

/// The part of a vector along a weight of square `square`, with which it has the product `dot`.
fn along(dot: f64, square: f64) -> f32 {
    if square < SMALLEST * SMALLEST { 0.0 } else { (dot / square) as f32 }
}

/// Scales a layer of norm² `results[..][0]` by one factor, which it returns.
fn layer(rescale: &Rescale, mut rows: Rows<'_>, results: &mut [Sums]) -> Vec<f64> {
    let total: f64 = results.iter().map(|[square, ..]| square).sum();
    let target = rows.targets.first().map_or(0.0, |target| f64::from(*target));
    let factor = rescale.factor(total.sqrt(), target);
    run(&Scale { factor, state: rescale.state }, rows.reborrow(results));
    if rescale.state == MomentumState::Project && !rows.m.is_empty() {
        let sum = |which: usize| results.iter().map(|sums| sums[which]).sum::<f64>();
        let along = along(sum(0), sum(1));
        run(&Subtract { along }, rows.reborrow(results));
    }
    vec![factor]
}

/// Scales the weight, and its state with it.
struct Scale {
    factor: f64,
    state: MomentumState,
}

impl Pass for Scale {
    #[inline(always)]
    fn row(&self, row: Row<'_>) {
        scale(row.w, self.factor as f32);
        match (self.state, row.result) {
            (MomentumState::Project, Some(result)) if !row.m.is_empty() => {
                *result = [dot(row.w, row.m), square(row.w), 0.0];
            }
            (MomentumState::Rescale, _) => carry(self.state, row.w, row.m, row.v, self.factor),
            _ => {}
        }
    }
}

/// Removes the momentum's part along the weight.
struct Subtract {
    along: f32,
}

impl Pass for Subtract {
    #[inline(always)]
    fn row(&self, row: Row<'_>) {
        add(row.m, row.w, -self.along);
    }
}

/// Norms of rows, and their own factors.
struct Norms<'a> {
    rescale: &'a Rescale,
}

impl Pass for Norms<'_> {
    #[inline(always)]
    fn row(&self, row: Row<'_>) {
        if self.rescale.center == Center::Always {
            center(row.w);
        }
        let square = square(row.w);
        settle(self.rescale, row, square);
    }
}

#[inline(always)]
fn add(u: &mut [f32], w: &[f32], factor: f32) {
    for (u, w) in u.iter_mut().zip(w) {
        *u += factor * w;
    }
}

/// Subtracts the mean; of a single value, which would be 0 ever after, nothing.
#[inline(always)]
fn center(values: &mut [f32]) {
    if values.len() > 1 {
        let mean = mean(values) as f32;
        for value in values {
            *value -= mean;
        }
    }
}

#[inline(always)]
fn scale(values: &mut [f32], factor: f32) {
    for value in values {
        *value *= factor;
    }
}
