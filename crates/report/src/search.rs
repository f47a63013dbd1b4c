//! How much a row's settings matter.

use statistics::area;
use std::collections::BTreeMap;
use study::{Comparison, Row};

/// A setting within this share of the best score is near it.
const NEAR: f64 = 0.01;

/// The search of a row.
pub(super) struct Search {
    /// Validation score of each setting over the seeds of the search that it was tried on, in the table's unit; none where one
    /// diverged or was stopped at a rung.
    pub(super) scores: Vec<Option<f64>>,
    higher_is_better: bool,
}

/// How the score depends on one hyper-parameter.
pub(super) struct Sensitivity {
    /// The smallest and the largest value that was tried, and how many.
    pub(super) range: [f64; 2],
    pub(super) values: usize,
    /// Mean height of the score over the hyper-parameter's logarithm.
    pub(super) area: Option<f64>,
    /// Value and score of the best trial.
    pub(super) best: (f64, f64),
    /// Value and score of the worst trial in the decade around the best, half of it on each side, without a score where it
    /// diverged; `None` where there is no other trial.
    pub(super) worst_of_decade: Option<(f64, Option<f64>)>,
}

impl Search {
    pub(super) fn of(row: &Row<'_>, comparison: &Comparison<'_>) -> Self {
        let headline = comparison.headline;
        let scores = row.settings.iter().map(|setting| Some(setting.tried(&row.trial_seeds)? * headline.scale));
        Self { scores: scores.collect(), higher_is_better: headline.higher_is_better }
    }

    fn better<'s>(&self, one: &'s f64, other: &'s f64) -> bool {
        if self.higher_is_better { one > other } else { one < other }
    }

    pub(super) fn best(&self) -> Option<f64> {
        let scores = self.scores.iter().flatten();
        scores.copied().reduce(|best, score| if self.better(&score, &best) { score } else { best })
    }

    /// How many of the row's trials are near the best, and of how many; `None` for a single one.
    pub(super) fn share_near_best(&self) -> Option<(usize, usize)> {
        let best = self.best().filter(|_| self.scores.len() > 1)?;
        let near = self.scores.iter().flatten().filter(|score| (*score - best).abs() <= NEAR * best.abs());
        Some((near.count(), self.scores.len()))
    }

    /// Value of hyper-parameter `key` and score of each trial of `row`, sorted; of trials that share a value the best.
    pub(super) fn profile(&self, row: &Row<'_>, key: &str) -> Vec<(f64, Option<f64>)> {
        let mut profile: BTreeMap<u64, (f64, Option<f64>)> = BTreeMap::new();
        for (setting, score) in row.settings.iter().zip(&self.scores) {
            // Positive numbers are in the order of their bits.
            let Some(value) = setting.hyper.get(key).map(|value| value.0).filter(|value| *value > 0.0) else {
                continue;
            };
            let (_, best) = profile.entry(value.to_bits()).or_insert((value, *score));
            if let Some(score) = score.filter(|score| best.is_none_or(|best| self.better(score, &best))) {
                *best = Some(score);
            }
        }
        profile.into_values().collect()
    }

    /// How the scores of `row` depend on `key`; `None` where fewer than two positive values have one.
    pub(super) fn sensitivity(&self, row: &Row<'_>, key: &str) -> Option<Sensitivity> {
        let profile = self.profile(row, key);
        let scored: Vec<(f64, f64)> = profile.iter().filter_map(|(value, score)| Some((*value, (*score)?))).collect();
        let [(low, _), .., (high, _)] = *profile.as_slice() else { return None };
        let by_score = |one: &(f64, f64), other: &(f64, f64)| if self.better(&other.1, &one.1) { *other } else { *one };
        let best = scored.iter().copied().reduce(|one, other| by_score(&one, &other))?;
        let points: Vec<(f64, f64)> = scored.iter().map(|(value, score)| (libm::log10(*value), *score)).collect();
        let around = |value: f64| libm::log10(value / best.0).abs() <= 0.5 + 1e-9 && value != best.0;
        let decade = profile.iter().copied().filter(|(value, _)| around(*value));
        let worst = decade.reduce(|one, other| match (one.1, other.1) {
            (Some(score), Some(than)) if self.better(&score, &than) => other,
            (Some(_), None) => other,
            _ => one,
        });
        // Of scored values alone an area would leave out those that diverged.
        let area = (scored.len() == profile.len()).then(|| area(&points)).flatten();
        Some(Sensitivity { range: [low, high], values: profile.len(), area, best, worst_of_decade: worst })
    }
}
