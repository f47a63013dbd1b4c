//! The other figures, every setting and run, norms, cost and provenance.

use super::ranking::{Line, Ranking, seconds};
use super::summary::{day, row_anchor, setting_anchor, short};
use super::words::{NOTHING, anchor, counted, escape, estimate, hyper, link, number, point, significant};
use super::{evidence, figures};
use crate::table;
use record::{Entry, Outcome, Provenance};
use statistics::{interval, mean};
use std::collections::{BTreeMap, BTreeSet};
use study::{Row, Setting, diverged, last, stopped};

/// `digest` is that of all records.
pub(super) fn render(name: &str, ranking: &Ranking<'_>, digest: &str) -> String {
    let mut parts: Vec<String> =
        [evidence::comparisons(ranking), evidence::regularization(ranking)].into_iter().flatten().collect();
    parts.extend(figures::embed(name, ranking, &["sensitivity"]));
    parts.extend(evidence::sensitivity(ranking));
    parts.extend(figures::embed(name, ranking, &["accuracy", "norms"]));
    parts.push("### Settings and runs".to_owned());
    parts.push(
        "`cargo xtask show <id>` prints the record of a run. The chosen setting of a row is in bold. \
         *Search* is the mean validation score over the seeds with which the search tried the setting; it selects among the settings \
         tried with all of them. *Result* is the mean over the seeds of the result."
            .to_owned(),
    );
    parts.extend(ranking.lines.iter().map(|line| settings(ranking, line)));
    parts.extend(test_scores(ranking));
    parts.push(format!("### {}Cost", anchor("cost")));
    parts.push(cost(ranking));
    parts.push(format!("### {}Diverged runs", anchor("diverged")));
    parts.push(diverged_runs(ranking));
    parts.push(format!("### {}Norms at the end of training", anchor("norms")));
    parts.push(
        "Scale-invariant layers, first seed of each chosen setting. Effective learning rate and rotation (radians per step) are those of \
         the median filter."
            .to_owned(),
    );
    parts.extend(ranking.lines.iter().filter_map(norms));
    parts.extend(evidence::rotations(ranking));
    parts.push(format!("### {}Provenance", anchor("provenance")));
    parts.push(provenance(ranking));
    parts.push(format!("Digest of all records; it changes with any digit of any record: `{digest}`."));
    parts.join("\n\n") + "\n"
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn settings(ranking: &Ranking<'_>, line: &Line<'_>) -> String {
    let headline = ranking.comparison.headline;
    let rows = line.row.settings.iter().enumerate().map(|(i, setting)| {
        let scores: Vec<f64> = setting.validation().into_values().map(|score| score * headline.scale).collect();
        let score = match mean(&scores) {
            Some(mean) => estimate(mean, interval(&scores), headline),
            None => NOTHING.to_owned(),
        };
        let trial = setting.tried(&line.row.trial_seeds).map(|score| point(score * headline.scale, headline));
        let words = escape(&hyper(line.row, setting));
        let words = if line.row.choice == Some(i) { format!("**{words}**") } else { words };
        let stopped = setting.rungs.iter().map(|((epochs, seed), entry)| {
            format!("{} (stopped after {})", run(*seed, entry), counted(*epochs as usize, "epoch"))
        });
        let trials = setting.trials.iter().filter(|(seed, _)| !setting.runs.contains_key(seed));
        let runs = trials.chain(&setting.runs).map(|(seed, entry)| run(*seed, entry)).chain(stopped);
        vec![
            anchor(&setting_anchor(line.number, i)) + &words,
            trial.unwrap_or_else(|| NOTHING.to_owned()),
            score,
            remark(line, i, setting),
            runs.collect::<Vec<_>>().join(", "),
        ]
    });
    let [search, result] = ["search", "result"].map(|stage| format!("{stage}: validation {}", headline.title));
    let names = header(&["setting", &search, &result, "state", "runs by seed"]);
    let table = table::markdown(&names, &rows.collect::<Vec<_>>());
    format!(
        "#### {}{}\n\n{}\n\n{}",
        anchor(&row_anchor(line.number)),
        escape(&line.row.label),
        fixed(line.row),
        table.trim_end()
    )
}

/// Method and optimizer of a row, with the settings that all its runs share.
fn fixed(row: &Row<'_>) -> String {
    let searched = row.searched();
    let numbers = row.settings.iter().flat_map(|setting| &setting.hyper);
    let numbers =
        numbers.filter(|(key, _)| !searched.contains(&key.as_str())).map(|(key, value)| (key, number(*value)));
    let all: BTreeMap<&String, String> =
        row.words.iter().map(|(key, value)| (key, value.clone())).chain(numbers).collect();
    let of = |kind: &str, name: &str| {
        let settings = all.iter().filter(|(key, _)| key.starts_with(kind));
        let settings: Vec<String> = settings.map(|(key, value)| format!("{} {value}", last(key))).collect();
        let colon = if settings.is_empty() { "" } else { ": " };
        escape(&format!("`{name}`{colon}{}.", settings.join(", ")))
    };
    format!("Method {} Optimizer {}", of("method.", row.method), of("optimizer.", row.optimizer))
}

fn run(seed: u64, entry: &Entry) -> String {
    let id = &entry.record.id;
    format!("{}{seed}: `{id}`", anchor(&format!("run-{id}")))
}

fn run_link(entry: &Entry) -> String {
    let id = &entry.record.id;
    link(&format!("`{id}`"), &format!("run-{id}"))
}

fn remark(line: &Line<'_>, i: usize, setting: &Setting<'_>) -> String {
    let mut remarks = Vec::new();
    if line.row.choice == Some(i) {
        remarks.push("chosen".to_owned());
    }
    if setting.diverged() > 0 {
        remarks.push(link(&format!("{} diverged", setting.diverged()), "diverged"));
    }
    if let Some(share) = setting.collapsed() {
        remarks.push(format!("{} of filters collapsed", percentage(share)));
    }
    if setting.entries().all(|entry| stopped(&entry.record.spec.train).is_some()) {
        remarks.push("stopped".to_owned());
    }
    let ended = setting.entries().filter(|entry| stopped(&entry.record.spec.train).is_none() && !diverged(entry));
    let without_score = ended.filter(|entry| entry.record.validation().is_none()).count();
    if without_score > 0 {
        remarks.push(format!("{} without a validation score", counted(without_score, "run")));
    }
    remarks.join(", ")
}

/// All test scores of the chosen settings, where there are others than the headline.
fn test_scores(ranking: &Ranking<'_>) -> Option<String> {
    let rows: Vec<(&str, BTreeMap<&str, f64>)> =
        ranking.lines.iter().filter_map(|line| Some((line.row.label.as_str(), line.setting?.test_means()))).collect();
    let names: BTreeSet<&str> = rows.iter().flat_map(|(_, means)| means.keys().copied()).collect();
    if names.len() < 2 {
        return None;
    }
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_key(|name| by_number(name));
    let labels = rows.iter().map(|(label, _)| escape(label));
    let header: Vec<String> = std::iter::once("score".to_owned()).chain(labels).collect();
    let body: Vec<Vec<String>> = names
        .into_iter()
        .map(|name| {
            let value =
                |means: &BTreeMap<&str, f64>| means.get(name).map_or(NOTHING.to_owned(), |mean| format!("{mean:.4}"));
            std::iter::once(escape(name)).chain(rows.iter().map(|(_, means)| value(means))).collect()
        })
        .collect();
    Some(format!(
        "### {}All test scores\n\nChosen settings, in the task's units, means over seeds.\n\n{}",
        anchor("test-scores"),
        table::markdown(&header, &body).trim_end()
    ))
}

/// A key that sorts `mae/10-29` before `mae/100-299`: texts, and numbers by their value.
fn by_number(name: &str) -> Vec<(String, u64)> {
    let digits = |a: char, b: char| a.is_ascii_digit() == b.is_ascii_digit();
    let characters: Vec<char> = name.chars().collect();
    let pieces = characters.chunk_by(|a, b| digits(*a, *b)).map(|piece| piece.iter().collect::<String>());
    pieces.map(|piece| piece.parse().map_or((piece, 0), |number| (String::new(), number))).collect()
}

fn cost(ranking: &Ranking<'_>) -> String {
    let rows = ranking.lines.iter().filter_map(|line| {
        let setting = line.setting?;
        let (sum, steps) = seconds(setting);
        let a_step =
            |seconds: f64| if steps > 0 { significant(1e3 * seconds / steps as f64) } else { NOTHING.to_owned() };
        let mut cells = vec![link(&escape(&line.row.label), &setting_anchor(line.number, line.row.choice?))];
        cells.extend([sum.data, sum.forward, sum.backward, sum.update, sum.training()].map(a_step));
        cells.push(significant(sum.evaluation / setting.runs.len() as f64));
        Some(cells)
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return "No setting was chosen.".to_owned();
    }
    let names = header(&["chosen setting of", "data", "forward", "backward", "update", "whole step", "evaluation"]);
    format!(
        "Means over the runs of the chosen settings: milliseconds per training step; for evaluation on validation, seconds per run. *Update* is \
         optimizer and method; reparametrized weights are part of forward and backward.\n\n{}",
        table::markdown(&names, &rows).trim_end()
    )
}

fn diverged_runs(ranking: &Ranking<'_>) -> String {
    let rows = ranking.lines.iter().flat_map(|line| {
        line.row.settings.iter().enumerate().flat_map(move |(i, setting)| {
            let runs = setting.entries().filter(|entry| diverged(entry));
            runs.map(move |entry| {
                let seed = entry.record.spec.seed;
                let (epoch, step, reason) = match &entry.record.outcome {
                    Outcome::Diverged { epoch, step, reason } => (epoch.to_string(), step.to_string(), escape(reason)),
                    Outcome::Finished => Default::default(),
                };
                let setting = link(&escape(&hyper(line.row, setting)), &setting_anchor(line.number, i));
                vec![run_link(entry), escape(&line.row.label), setting, seed.to_string(), epoch, step, reason]
            })
        })
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return "None.".to_owned();
    }
    let names = header(&["run", "row", "setting", "seed", "epoch (from 0)", "step (from 0)", "observation"]);
    table::markdown(&names, &rows).trim_end().to_owned()
}

fn norms(line: &Line<'_>) -> Option<String> {
    let (seed, entry) = line.setting?.runs.first_key_value()?;
    let layers = &entry.record.layers;
    let rows = layers.iter().map(|layer| {
        let numbers = [
            layer.filter_norm_min,
            layer.filter_norm_median,
            layer.weight_norm,
            layer.gradient_norm,
            layer.effective_lr,
            layer.rotation,
        ];
        std::iter::once(format!("`{}`", layer.name)).chain(numbers.map(significant)).collect::<Vec<_>>()
    });
    let names = header(&[
        "layer",
        "smallest filter norm",
        "median filter norm",
        "layer's norm",
        "gradient's norm",
        "effective learning rate",
        "rotation",
    ]);
    let body = if layers.is_empty() {
        "The run logged no layers.".to_owned()
    } else {
        table::markdown(&names, &rows.collect::<Vec<_>>()).trim_end().to_owned()
    };
    Some(format!(
        "<details><summary>{}, seed {seed}, {}</summary>\n\n{}\n\n{body}\n\n</details>",
        escape(&line.row.label),
        counted(layers.len(), "layer"),
        format_args!("Run {}.", run_link(entry))
    ))
}

/// `12 %`, with two digits where it is less than that.
fn percentage(share: f64) -> String {
    if share >= 0.1 { format!("{:.0} %", 100.0 * share) } else { format!("{:.2} %", 100.0 * share) }
}

fn provenance(ranking: &Ranking<'_>) -> String {
    #[derive(Default)]
    struct Group<'a> {
        runs: usize,
        tests: usize,
        first: Option<&'a str>,
        last: Option<&'a str>,
        resumed: u64,
    }
    let key = |from: &Provenance| {
        (from.commit.clone(), from.cpu.clone(), from.kernels.clone(), from.threads, from.precision.clone())
    };
    let mut groups: BTreeMap<_, Group<'_>> = BTreeMap::new();
    for entry in &ranking.comparison.entries {
        let from = &entry.record.provenance;
        let group = groups.entry(key(from)).or_default();
        group.runs += 1;
        group.resumed += from.resumed;
        let tested = entry.test.as_ref().map(|test| &test.provenance);
        if let Some(from) = tested {
            groups.entry(key(from)).or_default().tests += 1;
        }
        for from in std::iter::once(from).chain(tested) {
            let group = groups.entry(key(from)).or_default();
            group.first = Some(group.first.map_or(&from.started, |first| first.min(&from.started)));
            group.last = group.last.max(Some(&from.ended));
        }
    }
    let rows = groups.iter().map(|((commit, cpu, kernels, threads, precision), group)| {
        vec![
            format!("`{}`", short(commit)),
            escape(cpu),
            kernels.as_deref().map_or(NOTHING.to_owned(), escape),
            threads.to_string(),
            escape(precision),
            group.runs.to_string(),
            group.tests.to_string(),
            group.resumed.to_string(),
            day(group.first.unwrap_or_default()).to_owned(),
            day(group.last.unwrap_or_default()).to_owned(),
        ]
    });
    let names = header(&[
        "commit",
        "processor",
        "kernels",
        "threads",
        "precision",
        "runs",
        "test evaluations",
        "resumed",
        "from",
        "to",
    ]);
    let note = match groups.len() {
        0 | 1 => "",
        _ => "The records come from several commits, processors, kernel sets or thread counts.\n\n",
    };
    format!("{note}{}", table::markdown(&names, &rows.collect::<Vec<_>>()).trim_end())
}
