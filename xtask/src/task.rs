//! A task's binary, and the runs that it plans.
//!
//! The runner knows no methods: it sends specs as written to the task's binary (`plan`), which answers with ids and
//! complete specs, or with the section and key of a mistake, which the runner turns into file and line. So only one
//! place turns a method's name into code, and the runner builds quickly.

use crate::schedule::Estimates;
use crate::workspace::Workspace;
use crate::{Which, mistake};
use anyhow::{Context, Result, bail};
use record::{Entry, RunId, Spec};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use study::{Config, Planned, Protocol, Study};

/// A comparison, and the runs of it that are known.
pub(crate) struct Plan {
    pub(crate) binary: PathBuf,
    /// Name of the comparison's report.
    pub(crate) report: String,
    study: Study,
    /// Every run that has an id.
    known: Vec<Planned>,
    /// Their specs, as [`key`] writes them.
    keys: BTreeMap<String, usize>,
    /// Ids of settings that the binary planned to tell what is wrong with them, by [`key`].
    planned: BTreeMap<String, RunId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    id: Option<RunId>,
    spec: Option<Spec>,
    error: Option<AnswerError>,
}

/// What is wrong with a spec.
#[derive(Deserialize)]
pub(crate) struct AnswerError {
    pub(crate) section: String,
    /// The dotted key at fault, where it is one.
    #[serde(default)]
    key: Option<String>,
    pub(crate) message: String,
}

/// Reads the configuration, builds the task, and has it plan each setting.
pub(crate) fn plan(workspace: &Workspace, which: &Which) -> Result<Plan> {
    let known = workspace.tasks();
    if !known.contains(&which.task) {
        let near = settings::did_you_mean(&which.task, known.iter().map(String::as_str));
        return Err(mistake(format!("there is no task `{}`{near}; there is {}", which.task, known.join(", "))));
    }
    let (config, report) = workspace.config(&which.task, &which.config)?;
    let mut grid = config.grid(&which.selection())?;
    let binary = workspace.binary(&which.task)?;
    // What is wrong with a rung shall show before anything is trained.
    let settings = grid.points.len();
    let rungs = grid.rungs();
    grid.points.extend(rungs);
    let answers = ask(workspace, &binary, &grid.points.iter().map(|point| &point.spec).collect::<Vec<_>>())?;
    let (mut specs, mut matched, mut mistakes) = (Vec::<Spec>::new(), Vec::<Spec>::new(), Vec::<String>::new());
    let (mut seen, mut planned) = (BTreeSet::new(), BTreeMap::new());
    for (index, (point, answer)) in grid.points.iter().zip(answers).enumerate() {
        if let Ok((id, spec)) = &answer {
            planned.insert(key(spec)?, id.clone());
        }
        let known = if point.matched { &mut matched } else { &mut specs };
        match answer {
            Ok((id, spec)) if index < settings && seen.insert((point.matched, id.clone())) => known.push(spec),
            Ok(_) => {}
            Err(error) => {
                let line = explain(&config, which, point.method, &error);
                if !mistakes.contains(&line) {
                    mistakes.push(line);
                }
            }
        }
    }
    if !mistakes.is_empty() {
        return Err(mistake(mistakes.join("\nerror: ")));
    }
    let study = Study::new(specs, matched, grid.seeds, grid.tuning);
    let study = study.map_err(|error| mistake(format!("{}: {error}", config.path().display())))?;
    Ok(Plan { binary, report, study, known: Vec::new(), keys: BTreeMap::new(), planned })
}

