//! The rows of a comparison in the order of their scores, and what their differences to weight decay say.

use super::search::Search;
use super::table::{Cell, Table};
use super::words::{NOTHING, change, counted, estimate, hyper, listed};
use record::Seconds;
use statistics::{Contrast, Dunnett, Interval, Noise, correlation, interval, mean};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use study::{Comparison, Edge, Protocol, Row, Setting, diverged};

pub(super) use study::REFERENCE;

/// Probability that all intervals of a table hold what they estimate.
pub(super) const LEVEL: f64 = 0.95;
/// Seeds in common below which nothing is said of a difference: of two, the spread is a guess.
pub(super) const FEWEST_SEEDS: usize = 3;
/// Seeds above which no number of them is promised to decide.
const MOST_SEEDS: usize = 200;
/// The quantile of the normal distribution for 80 % power.
const POWER: f64 = 0.841_621_233_572_914_3;

pub(super) struct Ranking<'a> {
    pub(super) comparison: &'a Comparison<'a>,
    pub(super) protocol: &'a Protocol,
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
    /// Whether the rows of its family are compared with it.
    pub(super) is_reference: bool,
    /// Difference in test score to the reference of its family.
    pub(super) against_reference: Option<Difference>,
    pub(super) verdict: Verdict,
    /// Where its choice lies at an end of what was tried.
    pub(super) edges: Vec<Edge>,
    pub(super) search: Search,
    /// Time of the step of optimizer and method, of a training step.
    pub(super) update_share: Option<f64>,
    pub(super) diverged: usize,
    pub(super) runs: usize,
}

/// Scores of a setting, in the table's unit.
pub(super) struct Score {
    pub(super) by_seed: BTreeMap<u64, f64>,
    pub(super) mean: f64,
    pub(super) interval: Option<Interval>,
}

/// A difference to the reference, over the seeds that all compared rows have.
pub(super) struct Difference {
    /// With all others of the table 95 % of the time at once.
    pub(super) interval: Interval,
    /// Probability that any comparison of a table of equal methods has a difference that large, by its error.
    pub(super) p: f64,
    /// Of the error.
    pub(super) degrees: f64,
    /// Between the scores of both rows over seeds.
    pub(super) correlation: Option<f64>,
    /// Seeds with which a difference of `decides` would be found in 80 % of tables; `None` where it is more than 200.
    pub(super) seeds: Option<usize>,
    /// The observed difference, or the margin where that is more.
    pub(super) decides: f64,
}

/// What a line's difference to the reference of its family says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// It is the reference.
    Reference,
    Better,
    Worse,
    /// Its whole interval lies within the margin.
    Equivalent,
    Undecided,
    /// The choice of either row lies at an end of what was tried.
    Edge,
    /// No test score, no reference, or too few seeds in common with it.
    Unknown,
}

impl Verdict {
    /// Whether it says what the difference is.
    pub(super) fn is_decided(self) -> bool {
        matches!(self, Self::Better | Self::Worse | Self::Equivalent)
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Equivalent => "equivalent",
            Self::Undecided => "undecided",
            Self::Edge => "undecided (edge)",
            Self::Unknown => NOTHING,
        }
    }
}

impl<'a> Ranking<'a> {
    pub(super) fn of(comparison: &'a Comparison<'a>, protocol: &'a Protocol) -> Self {
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
        for line in &mut lines {
            let reference = comparison.reference(line.row.family());
            line.is_reference = reference.is_some_and(|row| std::ptr::eq(row, line.row));
        }
        let mut ranking = Self { comparison, protocol, lines, families };
        ranking.compare();
        ranking.judge();
        ranking
    }

