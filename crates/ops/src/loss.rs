//! Losses: candle tensors in, a scalar out.
//!
//! Logits are read twice, forward and backward; what is kept between is two numbers a row of a softmax.
//! Terms are computed in `f32` and summed in `f64`, in blocks that depend on the shape alone.

use crate::graph::Edge;
use crate::values::{check, engine_for};
use candle_core::{Result, Tensor, bail};

/// What [`cross_entropy`] can do beyond the plain mean; names as in `torch.nn.CrossEntropyLoss`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CrossEntropy {
    /// A target that stands for "no label": such rows count neither in the sum nor in the mean.
    pub ignore_index: Option<u32>,
    /// Share of the target's probability that is spread evenly over all classes, 0 to 1.
    pub label_smoothing: f64,
    /// A weight of each class, at least 0. The mean is then over weights: `Σ wᵧ·loss / Σ wᵧ`.
    pub weight: Option<Vec<f32>>,
}

/// The mean softmax cross-entropy in nats of `logits` `[rows, classes]` against class indices `targets`, one a
/// row; a scalar. `CrossEntropy::default()` is the plain mean.
///
/// As `torch.nn.functional.cross_entropy`, but for one case: where no row counts (there is none, or all are
/// ignored or of weight 0), the loss and its gradient are 0, while torch's are not-a-number. A batch of images
/// without a labeled pixel then changes nothing, instead of ending the training.
///
/// Finite for all finite logits.
///
/// # Errors
///
/// Where the lengths differ, a target is neither a class nor ignored, or an option is out of its range.
pub fn cross_entropy(logits: &Tensor, targets: &[u32], options: &CrossEntropy) -> Result<Tensor> {
    const NAME: &str = "cross_entropy";
    check(NAME, "logits", logits, "[rows, classes]", 2)?;
    let (rows, classes) = logits.dims2()?;
    if rows != targets.len() {
        bail!("{NAME}: expected a target a row, found logits {:?} and {} targets", logits.dims(), targets.len());
    }
    let factors = Factors::new(NAME, classes, targets, options)?;
    let engine = engine_for(NAME, logits)?;
    let (loss, kept) = engine.cross_entropy(logits, targets, &factors)?;
    let (edge, gradient) = Edge::enter(engine, NAME, logits)?;
    let (logits, targets) = (logits.clone(), targets.to_vec());
    edge.exit(NAME, vec![loss as f32], (), move |dloss| {
        gradient.add_buffer(engine.cross_entropy_backward(&logits, &targets, &factors, &kept, f64::from(dloss[0]))?)
    })
}

/// The loss as a sum over rows of `−hit[y]·ln pᵧ − Σ spread[c]·ln p_c`.
pub(crate) struct Factors {
    pub(crate) ignore: Option<u32>,
    /// By target: `(1 − label_smoothing)·weight / total weight`.
    pub(crate) hit: Vec<f64>,
    /// By class: `label_smoothing·weight / classes / total weight`; empty where nothing is spread.
    pub(crate) spread: Vec<f64>,
}

impl Factors {
    fn new(op: &str, classes: usize, targets: &[u32], options: &CrossEntropy) -> Result<Self> {
        let CrossEntropy { ignore_index: ignore, label_smoothing, ref weight } = *options;
        if !(0.0..=1.0).contains(&label_smoothing) {
            bail!("{op}: expected a label_smoothing of 0 to 1, found {label_smoothing}");
        }
        let mut weights = vec![1.0; classes];
        if let Some(weight) = weight {
            if weight.len() != classes {
                bail!("{op}: expected a weight for each of {classes} classes, found {}", weight.len());
            }
            if let Some((class, weight)) = weight.iter().enumerate().find(|(_, w)| !(w.is_finite() && **w >= 0.0)) {
                bail!("{op}: expected finite weights of at least 0, found {weight} for class {class}");
            }
            weights = weight.iter().copied().map(f64::from).collect();
        }
        let mut counts = vec![0usize; classes];
        for (row, target) in targets.iter().enumerate() {
            match counts.get_mut(*target as usize) {
                _ if Some(*target) == ignore => {}
                Some(count) => *count += 1,
                None => {
                    bail!("{op}: expected targets below {classes}, the number of classes; found {target} in row {row}")
                }
            }
        }
        let total: f64 = counts.iter().zip(&weights).map(|(count, weight)| *count as f64 * weight).sum();
        let share = if total > 0.0 { 1.0 / total } else { 0.0 };
        let scaled = |by: f64| weights.iter().map(|weight| by * weight * share).collect::<Vec<_>>();
        let spread = if label_smoothing > 0.0 { scaled(label_smoothing / classes as f64) } else { Vec::new() };
        Ok(Self { ignore, hit: scaled(1.0 - label_smoothing), spread })
    }
}

