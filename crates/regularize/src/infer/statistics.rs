//! Finds the running statistics and the bias that must be rescaled with a scale-invariant weight.

use super::LOSS_TOLERANCE;
use super::probe::{Outcome, Probe, multiply, values};
use crate::error::Error;
use crate::params::{Normalization, Parameter, Role};
use candle_core::Tensor;
use std::collections::HashMap;

/// What follows a weight whose filters are orthogonal to their gradients in the network.
pub(super) enum Followers {
    /// Nothing: the loss changes with the norms of filters.
    LossMoves,
    /// Undecided, for this reason.
    Unclear(String),
    /// Normalizations; with the names of their statistics and the bias.
    Known(Vec<String>, Vec<Normalization>),
}

/// How a statistic changes with the factor of the filters before it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moves {
    /// In proportion: a mean.
    Linearly,
    /// With the square: a variance.
    Quadratically,
    /// Otherwise, or not at all.
    Otherwise,
}

/// Largest relative deviation from the change that a mean or a variance should have.
const TOLERANCE: f64 = 0.02;

/// A change of a statistic below this share of its largest value is rounding.
const ROUNDING: f64 = 1e-5;

/// What is known about statistics and biases; each vector is examined once.
pub(super) struct Vectors {
    statistics: Vec<Parameter>,
    reference: Outcome,
    /// For each vector, by name, the statistics that it shifts one to one; only looked up in.
    shifted: HashMap<String, Vec<usize>>,
}

impl Vectors {
    pub(super) fn new(probe: &mut Probe<'_>, statistics: &[Parameter]) -> std::result::Result<Self, Error> {
        let reference = probe.reference(statistics)?;
        Ok(Self { statistics: statistics.to_vec(), reference, shifted: HashMap::new() })
    }

    /// Multiplies some filters of `weight` by 2 and 4, and finds what changes with them.
    pub(super) fn followers(
        &mut self,
        probe: &mut Probe<'_>,
        weight: &Parameter,
        trainable: &[Parameter],
    ) -> std::result::Result<Followers, Error> {
        let filters = weight.var.dims()[0];
        let chosen = choose(&weight.name, filters);
        let mut scaled = |factor| probe.experiment(&self.statistics, || multiply(&weight.var, &chosen, factor));
        let outcomes = [scaled(2.0)?, scaled(4.0)?];
        if outcomes.iter().any(|outcome| self.moves_loss(outcome)) {
            return Ok(Followers::LossMoves);
        }
        let (mut means, mut variances) = (Vec::new(), Vec::new());
        for (at, statistic) in self.statistics.iter().enumerate() {
            let changes = outcomes.each_ref().map(|outcome| self.change(outcome, at));
            let own = statistic.var.dims() == [filters];
            if !outcomes.iter().all(|outcome| self.is_change(outcome, at)) {
                continue;
            }
            match if own { moves(&changes, &chosen) } else { moves(&changes, &vec![true; changes[0].len()]) } {
                Moves::Otherwise => {}
                _ if !own => return Ok(Followers::Unclear(of_another_shape(statistic, filters))),
                Moves::Linearly => means.push(at),
                Moves::Quadratically => variances.push(at),
            }
        }
        let Some(pairs) = self.pairs(&means, &variances) else {
            return Ok(Followers::Unclear(self.no_pairs(&means, &variances)));
        };
        let candidates = trainable.iter().filter(|p| matches!(p.role, Role::Other) && p.var.dims() == [filters]);
        for vector in candidates {
            if !self.shifted.contains_key(&vector.name) {
                let shifted = self.shifted_by(probe, vector)?;
                self.shifted.insert(vector.name.clone(), shifted);
            }
        }
        let mut bias = match self.bias(&means, trainable) {
            Ok(bias) => bias,
            Err(reason) => return Ok(Followers::Unclear(reason)),
        };
        let mut names = Vec::new();
        let normalizations = pairs.into_iter().map(|(mean, variance)| {
            // Only the first of several normalizations names it.
            let bias = bias.take();
            let [running_mean, running_var] = [mean, variance].map(|at| &self.statistics[at]);
            names.extend([running_mean, running_var].into_iter().chain(bias).map(|p| p.name.clone()));
            let bias = bias.map(|p| p.var.clone());
            Normalization { running_mean: running_mean.var.clone(), running_var: running_var.var.clone(), bias }
        });
        let normalizations = normalizations.collect();
        Ok(Followers::Known(names, normalizations))
    }

