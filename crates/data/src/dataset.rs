//! The files of a data set, before anything is decoded.

use std::path::{Path, PathBuf};

use files::{FileError, hex, read_pieces};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::error::Tasks;
use crate::root::{Root, parquet_files};
use crate::{Error, ExpectedFile, Fault, Manifest, Result, Source, Split, Stored, TaskKind, Validation};

/// A data set that was found: its manifest and its files.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The name of the manifest.
    pub name: String,
    /// What the set is.
    pub manifest: Manifest,
    /// Its files; of a derived set those of the set that it is derived from.
    pub(crate) files: Files,
}

/// The files of a set.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// How they are read.
    pub(crate) stored: Stored,
    /// The splits that have files, in the order train, validation, test. A validation split that
    /// is carved has none of its own.
    pub(crate) parts: Vec<Part>,
}

/// The files of a split.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// What the files are for.
    pub(crate) split: Split,
    /// The folder that they are in, without the way to it.
    pub(crate) folder: String,
    /// The parquet files, sorted by name.
    pub(crate) files: Vec<PathBuf>,
}

impl Dataset {
    /// Finds the set `name`. All its files come from one place: a set is never put together from
    /// two copies.
    ///
    /// # Errors
    ///
    /// Where there is no such manifest, no files for it, none for one of its splits, or other
    /// files than the manifest lists.
    pub fn find(root: &Root, name: &str) -> Result<Self> {
        let manifest = root.manifest(name)?;
        let files = match &manifest.source {
            Source::Stored(stored) => Files::find(root, name, stored)?,
            Source::Scenes(scenes) => scenes.source_files(root, name)?,
        };
        Ok(Self { name: name.to_owned(), manifest, files })
    }

    /// The set, where it is for `task`.
    ///
    /// # Errors
    ///
    /// Where it is for others.
    pub fn of_task(self, task: TaskKind) -> Result<Self> {
        let tasks = self.manifest.tasks();
        if tasks.contains(&task) {
            return Ok(self);
        }
        Err(Error::Task { name: self.name, expected: task, found: Tasks(tasks) })
    }

    /// The identity of what is read: SHA-256, in hexadecimal, over the parts of the manifest that
    /// decide how the files are read (splits, carving, columns, channels, number of classes), and
    /// for each file its split, its name and the SHA-256 of its bytes. Neither the place of the
    /// files nor the prose of the manifest matters. Of scenes, it is over the set that they are made of, their settings,
    /// and the [version](crate::scenes::VERSION) of what makes them.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, or has another SHA-256 than the manifest says.
    pub fn digest(&self) -> Result<String> {
        let digest = self.files.digest()?;
        Ok(match &self.manifest.source {
            Source::Stored(_) => digest,
            Source::Scenes(scenes) => {
                hex(&fields(scenes.settings(&self.files.stored.classes).into_iter().chain([digest])))
            }
        })
    }
}

impl Files {
    pub(crate) fn find(root: &Root, name: &str, stored: &Stored) -> Result<Self> {
        let place = root.find(name, stored)?;
        let parts = stored
            .splits
            .folders()
            .iter()
            .map(|&(split, folder)| {
                let path = place.join(folder);
                let files = parquet_files(&path)?;
                if files.is_empty() {
                    return Err(Error::NoSplit { split, folder: path });
                }
                Ok(Part { split, folder: folder.to_owned(), files })
            })
            .collect::<Result<Vec<_>>>()?;
        let files = Self { stored: stored.clone(), parts };
        files.check_listed(&place)?;
        Ok(files)
    }

    fn digest(&self) -> Result<String> {
        let files: Vec<(&Part, &Path)> =
            self.parts.iter().flat_map(|part| part.files.iter().map(move |file| (part, file.as_path()))).collect();
        let digests: Vec<Result<[u8; 32]>> = files.par_iter().map(|(_, file)| Ok(digest_of(file)?)).collect();

        let mut all: Vec<Vec<u8>> = self.reading().into_iter().map(String::into_bytes).collect();
        for ((part, file), digest) in files.into_iter().zip(digests) {
            let digest = digest?;
            let expected = self.expected(part, file).and_then(|expected| expected.sha256.as_deref());
            if let Some(expected) = expected
                && expected != hex(&digest)
            {
                return Err(Error::Sha256 {
                    file: file.to_path_buf(),
                    expected: expected.to_owned(),
                    found: hex(&digest),
                });
            }
            all.extend([part.split.name().into(), file_name(file).into_bytes(), digest.to_vec()]);
        }
        Ok(hex(&fields(all)))
    }

    /// All files in the order of `parts`, each with its split.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Split, &Path)> {
        self.parts.iter().flat_map(|part| part.files.iter().map(|file| (part.split, file.as_path())))
    }

    /// The number of rows that `file` must have, where the manifest says it.
    pub(crate) fn expected_rows(&self, file: &Path) -> Option<u64> {
        let part = self.parts.iter().find(|part| part.files.iter().any(|of| of == file))?;
        self.expected(part, file)?.rows
    }

    /// What the manifest says of `file` in `part`, if anything.
    pub(crate) fn expected(&self, part: &Part, file: &Path) -> Option<&ExpectedFile> {
        let path = format!("{}/{}", part.folder, file_name(file));
        self.stored.files.iter().find(|expected| expected.path == path)
    }

    fn check_listed(&self, place: &Path) -> Result<()> {
        if self.stored.files.is_empty() {
            return Ok(());
        }
        for part in &self.parts {
            for file in &part.files {
                if self.expected(part, file).is_none() {
                    return Err(Error::UnlistedFile { file: file.clone() });
                }
            }
        }
        match self.stored.files.iter().map(|listed| place.join(&listed.path)).find(|path| !path.is_file()) {
            Some(file) => Err(Error::MissingFile { file }),
            None => Ok(()),
        }
    }

    /// The parts of the manifest that decide what is read from given files.
    fn reading(&self) -> Vec<String> {
        let Stored { classes, channels, columns, splits, tolerate, .. } = &self.stored;
        let mut reading = vec![
            format!("{} classes", classes.len()),
            channels.map_or_else(|| "channels as in the files".to_owned(), |channels| channels.reading().to_owned()),
            columns.image().to_owned(),
        ];
        reading.extend(columns.reading());
        reading.push(match &splits.validation {
            Validation::Folder(_) => "own validation".to_owned(),
            Validation::Carved(carve) => format!("validation {} of train, seed {}", carve.fraction, carve.seed),
        });
        let all = [Fault::Image, Fault::Box, Fault::Mask, Fault::Point];
        reading.extend(all.iter().filter(|fault| tolerate.contains(fault)).map(|fault| format!("{fault} tolerated")));
        reading
    }
}

/// SHA-256 of fields, each with its length, so that no two lists of fields run together to the same bytes.
fn fields(fields: impl IntoIterator<Item = impl AsRef<[u8]>>) -> [u8; 32] {
    let mut total = Sha256::new();
    for field in fields {
        total.update((field.as_ref().len() as u64).to_le_bytes());
        total.update(field);
    }
    total.finalize().into()
}

fn file_name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// SHA-256 of the file at `path`, in lower-case hexadecimal.
///
/// # Errors
///
/// Where it cannot be read.
pub fn sha256_of(path: &Path) -> Result<String, FileError> {
    Ok(hex(&digest_of(path)?))
}

fn digest_of(path: &Path) -> Result<[u8; 32], FileError> {
    let mut hash = Sha256::new();
    read_pieces(path, |piece| hash.update(piece))?;
    Ok(hash.finalize().into())
}