    /// Fills in the differences to the references: one model of the noise for all rows.
    fn compare(&mut self) {
        let seeds_of =
            |line: &Line<'_>| line.test.iter().flat_map(|test| test.by_seed.keys().copied()).collect::<BTreeSet<_>>();
        // Pairs of a row and its reference, by their places.
        let pairs = self.lines.iter().enumerate().filter_map(|(index, line)| {
            let is_its = |other: &Line<'_>| other.is_reference && other.row.family() == line.row.family();
            let reference = self.lines.iter().position(is_its).filter(|reference| *reference != index)?;
            let common = seeds_of(line).intersection(&seeds_of(&self.lines[reference])).count();
            (common >= FEWEST_SEEDS).then_some((index, reference))
        });
        let pairs: Vec<(usize, usize)> = pairs.collect();
        let compared: BTreeSet<usize> = pairs.iter().flat_map(|(line, reference)| [*line, *reference]).collect();
        let seeds = compared.iter().map(|index| seeds_of(&self.lines[*index]));
        let seeds = seeds.reduce(|one, other| one.intersection(&other).copied().collect()).unwrap_or_default();
        if seeds.len() < FEWEST_SEEDS {
            return;
        }
        let scores = |index: usize| -> Vec<f64> {
            let by_seed = self.lines[index].test.as_ref().map(|test| &test.by_seed);
            seeds.iter().filter_map(|seed| by_seed?.get(seed).copied()).collect()
        };
        let compared: Vec<usize> = compared.into_iter().collect();
        let rows: Vec<Vec<f64>> = compared.iter().map(|index| scores(*index)).collect();
        let place = |index: usize| compared.iter().position(|other| *other == index).unwrap_or_default();
        let Some(noise) = Noise::of(&rows) else { return };
        let differences = pairs.iter().filter_map(|(line, reference)| {
            let (one, other) = (place(*line), place(*reference));
            let family = pairs.iter().filter(|(_, of)| of == reference).count();
            let share = family as f64 / pairs.len() as f64;
            let both: Vec<(f64, f64)> = rows[one].iter().copied().zip(rows[other].iter().copied()).collect();
            let mut difference =
                Difference::of(noise.contrast(one, other)?, family, share, seeds.len(), self.protocol.margin)?;
            difference.correlation = correlation(&both);
            Some((*line, difference))
        });
        for (line, difference) in differences.collect::<Vec<_>>() {
            self.lines[line].against_reference = Some(difference);
        }
    }

    fn judge(&mut self) {
        let verdicts = self.lines.iter().map(|line| match &line.against_reference {
            _ if line.is_reference && line.test.is_some() => Verdict::Reference,
            None => Verdict::Unknown,
            Some(_) if !self.edges(line).is_empty() => Verdict::Edge,
            Some(Difference { interval, .. }) => {
                let reach = interval.low().abs().max(interval.high().abs());
                let is_better = self.comparison.order(interval.mean, 0.0) == Ordering::Less;
                match self.protocol.margin {
                    Some(margin) if reach <= margin => Verdict::Equivalent,
                    _ if interval.low() <= 0.0 && 0.0 <= interval.high() => Verdict::Undecided,
                    _ if is_better => Verdict::Better,
                    _ => Verdict::Worse,
                }
            }
        });
        let verdicts: Vec<Verdict> = verdicts.collect();
        for (line, verdict) in self.lines.iter_mut().zip(verdicts) {
            line.verdict = verdict;
        }
    }

    /// The edges of the line's choice and of that of its reference, or of the reference that a matched rate is taken from.
    pub(super) fn edges<'l>(&'l self, line: &'l Line<'a>) -> Vec<&'l Edge> {
        let reference = self.reference_of(line).filter(|reference| reference.number != line.number);
        line.edges.iter().chain(reference.iter().flat_map(|reference| &reference.edges)).collect()
    }

    /// The reference of the line's family.
    pub(super) fn reference_of(&self, line: &Line<'_>) -> Option<&Line<'a>> {
        self.lines.iter().find(|other| other.is_reference && other.row.family() == line.row.family())
    }

    /// The lines that the others are compared with.
    pub(super) fn references(&self) -> impl Iterator<Item = &Line<'a>> {
        self.lines.iter().filter(|line| line.is_reference)
    }

    /// The lines with test scores.
    pub(super) fn tested(&self) -> impl Iterator<Item = &Line<'a>> {
        self.lines.iter().filter(|line| line.test.is_some())
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

    /// The table that the answer rests on; each cell leads to its runs.
    pub(super) fn table(&self) -> Table {
        let headline = self.comparison.headline;
        let direction = if headline.higher_is_better { "" } else { ", lower is better" };
        let header = [
            "method",
            &format!("test {}{direction}", headline.title),
            "difference to weight decay",
            "verdict",
            "chosen setting",
        ];
        Table::new(header, self.lines.iter().map(|line| self.cells(line)))
    }

    fn cells(&self, line: &Line<'_>) -> Vec<Cell> {
        let headline = self.comparison.headline;
        let score = line.test.as_ref();
        let difference = line.against_reference.as_ref().map(|difference| difference.interval);
        let of =
            self.family(line).filter(|_| line.is_reference).map_or(String::new(), |family| format!(" of {family}"));
        let verdict = Cell::text(line.verdict.words().to_owned() + &of + &line.needs());
        let tried = line.row.settings.len();
        let chosen = match line.setting {
            Some(setting) if line.row.is_matched() => format!("{}, not searched", hyper(line.row, setting)),
            Some(setting) if tried == 1 => format!("{} (only one tried)", hyper(line.row, setting)),
            Some(setting) => format!("{} (best of {tried})", hyper(line.row, setting)),
            None => format!("none of {}", counted(tried, "setting")),
        };
        let row = line.place();
        let setting = line.row.choice.map_or_else(|| row.clone(), |choice| line.setting_place(choice));
        vec![
            Cell::text(&line.row.label).link(&row),
            Cell::measured(score, |score| (score.mean, estimate(score.mean, score.interval, headline))).link(&setting),
            Cell::measured(difference, |interval| (interval.mean, change(interval, headline))).link("comparisons"),
            if line.verdict.is_decided() { verdict.strong() } else { verdict },
            Cell::text(chosen).link(&setting),
        ]
    }
}