    /// The bias between a weight and the normalizations that have `means`; an error where there is more than one.
    fn bias<'b>(
        &self,
        means: &[usize],
        trainable: &'b [Parameter],
    ) -> std::result::Result<Option<&'b Parameter>, String> {
        let shifted = |vector: &Parameter| self.shifted.get(&vector.name).map_or(&[][..], Vec::as_slice);
        let shifts = |vector: &&Parameter| shifted(vector).iter().any(|mean| means.contains(mean));
        let biases: Vec<_> = trainable.iter().filter(shifts).collect();
        match biases[..] {
            [] => Ok(None),
            [bias] if shifted(bias) == means => Ok(Some(bias)),
            _ => {
                let names: Vec<_> = biases.iter().map(|bias| bias.name.as_str()).collect();
                Err(format!(
                    "it is scale-invariant, but expected at most one bias, before its normalizations only, found {}",
                    names.join(", ")
                ))
            }
        }
    }

    /// The running means that a shift of `vector` shifts as much, times the momentum; none where it changes the loss.
    fn shifted_by(&self, probe: &mut Probe<'_>, vector: &Parameter) -> std::result::Result<Vec<usize>, Error> {
        let chosen = choose(&vector.name, vector.var.elem_count());
        let shift: Vec<f64> = chosen.iter().map(|chosen| if *chosen { 0.5 } else { -0.25 }).collect();
        let outcome = probe.experiment(&self.statistics, || {
            let mut all = values(&vector.var)?;
            all.iter_mut().zip(&shift).for_each(|(value, shift)| *value += *shift as f32);
            vector.var.set(&Tensor::from_vec(all, vector.var.shape(), vector.var.device())?)
        })?;
        if self.moves_loss(&outcome) {
            return Ok(Vec::new());
        }
        let of_size = self.statistics.iter().enumerate().filter(|(_, p)| p.var.dims() == vector.var.dims());
        let shifted = of_size
            .map(|(at, _)| at)
            .filter(|at| self.is_change(&outcome, *at) && proportional(&shift, &self.change(&outcome, *at)).is_some());
        Ok(shifted.collect())
    }

    fn moves_loss(&self, outcome: &Outcome) -> bool {
        (outcome.loss - self.reference.loss).abs() > LOSS_TOLERANCE * self.reference.loss.abs()
    }

    /// The change of the statistic `at`.
    fn change(&self, outcome: &Outcome, at: usize) -> Vec<f64> {
        let both = outcome.statistics[at].iter().zip(&self.reference.statistics[at]);
        both.map(|(after, before)| f64::from(*after) - f64::from(*before)).collect()
    }

    /// Whether the statistic `at` has changed by more than rounding.
    fn is_change(&self, outcome: &Outcome, at: usize) -> bool {
        let largest = |values: &[f64]| values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let reference: Vec<f64> = self.reference.statistics[at].iter().map(|value| f64::from(*value)).collect();
        largest(&self.change(outcome, at)) > ROUNDING * largest(&reference)
    }

    /// Means with their variances: one of each, or paired by the name of their layer. `None` where some have no partner or
    /// there are none.
    fn pairs(&self, means: &[usize], variances: &[usize]) -> Option<Vec<(usize, usize)>> {
        let layer = |at: &usize| self.statistics[*at].name.rsplit_once('.').map_or("", |(layer, _)| layer);
        match (means, variances) {
            ([], _) => None,
            ([mean], [variance]) => Some(vec![(*mean, *variance)]),
            _ if means.len() != variances.len() => None,
            _ => {
                let variance = |mean: &usize| {
                    let mut of_layer = variances.iter().filter(|at| layer(at) == layer(mean));
                    of_layer.next().filter(|_| of_layer.next().is_none())
                };
                means.iter().map(|mean| Some((*mean, *variance(mean)?))).collect()
            }
        }
    }

    fn no_pairs(&self, means: &[usize], variances: &[usize]) -> String {
        let names = |all: &[usize]| {
            let names: Vec<_> = all.iter().map(|at| self.statistics[*at].name.as_str()).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        format!(
            "it is scale-invariant, but expected a running mean and a running variance of each normalization that follows it, \
             found means {} and variances {}; set its role yourself",
            names(means),
            names(variances)
        )
    }
}

