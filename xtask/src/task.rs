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
}

impl Planned {
    /// A line that tells this run from the others.
    pub(crate) fn describe(&self) -> String {
        let name = |table: &record::Table| table.get("name").and_then(|n| n.as_str()).unwrap_or("?").to_owned();
        let numbers = |table: &record::Table, keys: &[&str]| {
            let shown = table.iter().filter(|(key, value)| keys.contains(&key.as_str()) && value.is_number());
            shown.map(|(key, value)| format!(" {key} {value}")).collect::<String>()
        };
        let scope = self.spec.method.get("scope").and_then(|scope| scope.as_str());
        format!(
            "{}{}{}{} seed {}",
            name(&self.spec.method),
            scope.map(|scope| format!(" on {scope}")).unwrap_or_default(),
            numbers(&self.spec.method, &["decay"]),
            numbers(&self.spec.optimizer, &["lr"]),
            self.spec.seed
        )
    }
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
    if !workspace.root.join("configs").join(&which.task).is_dir() {
        let known = folders(&workspace.root.join("configs"));
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
                    runs.push(Planned { id, spec });
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
    match mistakes.is_empty() {
        true => Ok(Plan { binary, report, runs }),
        false => Err(mistake(mistakes.join("\nerror: "))),
    }
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

fn folders(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
