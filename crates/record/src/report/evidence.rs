//! What the answer rests on: every comparison, how much searching it took, and how fast a target was reached.

use super::ranking::{Difference, Line, Ranking, Standing};
use super::summary::setting_anchor;
use super::words::{
    NOTHING, anchor, change, counted, escape, estimate, link, listed, number, probability, significant,
};
use crate::choice::{Float, last};
use crate::run::Record;
use crate::statistics::{bootstrap, median, welch, wilcoxon};
use crate::table;

/// Seeds below which a bootstrap only repeats what it was given.
const FEWEST_RESAMPLED: usize = 5;

/// Every difference to weight decay, with the tests that the table does not show.
pub(super) fn comparisons(ranking: &Ranking<'_>) -> Option<String> {
    let headline = ranking.comparison.headline;
    let row = |line: &Line<'_>| {
        let difference = line.against_reference.as_ref()?;
        let reference =
            ranking.lines.iter().find(|other| other.is_reference && other.row.family() == line.row.family())?;
        let scores =
            |line: &Line<'_>| line.test.as_ref().map(|test| test.by_seed.values().copied().collect::<Vec<f64>>());
        let test = |p: Option<f64>| p.map_or(NOTHING.to_owned(), probability);
        let ends = bootstrap(&difference.by_seed, 0)
            .map_or(NOTHING.to_owned(), |(low, high)| format!("[{}, {}]", significant(low), significant(high)));
        Some(vec![
            name(line),
            name(reference),
            difference.by_seed.len().to_string(),
            change(difference.interval, headline),
            ends,
            probability(difference.p),
            probability(difference.adjusted),
            format!("± {}", significant(difference.band)),
            test(wilcoxon(&difference.by_seed)),
            test(welch(&scores(line)?, &scores(reference)?).map(|welch| welch.p)),
            standing(line.standing).to_owned(),
        ])
    };
    let rows: Vec<Vec<String>> = ranking.lines.iter().filter_map(row).collect();
    let names = [
        "chosen setting of",
        "against",
        "seeds",
        "difference (t interval)",
        "bootstrap interval",
        "p (paired t)",
        "p (Holm)",
        "noise band",
        "p (Wilcoxon)",
        "p (Welch)",
        "",
    ];
    (!rows.is_empty()).then(|| {
        format!(
            "### {}Differences to weight decay\n\nIn test {}, paired by seed. Intervals are of 95 %, each by itself; the bootstrap is \
             bias-corrected and accelerated (BCa), is too narrow for few seeds, and is left out below {FEWEST_RESAMPLED}. A difference inside its *noise band* is a tie: \
             the band is the half width of the interval at the level at which Holm's procedure tests it, which is why p after Holm \
             may be the same for several rows: it never falls from one comparison to the next. Wilcoxon's and Welch's tests \
             are shown for comparison and decide nothing: with n seeds Wilcoxon's p is at least 2¹⁻ⁿ, and Welch's ignores \
             the pairing.\n\n{}",
            anchor("comparisons"),
            headline.title,
            table::markdown(&names.map(str::to_owned), &rows).trim_end()
        )
    })
}

pub(super) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Reference => "reference",
        Standing::Better => "better",
        Standing::Tied => "tie",
        Standing::Worse => "worse",
        Standing::Unknown => "unknown",
    }
}

/// The line's label, leading to its chosen setting.
fn name(line: &Line<'_>) -> String {
    let label = escape(&line.row.label);
    line.row.choice.map_or(label.clone(), |choice| link(&label, &setting_anchor(line.number, choice)))
}