impl Difference {
    /// Of one of `family` comparisons with a reference, which are this `share` of the table's; references of several families are
    /// independent, so each family's intervals hold with a part of the level.
    fn of(contrast: Contrast, family: usize, share: f64, seeds: usize, margin: Option<f64>) -> Option<Self> {
        let level = libm::pow(LEVEL, share);
        let dunnett = |degrees: f64| Dunnett { comparisons: family, degrees };
        let Contrast { difference, error, degrees } = contrast;
        let half = if error == 0.0 { 0.0 } else { dunnett(degrees).critical(level)? * error };
        let within = dunnett(degrees).within(contrast.statistic().abs());
        let decides = difference.abs().max(margin.unwrap_or(0.0));
        // With n seeds, the difference is found where it is this many errors.
        let needed = |n: f64| {
            let degrees = degrees * (n - 1.0) / (seeds - 1) as f64;
            let errors = dunnett(degrees).critical(level).unwrap_or(f64::INFINITY) + POWER;
            let one = error * (seeds as f64).sqrt() * errors / decides;
            one * one
        };
        // The more seeds, the fewer are needed, as their errors are better known.
        let mut enough = if decides > 0.0 && error > 0.0 { needed(seeds as f64) } else { f64::INFINITY };
        for _ in 0..6 {
            enough = if enough <= MOST_SEEDS as f64 { needed(enough.max(FEWEST_SEEDS as f64)) } else { enough };
        }
        Some(Self {
            interval: Interval { mean: difference, half, n: seeds },
            p: 1.0 - libm::pow(within, 1.0 / share),
            degrees,
            correlation: None,
            seeds: (enough <= MOST_SEEDS as f64).then(|| (enough.ceil() as usize).max(FEWEST_SEEDS)),
            decides,
        })
    }
}

impl<'a> Line<'a> {
    /// The place of its runs on the page.
    pub(super) fn place(&self) -> String {
        format!("row-{}", self.number + 1)
    }

    /// The place of its setting number `setting`, from 0.
    pub(super) fn setting_place(&self, setting: usize) -> String {
        format!("setting-{}-{}", self.number + 1, setting + 1)
    }

    /// Its label, leading to its chosen setting.
    pub(super) fn name(&self) -> Cell {
        let label = Cell::text(&self.row.label);
        self.row.choice.map_or_else(|| label.clone(), |choice| label.clone().link(&self.setting_place(choice)))
    }

    /// ` (9 seeds would decide)`, where that is what is missing.
    fn needs(&self) -> String {
        match &self.against_reference {
            Some(Difference { seeds: Some(seeds), .. }) if self.verdict == Verdict::Undecided => {
                format!(" ({seeds} seeds would decide)")
            }
            Some(_) if self.verdict == Verdict::Undecided => format!(" (over {MOST_SEEDS} seeds would decide)"),
            _ => String::new(),
        }
    }

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
            verdict: Verdict::Unknown,
            edges: row.edges(),
            search: Search::of(row, comparison),
            update_share: setting.and_then(update_share),
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

fn update_share(setting: &Setting<'_>) -> Option<f64> {
    let (seconds, _) = seconds(setting);
    let training = seconds.training();
    (training > 0.0).then_some(seconds.update / training)
}

/// Seconds and steps of all runs of `setting` on the seeds of the result.
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