impl Plan {
    /// The runs that the comparison consists of, as far as the results so far can tell.
    pub(crate) fn runs(&mut self, workspace: &Workspace) -> Result<Vec<Planned>> {
        loop {
            let specs = self.study.runs(&self.entries(workspace)?);
            let keys = specs.iter().map(key).collect::<Result<Vec<_>>>()?;
            let indices: Vec<Option<usize>> = keys.iter().map(|key| self.keys.get(key).copied()).collect();
            let new: Vec<&Spec> =
                specs.iter().zip(&indices).filter(|(_, known)| known.is_none()).map(|(spec, _)| spec).collect();
            if new.is_empty() {
                let wanted: BTreeSet<usize> = indices.into_iter().flatten().collect();
                let mut runs: Vec<Planned> =
                    wanted.into_iter().filter_map(|index| self.known.get(index)).cloned().collect();
                let lines = study::describe(&runs.iter().map(|run| &run.spec).collect::<Vec<_>>());
                runs.iter_mut().zip(lines).for_each(|(run, line)| run.line = line);
                return Ok(runs);
            }
            let (mut planned, mut unplanned) = (Vec::new(), Vec::new());
            for spec in new {
                match self.planned.get(&key(spec)?) {
                    Some(id) => planned.push((id.clone(), spec.clone())),
                    None => unplanned.push(spec),
                }
            }
            planned.into_iter().try_for_each(|(id, spec)| self.learn(id, spec))?;
            if unplanned.is_empty() {
                continue;
            }
            for answer in ask(workspace, &self.binary, &unplanned)? {
                match answer {
                    Ok((id, spec)) => self.learn(id, spec)?,
                    Err(AnswerError { section, message, .. }) => {
                        bail!("{} planned a run that it refuses now: {section}: {message}", self.binary.display())
                    }
                }
            }
        }
    }

    fn learn(&mut self, id: RunId, spec: Spec) -> Result<()> {
        self.keys.insert(key(&spec)?, self.known.len());
        self.known.push(Planned { id, spec, line: String::new() });
        Ok(())
    }

    /// How many runs will follow those of [`Plan::runs`], at most.
    pub(crate) fn to_come(&self, workspace: &Workspace) -> Result<usize> {
        Ok(self.study.to_come(&self.entries(workspace)?))
    }

    /// What the results so far say of runs that have none.
    pub(crate) fn estimates(&self, workspace: &Workspace) -> Result<Estimates> {
        Ok(Estimates::of(&self.entries(workspace)?))
    }

    /// The runs that validation chose and whose scores on the test split were not taken.
    pub(crate) fn untested(&self, workspace: &Workspace) -> Result<Vec<RunId>> {
        Ok(untested(&self.entries(workspace)?, &self.protocol(workspace)?))
    }

    /// How the comparison is made, as far as the results so far can tell.
    pub(crate) fn protocol(&self, workspace: &Workspace) -> Result<Protocol> {
        let matched = self.study.matched(&self.entries(workspace)?);
        let runs = self.known.iter().filter(|run| matched.contains(&run.spec));
        Ok(Protocol { matched: runs.map(|run| run.id.clone()).collect(), ..self.study.protocol() })
    }

    /// The results so far.
    fn entries(&self, workspace: &Workspace) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for run in &self.known {
            let folder = workspace.run(&run.id);
            if let Some(record) = folder.read_record()? {
                entries.push(Entry { record, test: folder.read_test()? });
            }
        }
        Ok(entries)
    }
}

/// Those of `entries` that validation chose and whose scores on the test split were not taken.
pub(crate) fn untested(entries: &[Entry], protocol: &Protocol) -> Vec<RunId> {
    let chosen = study::chosen(entries, protocol);
    let untested = entries.iter().filter(|entry| entry.test.is_none() && chosen.contains(&entry.record.id));
    untested.map(|entry| entry.record.id.clone()).collect()
}

/// A spec as a text that equals another's where the specs are equal.
fn key(spec: &Spec) -> Result<String> {
    Ok(serde_json::to_string(spec)?)
}

fn explain(config: &Config, which: &Which, method: usize, error: &AnswerError) -> String {
    let place = config.locate(&error.section, method, &which.selection(), error.key.as_deref());
    format!("{place}: {}: {}", error.section, error.message)
}

/// The id of each of `specs`, and the spec with every default filled in; or what is wrong with it.
pub(crate) fn ask(
    workspace: &Workspace,
    binary: &Path,
    specs: &[&Spec],
) -> Result<Vec<std::result::Result<(RunId, Spec), AnswerError>>> {
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
    let answers: Vec<Answer> = serde_json::from_slice(&output.stdout)?;
    if answers.len() != specs.len() {
        bail!("asked {} to plan {} runs, it answered for {}", binary.display(), specs.len(), answers.len());
    }
    let answer = |answer| match answer {
        Answer { id: Some(id), spec: Some(spec), error: None } => Ok(Ok((id, spec))),
        Answer { error: Some(error), .. } => Ok(Err(error)),
        Answer { .. } => bail!("{} answered neither a run nor an error", binary.display()),
    };
    answers.into_iter().map(answer).collect()
}
