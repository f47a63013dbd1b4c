//! One file, from wherever it is.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use data::sha256_of;
use files::{Part, read_pieces};
use sha2::{Digest, Sha256};

use crate::error::chain;
use crate::http::{Body, Files, digest, file_of};
use crate::plan::{Plan, RemoteFile};
use crate::progress::{Download, FileProgress, Progress};
use crate::repository::Repository;
use crate::retry::{Attempts, Failure, Stop};
use crate::{Error, Result};

/// Gets the files of a plan.
pub(crate) struct Downloads<'a> {
    pub(crate) repository: Repository<'a>,
    /// Nothing where nothing may be connected to.
    pub(crate) files: Option<Files<'a>>,
    pub(crate) plan: &'a Plan,
    /// The folder of the set.
    pub(crate) folder: &'a Path,
    pub(crate) progress: &'a Progress,
    pub(crate) shown: Download<'a>,
    pub(crate) stop: Stop,
}

impl Downloads<'_> {
    /// Makes the part of `file` whole and right, and gives its sha256; or nothing where it stays incomplete because
    /// nothing may be connected to, or because another file failed.
    pub(crate) fn obtain(&self, file: &RemoteFile) -> Result<Option<String>> {
        let mut growing = Growing::open(&self.folder.join(&file.path), file)?;
        let shown = self.shown.file(&file.path, file.size);
        shown.set(growing.part.len());
        let sha256 = match self.complete(file, &mut growing, &shown) {
            Ok(Some(sha256)) => sha256,
            incomplete => {
                if growing.part.is_empty() {
                    growing.part.remove()?;
                }
                return incomplete;
            }
        };
        growing.part.sync()?;
        Ok(Some(sha256))
    }

    fn complete(&self, file: &RemoteFile, growing: &mut Growing, shown: &FileProgress<'_>) -> Result<Option<String>> {
        if growing.part.len() == file.size {
            match growing.check(file) {
                Ok(sha256) => return Ok(Some(sha256)),
                Err(_) => growing.clear()?,
            }
        }
        if let Some(cached) = self.cached(file) {
            growing.clear()?;
            let mut copied = Ok(());
            read_pieces(&cached, |piece| {
                if copied.is_ok() {
                    copied = growing.append(piece);
                }
            })?;
            copied?;
            if let Ok(sha256) = growing.check(file) {
                self.progress.note(&format!("{}: copied from {}", file.path, cached.display()));
                return Ok(Some(sha256));
            }
            growing.clear()?;
        }
        match &self.files {
            None => Ok(None),
            Some(files) => self.download(files, file, growing, shown),
        }
    }

    fn download(
        &self,
        files: &Files<'_>,
        file: &RemoteFile,
        growing: &mut Growing,
        shown: &FileProgress<'_>,
    ) -> Result<Option<String>> {
        let asked = file_of(&self.repository, &self.plan.commit, &file.source);
        let mut attempts = Attempts::new(self.repository.settings.back_off);
        let (mut longest, mut wrong) = (growing.part.len(), false);
        while !self.stop.is_stopped() {
            if let Err(failure) = self.attempt(files, file, growing, shown) {
                if self.stop.is_stopped() {
                    break;
                }
                let progress = growing.part.len() > longest;
                longest = longest.max(growing.part.len());
                let (reason, wait) = attempts.failed(failure, progress, &asked)?;
                self.progress.retry(&file.path, &reason, wait);
                self.stop.sleep(wait);
                continue;
            }
            match growing.check(file) {
                Ok(sha256) => return Ok(Some(sha256)),
                Err((expected, found)) => {
                    growing.clear()?;
                    shown.set(0);
                    if wrong {
                        return Err(Error::Contents { path: file.path.clone(), expected, found });
                    }
                    wrong = true;
                    let line = format!("{}: expected {expected}, found {found}; starting over", file.path);
                    self.progress.note(&line);
                }
            }
        }
        Ok(None)
    }

    /// Gets what is missing, or some of it.
    fn attempt(
        &self,
        files: &Files<'_>,
        file: &RemoteFile,
        growing: &mut Growing,
        shown: &FileProgress<'_>,
    ) -> Result<(), Failure> {
        let start_over = |growing: &mut Growing, reason: String| {
            shown.set(0);
            growing.clear().map_or_else(Failure::from, |()| Failure::passing(reason))
        };
        let have = growing.part.len();
        let mut body = match files.get(&self.plan.commit, &file.source, have)? {
            Body::Whole(response) => {
                growing.clear()?;
                shown.set(0);
                response
            }
            Body::Rest { from, size, response } if from == have && size.is_none_or(|size| size == file.size) => {
                response
            }
            Body::Rest { from, size, .. } => {
                let size = size.map_or_else(String::new, |size| format!(" of {size}"));
                let expected = format!("expected bytes from {have} of {}", file.size);
                return Err(start_over(growing, format!("{expected}, found bytes from {from}{size}")));
            }
            Body::Nothing => return Err(start_over(growing, format!("there are no bytes from {have} on"))),
        };
        let mut piece = vec![0; 1 << 16];
        // A byte too many shows that the file is another.
        while growing.part.len() <= file.size && !self.stop.is_stopped() {
            match body.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => {
                    growing.append(piece.get(..length).unwrap_or_default())?;
                    shown.received(length as u64);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What comes, or does not come, after the last byte makes no difference.
                Err(_) if growing.part.len() == file.size => break,
                Err(error) => return Err(cut(growing.part.len(), file, &chain(&error))),
            }
        }
        if growing.part.len() < file.size {
            return Err(cut(growing.part.len(), file, "the answer ended"));
        }
        Ok(())
    }

    /// The file in Python's cache, where it is the right one.
    fn cached(&self, file: &RemoteFile) -> Option<PathBuf> {
        let expected = file.sha256.as_ref()?;
        let repository = format!("datasets--{}", self.repository.id.replace('/', "--"));
        let snapshot = self.repository.settings.cache.as_ref()?.join(repository).join("snapshots");
        let path = snapshot.join(&self.plan.commit).join(&file.source);
        if std::fs::metadata(&path).ok()?.len() != file.size {
            return None;
        }
        let found = sha256_of(&path).ok()?;
        if found != *expected {
            self.progress.note(&format!("{} is damaged, and is not used", path.display()));
            return None;
        }
        Some(path)
    }
}

