//! Trains a run again, in a folder that is gone afterwards.

use super::claims::Subject;
use crate::child::{Stop, TaskBinary};
use crate::task::ask;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use progress::{Ended, Progress};
use record::{Record, RunFolder, RunId};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use tempfile::TempDir;

/// What came of it.
pub(super) enum Again {
    Trained {
        entry: Box<record::Entry>,
        folder: RunFolder,
        /// Holds the folder.
        _scratch: TempDir,
    },
    /// The spec means nothing here, or another run than it did: why.
    Refused(String),
    Failed(String),
    Interrupted,
}

pub(super) struct Trainer<'a> {
    workspace: &'a Workspace,
    progress: &'a Progress,
    stop: &'a Stop,
    threads: Option<usize>,
    /// By task.
    binaries: BTreeMap<String, TaskBinary>,
}

impl<'a> Trainer<'a> {
    pub(super) fn new(
        workspace: &'a Workspace,
        progress: &'a Progress,
        stop: &'a Stop,
        threads: Option<usize>,
    ) -> Self {
        Self { workspace, progress, stop, threads, binaries: BTreeMap::new() }
    }

    pub(super) fn train(&mut self, subject: &Subject) -> Result<Again> {
        let Some(claim) = subject.claims.first() else { return Ok(Again::Refused("no record".into())) };
        let record = &claim.entry.record;
        let task = match self.binaries.entry(record.task.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let path = self.workspace.binary(&record.task)?;
                new.insert(TaskBinary::new(self.workspace, path, self.stop))
            }
        };
        if let Some(why) = refusal(self.workspace, record, task)? {
            return Ok(Again::Refused(why));
        }
        let scratch = tempfile::Builder::new().prefix("wrs-bench-verify-").tempdir().context("no scratch folder")?;
        let folder = RunFolder::new(scratch.path().join("run"));
        folder.write_spec(&subject.run.spec)?;
        let shown = self.progress.start(&subject.run);
        let ended = task.train(&folder, self.threads, &shown);
        let ended = ended.unwrap_or_else(|error| Ended::Failed(format!("{error:#}")));
        shown.end(&ended);
        let record = match ended {
            Ended::Recorded(record) => *record,
            Ended::Interrupted => return Ok(Again::Interrupted),
            Ended::Failed(why) => return Ok(Again::Failed(why)),
        };
        let is_tested = subject.claims.iter().any(|claim| claim.entry.test.is_some());
        if is_tested
            && record.validation().is_some()
            && let Err(error) = task.call("test", &folder, self.threads, &[])
        {
            return Ok(Again::Failed(format!("it cannot be tested: {error:#}")));
        }
        let entry = record::Entry { record, test: folder.read_test()? };
        Ok(Again::Trained { entry: Box::new(entry), folder, _scratch: scratch })
    }
}

/// Why the spec of `record` cannot be trained as it was.
fn refusal(workspace: &Workspace, record: &Record, task: &TaskBinary) -> Result<Option<String>> {
    let answer = ask(workspace, &task.path, &[&record.spec])?.pop().context("no answer to a spec")?;
    let (id, spec) = match answer {
        Ok(planned) => planned,
        Err(error) => return Ok(Some(format!("{}: {}", error.section, error.message))),
    };
    // Defaults may have been filled in since; the code and the data are others where this is not the id.
    let digest = &record.provenance.dataset_digest;
    let same = RunId::new(&record.task, record.task_version, digest, &spec) == id;
    Ok((!same).then(|| {
        format!(
            "expected version {} of `{}` and the data {digest:.16}…, found that the code here has another version, or the data \
             another digest\n  hint: use commit {}, which trained it, or train it anew with `cargo xtask bench {}`",
            record.task_version, record.task, record.provenance.commit, record.task
        )
    }))
}
