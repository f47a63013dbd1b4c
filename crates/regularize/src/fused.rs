//! A step on the CPU: in place, one pass over a parameter's memory, no temporary tensors.
//!
//! A parameter is a list of rows, each of which is worked on while it is in the cache: its update, then what
//! the method does with the update, then its norm. Where values of a row do not depend on each other, rows are
//! pieces of any length. What couples all rows of a layer (hyperball, a projection or norm per layer) takes
//! further passes. Every row is computed alone and sums over rows are taken in their order, so results do not
//! depend on threads.

use crate::method::{Granularity, MomentumState};
use crate::rows::{dot, mean, products, square};
use crate::treatment::{Applied, Centre, Direction, Projection, Rescale, SMALLEST, Step, UPDATE_NORM_DECAY};
use std::cell::RefCell;

/// Values of a task: enough to be worth a thread.
const TASK: usize = 1 << 15;
/// Values of a row where rows do not matter: all that a step needs of it fits into the first cache.
const PIECE: usize = 2048;

/// A parameter and its state, or a part of its rows. Slices without values stand for what there is none of.
pub(crate) struct Rows<'a> {
    /// Values of a row, at least 1; the last row may be shorter.
    pub(crate) len: usize,
    pub(crate) w: &'a mut [f32],
    pub(crate) g: &'a [f32],
    /// Momentum.
    pub(crate) m: &'a mut [f32],
    /// Second moment.
    pub(crate) v: &'a mut [f32],
    /// Updates, where they are kept between passes.
    pub(crate) u: &'a mut [f32],
    /// State with one value a row.
    pub(crate) second: &'a mut [f32],
    /// Target norms, one a row or one for all.
    pub(crate) targets: &'a [f32],
    /// What a pass says of each row.
    pub(crate) results: &'a mut [Sums],
}

/// Up to three sums over a row.
pub(crate) type Sums = [f64; 3];

struct Row<'a> {
    w: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    u: &'a mut [f32],
    second: Option<&'a mut f32>,
    target: f64,
    result: Option<&'a mut Sums>,
}

/// What is done with each row.
trait Pass: Sync {
    fn row(&self, row: Row<'_>);
}

thread_local! {
    /// The update of a row, where it is not kept.
    static UPDATE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Does `pass` with all rows, in parallel.
fn run(pass: &impl Pass, rows: Rows<'_>) {
    if rows.w.len() > TASK && rows.w.len() > rows.len {
        let (left, right) = rows.split();
        rayon::join(|| run(pass, left), || run(pass, right));
        return;
    }
    let longest = rows.len.min(rows.w.len());
    UPDATE.with_borrow_mut(|update| {
        if rows.u.is_empty() {
            update.resize(update.len().max(longest), 0.0);
        }
        pulp::Arch::new().dispatch(Each { pass, rows, update });
    });
}

/// A pass over rows, to be compiled for the machine's instructions.
struct Each<'a, 'b, P> {
    pass: &'a P,
    rows: Rows<'b>,
    update: &'a mut [f32],
}

impl<P: Pass> pulp::NullaryFnOnce for Each<'_, '_, P> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { pass, rows, update } = self;
        let Rows { len, w, g, m, v, u, second, targets, results } = rows;
        let kept = !u.is_empty();
        let (mut g, mut m, mut v) = (g.chunks(len), m.chunks_mut(len), v.chunks_mut(len));
        let (mut u, mut second, mut results) = (u.chunks_mut(len), second.iter_mut(), results.iter_mut());
        for (index, w) in w.chunks_mut(len).enumerate() {
            let target = targets.get(if targets.len() == 1 { 0 } else { index }).map_or(0.0, |t| f64::from(*t));
            let u = if kept { u.next().unwrap_or_default() } else { &mut update[..w.len()] };
            let (m, v) = (m.next().unwrap_or_default(), v.next().unwrap_or_default());
            let g = g.next().unwrap_or_default();
            pass.row(Row { w, g, m, v, u, second: second.next(), target, result: results.next() });
        }
    }
}

impl<'a> Rows<'a> {
    /// The same rows, to be used again later, with other results.
    fn reborrow<'b>(&'b mut self, results: &'b mut [Sums]) -> Rows<'b> {
        Rows { results, ..self.reborrow_all() }
    }