fn of_another_shape(statistic: &Parameter, filters: usize) -> String {
    format!(
        "it is scale-invariant, but expected running statistics of its {filters} filters, found {} of shape {:?}",
        statistic.name,
        statistic.var.dims()
    )
}

/// About half of `filters`, the same for a name; at least one, and not all of several.
fn choose(name: &str, filters: usize) -> Vec<bool> {
    let mut rng = random::stream(0, &format!("chosen filters, {name}"), &[]);
    let mut chosen: Vec<bool> = (0..filters).map(|_| random::normal(&mut rng) > 0.0).collect();
    if let [first, .., last] = chosen.as_mut_slice() {
        (*first, *last) = (true, false);
    } else {
        chosen.fill(true);
    }
    chosen
}

/// The kind of a statistic that changes by `changes` when the filters of the `chosen` channels are multiplied by 2 and 4: a
/// mean changes by 1 and 3 times its value, a variance by 3 and 15 times.
fn moves([by_2, by_4]: &[Vec<f64>; 2], chosen: &[bool]) -> Moves {
    let square = |values: &[f64], of: bool| {
        let values = values.iter().zip(chosen).filter(|(_, chosen)| **chosen == of);
        values.map(|(value, _)| value * value).sum::<f64>()
    };
    let elsewhere = |values: &[f64]| square(values, false) > TOLERANCE * TOLERANCE * square(values, true);
    if elsewhere(by_2) || elsewhere(by_4) {
        return Moves::Otherwise;
    }
    match proportional(by_2, by_4) {
        Some(ratio) if (ratio / 3.0 - 1.0).abs() < TOLERANCE => Moves::Linearly,
        Some(ratio) if (ratio / 5.0 - 1.0).abs() < TOLERANCE => Moves::Quadratically,
        _ => Moves::Otherwise,
    }
}

/// `b / a`, where `b` is proportional to `a`.
fn proportional(a: &[f64], b: &[f64]) -> Option<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (aa, ab, bb) = (dot(a, a), dot(a, b), dot(b, b));
    // The share of b that is not along a.
    let along = ab * ab / (aa * bb);
    (1.0 - along < TOLERANCE * TOLERANCE).then_some(ab / aa)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_variances_move_by_their_powers() {
        let chosen = [true, false, true];
        let with = |power: f64, of: [f64; 3]| {
            [2.0, 4.0].map(|factor: f64| {
                let change =
                    |(value, chosen): (f64, bool)| if chosen { value * (libm::pow(factor, power) - 1.0) } else { 0.0 };
                of.into_iter().zip(chosen).map(change).collect::<Vec<_>>()
            })
        };
        assert_eq!(moves(&with(1.0, [0.3, 0.1, -0.2]), &chosen), Moves::Linearly);
        assert_eq!(moves(&with(2.0, [0.3, 0.1, 0.2]), &chosen), Moves::Quadratically);
        // What ε causes after the next normalization.
        assert_eq!(moves(&with(-2.0, [0.3, 0.1, 0.2]), &chosen), Moves::Otherwise);
        assert_eq!(moves(&with(1.0, [0.3, 0.1, -0.2]), &[false, true, true]), Moves::Otherwise);
        assert_eq!(moves(&[vec![0.0; 3], vec![0.0; 3]], &chosen), Moves::Otherwise);
    }
}
