//! The files of a release: a folder, or an archive of one.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use files::FileError;
use walkdir::WalkDir;

use crate::error::{Error, InFile, Malformed, Result};
use formats::archive::Archive;

/// All files of a folder or an archive, with `/` between folders. Hidden files are not seen, nor
/// the `__MACOSX` folders that archives made on a Mac have.
#[derive(Clone)]
pub struct Tree {
    path: PathBuf,
    archive: Option<Arc<Archive>>,
    /// The folder that names are relative to: empty, or ending in `/`.
    base: String,
    files: BTreeSet<String>,
    /// Folders without a file in them, or in any folder in them.
    empty: BTreeSet<String>,
}

impl Tree {
    /// Lists the folder or archive at `path`. A gzipped archive is decompressed to a file without a
    /// name in the folder `scratch`.
    ///
    /// # Errors
    ///
    /// Where it cannot be listed (see [`Archive::open`]), or a name is not UTF-8.
    pub fn open(path: &Path, scratch: &Path) -> Result<Self> {
        let unreadable = |cause| FileError::new("read", path, cause);
        let (archive, names, folders) = if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
            let (names, folders) = list(path)?;
            (None, names, folders)
        } else {
            let file = File::open(path).map_err(unreadable)?;
            let archive =
                Archive::open(Box::new(file), scratch).map_err(|cause| cause.of(path.display().to_string()))?;
            let names = archive.names().into_iter().map(str::to_owned).collect();
            let folders = archive.folders().to_vec();
            (Some(Arc::new(archive)), names, folders)
        };
        let seen = |name: &String| name.split('/').all(|part| !part.starts_with('.') && part != "__MACOSX");
        let files: BTreeSet<String> = names.into_iter().filter(seen).collect();
        let mut tree = Self { path: path.to_path_buf(), archive, base: String::new(), files, empty: BTreeSet::new() };
        tree.empty = folders.into_iter().filter(seen).filter(|folder| !tree.has_folder(folder)).collect();
        Ok(tree)
    }

    /// The tree of the folder `folder`.
    pub fn inside(&self, folder: &str) -> Self {
        let prefix = format!("{folder}/");
        let files = self.under(&prefix).map(str::to_owned).collect();
        let empty = self.empty.iter().filter_map(|folder| folder.strip_prefix(&prefix)).map(str::to_owned).collect();
        Self { base: format!("{}{prefix}", self.base), files, empty, ..self.clone() }
    }

    /// The folder or archive that all files are in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All files, sorted.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// Whether there is a file with this name.
    pub fn has(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    /// `file`, or where there is none the one whose name differs in the case of its extension alone: `0.TXT` for `0.txt`.
    pub fn any_case(&self, file: String) -> String {
        let Some((stem, extension)) = file.rsplit_once('.').filter(|_| !self.has(&file)) else { return file };
        let stem = format!("{stem}.");
        let other = self.under(&stem).find(|other| other.eq_ignore_ascii_case(extension));
        other.map(|other| stem + other).unwrap_or(file)
    }

    /// Whether there is a folder with this name and a file in it.
    pub fn has_folder(&self, folder: &str) -> bool {
        self.under(&format!("{folder}/")).next().is_some()
    }

    /// Names of the files right in `folder` (`""` for the top), sorted.
    pub fn files_in(&self, folder: &str) -> Vec<&str> {
        self.under(&prefix(folder)).filter(|name| !name.contains('/')).collect()
    }

    /// Names of the files in `folder` (`""` for the top) and in the folders in it, sorted.
    pub fn files_under(&self, folder: &str) -> Vec<&str> {
        self.under(&prefix(folder)).collect()
    }

    /// Names of the folders right in `folder` that have no files in them, sorted. Archives may not list them.
    pub fn empty_folders_in(&self, folder: &str) -> Vec<&str> {
        let prefix = prefix(folder);
        let inner = self.empty.iter().filter_map(|name| name.strip_prefix(&prefix));
        inner.filter(|name| !name.contains('/')).collect()
    }

    /// Names of the folders right in `folder` (`""` for the top), sorted.
    pub fn folders_in(&self, folder: &str) -> Vec<&str> {
        let inner = self.under(&prefix(folder)).filter_map(|file| file.split_once('/'));
        inner.map(|(folder, _)| folder).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The bytes of `file`.
    ///
    /// # Errors
    ///
    /// Where there is no such file, or it cannot be read.
    pub fn read(&self, file: &str) -> Result<Vec<u8>> {
        let missing = || Error::Release {
            place: self.shown(file),
            reason: "expected this file of the release, found none".to_owned(),
        };
        if !self.has(file) {
            return Err(missing());
        }
        let name = format!("{}{file}", self.base);
        match &self.archive {
            Some(archive) => archive.read(&name).map_err(|cause| cause.of(self.shown(file))),
            None => {
                let path = self.path.join(name);
                std::fs::read(&path).map_err(|cause| FileError::new("read", &path, cause).into())
            }
        }
    }

    /// The text of `file`, without a byte order mark.
    ///
    /// # Errors
    ///
    /// Where there is no such file, it cannot be read, or is no text in UTF-8 or UTF-16 (see [`data::text::decode`]).
    pub fn text(&self, file: &str) -> Result<String> {
        let bytes = self.read(file)?;
        data::text::decode(&bytes).map(Cow::into_owned).map_err(|cause| cause.of(self.shown(file)))
    }

    /// The text of `file`, which is XML, in the encoding that it declares.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text), and where the encoding is unknown (see [`data::text::decode_xml`]).
    pub fn xml(&self, file: &str) -> Result<String> {
        let bytes = self.read(file)?;
        data::text::decode_xml(&bytes).map(Cow::into_owned).map_err(|cause| cause.of(self.shown(file)))
    }

    /// `file` as messages name it.
    pub fn shown(&self, file: &str) -> String {
        self.path.join(format!("{}{file}", self.base)).display().to_string()
    }

    /// What follows `prefix` in the names that begin with it.
    fn under<'a>(&'a self, prefix: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let prefix = prefix.to_owned();
        let from = self.files.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        from.map_while(move |file| file.strip_prefix(&prefix))
    }
}

fn prefix(folder: &str) -> String {
    if folder.is_empty() { String::new() } else { format!("{folder}/") }
}

/// All files and folders in `folder`, links followed: it is the user's own.
fn list(folder: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let (mut names, mut folders) = (Vec::new(), Vec::new());
    for entry in WalkDir::new(folder).min_depth(1).follow_links(true) {
        let entry = entry.map_err(|cause| {
            let path = cause.path().unwrap_or(folder).to_path_buf();
            FileError::new(
                "list",
                &path,
                cause.into_io_error().unwrap_or_else(|| io::Error::other("a link leads back to a folder above it")),
            )
        })?;
        let inner = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        let parts: Option<Vec<&str>> = inner.iter().map(|part| part.to_str()).collect();
        let parts = parts.ok_or_else(|| {
            Malformed::new("", "a name in UTF-8", "other bytes").of(entry.path().display().to_string())
        })?;
        if entry.file_type().is_dir() {
            folders.push(parts.join("/"));
        } else {
            names.push(parts.join("/"));
        }
    }
    Ok((names, folders))
}
