//! Finds roles by experiments on a network whose layers do not declare them.

mod probe;
mod statistics;

use crate::error::Error;
use crate::params::{Normalization, Parameter, Params, Role};
use candle_core::{Result, Tensor};
use probe::{Angles, Probe};
use statistics::{Followers, Vectors};
use std::fmt;

/// A filter counts as orthogonal to its gradient below this cosine.
///
/// Batch norm divides by `√(σ² + ε)`, so the cosine is not 0 but in proportion to `ε/(σ² + ε)`: 0.01 accepts variances above
/// 100 ε, that is 1e-3 at the usual ε of 1e-5. Without a normalization, cosines are of the order of `1/√n` for filters of `n`
/// values. So a few very large filters can be below 0.01 by chance; then the loss decides, see [`LOSS_TOLERANCE`].
const COSINE_TOLERANCE: f64 = 0.01;

/// A whole weight counts as orthogonal to its gradient below this cosine: with so many values, small ones are more likely by
/// chance.
const WHOLE_TOLERANCE: f64 = 1e-4;

/// Largest relative change of the loss when filters are multiplied by 2 and 4. At a variance of 100 ε, the output of a batch
/// norm changes by half a percent.
const LOSS_TOLERANCE: f64 = 0.02;

/// Number of places where gradients are taken.
const ROUNDS: usize = 3;

/// The result of [`Params::infer_roles`]; `Display` writes a line for each weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// The weights that had no role before, in the order of the parameters.
    pub weights: Vec<InferredWeight>,
    /// Names of what forward passes change: running statistics, which are buffers now.
    pub statistics: Vec<String>,
}

/// What was found about a weight.
#[derive(Debug, Clone, PartialEq)]
pub struct InferredWeight {
    /// Its name.
    pub name: String,
    /// Whether it is scale-invariant.
    pub verdict: Verdict,
    /// Largest `|⟨f, g⟩| / (‖f‖·‖g‖)` of a filter `f` and its gradient `g`; 0 where no filter had a gradient.
    pub cosine: f64,
    /// Indices of filters that never had a gradient, for example because a ReLU is dead. Nothing is known about them; the
    /// verdict is that of the other filters.
    pub dead: Vec<usize>,
}

/// Whether a weight is scale-invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Yes: its role is [`Role::ScaleInvariant`] now. With the names of the running statistics and the bias that are rescaled
    /// with it.
    ScaleInvariant(Vec<String>),
    /// Only all filters together, as before a group norm or layer norm; it has no role.
    Together,
    /// No; it has no role.
    No,
    /// Undecided, for this reason; it has no role.
    Unclear(String),
}

impl Params {
    /// Finds the scale-invariant weights among the parameters of rank 2 and above that have no role yet, and the running
    /// statistics and biases that must be rescaled with them. Sets the roles of these weights and statistics.
    ///
    /// `loss` computes a training loss, a scalar, with the network in training mode. Its argument is a round, 0 to 2: calls
    /// with the same round must compute the same, so use the same batch and no dropout; different rounds may use different
    /// batches.
    ///
    /// A weight passes if each filter is orthogonal to its gradient (arXiv 1706.05350, section 2) at three places near the
    /// present parameters, and multiplying some of its filters by 2 and 4 does not change the loss. (The places are moved so
    /// that no γ of 0 hides what precedes it.) That experiment also identifies running means, which change in proportion to the
    /// factor, and running variances, which change in proportion to its square. A vector is the bias before a batch norm if a
    /// shift of it shifts the running mean as much, and changes no loss. Tolerances allow for batch norm's ε.
    ///
    /// This takes 3 backward passes, 2 forward passes for each weight that is orthogonal to its gradients, and one for each
    /// vector that may be a bias. Afterwards, parameters and buffers have the bits that they had before.
    ///
    /// # Errors
    ///
    /// Where the loss is not a finite number, differs between calls with the same round, or `loss` fails.
    pub fn infer_roles(&self, mut loss: impl FnMut(usize) -> Result<Tensor>) -> std::result::Result<Inference, Error> {
        let params = self.root();
        let (inference, roles) = Probe::run(&params, &mut loss, infer)?;
        for name in &inference.statistics {
            params.set_role(name, Role::Buffer)?;
        }
        for (name, normalizations) in roles {
            params.set_role(&name, Role::ScaleInvariant(normalizations))?;
        }
        Ok(inference)
    }
}

/// Roles by name.
type Roles = Vec<(String, Vec<Normalization>)>;

fn infer(probe: &mut Probe<'_>) -> std::result::Result<(Inference, Roles), Error> {
    let statistics = probe.statistics()?;
    let is_statistic = |parameter: &Parameter| statistics.iter().any(|of| of.name == parameter.name);
    let trainable: Vec<_> = probe.parameters().iter().filter(|p| !is_statistic(p)).cloned().collect();
    let weights: Vec<_> =
        trainable.iter().filter(|p| matches!(p.role, Role::Other) && p.var.rank() >= 2).cloned().collect();
    let angles = probe.angles(&weights, ROUNDS)?;
    let mut vectors = Vectors::new(probe, &statistics)?;
    let (mut found, mut roles) = (Vec::new(), Vec::new());
    for (weight, angles) in weights.into_iter().zip(angles) {
        let (cosine, dead) = (angles.cosine(), angles.dead());
        let verdict = match verdict(&angles) {
            Some(verdict) => verdict,
            None => match vectors.followers(probe, &weight, &trainable)? {
                Followers::LossMoves => Verdict::No,
                Followers::Unclear(reason) => Verdict::Unclear(reason),
                Followers::Known(names, normalizations) => {
                    roles.push((weight.name.clone(), normalizations));
                    Verdict::ScaleInvariant(names)
                }
            },
        };
        found.push(InferredWeight { name: weight.name, verdict, cosine, dead });
    }
    let statistics = statistics.into_iter().map(|parameter| parameter.name).collect();
    Ok((Inference { weights: found, statistics }, roles))
}

/// The verdict of angles alone; `None` where experiments must decide.
fn verdict(angles: &Angles) -> Option<Verdict> {
    let unclear = |reason: &str| Some(Verdict::Unclear(reason.to_owned()));
    if angles.len < 2 {
        return unclear("filters of one value have no angle");
    }
    if angles.dead().len() == angles.filters() {
        return unclear("no filter has a gradient");
    }
    if angles.cosine() < COSINE_TOLERANCE {
        return None;
    }
    Some(if angles.whole() < WHOLE_TOLERANCE { Verdict::Together } else { Verdict::No })
}

impl fmt::Display for Inference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for InferredWeight { name, verdict, cosine, dead } in &self.weights {
            match verdict {
                Verdict::ScaleInvariant(followers) => {
                    write!(f, "{name}: scale-invariant, followed by {}", followers.join(", "))?;
                }
                Verdict::Together => write!(f, "{name}: only all filters together are scale-invariant")?,
                Verdict::No => write!(f, "{name}: not scale-invariant")?,
                Verdict::Unclear(reason) => write!(f, "{name}: unclear, {reason}")?,
            }
            write!(f, " (cosine {cosine:.1e}")?;
            match dead.len() {
                0 => writeln!(f, ")")?,
                1 => writeln!(f, "; filter {} has no gradient)", dead[0])?,
                dead => writeln!(f, "; {dead} filters have no gradient)")?,
            }
        }
        Ok(())
    }
}