/// The mean over all elements of the cross-entropy in nats between `σ(logits)` and `targets`, probabilities in a
/// tensor of the same shape; a scalar.
///
/// As `torch.nn.functional.binary_cross_entropy_with_logits`; the mean over no elements is 0. Finite for all
/// finite logits, and so is its gradient. Targets are constants: they get no gradient.
///
/// # Errors
///
/// Where the shapes differ.
pub fn binary_cross_entropy_with_logits(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let terms = Binary { positive: 1.0, negative: 1.0, gamma: 0.0 };
    binary("binary_cross_entropy_with_logits", logits, targets, terms, 1.0 / logits.elem_count().max(1) as f64)
}

/// Parameters of [`sigmoid_focal_loss`]; names and defaults as in `torchvision.ops.sigmoid_focal_loss`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FocalLoss {
    /// Weight of positive examples, 0 to 1; negative ones get `1 − alpha`. `None`: both 1 (torchvision: −1).
    pub alpha: Option<f64>,
    /// Exponent that lowers the weight of easy examples, at least 0.
    pub gamma: f64,
}

impl Default for FocalLoss {
    fn default() -> Self {
        Self { alpha: Some(0.25), gamma: 2.0 }
    }
}

/// The focal loss (arXiv 1708.02002) of `logits` against `targets`, 0 or 1 in a tensor of the same shape,
/// *summed* over all elements; a scalar: `α·(1 − p)^γ·(−ln p)` with `p` the probability of the target.
///
/// As `torchvision.ops.sigmoid_focal_loss` with `reduction="sum"`; detectors divide by the number of positive
/// examples. Finite for all finite logits, and so is its gradient. Targets are constants: they get no gradient.
///
/// # Errors
///
/// Where the shapes differ or a parameter is out of its range.
pub fn sigmoid_focal_loss(logits: &Tensor, targets: &Tensor, focal: FocalLoss) -> Result<Tensor> {
    const NAME: &str = "sigmoid_focal_loss";
    let FocalLoss { alpha, gamma } = focal;
    if !(gamma >= 0.0 && gamma.is_finite()) || alpha.is_some_and(|alpha| !(0.0..=1.0).contains(&alpha)) {
        bail!("{NAME}: expected an alpha of 0 to 1 and a finite gamma of at least 0, found {focal:?}");
    }
    let (positive, negative) = alpha.map_or((1.0, 1.0), |alpha| (alpha, 1.0 - alpha));
    let terms = Binary { positive: positive as f32, negative: negative as f32, gamma: gamma as f32 };
    binary(NAME, logits, targets, terms, 1.0)
}

/// The mean over all elements of `(input − target)²`, both of one shape; a scalar.
///
/// As `torch.nn.functional.mse_loss`; the mean over no elements is 0. Targets are constants: they get no gradient.
///
/// # Errors
///
/// Where the shapes differ.
pub fn mse_loss(input: &Tensor, target: &Tensor) -> Result<Tensor> {
    distance("mse_loss", input, target, Distance::Squared)
}

/// The mean over all elements of `|input − target|`, both of one shape; a scalar.
///
/// As `torch.nn.functional.l1_loss`: the gradient is 0 where both are equal, and the mean over no elements is 0. Targets
/// are constants: they get no gradient.
///
/// # Errors
///
/// Where the shapes differ.
pub fn l1_loss(input: &Tensor, target: &Tensor) -> Result<Tensor> {
    distance("l1_loss", input, target, Distance::Absolute)
}

