//! A task's binary, and the runs that it plans.

use crate::workspace::Workspace;
use crate::{Which, mistake};
use anyhow::{Context, Result, bail};
use record::{Config, RunId, Spec};
use serde::Deserialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The runs of a comparison, in the order of its configuration.
pub(crate) struct Plan {
    pub(crate) binary: PathBuf,
    /// Name of the comparison's report.
    pub(crate) report: String,
    pub(crate) runs: Vec<Planned>,
}

/// A run with every default filled in.
#[derive(Clone)]
pub(crate) struct Planned {
    pub(crate) id: RunId,
    pub(crate) spec: Spec,
    /// A line that tells this run from the others.
    pub(crate) line: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    id: Option<RunId>,
    spec: Option<Spec>,
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    section: String,
    message: String,
}

/// Reads the configuration, builds the task, and has it plan each run.
pub(crate) fn plan(workspace: &Workspace, which: &Which) -> Result<Plan> {
    let known = workspace.tasks();
    if !known.contains(&which.task) {
        let near = record::did_you_mean(&which.task, known.iter().map(String::as_str));
        return Err(mistake(format!("there is no task `{}`{near}; there is {}", which.task, known.join(", "))));
    }
    let (config, report) = workspace.config(&which.task, &which.config)?;
    let points = config.grid(&which.selection())?;
    let binary = workspace.binary(&which.task)?;
    let specs: Vec<&Spec> = points.iter().map(|point| &point.spec).collect();
    let answers = ask(workspace, &binary, &specs)?;
    if answers.len() != points.len() {
        bail!("asked {} to plan {} runs, it answered for {}", binary.display(), points.len(), answers.len());
    }
    let (mut runs, mut mistakes) = (Vec::<Planned>::new(), Vec::<String>::new());
    for (point, answer) in points.iter().zip(answers) {
        match (answer.id, answer.spec, answer.error) {
            (Some(id), Some(spec), None) => {
                if runs.iter().all(|run| run.id != id) {
                    runs.push(Planned { id, spec, line: String::new() });
                }
            }
            (_, _, Some(error)) => {
                let line = explain(&config, workspace, which, point.method, &error);
                if !mistakes.contains(&line) {
                    mistakes.push(line);
                }
            }
            _ => bail!("{} answered neither a run nor an error", binary.display()),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistake(mistakes.join("\nerror: ")));
    }
    let lines = record::describe(&runs.iter().map(|run| &run.spec).collect::<Vec<_>>());
    runs.iter_mut().zip(lines).for_each(|(run, line)| run.line = line);
    Ok(Plan { binary, report, runs })
}

fn explain(config: &Config, workspace: &Workspace, which: &Which, method: usize, error: &AnswerError) -> String {
    let place = config.locate(&error.section, method, &which.selection(), &error.message);
    let root = format!("{}/", workspace.root.display());
    format!("{}: {}: {}", place.strip_prefix(&root).unwrap_or(&place), error.section, error.message)
}

fn ask(workspace: &Workspace, binary: &Path, specs: &[&Spec]) -> Result<Vec<Answer>> {
    let mut child = Command::new(binary)
        .arg("plan")
        .current_dir(&workspace.root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let mut input = child.stdin.take().context("no way to write to the task's binary")?;
    input.write_all(&serde_json::to_vec(specs)?)?;
    drop(input);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{} plan failed; see its message above", binary.display());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