    fn reborrow_all(&mut self) -> Rows<'_> {
        let Self { len, w, g, m, v, u, second, targets, results } = self;
        Rows { len: *len, w, g, m, v, u, second, targets, results }
    }

    /// Two halves at the border of a row.
    fn split(self) -> (Self, Self) {
        fn cut<T>(values: &mut [T], at: usize) -> (&mut [T], &mut [T]) {
            if values.is_empty() { (&mut [], &mut []) } else { values.split_at_mut(at) }
        }
        let Self { len, w, g, m, v, u, second, targets, results } = self;
        let row = w.len().div_ceil(len).div_ceil(2);
        let at = row * len;
        let g = if g.is_empty() { (g, g) } else { g.split_at(at) };
        let (w, m, v, u) = (cut(w, at), cut(m, at), cut(v, at), cut(u, at));
        let (second, results) = (cut(second, row), cut(results, row));
        let targets = if targets.len() > 1 { targets.split_at(row) } else { (targets, targets) };
        (
            Self {
                len,
                w: w.0,
                g: g.0,
                m: m.0,
                v: v.0,
                u: u.0,
                second: second.0,
                targets: targets.0,
                results: results.0,
            },
            Self {
                len,
                w: w.1,
                g: g.1,
                m: m.1,
                v: v.1,
                u: u.1,
                second: second.1,
                targets: targets.1,
                results: results.1,
            },
        )
    }
}

/// Takes a step on all rows; `kept` is memory that is used again and again. Returns the factors that weights
/// were rescaled with: one a row, one for all, or none.
pub(crate) fn step(step: &Step, mut rows: Rows<'_>, kept: &mut Vec<f32>) -> Vec<f64> {
    if !step.by_rows() {
        rows.len = PIECE;
        run(&OnePass { step, shrink: shrink(step, 1.0), project: false }, rows);
        return Vec::new();
    }
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
            run(&Apply::new(step, &with_u, projection, shrink), with_u);
        }
        _ => run(&OnePass { step, shrink, project: projected.is_some() }, rows.reborrow(&mut results)),
    }
    match step.rescale {
        None => Vec::new(),
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
        let Self { step, shrink, project } = *self;
        let mut rate = step.lr * direct(step, &mut row);
        if let (true, Some(projection)) = (project, &step.projection) {
            let norm = square(row.w).sqrt() + projection.eps;
            add(row.u, row.w, (-dot(row.w, row.u) / (norm * norm)) as f32);
            if projection.in_place {
                row.m.copy_from_slice(row.u);
            }
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
        direct(self.step, &mut row);
        if let Some(result) = row.result {
            result[0] = match self.step.applied {
                Applied::Hyperball => square(row.u),
                _ => dot(row.w, row.u),
            };
        }
    }
}

/// Applies the updates of a layer.
struct Apply<'a> {
    step: &'a Step,
    shrink: f32,
    rate: f32,
    /// Factor of the weight that is added to the update.
    along: Option<f32>,
    in_place: bool,
}

impl Pass for Apply<'_> {
    #[inline(always)]
    fn row(&self, row: Row<'_>) {
        if let Some(along) = self.along {
            add(row.u, row.w, along);
            if self.in_place {
                row.m.copy_from_slice(row.u);
            }
        }
        finish(self.step, row, self.shrink, self.rate);
    }
}

impl<'a> Apply<'a> {
    /// From what [`Direct`] says of the rows; `projection` with the norm² of the weight.
    fn new(step: &'a Step, rows: &Rows<'_>, projection: Option<(f64, Projection)>, shrink: f32) -> Self {
        let sum: f64 = rows.results.iter().map(|[sum, ..]| sum).sum();
        if let Some((square, Projection { eps, in_place, .. })) = projection {
            let norm = square.sqrt() + eps;
            return Self { step, shrink, rate: step.lr, along: Some((-sum / (norm * norm)) as f32), in_place };
        }
        let target = rows.targets.first().map_or(0.0, |target| f64::from(*target));
        let rate = if sum > 0.0 { f64::from(step.lr) * target / sum.sqrt() } else { 0.0 };
        Self { step, shrink, rate: rate as f32, along: None, in_place: false }
    }
}

/// Writes the update of a row, and moves its state. Returns what the update must be multiplied with.
#[inline(always)]
fn direct(step: &Step, row: &mut Row<'_>) -> f32 {
    let mut pull = step.coupled;
    if step.riemannian {
        let square = square(row.w);
        if square > SMALLEST * SMALLEST {
            pull -= (f64::from(step.clip) * dot(row.g, row.w) / square) as f32;
        }
    }
    match step.direction {
        Direction::Sgd { momentum, keep, take, nesterov } => {
            if row.m.is_empty() {
                gradient(row.w, row.g, row.u, step.clip, pull);
            } else if nesterov {
                sgd::<true>(row.w, row.g, row.m, row.u, [step.clip, pull, keep, take, momentum]);
            } else {
                sgd::<false>(row.w, row.g, row.m, row.u, [step.clip, pull, keep, take, momentum]);
            }
            1.0
        }
        Direction::Adam { betas, correction1, correction2, eps, nesterov } => {
            let [beta1, beta2] = betas;
            let numbers = [step.clip, pull, beta1 as f32, (1.0 - beta1) as f32, beta2 as f32, (1.0 - beta2) as f32];
            let corrections = [correction1, correction2, eps];
            if nesterov {
                adam::<true>(row.w, row.g, row.m, row.v, row.u, numbers, corrections);
            } else {
                adam::<false>(row.w, row.g, row.m, row.v, row.u, numbers, corrections);
            }
            1.0
        }
        Direction::Nero { beta, correction, scale } => {
            gradient(row.w, row.g, row.u, step.clip, pull);
            let Some(second) = &mut row.second else { return 0.0 };
            let mean = beta * f64::from(**second) + (1.0 - beta) * square(row.u);
            **second = mean as f32;
            if mean > 0.0 { (scale / (mean * correction).sqrt()) as f32 } else { 0.0 }
        }
    }
}

