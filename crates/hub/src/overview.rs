//! What data sets there are, and which of them are here.

use std::fmt;
use std::path::Path;

use data::{Manifest, Root};

use crate::Result;

/// A data set, and whether it is here.
#[derive(Debug)]
pub struct Overview {
    /// The name that commands know it by.
    pub name: String,
    /// What it is, or why its manifest cannot be read.
    pub manifest: Result<Manifest>,
    /// Whether it is here.
    pub state: State,
    /// Number of bytes of all files, where it is known.
    pub size: Option<u64>,
}

/// Where the files of a set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Fetched or imported.
    Here,
    /// In the repository of this project.
    Embedded,
    /// In the folder that the environment names.
    External,
    /// Some of them fetched.
    Partly,
    /// On the hub.
    Missing,
    /// Nowhere that they could be fetched from.
    ImportOnly,
    /// It has none: it is made of another set.
    Derived,
    /// Nobody knows: the manifest cannot be read.
    Unreadable,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "here",
            Self::Embedded => "embedded",
            Self::External => "in $WRS_BENCH_DATA",
            Self::Partly => "partly",
            Self::Missing => "missing",
            Self::ImportOnly => "import only",
            Self::Derived => "derived",
            Self::Unreadable => "unreadable manifest",
        })
    }
}

/// All data sets that have a manifest, by name.
///
/// # Errors
///
/// Where a folder cannot be listed.
pub fn overview(root: &Root) -> Result<Vec<Overview>> {
    root.names()?.into_iter().map(|name| of(root, name)).collect()
}

fn of(root: &Root, name: String) -> Result<Overview> {
    let manifest = match root.manifest(&name) {
        Ok(manifest) => manifest,
        Err(error) => return Ok(Overview { name, manifest: Err(error.into()), state: State::Unreadable, size: None }),
    };
    let Some(stored) = manifest.stored() else {
        return Ok(Overview { name, manifest: Ok(manifest), state: State::Derived, size: Some(0) });
    };
    let downloads = root.downloads(&name);
    let folders: Vec<&str> = stored.splits.folders().into_iter().map(|(_, folder)| folder).collect();
    let (state, folder) = match root.find(&name, stored) {
        Ok(found) if found == downloads => {
            let all = stored.files.iter().all(|file| found.join(&file.path).is_file());
            (if all { State::Here } else { State::Partly }, Some(found))
        }
        Ok(found) => {
            let external = root.external.as_ref().map(|external| external.join(&name).join("default"));
            (if external.as_ref() == Some(&found) { State::External } else { State::Embedded }, Some(found))
        }
        Err(data::Error::NoFiles { .. }) if has_parts(&downloads, &folders) => (State::Partly, None),
        Err(data::Error::NoFiles { .. }) if stored.hub.is_some() => (State::Missing, None),
        Err(data::Error::NoFiles { .. }) => (State::ImportOnly, None),
        Err(error) => return Err(error.into()),
    };
    let listed = stored.files.iter().map(|file| file.size).sum::<Option<u64>>().filter(|_| !stored.files.is_empty());
    let there = folder.filter(|_| state != State::Partly).map(|folder| size_of(&folder, &folders));
    Ok(Overview { name, manifest: Ok(manifest), state, size: listed.or(there) })
}

/// Whether a fetch into `downloads` began.
fn has_parts(downloads: &Path, folders: &[&str]) -> bool {
    files(downloads, folders).any(|file| file.path().extension().is_some_and(|end| end == "part"))
}

/// Number of bytes of the parquet files in `folders`.
fn size_of(folder: &Path, folders: &[&str]) -> u64 {
    let parquet = files(folder, folders).filter(|file| file.path().extension().is_some_and(|end| end == "parquet"));
    parquet.filter_map(|file| Some(std::fs::metadata(file.path()).ok()?.len())).sum()
}

fn files(folder: &Path, folders: &[&str]) -> impl Iterator<Item = std::fs::DirEntry> {
    folders.iter().filter_map(move |name| std::fs::read_dir(folder.join(name)).ok()).flatten().flatten()
}
