//! The rows of a comparison in the order of their scores, and what can be told apart.

use super::search::Search;
use super::words::{NOTHING, change, counted, estimate, hyper, listed, probability};
use crate::choice::{Comparison, Row, Setting, diverged};
use crate::run::Seconds;
use crate::statistics::{Interval, holm, interval, interval_at, mean, paired_t};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// The method that others are compared with.
pub(super) const REFERENCE: &str = "weight-decay";
/// Probability of calling any row of a table better or worse where none is.
pub(super) const LEVEL: f64 = 0.05;
/// Seeds in common below which nothing is called a difference or a tie: of two, the spread is a guess.
pub(super) const FEWEST_SEEDS: usize = 3;

pub(super) struct Ranking<'a> {
    pub(super) comparison: &'a Comparison<'a>,
    /// Best test score first; then those without one, best validation score first; then those
    /// without a chosen setting.
    pub(super) lines: Vec<Line<'a>>,
    /// Name and optimizers of each family, that of the first line first.
    pub(super) families: Vec<(&'a str, String)>,
    /// Better score first.
    pub(super) pairs: Vec<Pair>,
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
    pub(super) against_reference: Option<Difference>,
    pub(super) standing: Standing,
    /// One more than the rows that are better beyond noise; only where there is a test score.
    pub(super) rank: Option<usize>,
    pub(super) search: Search,
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

/// A difference between two lines, over the seeds that both have.
pub(super) struct Difference {
    /// In the order of seeds, in the table's unit.
    pub(super) by_seed: Vec<f64>,
    /// Mean and 95 % interval.
    pub(super) interval: Interval,
    /// p of the paired t test.
    pub(super) p: f64,
    /// p after Holm, over all comparisons of its kind in the table.
    pub(super) adjusted: f64,
    /// The least difference that would have been called one: half the width of the interval at the level that Holm sets.
    pub(super) band: f64,
}

impl Difference {
    pub(super) fn is_beyond_noise(&self) -> bool {
        self.adjusted < LEVEL
    }

    /// The mean with the noise band around it: it reaches 0 in a tie.
    pub(super) fn banded(&self) -> Interval {
        Interval { half: self.band, ..self.interval }
    }

    /// `ours − theirs`; `None` for fewer than [`FEWEST_SEEDS`] in common.
    fn of(ours: &Score, theirs: &Score) -> Option<Self> {
        let pairs = ours.by_seed.iter().filter_map(|(seed, our)| Some(our - theirs.by_seed.get(seed)?));
        let by_seed: Vec<f64> = pairs.collect();
        if by_seed.len() < FEWEST_SEEDS {
            return None;
        }
        let (interval, p) = (interval(&by_seed)?, paired_t(&by_seed)?);
        Some(Self { band: interval.half, by_seed, interval, p, adjusted: p })
    }

    /// Corrects for the number of `differences` that are tested.
    fn correct(differences: &mut [&mut Self]) {
        let p: Vec<f64> = differences.iter().map(|difference| difference.p).collect();
        let mut order: Vec<usize> = (0..p.len()).collect();
        order.sort_by(|one, other| p[*one].total_cmp(&p[*other]));
        let adjusted = holm(&p);
        // Holm tests the smallest p at the level over n, the next over n − 1, and stops at the first that fails.
        let failed = order.iter().position(|index| adjusted[*index] >= LEVEL).unwrap_or(p.len());
        for (rank, index) in order.into_iter().enumerate() {
            let level = 1.0 - LEVEL / (p.len() - rank.min(failed)) as f64;
            let difference = &mut differences[index];
            difference.adjusted = adjusted[index];
            difference.band = interval_at(&difference.by_seed, level).map_or(f64::NAN, |interval| interval.half);
        }
    }
}

/// How a line's test score compares with the reference of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the reference.
    Reference,
    Better,
    /// The difference is inside its noise band.
    Tied,
    Worse,
    /// No test score, no reference, or too few seeds in common with it.
    Unknown,
}

