//! Distribution matching.
//!
//! The transport is regularized with the relative entropy of the plan, not with its entropy as in DM-Count: plans are
//! the same, and gradients stay bounded where the network predicts nobody. Everything is computed with logarithms.

use super::exponential::exponentials;
use super::{Judged, middles, sign, square};
use crate::density::{Map, dots};
use data::Point;
use serde::{Deserialize, Serialize};

/// Distribution matching for crowd counting (DM-Count, arXiv 2009.13077): the difference of counts, plus `transport` times
/// the cost of moving the predicted distribution to where the people are, plus `variation` times the number of people times
/// the total variation between both distributions, people in cells.
///
/// The cost is that of optimal transport between people and the middles of cells by squared distance in pixels, regularized
/// with the relative entropy of the plan to the product of both distributions. The paper regularizes with the plan's own
/// entropy; both have the same plan, but the gradient of this one stays bounded, whatever is predicted, where cells without
/// anybody have an infinite one there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DistributionMatching {
    /// Weight of the transport's cost.
    pub transport: f64,
    /// Weight of the total variation.
    pub variation: f64,
    /// Strength of the regularization, in pixels².
    pub regularization: f64,
    /// Iterations of Sinkhorn's algorithm, at most.
    pub iterations: usize,
}

/// As in the paper.
impl Default for DistributionMatching {
    fn default() -> Self {
        Self { transport: 0.1, variation: 0.01, regularization: 10.0, iterations: 100 }
    }
}

/// Fewer people have no distribution.
const NOBODY: f64 = 1e-6;
/// Iterations end where no potential changes by more than this share of the regularization.
const CONVERGED: f64 = 1e-6;
/// The share of the iterations that the regularization takes, from the strength of the largest cost to the one asked for: slowly,
/// since potentials of a strength are only a good start for one that is not much weaker.
const ANNEALING: f64 = 0.8;

impl DistributionMatching {
    /// What the loss says of `map`, whose cells have sides of `stride` pixels, for people at `points`.
    pub(crate) fn of(&self, map: &Map, points: &[Point], stride: usize) -> Judged {
        let (people, predicted) = (points.len() as f64, map.sum());
        let slope = sign(predicted - people);
        let mut judged = Judged { value: (predicted - people).abs(), gradient: vec![slope; map.values.len()] };
        if points.is_empty() || predicted < NOBODY {
            return judged;
        }
        let shares: Vec<f64> = map.values.iter().map(|value| value / predicted).collect();
        let truth = dots(points, [map.height, map.width].map(|cells| cells * stride), stride);
        let differences = shares.iter().zip(&truth.values).map(|(share, truth)| share - truth / people);
        let signs: Vec<f64> = differences.clone().map(|difference| sign(difference) / 2.0).collect();
        let variation = differences.map(f64::abs).sum::<f64>() / 2.0;
        let (cost, potential) = self.cost(map, &shares, points, stride);
        judged.add(self.variation * people * variation, self.variation * people, &signs, &shares, predicted);
        judged.add(self.transport * cost, self.transport, &potential, &shares, predicted);
        judged
    }

    /// The cost of transport from cells with `shares` to people at `points`, and its derivative with respect to each share up
    /// to a constant.
    fn cost(&self, map: &Map, shares: &[f64], points: &[Point], stride: usize) -> (f64, Vec<f64>) {
        let [rows, columns] = [map.height, map.width].map(|cells| middles(cells, stride));
        let cells: Vec<[f64; 2]> =
            rows.iter().flat_map(|row| columns.iter().map(move |column| [*column, *row])).collect();
        let people: Vec<[f64; 2]> = points.iter().map(|point| point.map(f64::from)).collect();
        let uniform = vec![1.0 / people.len() as f64; people.len()];
        let largest = square((map.height * stride) as f64) + square((map.width * stride) as f64);

        let mut of_people = vec![0.0; people.len()];
        let mut strength = largest.max(self.regularization);
        let weaker = libm::pow(self.regularization / strength, 1.0 / (ANNEALING * self.iterations as f64).max(1.0));
        for _ in 0..self.iterations {
            let of_cells = potentials(&cells, &people, &uniform, &of_people, strength);
            let before = std::mem::replace(&mut of_people, potentials(&people, &cells, shares, &of_cells, strength));
            if strength > self.regularization {
                strength = (strength * weaker).max(self.regularization);
                continue;
            }
            let change = before.iter().zip(&of_people).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            if change <= CONVERGED * strength {
                break;
            }
        }
        // With the strength asked for, even where the iterations were too few to get there.
        let of_cells = potentials(&cells, &people, &uniform, &of_people, self.regularization);
        let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        (inner(shares, &of_cells) + inner(&uniform, &of_people), of_cells)
    }
}

/// The potential at each of `places`, given those at `others` with their `masses`: the soft minimum
/// `−ε·log Σⱼ mⱼ·exp((gⱼ − ‖x − yⱼ‖²)/ε)`, which lies within the costs whatever the masses are.
fn potentials(places: &[[f64; 2]], others: &[[f64; 2]], masses: &[f64], of_others: &[f64], strength: f64) -> Vec<f64> {
    let mut exponents = vec![0.0; others.len()];
    let potential = |[x, y]: &[f64; 2]| {
        let mut largest = f64::NEG_INFINITY;
        for (((exponent, [a, b]), potential), mass) in exponents.iter_mut().zip(others).zip(of_others).zip(masses) {
            *exponent = potential - square(x - a) - square(y - b);
            if *mass > 0.0 && *exponent > largest {
                largest = *exponent;
            }
        }
        // Those without mass may be larger, and do not count. Not by `min`: not-a-number must stay visible.
        let below = |exponent: f64| if exponent > largest { 0.0 } else { (exponent - largest) / strength };
        exponents.iter_mut().for_each(|exponent| *exponent = below(*exponent));
        exponentials(&mut exponents);
        -largest - strength * libm::log(weighted_sum(&exponents, masses))
    };
    places.iter().map(potential).collect()
}

/// The sum of `values` times `masses` where these are above 0, in four interleaved parts: an addition need not wait for the one
/// before.
fn weighted_sum(values: &[f64], masses: &[f64]) -> f64 {
    let part = |value: f64, mass: f64| if mass > 0.0 { mass * value } else { 0.0 };
    let ((values, last_values), (masses, last_masses)) = (values.as_chunks::<4>(), masses.as_chunks::<4>());
    let mut sums = [0.0; 4];
    for (values, masses) in values.iter().zip(masses) {
        for lane in 0..4 {
            sums[lane] += part(values[lane], masses[lane]);
        }
    }
    for ((sum, value), mass) in sums.iter_mut().zip(last_values).zip(last_masses) {
        *sum += part(*value, *mass);
    }
    sums.iter().sum()
}

impl Judged {
    /// Adds `value`, whose derivative with respect to the share of each cell is `weight` times `derivative`, where shares are
    /// of `sum`.
    fn add(&mut self, value: f64, weight: f64, derivative: &[f64], shares: &[f64], sum: f64) {
        self.value += value;
        let mean: f64 = derivative.iter().zip(shares).map(|(derivative, share)| derivative * share).sum();
        for (gradient, derivative) in self.gradient.iter_mut().zip(derivative) {
            *gradient += weight * (derivative - mean) / sum;
        }
    }
}
