//! What the answer rests on: every difference, what each regularizer did, and how much its settings matter.

use super::conditions::losses;
use super::ranking::{Line, Ranking, Verdict};
use super::section::Section;
use super::summary::power;
use super::table::{Cell, Table};
use super::words::{NOTHING, anchor, change, fixed, number, point, probability, significant};
use record::{NormRow, Record};
use statistics::{mean, median};
use study::{Float, Setting, diverged, last};

/// Every difference to weight decay, with what its verdict rests on.
pub(super) fn comparisons(ranking: &Ranking<'_>) -> Option<Section> {
    let headline = ranking.comparison.headline;
    let row = |line: &Line<'_>| {
        let difference = line.against_reference.as_ref()?;
        Some(vec![
            line.name(),
            ranking.reference_of(line)?.name(),
            Cell::count(difference.interval.n as u64),
            Cell::number(difference.interval.mean, |_| change(difference.interval, headline)),
            Cell::number(difference.p, probability),
            Cell::number(difference.degrees, significant),
            Cell::number(difference.correlation, |value| fixed(value, 2)),
            Cell::text(line.verdict.words()),
            if line.verdict == Verdict::Undecided {
                Cell::text(power(difference, ranking.protocol.margin, &headline.title))
            } else {
                Cell::default()
            },
        ])
    };
    let names = [
        "chosen setting of",
        "against",
        "seeds",
        "difference",
        "p",
        "degrees of freedom",
        "correlation over seeds",
        "verdict",
        "what would decide",
    ];
    let table = Table::new(names, ranking.lines.iter().filter_map(row));
    (!table.is_empty()).then(|| {
        let text = format!(
            "### {}Differences to weight decay\n\nIn test {}. Model: score = row + seed + noise. The noise variance of a row is estimated from the residuals and \
             shrunk toward that of all rows. Intervals are Dunnett's for comparisons with one row: all intervals of the table hold jointly \
             with 95 % confidence, and *p* is the probability that some comparison in a table of equally good methods differs by as many \
             standard errors. *Correlation* is that of both rows' scores over seeds: what seeds have in common cancels.",
            anchor("comparisons"),
            headline.title
        );
        Section::default().text(text).table(table)
    })
}

/// What the chosen setting of each row did to the training.
pub(super) fn regularization(ranking: &Ranking<'_>) -> Option<Section> {
    let headline = ranking.comparison.headline;
    let row = |line: &Line<'_>| {
        let setting = line.setting?;
        let shown = |value: Option<f64>| Cell::number(value, significant);
        let score = |value: Option<f64>| {
            Cell::number(value.map(|value| value * headline.scale), |value| point(value, headline))
        };
        let [training, validation] = losses(line);
        let midway = |value: fn(&NormRow) -> f64| setting.mean(|entry| entry.record.midway().map(value));
        let collapsed = line.row.entries().filter(|entry| entry.record.collapsed.is_some_and(|share| share > 0.0));
        Some(vec![
            line.name(),
            shown(training),
            shown(validation),
            shown(training.zip(validation).map(|(training, validation)| validation - training)),
            score(best(setting, headline.higher_is_better)),
            score(setting.mean(|entry| entry.record.validation())),
            shown(setting.mean(|entry| entry.record.decay_efolds)),
            shown(midway(|row| row.effective_lr)),
            shown(midway(|row| row.rotation)),
            Cell::share(line.diverged, line.runs),
            Cell::share(collapsed.count(), line.runs),
        ])
    };
    let (best, last) =
        (format!("best epoch's validation {}", headline.title), format!("last epoch's validation {}", headline.title));
    let names = [
        "chosen setting of",
        "training loss",
        "validation loss",
        "generalization gap",
        &best,
        &last,
        "e-folds of decay",
        "effective learning rate midway",
        "rotation midway",
        "runs that diverged",
        "runs with collapsed filters",
    ];
    let table = Table::new(names, ranking.lines.iter().filter_map(row));
    (!table.is_empty()).then(|| {
        let text = format!(
            "### {}What the regularizers did\n\nChosen settings, means over seeds. Losses are those of the last epoch, the training loss over \
             augmented examples during training; the gap is their difference. *E-folds of decay*: how many times ‖w‖⁴ could relax by a \
             factor of e toward its equilibrium, Σ 4ηλ/(1−μ) over steps, with μ = 0 for decoupled decay. *Midway* is halfway through \
             training, the median over scale-invariant layers. The last two columns count runs of the row: those whose loss or score \
             became non-finite, and those in which filters fell below 10⁻⁶ of their initial norm.",
            anchor("regularization")
        );
        Section::default().text(text).table(table)
    })
}

