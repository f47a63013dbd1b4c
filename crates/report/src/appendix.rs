//! The other figures, every setting and run, norms, cost and provenance.

use super::ranking::{Line, Ranking, seconds};
use super::section::Section;
use super::summary::{day, short};
use super::table::{Cell, Table};
use super::words::{NOTHING, anchor, counted, escape, estimate, hyper, link, number, point, significant};
use super::{evidence, figures};
use record::{Entry, Outcome, Provenance};
use statistics::{interval, mean};
use std::collections::{BTreeMap, BTreeSet};
use study::{Row, Setting, diverged, last, stopped};

/// `digest` is that of all records.
pub(super) fn render(name: &str, ranking: &Ranking<'_>, digest: &str) -> Section {
    Section::default()
        .sections([evidence::comparisons(ranking), evidence::regularization(ranking)].into_iter().flatten())
        .texts(figures::embed(name, ranking, &["sensitivity"]))
        .sections(evidence::sensitivity(ranking))
        .texts(figures::embed(name, ranking, &["accuracy", "norms"]))
        .text("### Settings and runs")
        .text(
            "`cargo xtask show <id>` prints the record of a run. The chosen setting of a row is in bold. \
             *Search* is the mean validation score over the seeds with which the search tried the setting; it selects among the settings \
             tried with all of them. *Result* is the mean over the seeds of the result.",
        )
        .sections(ranking.lines.iter().map(|line| settings(ranking, line)))
        .sections(test_scores(ranking))
        .sections([cost(ranking), diverged_runs(ranking)])
        .text(format!("### {}Norms at the end of training", anchor("norms")))
        .text(
            "Scale-invariant layers, first seed of each chosen setting. Effective learning rate and rotation (radians per step) are those \
             of the median filter.",
        )
        .sections(ranking.lines.iter().filter_map(norms))
        .sections(evidence::rotations(ranking))
        .sections([provenance(ranking)])
        .text(format!("Digest of all records; it changes with any digit of any record: `{digest}`."))
}