/// Two lines with test scores.
pub(super) struct Pair {
    /// Indices of lines, that of the better score first.
    pub(super) lines: [usize; 2],
    /// The first less the second.
    pub(super) difference: Difference,
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
                let theirs = lines[index].test.as_ref();
                let differences: Vec<Option<Difference>> = lines
                    .iter()
                    .map(|line| Difference::of(line.test.as_ref().filter(|_| line.row.family() == *family)?, theirs?))
                    .collect();
                for (i, difference) in differences.into_iter().enumerate().filter(|(i, _)| *i != index) {
                    lines[i].against_reference = difference.or(lines[i].against_reference.take());
                }
            }
        }
        Difference::correct(
            &mut lines.iter_mut().filter_map(|line| line.against_reference.as_mut()).collect::<Vec<_>>(),
        );
        for line in &mut lines {
            line.standing = match &line.against_reference {
                _ if line.is_reference && line.test.is_some() => Standing::Reference,
                None => Standing::Unknown,
                Some(difference) if !difference.is_beyond_noise() => Standing::Tied,
                Some(difference) => match comparison.order(difference.interval.mean, 0.0) {
                    Ordering::Less => Standing::Better,
                    _ => Standing::Worse,
                },
            };
        }
        let mut ranking = Self { comparison, lines, families, pairs: Vec::new() };
        ranking.pairs = ranking.pairs();
        let compared = if ranking.pairs.is_empty() { 0 } else { ranking.tested().count() };
        for index in 0..compared {
            ranking.lines[index].rank = Some(1 + ranking.ahead(index));
        }
        ranking
    }

    /// All pairs of lines with test scores and common seeds.
    fn pairs(&self) -> Vec<Pair> {
        let tested: Vec<&Score> = self.tested().filter_map(|line| line.test.as_ref()).collect();
        let pair = |first: usize, second: usize| {
            Some(Pair { lines: [first, second], difference: Difference::of(tested[first], tested[second])? })
        };
        let second = |first: usize| (first + 1..tested.len()).filter_map(move |second| pair(first, second));
        let mut pairs: Vec<Pair> = (0..tested.len()).flat_map(second).collect();
        Difference::correct(&mut pairs.iter_mut().map(|pair| &mut pair.difference).collect::<Vec<_>>());
        pairs
    }

    /// How many lines are better than line `index` beyond noise.
    fn ahead(&self, index: usize) -> usize {
        (0..index).filter(|other| self.is_told(*other, index)).count()
    }

    /// Whether line `first`, which has the better score, is better than line `second` beyond noise: as the planned comparison
    /// with weight decay says where one of them is the other's reference, or else the test of all pairs.
    fn is_told(&self, first: usize, second: usize) -> bool {
        let [ours, theirs] = [first, second].map(|index| &self.lines[index]);
        let related = ours.row.family() == theirs.row.family();
        let planned = (ours.standing == Standing::Better && theirs.is_reference)
            || (ours.is_reference && theirs.standing == Standing::Worse);
        if related && planned {
            return true;
        }
        let pair = self.pairs.iter().find(|pair| pair.lines == [first, second]);
        pair.is_some_and(|pair| {
            pair.difference.is_beyond_noise()
                && self.comparison.order(pair.difference.interval.mean, 0.0) == Ordering::Less
        })
    }

    /// The lines with test scores that the first line is not better than beyond noise.
    pub(super) fn not_behind_first(&self) -> Vec<&Line<'a>> {
        self.tested().enumerate().skip(1).filter(|(other, _)| !self.is_told(0, *other)).map(|(_, line)| line).collect()
    }

    /// The lines with test scores.
    pub(super) fn tested(&self) -> impl Iterator<Item = &Line<'a>> {
        self.lines.iter().filter(|line| line.test.is_some())
    }

    /// The reference row with the best validation score.
    pub(super) fn reference(&self) -> Option<&Line<'a>> {
        let references = self.lines.iter().filter(|line| line.is_reference);
        let score = |line: &Line<'_>| line.validation.as_ref().map_or(f64::NAN, |score| score.mean);
        references.min_by(|one, other| self.comparison.order(score(one), score(other)))
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

    pub(super) fn header(&self) -> [String; COLUMNS] {
        let headline = self.comparison.headline;
        let direction = if headline.higher_is_better { "" } else { ", lower is better" };
        [
            "rank".to_owned(),
            "method".to_owned(),
            format!("test {}{direction}", headline.title),
            format!("vs weight decay{} (paired, Holm)", if self.families.len() > 1 { " of the family" } else { "" }),
            "p (Holm)".to_owned(),
            "chosen".to_owned(),
            "update per step".to_owned(),
            "diverged".to_owned(),
            "trials to within noise".to_owned(),
            "trials within 1 %".to_owned(),
        ]
    }

    /// The cells of `line` under [`Self::header`], without markup.
    pub(super) fn cells(&self, line: &Line<'_>) -> [String; COLUMNS] {
        let headline = self.comparison.headline;
        let score = |score: &Option<Score>| match score {
            Some(score) => estimate(score.mean, score.interval, headline),
            None => NOTHING.to_owned(),
        };
        let (difference, p) = match &line.against_reference {
            _ if line.is_reference => {
                let of = self.family(line).map_or(String::new(), |family| format!(" of {family}"));
                (format!("reference{of}"), NOTHING.to_owned())
            }
            Some(difference) => {
                let tie = if line.standing == Standing::Tied { " (tie)" } else { "" };
                (change(difference.banded(), headline) + tie, probability(difference.adjusted))
            }
            None => (NOTHING.to_owned(), NOTHING.to_owned()),
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
            line.rank.map_or(NOTHING.to_owned(), |rank| rank.to_string()),
            line.row.label.clone(),
            score(&line.test),
            difference,
            p,
            chosen,
            cost.unwrap_or_else(|| NOTHING.to_owned()),
            format!("{}/{}", line.diverged, line.runs),
            line.search.to_noise().map_or(NOTHING.to_owned(), |trials| trials.to_string()),
            line.search.share_near_best().map_or(NOTHING.to_owned(), |(near, of)| format!("{near}/{of}")),
        ]
    }
}

/// Columns of the table; the last two are not shown on a terminal.
pub(super) const COLUMNS: usize = 10;

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
            standing: Standing::Unknown,
            rank: None,
            search: Search::of(row, comparison),
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