/// Mean over runs of the best validation score of any epoch.
fn best(setting: &Setting<'_>, higher_is_better: bool) -> Option<f64> {
    let best = |record: &Record| {
        let scores = record.epochs.iter().filter_map(|row| row.validation.get(&record.headline.score).copied());
        scores.reduce(if higher_is_better { f64::max } else { f64::min })
    };
    setting.mean(|entry| best(&entry.record).filter(|_| !diverged(entry)))
}

/// How the rows' scores depend on what was searched.
pub(super) fn sensitivity(ranking: &Ranking<'_>) -> Option<Section> {
    let headline = ranking.comparison.headline;
    let score = |score: f64| point(score, headline);
    let of_line = |line: &Line<'_>| -> Vec<Vec<Cell>> {
        let near = line.search.share_near_best();
        let rows =
            line.row.searched().into_iter().filter_map(|key| Some((key, line.search.sensitivity(line.row, key)?)));
        rows.map(|(key, found)| {
            let value = |value: f64| number(Float(value));
            let worst = match found.worst_of_decade {
                Some((at, Some(worst))) => Cell::number(worst, |worst| format!("{} at {}", score(worst), value(at))),
                Some((at, None)) => Cell::text(format!("diverged at {}", value(at))),
                None => Cell::text(NOTHING),
            };
            vec![
                line.name(),
                Cell::text(last(key)),
                Cell::text(format!("{} from {} to {}", found.values, value(found.range[0]), value(found.range[1]))),
                Cell::number(found.best.1, |best| format!("{} at {}", score(best), value(found.best.0))),
                worst,
                Cell::number(found.area, score),
                Cell::measured(near, |(near, of)| {
                    let share = near as f64 / of as f64;
                    (share, format!("{:.0} % ({near}/{of})", 100.0 * share))
                }),
            ]
        })
        .collect()
    };
    let names = [
        "row",
        "hyper-parameter",
        "positive values tried",
        "best",
        "worst of the decade around it",
        "mean over the logarithm",
        "settings within 1 % of the best",
    ];
    let table = Table::new(names, ranking.lines.iter().flat_map(of_line));
    (!table.is_empty()).then(|| {
        let text = format!(
            "### {}Sensitivity\n\nValidation {} in the search. *Worst of the decade* covers half a decade on each side of the best. \
             *Mean over the logarithm* is the area under the score as a function of the logarithm of the hyperparameter, divided by its \
             range; each value counts with its best setting. *Within 1 %* is relative to the score.",
            anchor("sensitivity"),
            headline.title
        );
        Section::default().text(text).table(table)
    })
}

/// How fast filters turned, beside what the formulas predict; nothing where no row has a prediction.
pub(super) fn rotations(ranking: &Ranking<'_>) -> Option<Section> {
    let row = |line: &Line<'_>| {
        let later = line.setting?.runs.values().flat_map(|entry| {
            let steps = entry.record.steps;
            entry.record.norms.iter().filter(move |row| 2 * row.step >= steps)
        });
        let (measured, predicted): (Vec<f64>, Vec<f64>) =
            later.filter_map(|row| Some((row.rotation, row.equilibrium_rotation?))).unzip();
        let (measured, predicted) = (median(&measured)?, median(&predicted)?);
        let ratio = (predicted > 0.0).then_some(measured / predicted);
        let efolds = line.setting?.runs.values().filter_map(|entry| entry.record.decay_efolds).collect::<Vec<_>>();
        let numbers = [Some(measured), Some(predicted), ratio, mean(&efolds)];
        let numbers = numbers.map(|value| Cell::number(value, significant));
        Some(std::iter::once(line.name()).chain(numbers).collect())
    };
    let names = ["chosen setting of", "measured", "predicted in equilibrium", "ratio", "e-folds of decay"];
    let table = Table::new(names, ranking.lines.iter().filter_map(row));
    (!table.is_empty()).then(|| {
        let text = format!(
            "### {}Rotation and its equilibrium\n\nMedian rotation per step in radians, over the logged steps in the second \
             half of training and over seeds. The prediction holds after several e-folding times of ‖w‖⁴, each (1−μ)/(4ηλ) steps for learning \
             rate η, decay λ and momentum μ (μ = 0 for decoupled decay); before that, and where η decreases faster, the ratio need not \
             be 1.",
            anchor("rotation")
        );
        Section::default().text(text).table(table)
    })
}
