//! Where data sets are looked for.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use files::FileError;

use crate::known::{Known, Places};
use crate::{Error, Manifest, Result, Stored};

/// The environment variable that names a folder of data sets outside of the project.
pub const EXTERNAL_VARIABLE: &str = "WRS_BENCH_DATA";

/// The places that data sets are looked for in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The folder of the project; `datasets` in it has the manifests and the embedded sets.
    pub folder: PathBuf,
    /// A folder of data sets outside of the project, which comes before the embedded ones.
    pub external: Option<PathBuf>,
    /// Bytes of memory for the decoded images of a set, and as much for the encoded ones while it is opened, and after it
    /// where the decoded ones do not fit; of a derived set, the same again for the set that it is made of. Results do not
    /// depend on it; but of a set that does not fit, damaged images are found when they are needed.
    pub memory: u64,
}

/// What [`Root::memory`] is unless [`MEMORY_VARIABLE`] says otherwise: 4 GiB.
pub const MEMORY: u64 = 4 << 30;

/// The environment variable with the number of GiB for [`Root::memory`].
pub const MEMORY_VARIABLE: &str = "WRS_BENCH_MEMORY_GIB";

impl Root {
    /// The project in `folder`, and the folder that [`EXTERNAL_VARIABLE`] names where it is set
    /// and not empty; the memory that [`MEMORY_VARIABLE`] says where it is a number of at least 0.
    pub fn from_env(folder: impl Into<PathBuf>) -> Self {
        let external = std::env::var_os(EXTERNAL_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        let memory = std::env::var(MEMORY_VARIABLE).ok().and_then(|value| value.parse::<f64>().ok());
        let memory = memory.filter(|gib| *gib >= 0.0).map_or(MEMORY, |gib| (gib * f64::from(1 << 30)) as u64);
        Self { folder: folder.into(), external, memory }
    }

    /// Where the manifests are.
    pub fn manifests(&self) -> PathBuf {
        self.folder.join("datasets")
    }

    /// Where sets from the hub and imported ones are.
    pub fn cache(&self) -> PathBuf {
        self.manifests().join(".cache")
    }

    /// Names of the sets that have a manifest, sorted.
    ///
    /// # Errors
    ///
    /// Where the folder of the manifests cannot be listed.
    pub fn names(&self) -> Result<Vec<String>> {
        Ok(list(&self.manifests())?
            .into_iter()
            .filter_map(|file| Some(file.to_str()?.strip_suffix(".toml")?.to_owned()))
            .filter(|name| !name.starts_with('.'))
            .collect())
    }

    /// The manifest of the set `name`.
    ///
    /// # Errors
    ///
    /// Where there is none (the message lists those that exist, the nearest first), or where it
    /// cannot be read.
    pub fn manifest(&self, name: &str) -> Result<Manifest> {
        let names = self.names()?;
        let manifest = self.manifests().join(format!("{name}.toml"));
        if names.iter().any(|known| known == name) {
            return Manifest::read(&manifest);
        }
        // Only a plain name can be a folder of a set: `..` exists everywhere.
        let plain = Path::new(name).components().count() == 1 && !name.starts_with('.');
        let found = self.places(name).into_iter().find(|place| plain && place.is_dir());
        Err(match found {
            Some(found) => Error::NoManifest { name: name.to_owned(), found, manifest },
            None => Error::UnknownDataset { name: name.to_owned(), known: Known::nearest_first(name, names) },
        })
    }

    /// Where the files of the set `name` are put that were fetched or imported.
    pub fn downloads(&self, name: &str) -> PathBuf {
        self.cache().join(name).join("default")
    }

    /// The folder of the files of the set `name`, which `stored` describes: the first of the places that has any.
    ///
    /// # Errors
    ///
    /// Where there is none, or a folder cannot be listed.
    pub fn find(&self, name: &str, stored: &Stored) -> Result<PathBuf> {
        let places = self.places(name);
        for place in &places {
            for (_, folder) in stored.splits.folders() {
                if !parquet_files(&place.join(folder))?.is_empty() {
                    return Ok(place.clone());
                }
            }
        }
        Err(Error::NoFiles {
            name: name.to_owned(),
            places: Places(places),
            external: self.external.clone(),
            hub: stored.hub.is_some(),
        })
    }

    /// `<name>/default` in the order in which it is looked for.
    fn places(&self, name: &str) -> Vec<PathBuf> {
        let embedded = self.manifests();
        let places = self.external.iter().chain([&embedded]).map(|place| place.join(name).join("default"));
        places.chain([self.downloads(name)]).collect()
    }
}

/// The `*.parquet` files in `folder`, sorted by name; none where there is no such folder.
pub(crate) fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    Ok(list(folder)?
        .into_iter()
        .map(|name| folder.join(name))
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .collect())
}

/// Names in `folder`, sorted: the order that the system lists them in differs between machines.
fn list(folder: &Path) -> Result<Vec<OsString>> {
    let mut names = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>())
        .map_err(|cause| FileError::new("list", folder, cause))?;
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_places_is_external_embedded_cache() {
        let root = Root { folder: "project".into(), external: Some("disk".into()), memory: MEMORY };
        let places = ["disk/set/default", "project/datasets/set/default", "project/datasets/.cache/set/default"];
        assert_eq!(root.places("set"), places.map(PathBuf::from));
    }
}
