//! The rows of a comparison in the order of their scores, and what can be told apart.

use super::words::{NOTHING, change, counted, estimate, hyper, listed};
use crate::choice::{Comparison, Row, Setting, diverged};
use crate::run::Seconds;
use crate::statistics::{Interval, interval, mean, paired};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// The method that others are compared with.
pub(super) const REFERENCE: &str = "weight-decay";

pub(super) struct Ranking<'a> {
    pub(super) comparison: &'a Comparison<'a>,
    /// Best test score first; then those without one, best validation score first; then those
    /// without a chosen setting.
    pub(super) lines: Vec<Line<'a>>,
    /// Name and optimizers of each family, that of the first line first.
    pub(super) families: Vec<(&'a str, String)>,
}

pub(super) struct Line<'a> {
    /// Of the row in the comparison, from 0: the same whatever the scores are.
    pub(super) number: usize,
    pub(super) row: &'a Row<'a>,
    /// The chosen one.
    pub(super) setting: Option<&'a Setting<'a>>,
    pub(super) validation: Option<Score>,
    /// Only where each run of the setting has one.
    pub(super) test: Option<Score>,
    /// Whether the rows of its family are compared with it: the [`REFERENCE`] row with the best validation
    /// score.
    pub(super) is_reference: bool,
    /// Difference in test score to the reference of its family.
    pub(super) against_reference: Option<Interval>,
    /// Difference in test score to the first line.
    pub(super) against_first: Option<Interval>,
    pub(super) standing: Standing,
    pub(super) cost: Option<Cost>,
    pub(super) diverged: usize,
    pub(super) runs: usize,
}

/// Scores of a setting, in the table's unit.
pub(super) struct Score {
    pub(super) by_seed: BTreeMap<u64, f64>,
    pub(super) mean: f64,
    pub(super) interval: Option<Interval>,
}

/// How a line's test score compares with the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    First,
    /// The interval of the paired difference reaches zero.
    Tied,
    /// It does not.
    Behind,
    /// No test score, or fewer than two seeds in common.
    Unknown,
}

/// Time spent in the step of optimizer and method.
pub(super) struct Cost {
    /// Of a training step.
    pub(super) share: f64,
    /// Microseconds a step.
    pub(super) micros: f64,
}

impl<'a> Ranking<'a> {
    pub(super) fn of(comparison: &'a Comparison<'a>) -> Self {
        let mut lines: Vec<Line<'a>> =
            comparison.rows.iter().enumerate().map(|(number, row)| Line::of(number, row, comparison)).collect();
        let by =
            |score: fn(&Line<'a>) -> Option<f64>, one: &Line<'a>, other: &Line<'a>| match (score(one), score(other)) {
                (Some(one), Some(other)) => comparison.order(one, other),
                (one, other) => other.is_some().cmp(&one.is_some()),
            };
        let test = |line: &Line<'a>| line.test.as_ref().map(|score| score.mean);
        let validation = |line: &Line<'a>| line.validation.as_ref().map(|score| score.mean);
        // Stable, so that equal rows stay in the order of their labels.
        lines.sort_by(|one, other| by(test, one, other).then_with(|| by(validation, one, other)));
        let mut families: Vec<(&str, String)> = Vec::new();
        for family in lines.iter().map(|line| line.row.family()) {
            if families.iter().all(|(known, _)| *known != family) {
                let rows = comparison.rows.iter().filter(|row| row.family() == family);
                let optimizers: BTreeSet<String> = rows.map(|row| row.optimizer.to_owned()).collect();
                families.push((family, listed(&Vec::from_iter(optimizers))));
            }
        }
        for (family, _) in &families {
            let reference = lines
                .iter()
                .enumerate()
                .filter(|(_, line)| line.row.family() == *family)
                .filter(|(_, line)| line.row.method == REFERENCE && line.setting.is_some())
                .min_by(|(_, one), (_, other)| by(validation, one, other));
            if let Some((index, _)) = reference {
                lines[index].is_reference = true;
                compare(&mut lines, index, |line, difference| {
                    if line.row.family() == *family {
                        line.against_reference = Some(difference);
                    }
                });
            }
        }
        compare(&mut lines, 0, |line, difference| line.against_first = Some(difference));
        for (i, line) in lines.iter_mut().enumerate() {
            line.standing = match line.against_first {
                _ if line.test.is_none() => Standing::Unknown,
                _ if i == 0 => Standing::First,
                None => Standing::Unknown,
                Some(difference) if difference.contains(0.0) => Standing::Tied,
                Some(difference) => match comparison.order(difference.mean, 0.0) {
                    // Better on the common seeds, worse on its own: nothing can be said.
                    Ordering::Less => Standing::Unknown,
                    _ => Standing::Behind,
                },
            };
        }
        Self { comparison, lines, families }
    }

