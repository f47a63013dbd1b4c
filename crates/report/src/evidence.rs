//! What the answer rests on: every difference, what each regularizer did, and how much its settings matter.

use super::conditions::losses;
use super::ranking::{Line, Ranking, Verdict};
use super::summary::{power, setting_anchor};
use super::words::{NOTHING, anchor, change, escape, link, number, point, probability, significant};
use crate::table;
use record::{NormRow, Record};
use statistics::{mean, median};
use study::{Float, Setting, diverged, last};

/// Every difference to weight decay, with what its verdict rests on.
pub(super) fn comparisons(ranking: &Ranking<'_>) -> Option<String> {
    let headline = ranking.comparison.headline;
    let row = |line: &Line<'_>| {
        let difference = line.against_reference.as_ref()?;
        Some(vec![
            name(line),
            name(ranking.reference_of(line)?),
            difference.interval.n.to_string(),
            change(difference.interval, headline),
            probability(difference.p),
            significant(difference.degrees),
            difference.correlation.map_or(NOTHING.to_owned(), |value| format!("{value:.2}").replace('-', "−")),
            line.verdict.words().to_owned(),
            if line.verdict == Verdict::Undecided {
                power(difference, ranking.protocol.margin, &headline.title)
            } else {
                String::new()
            },
        ])
    };
    let rows: Vec<Vec<String>> = ranking.lines.iter().filter_map(row).collect();
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
    (!rows.is_empty()).then(|| {
        format!(
            "### {}Differences to weight decay\n\nIn test {}. Model: score = row + seed + noise. The noise variance of a row is estimated from the residuals and \
             shrunk toward that of all rows. Intervals are Dunnett's for comparisons with one row: all intervals of the table hold jointly \
             with 95 % confidence, and *p* is the probability that some comparison in a table of equally good methods differs by as many \
             standard errors. *Correlation* is that of both rows' scores over seeds: what seeds have in common cancels.\n\n{}",
            anchor("comparisons"),
            headline.title,
            table::markdown(&names.map(str::to_owned), &rows).trim_end()
        )
    })
}

/// The line's label, leading to its chosen setting.
fn name(line: &Line<'_>) -> String {
    let label = escape(&line.row.label);
    line.row.choice.map_or(label.clone(), |choice| link(&label, &setting_anchor(line.number, choice)))
}

/// What the chosen setting of each row did to the training.
pub(super) fn regularization(ranking: &Ranking<'_>) -> Option<String> {
    let headline = ranking.comparison.headline;
    let row = |line: &Line<'_>| {
        let setting = line.setting?;
        let shown = |value: Option<f64>| value.map_or(NOTHING.to_owned(), significant);
        let score =
            |value: Option<f64>| value.map_or(NOTHING.to_owned(), |value| point(value * headline.scale, headline));
        let [training, validation] = losses(line);
        let midway = |value: fn(&NormRow) -> f64| setting.mean(|entry| entry.record.midway().map(value));
        let share = |count: usize, of: usize| format!("{count}/{of}");
        let collapsed = line.row.entries().filter(|entry| entry.record.collapsed.is_some_and(|share| share > 0.0));
        Some(vec![
            name(line),
            shown(training),
            shown(validation),
            shown(training.zip(validation).map(|(training, validation)| validation - training)),
            score(best(setting, headline.higher_is_better)),
            score(setting.mean(|entry| entry.record.validation())),
            shown(setting.mean(|entry| entry.record.decay_efolds)),
            shown(midway(|row| row.effective_lr)),
            shown(midway(|row| row.rotation)),
            share(line.diverged, line.runs),
            share(collapsed.count(), line.runs),
        ])
    };
    let rows: Vec<Vec<String>> = ranking.lines.iter().filter_map(row).collect();
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
    (!rows.is_empty()).then(|| {
        format!(
            "### {}What the regularizers did\n\nChosen settings, means over seeds. Losses are those of the last epoch, the training loss over \
             augmented examples during training; the gap is their difference. *E-folds of decay*: how many times ‖w‖⁴ could relax by a \
             factor of e toward its equilibrium, Σ 4ηλ/(1−μ) over steps, with μ = 0 for decoupled decay. *Midway* is halfway through \
             training, the median over scale-invariant layers. The last two columns count runs of the row: those whose loss or score \
             became non-finite, and those in which filters fell below 10⁻⁶ of their initial norm.\n\n{}",
            anchor("regularization"),
            table::markdown(&names.map(str::to_owned), &rows).trim_end()
        )
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
pub(super) fn sensitivity(ranking: &Ranking<'_>) -> Option<String> {
    let headline = ranking.comparison.headline;
    let score = |score: f64| point(score, headline);
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
            ]
        })
        .collect()
    };
    let rows: Vec<Vec<String>> = ranking.lines.iter().flat_map(of_line).collect();
    let names = [
        "row",
        "hyper-parameter",
        "positive values tried",
        "best",
        "worst of the decade around it",
        "mean over the logarithm",
        "settings within 1 % of the best",
    ];
    (!rows.is_empty()).then(|| {
        format!(
            "### {}Sensitivity\n\nValidation {} in the search. *Worst of the decade* covers half a decade on each side of the best. \
             *Mean over the logarithm* is the area under the score as a function of the logarithm of the hyperparameter, divided by its \
             range; each value counts with its best setting. *Within 1 %* is relative to the score.\n\n{}",
            anchor("sensitivity"),
            headline.title,
            table::markdown(&names.map(str::to_owned), &rows).trim_end()
        )
    })
}

/// How fast filters turned, beside what the formulas predict; nothing where no row has a prediction.
pub(super) fn rotations(ranking: &Ranking<'_>) -> Option<String> {
    let row = |line: &Line<'_>| {
        let later = line.setting?.runs.values().flat_map(|entry| {
            let steps = entry.record.steps;
            entry.record.norms.iter().filter(move |row| 2 * row.step >= steps)
        });
        let (measured, predicted): (Vec<f64>, Vec<f64>) =
            later.filter_map(|row| Some((row.rotation, row.equilibrium_rotation?))).unzip();
        let (measured, predicted) = (median(&measured)?, median(&predicted)?);
        let ratio = if predicted > 0.0 { significant(measured / predicted) } else { NOTHING.to_owned() };
        let efolds = line.setting?.runs.values().filter_map(|entry| entry.record.decay_efolds).collect::<Vec<_>>();
        let efolds = mean(&efolds).map_or(NOTHING.to_owned(), significant);
        Some(vec![name(line), significant(measured), significant(predicted), ratio, efolds])
    };
    let rows: Vec<Vec<String>> = ranking.lines.iter().filter_map(row).collect();
    let names = ["chosen setting of", "measured", "predicted in equilibrium", "ratio", "e-folds of decay"];
    (!rows.is_empty()).then(|| {
        format!(
            "### {}Rotation and its equilibrium\n\nMedian rotation per step in radians, over the logged steps in the second \
             half of training and over seeds. The prediction holds after several e-folding times of ‖w‖⁴, each (1−μ)/(4ηλ) steps for learning \
             rate η, decay λ and momentum μ (μ = 0 for decoupled decay); before that, and where η decreases faster, the ratio need not \
             be 1.\n\n{}",
            anchor("rotation"),
            table::markdown(&names.map(str::to_owned), &rows).trim_end()
        )
    })
}
