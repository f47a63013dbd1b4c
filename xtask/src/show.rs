//! `show`: one run.

use crate::workspace::{Workspace, names};
use crate::{mistake, say};
use anyhow::{Context, Result, bail};
use record::{Entry, Outcome, Record, RunFolder, Scores};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The first digits of the run's id
    id: String,
    /// Print the record as JSON
    #[arg(long)]
    json: bool,
    /// Draw its predictions for some test images into this folder
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
}

/// A run, and the report that contains it if its folder is missing.
type Found = (Entry, Option<String>);

pub(crate) fn show(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut found = BTreeMap::<String, Found>::new();
    for name in names(&workspace.reports().join("records"), "jsonl") {
        for entry in record::read_entries(&workspace.records(&name))? {
            if entry.record.id.as_str().starts_with(&arguments.id) {
                found.insert(entry.record.id.to_string(), (entry, Some(name.clone())));
            }
        }
    }
    let mut unfinished = Vec::new();
    for folder in std::fs::read_dir(workspace.root.join("runs")).into_iter().flatten().flatten() {
        let id = folder.file_name().to_string_lossy().into_owned();
        if !id.starts_with(&arguments.id) {
            continue;
        }
        // A run of this machine before what was committed of another.
        let run = RunFolder::new(folder.path());
        match run.read_record()? {
            Some(record) => drop(found.insert(id, (Entry { record, test: run.read_test()? }, None))),
            None if !found.contains_key(&id) => unfinished.push(format!("{id} ({})", run.state()?)),
            None => {}
        }
    }
    let mut found = found.into_values();
    match (found.next(), found.next()) {
        (Some((entry, report)), None) if unfinished.is_empty() => {
            if arguments.json {
                say(&serde_json::to_string_pretty(&entry.record)?);
            } else {
                say(describe(&entry)?.trim_end());
            }
            match (&arguments.pictures, report) {
                (None, _) => Ok(ExitCode::SUCCESS),
                (Some(out), None) => draw(&workspace, &entry.record, out),
                (Some(_), Some(report)) => bail!(lost(&entry.record, &report)),
            }
        }
        (None, _) if unfinished.is_empty() => {
            Err(mistake(format!("no run id begins with `{}`; `cargo xtask status <task>` lists them", arguments.id)))
        }
        (None, _) => Err(mistake(format!("no record yet of {}", unfinished.join(", ")))),
        (first, second) => {
            let ids = first.into_iter().chain(second).chain(found).map(|(entry, _)| entry.record.id.to_string());
            let ids: Vec<String> = ids.chain(unfinished).collect();
            Err(mistake(format!("several ids begin with `{}`: {}", arguments.id, ids.join(", "))))
        }
    }
}

/// Has the task's binary draw.
fn draw(workspace: &Workspace, record: &Record, out: &Path) -> Result<ExitCode> {
    let binary = workspace.binary(&record.task)?;
    let out = std::path::absolute(out).context("cannot determine the current folder")?;
    let mut command = Command::new(&binary);
    command.arg("pictures").arg(workspace.run(&record.id).path()).arg("--out").arg(out);
    let status = command.current_dir(&workspace.root).status();
    let status = status.with_context(|| format!("cannot start {}", binary.display()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What to do about a run of which there is only a record.
fn lost(record: &Record, report: &str) -> String {
    let Record { id, task, .. } = record;
    let config = report.strip_prefix(&format!("{task}-")).map(|config| format!(" --config {config}"));
    format!(
        "pictures need the weights of the run, but there is no folder runs/{id}: reports/records/{report}.jsonl has its record \
         only\n  hint: copy the folder from where the run was trained, or train it again with `cargo xtask bench {task}{}`",
        config.unwrap_or_default()
    )
}

fn describe(entry: &Entry) -> Result<String> {
    let Entry { record, test } = entry;
    let mut lines = vec![format!("run         {}", record.id)];
    let mut line = |name: &str, value: String| lines.push(format!("{name:11} {value}"));
    line(
        "task",
        format!(
            "{} version {}, {}, {} parameters",
            record.task, record.task_version, record.about.model, record.about.parameters
        ),
    );
    line(
        "data",
        format!(
            "{}{}",
            record.about.dataset,
            record.about.dataset_caveat.iter().map(|c| format!(" ({c})")).collect::<String>()
        ),
    );
    line("recipe", record.about.recipe.clone());
    for (name, table) in [
        ("task", &record.spec.task),
        ("train", &record.spec.train),
        ("optimizer", &record.spec.optimizer),
        ("schedule", &record.spec.schedule),
        ("method", &record.spec.method),
    ] {
        line(&format!("[{name}]"), serde_json::to_string(table)?);
    }
    line("seed", format!("{}, rest_decay {}", record.spec.seed, record.spec.rest_decay));
    line(
        "outcome",
        match &record.outcome {
            Outcome::Finished => format!("finished after {} steps", record.steps),
            Outcome::Diverged { epoch, step, reason } => {
                format!("diverged in epoch {} at step {step}: {reason}", epoch + 1)
            }
        },
    );
    for row in &record.epochs {
        line(
            &format!("epoch {}", row.epoch + 1),
            format!("training loss {:.4}; validation {}", row.train_loss, scores(&row.validation, false)),
        );
    }
    line(
        "test",
        match test {
            Some(test) => scores(&test.scores, true),
            None => "not read: only chosen settings are tested".into(),
        },
    );
    if let Some(last) = record.norms.last() {
        line(
            "norms",
            format!(
                "step {}: median filter {:.4}, smallest {:.4}, effective rate {:.3e}, rotation {:.2e} rad a step",
                last.step, last.filter_norm_median, last.filter_norm_min, last.effective_lr, last.rotation
            ),
        );
    }
    let s = record.seconds;
    line(
        "seconds",
        format!(
            "data {:.1}, forward {:.1}, backward {:.1}, update {:.2}, evaluation {:.1}",
            s.data, s.forward, s.backward, s.update, s.evaluation
        ),
    );
    line("weights", record.weights.clone());
    let p = &record.provenance;
    line("provenance", format!("{}, {} to {}, resumed {} times", p.line(), p.started, p.ended, p.resumed));
    for fault in p.faults.iter().flatten() {
        line("fault", fault.clone());
    }
    Ok(lines.join("\n"))
}

/// The scores, those of parts where `parts` says so.
fn scores(scores: &Scores, parts: bool) -> String {
    let shown = scores.iter().filter(|(name, _)| parts || !name.contains('/'));
    shown.map(|(name, score)| format!("{name} {score:.4}")).collect::<Vec<_>>().join(", ")
}