    /// The lines with test scores.
    pub(super) fn tested(&self) -> impl Iterator<Item = &Line<'a>> {
        self.lines.iter().filter(|line| line.test.is_some())
    }

    /// Whether the first line's lead over each other is beyond noise.
    pub(super) fn decided(&self) -> bool {
        self.tested().count() > 1 && self.tested().skip(1).all(|line| line.standing == Standing::Behind)
    }

    /// The optimizers of the line's family in words, where there are several families.
    pub(super) fn family(&self, line: &Line<'_>) -> Option<&str> {
        let (_, optimizers) = self.families.iter().find(|(family, _)| *family == line.row.family())?;
        (self.families.len() > 1).then_some(optimizers)
    }

    /// Seeds of the chosen settings, and whether all have the same.
    pub(super) fn seeds(&self) -> (BTreeSet<u64>, bool) {
        let chosen = || self.lines.iter().filter_map(|line| line.setting);
        let seeds: BTreeSet<u64> = chosen().flat_map(|setting| setting.runs.keys().copied()).collect();
        let same = chosen().all(|setting| setting.runs.len() == seeds.len());
        (seeds, same)
    }

    pub(super) fn header(&self) -> Vec<String> {
        let headline = self.comparison.headline;
        let direction = if headline.higher_is_better { "" } else { ", lower is better" };
        vec![
            "method".to_owned(),
            format!("test {}{direction}", headline.title),
            format!("vs weight decay{} (paired)", if self.families.len() > 1 { " of the family" } else { "" }),
            format!("validation {}", headline.title),
            "chosen".to_owned(),
            "update per step".to_owned(),
            "diverged".to_owned(),
        ]
    }

    /// The cells of `line` under [`Self::header`], without markup.
    pub(super) fn cells(&self, line: &Line<'_>) -> [String; 7] {
        let headline = self.comparison.headline;
        let score = |score: &Option<Score>| match score {
            Some(score) => estimate(score.mean, score.interval, headline),
            None => NOTHING.to_owned(),
        };
        let tie = if self.is_tie(line) { " (tie)" } else { "" };
        let difference = match line.against_reference {
            _ if line.is_reference => match self.family(line) {
                Some(family) => format!("reference of {family}"),
                None => "reference".to_owned(),
            },
            Some(difference) => change(difference, headline),
            None => NOTHING.to_owned(),
        };
        let chosen = match line.setting {
            Some(setting) => {
                let tried = line.row.settings.len();
                let effort = if tried == 1 { "only one tried".to_owned() } else { format!("best of {tried}") };
                format!("{} ({effort})", hyper(line.row, setting))
            }
            None => format!("none of {}", counted(line.row.settings.len(), "setting")),
        };
        let cost = line.cost.as_ref().map(|cost| format!("{:.1} % ({:.0} µs)", 100.0 * cost.share, cost.micros));
        [
            line.row.label.clone(),
            score(&line.test) + tie,
            difference,
            score(&line.validation),
            chosen,
            cost.unwrap_or_else(|| NOTHING.to_owned()),
            format!("{}/{}", line.diverged, line.runs),
        ]
    }

    fn is_tie(&self, line: &Line<'_>) -> bool {
        match line.standing {
            Standing::Tied => true,
            Standing::First => self.lines.iter().any(|other| other.standing == Standing::Tied),
            _ => false,
        }
    }
}

/// Hands the difference of each other line to line `index` to `set`.
fn compare<'a>(lines: &mut [Line<'a>], index: usize, set: impl Fn(&mut Line<'a>, Interval)) {
    let Some(theirs) = lines.get(index).and_then(|line| line.test.as_ref()).map(|score| score.by_seed.clone()) else {
        return;
    };
    for (i, line) in lines.iter_mut().enumerate() {
        let difference = line.test.as_ref().and_then(|ours| paired(&ours.by_seed, &theirs));
        if let Some(difference) = difference.filter(|_| i != index) {
            set(line, difference);
        }
    }
}

impl<'a> Line<'a> {
    fn of(number: usize, row: &'a Row<'a>, comparison: &Comparison<'_>) -> Self {
        let setting = row.chosen();
        let scale = comparison.headline.scale;
        let complete = |scores: BTreeMap<u64, f64>, setting: &Setting<'_>| {
            (scores.len() == setting.runs.len()).then(|| Score::of(scores, scale)).flatten()
        };
        Self {
            number,
            row,
            setting,
            validation: setting.and_then(|setting| complete(setting.validation(), setting)),
            test: setting.and_then(|setting| complete(setting.test(), setting)),
            is_reference: false,
            against_reference: None,
            against_first: None,
            standing: Standing::Unknown,
            cost: setting.and_then(Cost::of),
            diverged: row.entries().filter(|entry| diverged(entry)).count(),
            runs: row.entries().count(),
        }
    }
}

impl Score {
    fn of(mut by_seed: BTreeMap<u64, f64>, scale: f64) -> Option<Self> {
        by_seed.values_mut().for_each(|score| *score *= scale);
        let values: Vec<f64> = by_seed.values().copied().collect();
        Some(Self { mean: mean(&values)?, interval: interval(&values), by_seed })
    }
}

impl Cost {
    fn of(setting: &Setting<'_>) -> Option<Self> {
        let (seconds, steps) = seconds(setting);
        let training = seconds.training();
        (training > 0.0 && steps > 0)
            .then(|| Self { share: seconds.update / training, micros: 1e6 * seconds.update / steps as f64 })
    }
}

/// Seconds and steps of all runs of `setting`.
pub(super) fn seconds(setting: &Setting<'_>) -> (Seconds, u64) {
    let mut sum = Seconds::default();
    let mut steps = 0;
    for entry in setting.runs.values() {
        let Seconds { data, forward, backward, update, evaluation } = entry.record.seconds;
        sum.data += data;
        sum.forward += forward;
        sum.backward += backward;
        sum.update += update;
        sum.evaluation += evaluation;
        steps += entry.record.steps;
    }
    (sum, steps)
}