#[inline(always)]
fn gradient(w: &[f32], g: &[f32], u: &mut [f32], clip: f32, pull: f32) {
    for ((w, g), u) in w.iter().zip(g).zip(u) {
        *u = clip * g + pull * w;
    }
}

#[inline(always)]
fn sgd<const NESTEROV: bool>(w: &[f32], g: &[f32], m: &mut [f32], u: &mut [f32], numbers: [f32; 5]) {
    let [clip, pull, keep, take, momentum] = numbers;
    for (((w, g), m), u) in w.iter().zip(g).zip(m).zip(u) {
        let g = clip * g + pull * w;
        *m = keep * *m + take * g;
        *u = if NESTEROV { g + momentum * *m } else { *m };
    }
}

#[inline(always)]
fn adam<const NESTEROV: bool>(
    w: &[f32],
    g: &[f32],
    m: &mut [f32],
    v: &mut [f32],
    u: &mut [f32],
    numbers: [f32; 6],
    corrections: [f32; 3],
) {
    let [clip, pull, beta1, rest1, beta2, rest2] = numbers;
    let [correction1, correction2, eps] = corrections;
    for ((((w, g), m), v), u) in w.iter().zip(g).zip(m).zip(v).zip(u) {
        let g = clip * g + pull * w;
        *m = beta1 * *m + rest1 * g;
        *v = beta2 * *v + rest2 * g * g;
        let first = if NESTEROV { beta1 * *m + rest1 * g } else { *m };
        *u = first * correction1 / (v.sqrt() * correction2 + eps);
    }
}

/// Turns an update into one of a rotational variant, and returns its rate.
#[inline(always)]
fn rotate(row: &mut Row<'_>, angle: f64, zero_mean: bool, correction: f64) -> f32 {
    let Some(second) = &mut row.second else { return 0.0 };
    if row.target < SMALLEST {
        return 0.0;
    }
    if zero_mean {
        subtract(row.u, mean(row.u) as f32);
    }
    add(row.u, row.w, (-dot(row.u, row.w) / (row.target * row.target)) as f32);
    let square = UPDATE_NORM_DECAY * f64::from(**second) + (1.0 - UPDATE_NORM_DECAY) * square(row.u);
    **second = square as f32;
    (angle * row.target / ((square * correction).sqrt() + 1e-8)) as f32
}

/// Applies the update of a row; its norm, and its own factor of a rescale.
#[inline(always)]
fn finish(step: &Step, row: Row<'_>, shrink: f32, rate: f32) {
    if step.cautious == 0.0 {
        for (w, u) in row.w.iter_mut().zip(row.u.iter()) {
            *w = *w * shrink - rate * u;
        }
    } else {
        for (w, u) in row.w.iter_mut().zip(row.u.iter()) {
            let decay = if *w * u >= 0.0 { step.cautious } else { 0.0 };
            *w -= rate * u + decay * *w;
        }
    }
    if let Some(rescale) = &step.rescale {
        settle(rescale, row);
    }
}

/// The square of a row's norm where a layer has one norm; otherwise the row's factor, applied.
#[inline(always)]
fn settle(rescale: &Rescale, row: Row<'_>) {
    let Row { w, m, v, target, result, .. } = row;
    if rescale.centre == Centre::Always {
        subtract(w, mean(w) as f32);
    }
    let square = square(w);
    let said = match rescale.granularity {
        Granularity::Layer => square,
        Granularity::Filter => {
            let factor = rescale.factor(square.sqrt(), target);
            if factor != 1.0 {
                scale(w, factor as f32);
            }
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
        settle(self.rescale, row);
    }
}

#[inline(always)]
fn add(u: &mut [f32], w: &[f32], factor: f32) {
    for (u, w) in u.iter_mut().zip(w) {
        *u += factor * w;
    }
}

#[inline(always)]
fn subtract(values: &mut [f32], what: f32) {
    for value in values {
        *value -= what;
    }
}

#[inline(always)]
fn scale(values: &mut [f32], factor: f32) {
    for value in values {
        *value *= factor;
    }
}