/// The difference of each row to each other, with p after Holm for all of them.
pub(super) fn pairs(ranking: &Ranking<'_>) -> Option<String> {
    let tested: Vec<&Line<'_>> = ranking.tested().collect();
    let cell = |one: usize, other: usize| match one.cmp(&other) {
        std::cmp::Ordering::Equal => NOTHING.to_owned(),
        order => {
            let sought = if order.is_lt() { [one, other] } else { [other, one] };
            let pair = ranking.pairs.iter().find(|pair| pair.lines == sought);
            let sign = if order.is_lt() { 1.0 } else { -1.0 };
            pair.map_or(NOTHING.to_owned(), |pair| {
                let Difference { interval, adjusted, .. } = &pair.difference;
                let text = format!("{} (p {})", significant(sign * interval.mean), probability(*adjusted));
                if pair.difference.is_beyond_noise() { format!("**{text}**") } else { text }
            })
        }
    };
    let rows = tested.iter().enumerate().map(|(one, line)| {
        std::iter::once(name(line)).chain((0..tested.len()).map(|other| cell(one, other))).collect::<Vec<_>>()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let labels = tested.iter().map(|line| escape(&line.row.label));
    let header: Vec<String> = std::iter::once("less →".to_owned()).chain(labels).collect();
    (!ranking.pairs.is_empty()).then(|| {
        format!(
            "### {}All pairs\n\nMean paired difference in test {}, the row less the column, and p of the paired t test after Holm for {}. \
             Bold where it is below 0.05. These pairs were not planned: the first row is first because its score is, so telling \
             it from the others takes a correction for all of them.\n\n{}",
            anchor("pairs"),
            ranking.comparison.headline.title,
            counted(ranking.pairs.len(), "pair"),
            table::markdown(&header, &rows).trim_end()
        )
    })
}

/// How the rows' scores depend on what was searched.
pub(super) fn sensitivity(ranking: &Ranking<'_>) -> Option<String> {
    let headline = ranking.comparison.headline;
    let score = |score: f64| estimate(score, None, headline).replace(" ± —", "");
    let of_line = |line: &Line<'_>| -> Vec<Vec<String>> {
        let near = line.search.share_near_best();
        let rows =
            line.row.searched().into_iter().filter_map(|key| Some((key, line.search.sensitivity(line.row, key)?)));
        rows.map(|(key, found)| {
            let value = |value: f64| number(Float(value));
            let worst = match found.worst_of_decade {
                Some((at, Some(worst))) => format!("{} at {}", score(worst), value(at)),
                Some((at, None)) => format!("diverged at {}", value(at)),
                None => NOTHING.to_owned(),
            };
            vec![
                name(line),
                last(key).to_owned(),
                format!("{} from {} to {}", found.values, value(found.range[0]), value(found.range[1])),
                format!("{} at {}", score(found.best.1), value(found.best.0)),
                worst,
                found.area.map_or(NOTHING.to_owned(), score),
                near.map_or(NOTHING.to_owned(), |(near, of)| {
                    format!("{:.0} % ({near}/{of})", 100.0 * near as f64 / of as f64)
                }),
                line.search.to_noise().map_or(NOTHING.to_owned(), |trials| trials.to_string()),
            ]
        })
        .collect()
    };
    let rows: Vec<Vec<String>> = ranking.lines.iter().flat_map(of_line).collect();
    let names = [
        "row",
        "hyper-parameter",
        "values tried",
        "best",
        "worst of the decade around it",
        "mean over the logarithm",
        "trials within 1 % of the best",
        "trials to within noise",
    ];
    (!rows.is_empty()).then(|| {
        format!(
            "### {}Sensitivity\n\nValidation {} of the trials. *Worst of the decade* is that of half a decade on each side of the best. *Mean over the logarithm* is the area under the score against the logarithm of \
             the hyper-parameter, over its length; where several hyper-parameters were drawn together, the others vary along the \
             way. *Trials to within noise*: after so many of these trials, in random order, the best of them is expected within one \
             standard deviation of the best of all; that deviation is the chosen setting's, over seeds. Within 1 %, of the score itself.\n\n{}",
            anchor("sensitivity"),
            headline.title,
            table::markdown(&names.map(str::to_owned), &rows).trim_end()
        )
    })
}

/// What the chosen settings are timed against, and how long they took.
pub(super) struct Target {
    /// Validation score, in the task's unit.
    pub(super) score: f64,
    higher_is_better: bool,
}

/// How a line's runs came to the target.
pub(super) struct Reached {
    pub(super) runs: usize,
    pub(super) of: usize,
    /// Medians over runs of steps, and of seconds of training; `None` where half of them missed it.
    pub(super) steps: Option<f64>,
    pub(super) seconds: Option<f64>,
}

impl Target {
    /// Within 1 % of what the reference ends with on validation.
    pub(super) fn of(ranking: &Ranking<'_>) -> Option<Self> {
        let headline = ranking.comparison.headline;
        let score = ranking.reference()?.validation.as_ref()?.mean / headline.scale;
        let slack = 0.01 * score.abs();
        let score = if headline.higher_is_better { score - slack } else { score + slack };
        Some(Self { score, higher_is_better: headline.higher_is_better })
    }

    /// Steps after which `record` first had the target's score at an evaluation.
    fn steps(&self, record: &Record) -> Option<u64> {
        let reached = |score: &f64| if self.higher_is_better { *score >= self.score } else { *score <= self.score };
        let row = record.epochs.iter().find(|row| row.validation.get(&record.headline.score).is_some_and(reached));
        row.map(|row| row.step)
    }

    pub(super) fn reached(&self, line: &Line<'_>) -> Option<Reached> {
        let runs: Vec<(&Record, Option<u64>)> =
            line.setting?.runs.values().map(|entry| (&entry.record, self.steps(&entry.record))).collect();
        let seconds =
            |record: &Record, steps: u64| record.seconds.training() * steps as f64 / record.steps.max(1) as f64;
        // A missed target is infinitely far.
        let steps: Vec<f64> = runs.iter().map(|(_, steps)| steps.map_or(f64::INFINITY, |steps| steps as f64)).collect();
        let times: Vec<f64> =
            runs.iter().map(|(record, steps)| steps.map_or(f64::INFINITY, |steps| seconds(record, steps))).collect();
        let finite = |values: &[f64]| median(values).filter(|value| value.is_finite());
        Some(Reached {
            runs: runs.iter().filter(|(_, steps)| steps.is_some()).count(),
            of: runs.len(),
            steps: finite(&steps),
            seconds: finite(&times),
        })
    }
}

/// How fast the chosen settings came within reach of weight decay's score.
pub(super) fn to_target(ranking: &Ranking<'_>) -> Option<String> {
    let headline = ranking.comparison.headline;
    let target = Target::of(ranking)?;
    let row = |line: &Line<'_>| {
        let reached = target.reached(line)?;
        Some(vec![
            name(line),
            format!("{}/{}", reached.runs, reached.of),
            reached.steps.map_or(NOTHING.to_owned(), |steps| format!("{steps:.0}")),
            reached.seconds.map_or(NOTHING.to_owned(), significant),
        ])
    };
    let rows: Vec<Vec<String>> = ranking.lines.iter().filter_map(row).collect();
    let names = ["chosen setting of", "runs that reached it", "median steps", "median seconds of training"];
    let reference = ranking.reference()?;
    Some(format!(
        "### {}Time to target\n\nUntil an evaluation on validation had {} {}: within 1 % of the mean that `{}` ends with. A run that missed it counts \
         as infinitely slow. Settings were chosen for their last score, not for speed{}.\n\n{}",
        anchor("target"),
        headline.title,
        estimate(target.score * headline.scale, None, headline).replace(" ± —", ""),
        reference.row.label,
        evaluations(ranking),
        table::markdown(&names.map(str::to_owned), &rows).trim_end()
    ))
}

/// How fine the times are.
fn evaluations(ranking: &Ranking<'_>) -> String {
    let counts = ranking.lines.iter().filter_map(|line| line.setting).flat_map(|setting| setting.runs.values());
    let counts: std::collections::BTreeSet<usize> = counts.map(|entry| entry.record.epochs.len()).collect();
    let counts: Vec<String> = counts.iter().map(ToString::to_string).collect();
    format!("; there were {} evaluations in a training", listed(&counts))
}