fn settings(ranking: &Ranking<'_>, line: &Line<'_>) -> Section {
    let headline = ranking.comparison.headline;
    let rows = line.row.settings.iter().enumerate().map(|(i, setting)| {
        let scores: Vec<f64> = setting.validation().into_values().map(|score| score * headline.scale).collect();
        let trial = setting.tried(&line.row.trial_seeds).map(|score| score * headline.scale);
        let words = Cell::text(hyper(line.row, setting)).at(line.setting_place(i));
        let stopped = setting.rungs.iter().map(|((epochs, seed), entry)| {
            run(*seed, entry).and(Cell::text(format!(" (stopped after {})", counted(*epochs as usize, "epoch"))))
        });
        let trials = setting.trials.iter().filter(|(seed, _)| !setting.runs.contains_key(seed));
        let runs = trials.chain(&setting.runs).map(|(seed, entry)| run(*seed, entry)).chain(stopped);
        vec![
            if line.row.choice == Some(i) { words.strong() } else { words },
            Cell::number(trial, |score| point(score, headline)),
            Cell::number(mean(&scores), |mean| estimate(mean, interval(&scores), headline)),
            remark(line, i, setting),
            Cell::listed(runs),
        ]
    });
    let [search, result] = ["search", "result"].map(|stage| format!("{stage}: validation {}", headline.title));
    Section::default()
        .text(format!("#### {}{}", anchor(&line.place()), escape(&line.row.label)))
        .text(fixed(line.row))
        .table(Table::new(["setting", &search, &result, "state", "runs by seed"], rows))
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

/// The seed and the id of a run, to which links to it lead.
fn run(seed: u64, entry: &Entry) -> Cell {
    let id = &entry.record.id;
    Cell::text(format!("{seed}: ")).at(run_place(entry)).and(Cell::code(id.as_str()))
}

fn run_place(entry: &Entry) -> String {
    format!("run-{}", entry.record.id)
}

fn remark(line: &Line<'_>, i: usize, setting: &Setting<'_>) -> Cell {
    let mut remarks = Vec::new();
    if line.row.choice == Some(i) {
        remarks.push(Cell::text("chosen"));
    }
    if setting.diverged() > 0 {
        remarks.push(Cell::text(format!("{} diverged", setting.diverged())).link("diverged"));
    }
    if let Some(share) = setting.collapsed() {
        remarks.push(Cell::text(format!("{} of filters collapsed", percentage(share))));
    }
    if setting.entries().all(|entry| stopped(&entry.record.spec.train).is_some()) {
        remarks.push(Cell::text("stopped"));
    }
    let ended = setting.entries().filter(|entry| stopped(&entry.record.spec.train).is_none() && !diverged(entry));
    let without_score = ended.filter(|entry| entry.record.validation().is_none()).count();
    if without_score > 0 {
        remarks.push(Cell::text(format!("{} without a validation score", counted(without_score, "run"))));
    }
    Cell::listed(remarks)
}

/// All test scores of the chosen settings, where there are others than the headline.
fn test_scores(ranking: &Ranking<'_>) -> Option<Section> {
    let rows: Vec<(&str, BTreeMap<&str, f64>)> =
        ranking.lines.iter().filter_map(|line| Some((line.row.label.as_str(), line.setting?.test_means()))).collect();
    let names: BTreeSet<&str> = rows.iter().flat_map(|(_, means)| means.keys().copied()).collect();
    if names.len() < 2 {
        return None;
    }
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_key(|name| by_number(name));
    let header = std::iter::once("score").chain(rows.iter().map(|(label, _)| *label));
    let body = names.into_iter().map(|name| {
        let means = rows.iter().map(|(_, means)| Cell::number(means.get(name).copied(), |mean| format!("{mean:.4}")));
        std::iter::once(Cell::text(name)).chain(means).collect()
    });
    Some(
        Section::default()
            .text(format!("### {}All test scores", anchor("test-scores")))
            .text("Chosen settings, in the task's units, means over seeds.")
            .table(Table::new(header, body)),
    )
}

/// A key that sorts `mae/10-29` before `mae/100-299`: texts, and numbers by their value.
fn by_number(name: &str) -> Vec<(String, u64)> {
    let digits = |a: char, b: char| a.is_ascii_digit() == b.is_ascii_digit();
    let characters: Vec<char> = name.chars().collect();
    let pieces = characters.chunk_by(|a, b| digits(*a, *b)).map(|piece| piece.iter().collect::<String>());
    pieces.map(|piece| piece.parse().map_or((piece, 0), |number| (String::new(), number))).collect()
}

fn cost(ranking: &Ranking<'_>) -> Section {
    let rows = ranking.lines.iter().filter_map(|line| {
        let setting = line.setting?;
        let (sum, steps) = seconds(setting);
        let a_step = |seconds: f64| (steps > 0).then(|| 1e3 * seconds / steps as f64);
        let parts = [sum.data, sum.forward, sum.backward, sum.update, sum.training()].map(a_step);
        let runs = setting.runs.len();
        let numbers = parts.into_iter().chain([(runs > 0).then(|| sum.evaluation / runs as f64)]);
        let numbers = numbers.map(|value| Cell::number(value, significant));
        Some(std::iter::once(line.name()).chain(numbers).collect())
    });
    let names = ["chosen setting of", "data", "forward", "backward", "update", "whole step", "evaluation"];
    let table = Table::new(names, rows);
    let section = Section::default().text(format!("### {}Cost", anchor("cost")));
    if table.is_empty() {
        return section.text("No setting was chosen.");
    }
    let text = "Means over the runs of the chosen settings: milliseconds per training step; for evaluation on validation, seconds per run. \
                *Update* is optimizer and method; reparametrized weights are part of forward and backward.";
    section.text(text).table(table)
}

fn diverged_runs(ranking: &Ranking<'_>) -> Section {
    let rows = ranking.lines.iter().flat_map(|line| {
        line.row.settings.iter().enumerate().flat_map(move |(i, setting)| {
            let runs = setting.entries().filter(|entry| diverged(entry));
            runs.map(move |entry| {
                let [epoch, step, reason] = match &entry.record.outcome {
                    Outcome::Diverged { epoch, step, reason } => {
                        [Cell::count(*epoch), Cell::count(*step), Cell::text(reason)]
                    }
                    Outcome::Finished => Default::default(),
                };
                vec![
                    Cell::code(entry.record.id.as_str()).link(&run_place(entry)),
                    Cell::text(&line.row.label),
                    Cell::text(hyper(line.row, setting)).link(&line.setting_place(i)),
                    Cell::count(entry.record.spec.seed),
                    epoch,
                    step,
                    reason,
                ]
            })
        })
    });
    let names = ["run", "row", "setting", "seed", "epoch (from 0)", "step (from 0)", "observation"];
    let table = Table::new(names, rows);
    let section = Section::default().text(format!("### {}Diverged runs", anchor("diverged")));
    if table.is_empty() { section.text("None.") } else { section.table(table) }
}

fn norms(line: &Line<'_>) -> Option<Section> {
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
        let numbers = numbers.map(|value| Cell::number(value, significant));
        std::iter::once(Cell::code(&layer.name)).chain(numbers).collect()
    });
    let names = [
        "layer",
        "smallest filter norm",
        "median filter norm",
        "layer's norm",
        "gradient's norm",
        "effective learning rate",
        "rotation",
    ];
    let summary = format!("{}, seed {seed}, {}", escape(&line.row.label), counted(layers.len(), "layer"));
    let run = link(&format!("`{}`", entry.record.id), &run_place(entry));
    let section = Section::default().text(format!("<details><summary>{summary}</summary>")).text(format!("Run {run}."));
    let section = match layers.as_slice() {
        [] => section.text("The run logged no layers."),
        _ => section.table(Table::new(names, rows)),
    };
    Some(section.text("</details>"))
}

/// `12 %`, with two digits where it is less than that.
fn percentage(share: f64) -> String {
    if share >= 0.1 { format!("{:.0} %", 100.0 * share) } else { format!("{:.2} %", 100.0 * share) }
}

fn provenance(ranking: &Ranking<'_>) -> Section {
    #[derive(Default)]
    struct Group<'a> {
        runs: u64,
        tests: u64,
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
            Cell::code(short(commit)),
            Cell::text(cpu),
            Cell::text(kernels.as_deref().unwrap_or(NOTHING)),
            Cell::count(*threads),
            Cell::text(precision),
            Cell::count(group.runs),
            Cell::count(group.tests),
            Cell::count(group.resumed),
            Cell::text(day(group.first.unwrap_or_default())),
            Cell::text(day(group.last.unwrap_or_default())),
        ]
    });
    let names =
        ["commit", "processor", "kernels", "threads", "precision", "runs", "test evaluations", "resumed", "from", "to"];
    let several = (groups.len() > 1)
        .then(|| "The records come from several commits, processors, kernel sets or thread counts.".to_owned());
    Section::default()
        .text(format!("### {}Provenance", anchor("provenance")))
        .texts(several)
        .table(Table::new(names, rows))
}
