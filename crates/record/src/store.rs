//! The folder of a run: `spec.json log.jsonl checkpoint checkpoint.before weights.safetensors
//! record.json test.json lock`.

use crate::run::{LogLine, Outcome, Record, SCHEMAS, TestRecord};
use crate::spec::Spec;
use files::{FileError, read_text, read_text_if_present, write_atomic};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// What is wrong with the files of a run.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is damaged, or another version wrote it.
    #[error("{}: {message}\n  hint: delete the folder {} to train this run anew", path.display(), path.parent().unwrap_or(path).display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// Another host trains the run, though this one could lock it.
    #[error(
        "cannot lock {}: process {pid} on {host} trains this run, but its lock does not hold on this host\n  hint: mount the file \
         system with locks that all hosts share (NFS without `nolock` and `local_lock`, Lustre with `flock`), or give each host \
         its own part of the runs with `bench --partition`",
        path.display()
    )]
    Lock {
        /// The file.
        path: PathBuf,
        /// Who trains it.
        host: String,
        /// Its process.
        pid: u32,
    },
}

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing was trained yet.
    Missing,
    /// A process trains it.
    Running,
    /// It has a checkpoint, and nobody trains it.
    Interrupted,
    /// It has a record.
    Finished,
    /// It has a record that says where it diverged.
    Diverged,
}

impl State {
    /// Whether it has a record.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Diverged)
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Missing => "missing",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Finished => "finished",
            Self::Diverged => "diverged",
        })
    }
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// The run in `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Final weights, named as torch names them.
    pub fn weights(&self) -> PathBuf {
        self.0.join("weights.safetensors")
    }

    /// What an interrupted run goes on from.
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint")
    }

    /// The checkpoint before, for where the last one is damaged.
    pub fn checkpoint_before(&self) -> PathBuf {
        self.0.join("checkpoint.before")
    }

    /// The file of [`RunFolder::read_record`].
    pub fn record(&self) -> PathBuf {
        self.0.join("record.json")
    }

    /// What [`RunLock`](crate::RunLock) locks.
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// The file of [`RunFolder::read_log`].
    pub fn log(&self) -> PathBuf {
        self.0.join("log.jsonl")
    }

    /// Losses, norms and epochs, as far as the last checkpoint, or a little further where writing it was interrupted.
    ///
    /// # Errors
    ///
    /// Where there is no log, or a line of it is damaged.
    pub fn read_log(&self) -> Result<Vec<LogLine>, StoreError> {
        let text = read_text(&self.log())?;
        let lines = (1..).zip(text.lines()).map(|(line, text)| {
            let bad = |e| content(&self.log(), format!("line {line}: expected a log line: {e}"));
            serde_json::from_str(text).map_err(bad)
        });
        lines.collect()
    }

    /// The file of [`RunFolder::read_spec`].
    pub fn spec(&self) -> PathBuf {
        self.0.join("spec.json")
    }

    /// What is to be run.
    ///
    /// # Errors
    ///
    /// Where there is no `spec.json`, or it is not a spec.
    pub fn read_spec(&self) -> Result<Spec, StoreError> {
        let text = read_text(&self.spec())?;
        serde_json::from_str(&text).map_err(|e| content(&self.spec(), format!("expected a spec: {e}")))
    }

    /// Writes what is to be run.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn write_spec(&self, spec: &Spec) -> Result<(), StoreError> {
        write(&self.spec(), spec)
    }

    /// The result of training, where it has ended.
    ///
    /// # Errors
    ///
    /// Where the file is damaged or of another version.
    pub fn read_record(&self) -> Result<Option<Record>, StoreError> {
        read(&self.record())
    }

    /// Writes the result of training.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn write_record(&self, record: &Record) -> Result<(), StoreError> {
        write(&self.record(), record)
    }

    /// The scores on the test split, where they were taken.
    ///
    /// # Errors
    ///
    /// Where the file is damaged or of another version.
    pub fn read_test(&self) -> Result<Option<TestRecord>, StoreError> {
        read(&self.0.join("test.json"))
    }

    /// Writes the scores on the test split.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn write_test(&self, test: &TestRecord) -> Result<(), StoreError> {
        write(&self.0.join("test.json"), test)
    }

    /// How far the run is.
    ///
    /// # Errors
    ///
    /// Where a record is damaged or of another version.
    pub fn state(&self) -> Result<State, StoreError> {
        match self.read_record()?.map(|record| record.outcome) {
            Some(Outcome::Finished) => return Ok(State::Finished),
            Some(Outcome::Diverged { .. }) => return Ok(State::Diverged),
            None => {}
        }
        // Looked at without making anything: a status changes nothing.
        let lock = File::open(self.lock());
        let held = lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
        Ok(match (held, self.checkpoint().exists() || self.checkpoint_before().exists()) {
            (true, _) => State::Running,
            (false, true) => State::Interrupted,
            (false, false) => State::Missing,
        })
    }
}

fn content(path: &Path, message: String) -> StoreError {
    StoreError::Content { path: path.into(), message }
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|e| content(path, e.to_string()))?;
    text.push('\n');
    Ok(write_atomic(path, text.as_bytes())?)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let Some(text) = read_text_if_present(path)? else { return Ok(None) };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| content(path, format!("expected JSON: {e}")))?;
    let schema = &value["schema"];
    if !SCHEMAS.into_iter().any(|known| *schema == known) {
        let (first, last) = SCHEMAS.into_inner();
        return Err(content(
            path,
            format!("expected a schema from {first} to {last}, found {schema}: another version wrote it"),
        ));
    }
    serde_json::from_value(value).map(Some).map_err(|e| content(path, format!("not as expected: {e}")))
}
