//! `datasets/<name>.lock`: which files exactly.
//!
//! The lock records what the first fetch found, because sizes and digests of most repositories are not known before.
//! Manifests remain files that people write.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Stored};

/// `datasets/<name>.lock`: the files of a set as they were when they were first fetched. It is
/// committed, so that everybody has the same.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The commit that the files are of.
    pub revision: String,
    /// All files.
    pub files: Vec<ExpectedFile>,
}

impl Lock {
    /// Where the lock of the manifest at `path` is.
    pub fn beside(path: &Path) -> PathBuf {
        path.with_extension("lock")
    }

    /// The lock at `path`, or nothing where there is none.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let Some(text) = files::read_text_if_present(path)? else { return Ok(None) };
        Self::parse(&text).map(Some).map_err(|cause| Error::Manifest { path: path.to_path_buf(), cause })
    }

    /// Reads the text of a lock.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), but for the file.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Writes the lock to `path`.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = format!(
            "# What `cargo xtask fetch` found: commit this file, so that everybody has the same data.\nrevision = {:?}\n",
            self.revision
        );
        for file in &self.files {
            text.push_str(&file.to_string());
        }
        Ok(files::write_atomic(path, text.as_bytes())?)
    }

    /// What a lock and its manifest must agree on.
    pub(crate) fn check(&self, stored: &Stored) -> Result<(), String> {
        let hint = "\n  hint: delete the lock to pin anew what the manifest names now, then fetch";
        if let Some(hub) = &stored.hub
            && hub.is_pinned()
            && hub.revision != self.revision
        {
            return Err(format!(
                "expected revision {} as in the manifest, found {}{hint}",
                hub.revision, self.revision
            ));
        }
        for pinned in &stored.files {
            let found = self.files.iter().find(|file| file.path == pinned.path);
            if !found.is_some_and(|found| pinned.agrees(found)) {
                return Err(format!("expected {:?} as in the manifest{hint}", pinned.path));
            }
        }
        Ok(())
    }
}

/// What a file must be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFile {
    /// Folder and name, such as `train/0000.parquet`.
    pub path: String,
    /// The path in the hub's repository, where it is another.
    pub source: Option<String>,
    /// Number of rows.
    pub rows: Option<u64>,
    /// Number of bytes.
    pub size: Option<u64>,
    /// SHA-256 of the file in lower-case hexadecimal.
    pub sha256: Option<String>,
}

impl ExpectedFile {
    /// Whether `other` is nothing that this file may not be.
    fn agrees(&self, other: &Self) -> bool {
        fn same<T: PartialEq>(mine: Option<&T>, other: Option<&T>) -> bool {
            mine.is_none() || mine == other
        }
        self.path == other.path
            && same(self.source.as_ref(), other.source.as_ref())
            && same(self.rows.as_ref(), other.rows.as_ref())
            && same(self.size.as_ref(), other.size.as_ref())
            && same(self.sha256.as_ref(), other.sha256.as_ref())
    }
}

/// As manifests and locks have it.
impl fmt::Display for ExpectedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n[[files]]\npath = {:?}\n", self.path)?;
        if let Some(source) = &self.source {
            writeln!(f, "source = {source:?}")?;
        }
        if let Some(rows) = self.rows {
            writeln!(f, "rows = {rows}")?;
        }
        if let Some(size) = self.size {
            writeln!(f, "size = {size}")?;
        }
        if let Some(sha256) = &self.sha256 {
            writeln!(f, "sha256 = {sha256:?}")?;
        }
        Ok(())
    }
}
