//! The Bayesian loss.

use super::exponential::exponentials;
use super::{Judged, middles, sign, square};
use crate::density::Map;
use data::Point;
use serde::{Deserialize, Serialize};

/// The Bayesian loss (arXiv 1908.03684): what a map has in a cell belongs to each person with the probability that the
/// person, a Gaussian, made the cell; the loss is how far the expected number is from 1 for each person, and from 0 for
/// the background.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bayesian {
    /// Standard deviation of a person in pixels.
    pub sigma: f64,
    /// The distance d of the background over the shorter side of the image, 0.15 in the paper; at 0 there is no
    /// background. A cell at a distance r from the nearest person has a squared distance of d²/r² from the background, as in
    /// the authors' public code; the paper has (d − r)².
    pub background: f64,
}

impl Default for Bayesian {
    fn default() -> Self {
        Self { sigma: 8.0, background: 0.15 }
    }
}

/// Probabilities below do not count.
const NEGLIGIBLE: f64 = 1e-9;
/// Keeps the distance from the background finite, as in the authors' code.
const EPSILON: f64 = 1e-5;

impl Bayesian {
    /// What the loss says of `map`, whose cells have sides of `stride` pixels, for people at `points`.
    pub(crate) fn of(&self, map: &Map, points: &[Point], stride: usize) -> Judged {
        // Without people, everything is background.
        if points.is_empty() {
            return Judged { value: map.sum().abs(), gradient: vec![sign(map.sum()); map.values.len()] };
        }
        let belongings = self.belongings(map, points, stride);
        // The background is behind the people.
        let mut missing = vec![1.0; points.len()];
        missing.push(0.0);
        for (belongings, value) in belongings.iter().zip(&map.values) {
            belongings.iter().for_each(|(person, probability)| missing[*person] -= probability * value);
        }
        let slope = |belongings: &Vec<(usize, f64)>| {
            -belongings.iter().map(|(person, probability)| sign(missing[*person]) * probability).sum::<f64>()
        };
        Judged {
            value: missing.iter().map(|missing| missing.abs()).sum(),
            gradient: belongings.iter().map(slope).collect(),
        }
    }

    /// For each cell, to whom it belongs with which probability.
    fn belongings(&self, map: &Map, points: &[Point], stride: usize) -> Vec<Vec<(usize, f64)>> {
        let [rows, columns] = [map.height, map.width].map(|cells| middles(cells, stride));
        let far = self.background * (map.height.min(map.width) * stride) as f64;
        let mut squared = Vec::with_capacity(points.len() + 1);
        let mut of_cell = |row: f64, column: f64| {
            squared.clear();
            squared.extend(points.iter().map(|[x, y]| square(f64::from(*x) - column) + square(f64::from(*y) - row)));
            let mut nearest = squared.iter().copied().fold(f64::INFINITY, f64::min);
            if self.background > 0.0 {
                let background = square(far) / (nearest + EPSILON);
                squared.push(background);
                nearest = nearest.min(background);
            }
            squared.iter_mut().for_each(|squared| *squared = (nearest - *squared) / (2.0 * square(self.sigma)));
            exponentials(&mut squared);
            let sum: f64 = squared.iter().sum();
            let shares = squared.iter().map(|weight| weight / sum).enumerate();
            shares.filter(|(_, share)| *share > NEGLIGIBLE).collect::<Vec<_>>()
        };
        rows.iter().flat_map(|row| columns.iter().map(|column| of_cell(*row, *column)).collect::<Vec<_>>()).collect()
    }
}