fn cut(length: u64, file: &RemoteFile, reason: &str) -> Failure {
    Failure::passing(format!("got {length} of {} bytes: {reason}", file.size))
}

/// A part, and the digest of its bytes.
struct Growing {
    part: Part,
    hash: Sha256,
}

impl Growing {
    fn open(path: &Path, file: &RemoteFile) -> Result<Self> {
        let mut growing = Self { part: Part::open(path)?, hash: Sha256::new() };
        // Only a digest can tell that both ends belong together.
        if file.sha256.is_none() || growing.part.len() > file.size {
            growing.clear()?;
        }
        growing.part.read(|piece| growing.hash.update(piece))?;
        Ok(growing)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.part.append(bytes)?;
        self.hash.update(bytes);
        Ok(())
    }

    fn clear(&mut self) -> Result<()> {
        self.part.clear()?;
        self.hash = Sha256::new();
        Ok(())
    }

    /// The sha256 of the part, which must be that of `file`; or what was expected, and what was found.
    fn check(&self, file: &RemoteFile) -> Result<String, (String, String)> {
        if self.part.len() != file.size {
            return Err((format!("{} bytes", file.size), format!("at least {}", self.part.len())));
        }
        let found = digest(self.hash.clone());
        match &file.sha256 {
            Some(expected) if *expected != found => Err((format!("sha256 {expected}"), found)),
            _ => Ok(found),
        }
    }
}
