//! The folder of a run: `spec.json log.jsonl checkpoint weights.safetensors record.json test.json lock`.

use crate::error::Error;
use record::fs::{FileError, create_folder, read_text, read_text_if_present, write_atomic};
use record::{Record, SCHEMA, Spec, TestRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

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

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log.jsonl")
    }

    /// What is to be run.
    ///
    /// # Errors
    ///
    /// Where there is no `spec.json`, or it is not a spec.
    pub fn read_spec(&self) -> Result<Spec, Error> {
        let path = self.0.join("spec.json");
        let text = read_text(&path)?;
        serde_json::from_str(&text).map_err(|e| Error::spec("spec", format!("{}: {e}", path.display())))
    }

    /// Writes what is to be run.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn write_spec(&self, spec: &Spec) -> Result<(), Error> {
        write(&self.0.join("spec.json"), spec)
    }

    /// The result of training, where it has ended.
    ///
    /// # Errors
    ///
    /// Where the file is damaged or of another version.
    pub fn read_record(&self) -> Result<Option<Record>, Error> {
        read(&self.0.join("record.json"))
    }

    /// The scores on the test split, where they were taken.
    ///
    /// # Errors
    ///
    /// Where the file is damaged or of another version.
    pub fn read_test(&self) -> Result<Option<TestRecord>, Error> {
        read(&self.0.join("test.json"))
    }

    pub(crate) fn write_record(&self, record: &Record) -> Result<(), Error> {
        write(&self.0.join("record.json"), record)
    }

    pub(crate) fn write_test(&self, test: &TestRecord) -> Result<(), Error> {
        write(&self.0.join("test.json"), test)
    }

    /// Waits until no other process trains this run. The lock ends with the process, however it ends.
    pub(crate) fn lock(&self, stop: &dyn Fn() -> bool) -> Result<File, Error> {
        create_folder(&self.0)?;
        let path = self.0.join("lock");
        let fail = |source| Error::from(FileError::new("lock", &path, source));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(source)) => return Err(fail(source)),
                Err(TryLockError::WouldBlock) if stop() => return Err(Error::Interrupted),
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        eprintln!("{}: another process trains this run; waiting for it", self.0.display());
                        told = true;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?;
    text.push('\n');
    Ok(write_atomic(path, text.as_bytes())?)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(text) = read_text_if_present(path)? else { return Ok(None) };
    let bad = |message: String| Error::File { path: path.into(), message };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| bad(format!("not valid JSON: {e}")))?;
    let schema = &value["schema"];
    if *schema != SCHEMA {
        return Err(bad(format!("expected schema {SCHEMA}, found {schema}: written by another version")));
    }
    serde_path_to_error::deserialize(value).map(Some).map_err(|e| bad(format!("key `{}`: {}", e.path(), e.inner())))
}