/// The mean over all elements of `(input − target)² / 2·beta` where both are nearer than `beta`, and of
/// `|input − target| − beta / 2` elsewhere; a scalar. With a `beta` of 0 it is [`l1_loss`].
///
/// As `torch.nn.functional.smooth_l1_loss`, whose `beta` is 1 where nothing is said; the mean over no elements is 0.
/// Targets are constants: they get no gradient.
///
/// # Errors
///
/// Where the shapes differ, or `beta` is negative or no finite number.
pub fn smooth_l1_loss(input: &Tensor, target: &Tensor, beta: f64) -> Result<Tensor> {
    const NAME: &str = "smooth_l1_loss";
    if !(beta >= 0.0 && beta.is_finite()) {
        bail!("{NAME}: expected a finite beta of at least 0, found {beta}");
    }
    // What is 0 in `f32`, too, would be divided by.
    let terms = if beta as f32 > 0.0 { Distance::Smooth { beta: beta as f32 } } else { Distance::Absolute };
    distance(NAME, input, target, terms)
}

/// The mean of `terms`.
fn distance(op: &'static str, input: &Tensor, target: &Tensor, terms: Distance) -> Result<Tensor> {
    if input.dims() != target.dims() {
        bail!("{op}: expected input and target of one shape, found {:?} and {:?}", input.dims(), target.dims());
    }
    check(op, "input", input, "any", input.rank())?;
    check(op, "target", target, "any", target.rank())?;
    let engine = engine_for(op, input)?;
    let scale = 1.0 / input.elem_count().max(1) as f64;
    let sum = engine.distance(input, target, terms)?;
    let (edge, gradient) = Edge::enter(engine, op, input)?;
    let (input, target) = (input.clone(), target.detach());
    edge.exit(op, vec![(scale * sum) as f32], (), move |dloss| {
        gradient.add_buffer(engine.distance_backward(&input, &target, terms, scale * f64::from(dloss[0]))?)
    })
}

/// The terms of the difference `d` between an input and its target.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Distance {
    /// `d²`
    Squared,
    /// `|d|`
    Absolute,
    /// `d² / 2β` where `|d| < β`, else `|d| − β / 2`
    Smooth {
        /// Above 0.
        beta: f32,
    },
}

/// `scale` times the sum of `terms`.
fn binary(op: &'static str, logits: &Tensor, targets: &Tensor, terms: Binary, scale: f64) -> Result<Tensor> {
    if logits.dims() != targets.dims() {
        bail!("{op}: expected logits and targets of one shape, found {:?} and {:?}", logits.dims(), targets.dims());
    }
    check(op, "logits", logits, "any", logits.rank())?;
    check(op, "targets", targets, "any", targets.rank())?;
    let engine = engine_for(op, logits)?;
    let sum = engine.binary(logits, targets, terms)?;
    let (edge, gradient) = Edge::enter(engine, op, logits)?;
    let (logits, targets) = (logits.clone(), targets.detach());
    edge.exit(op, vec![(scale * sum) as f32], (), move |dloss| {
        gradient.add_buffer(engine.binary_backward(&logits, &targets, terms, scale * f64::from(dloss[0]))?)
    })
}

/// The terms `a·q^γ·l` of a logit `x` and its target `t`, with `p = σ(x)`, `p̄ = 1 − p`:
/// the weight `a = t·positive + (1 − t)·negative`, the probability `q = t·p̄ + (1 − t)·p` of being wrong, and
/// the cross-entropy `l = −t·ln p − (1 − t)·ln p̄`.
///
/// `l = t·max(−x, 0) + (1 − t)·max(x, 0) + ln(1 + u)`, and `p` and `p̄` are `1/(1 + u)` and `u/(1 + u)`, with
/// `u = exp(−|x|)`: nothing overflows, and no two numbers of almost the same size are subtracted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binary {
    pub(crate) positive: f32,
    pub(crate) negative: f32,
    pub(crate) gamma: f32,
}
