//! Which files of which commit.

use std::path::{Path, PathBuf};

use data::{ExpectedFile, Hub, Lock, Stored, fits};

use crate::error::There;
use crate::http::{Heads, is_sha256};
use crate::path::{PLAIN, is_plain};
use crate::progress::Progress;
use crate::repository::{Api, Listed, Repository, is_commit};
use crate::retry::repeat;
use crate::{Error, Result};

/// The files of one commit that make a set.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) commit: String,
    /// Sorted by path.
    pub(crate) files: Vec<RemoteFile>,
}

/// A file of a set, and where it is in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    /// Folder and name in the set.
    pub(crate) path: String,
    /// Path in the repository.
    pub(crate) source: String,
    pub(crate) rows: Option<u64>,
    pub(crate) size: u64,
    /// Unknown only before the first fetch, of a file that is small or on a hub that does not tell.
    pub(crate) sha256: Option<String>,
}

impl Plan {
    /// What `stored` and its lock say, and the hub where they do not say everything.
    pub(crate) fn new(
        repository: Repository<'_>,
        stored: &Stored,
        hub: &Hub,
        lock: Option<&Lock>,
        progress: &Progress,
    ) -> Result<Self> {
        let named = Named::new(repository.manifest, stored, hub, lock)?;
        if let Some(plan) = named.complete()? {
            return Ok(plan);
        }
        if repository.settings.offline {
            let files = if named.files.is_empty() { "the list of files" } else { "sizes and digests of the files" };
            return Err(Error::Offline { missing: vec![format!("{files} of {repository}")] });
        }
        let api = Api::new(repository, progress)?;
        let commit = named.commit.map_or_else(|| api.commit(&hub.revision), Ok)?;
        let listed = api.list(&commit)?;
        let place = Place { file: &named.place, repository: repository.id, commit: &commit, listed: &listed };
        let mut files = if named.files.is_empty() { place.matching(hub)? } else { place.named(named.files)? };
        check_collisions(&named.place, &mut files)?;
        let heads = Heads::new(repository)?;
        for file in files.iter_mut().filter(|file| file.sha256.is_none()) {
            let digest = || heads.sha256(&commit, &file.source);
            file.sha256 = repeat(repository.settings.back_off, progress, &file.source, digest)?;
        }
        Ok(Self { commit, files })
    }

    /// Number of bytes of all files.
    pub(crate) fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).fold(0, u64::saturating_add)
    }
}

/// What a manifest and its lock name, checked.
struct Named<'a> {
    /// The file that names them.
    place: PathBuf,
    commit: Option<String>,
    files: &'a [ExpectedFile],
}

impl<'a> Named<'a> {
    fn new(path: &Path, stored: &'a Stored, hub: &Hub, lock: Option<&Lock>) -> Result<Self> {
        let place = if lock.is_some() { Lock::beside(path) } else { path.to_path_buf() };
        let check = |file: &Path, good: bool, key: &str, expected, found: &str| match good {
            true => Ok(()),
            false => Err(Error::Value { file: file.into(), key: key.to_owned(), expected, found: found.to_owned() }),
        };
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        let id = &hub.repository;
        let good = is_plain(id) && id.chars().all(name) && id.split('/').count() <= 2;
        check(path, good, "hub.repository", "owner and name, such as uoft-cs/cifar10", id)?;
        check(path, is_plain(&hub.revision), "hub.revision", "a commit or a branch", &hub.revision)?;
        for (folder, pattern) in &hub.files {
            check(path, is_plain(folder), "splits", PLAIN, folder)?;
            check(path, is_plain(pattern), &format!("hub.files.{folder}"), PLAIN, pattern)?;
        }
        if let Some(lock) = lock {
            check(&place, is_commit(&lock.revision), "revision", "a commit of 40 hexadecimal digits", &lock.revision)?;
        }
        for file in &stored.files {
            check(&place, is_plain(&file.path), "files.path", PLAIN, &file.path)?;
            if let Some(source) = &file.source {
                check(&place, is_plain(source), "files.source", PLAIN, source)?;
            }
            if let Some(sha256) = &file.sha256 {
                let expected = "64 hexadecimal digits in lower case";
                check(&place, is_sha256(sha256), "files.sha256", expected, sha256)?;
            }
        }
        let commit = lock.map(|lock| &lock.revision).or_else(|| hub.is_pinned().then_some(&hub.revision)).cloned();
        Ok(Self { place, commit, files: &stored.files })
    }

    /// The plan, where nothing is left to be asked for.
    fn complete(&self) -> Result<Option<Plan>> {
        let file = |file: &ExpectedFile| {
            Some(RemoteFile {
                path: file.path.clone(),
                source: file.source.as_ref().unwrap_or(&file.path).clone(),
                rows: file.rows,
                size: file.size?,
                sha256: Some(file.sha256.clone()?),
            })
        };
        let files = self.files.iter().map(file).collect::<Option<Vec<_>>>();
        let (Some(commit), Some(mut files)) = (self.commit.clone(), files.filter(|files| !files.is_empty())) else {
            return Ok(None);
        };
        check_collisions(&self.place, &mut files)?;
        Ok(Some(Plan { commit, files }))
    }
}

/// What a repository has, and the file that names some of it.
struct Place<'a> {
    file: &'a Path,
    repository: &'a str,
    commit: &'a str,
    listed: &'a [Listed],
}

impl Place<'_> {
    /// The files that the patterns of `hub` fit.
    fn matching(&self, hub: &Hub) -> Result<Vec<RemoteFile>> {
        let mut files = Vec::new();
        for (folder, pattern) in &hub.files {
            let before = files.len();
            for listed in self.listed.iter().filter(|listed| fits(pattern, &listed.path)) {
                let name = listed.path.rsplit('/').next().unwrap_or_default();
                let path = format!("{folder}/{name}");
                if !is_plain(&path) || !is_plain(&listed.path) {
                    return Err(Error::Value {
                        file: self.file.into(),
                        key: format!("hub.files.{folder} of {}", self.repository),
                        expected: PLAIN,
                        found: listed.path.clone(),
                    });
                }
                let source = listed.path.clone();
                files.push(RemoteFile { path, source, rows: None, size: listed.size, sha256: None });
            }
            if files.len() == before {
                return Err(self.nothing_there(&format!("`hub.files.{folder}`"), pattern));
            }
        }
        Ok(files)
    }

    /// The files that are named one by one.
    fn named(&self, files: &[ExpectedFile]) -> Result<Vec<RemoteFile>> {
        let file = |file: &ExpectedFile| {
            let source = file.source.as_ref().unwrap_or(&file.path);
            let Some(listed) = self.listed.iter().find(|listed| listed.path == *source) else {
                return Err(self.nothing_there("`[[files]]`", source));
            };
            if let Some(size) = file.size.filter(|size| *size != listed.size) {
                return Err(Error::Disagreement {
                    file: self.file.into(),
                    key: "size",
                    path: file.path.clone(),
                    expected: size.to_string(),
                    found: listed.size.to_string(),
                });
            }
            Ok(RemoteFile {
                path: file.path.clone(),
                source: source.clone(),
                rows: file.rows,
                size: listed.size,
                sha256: file.sha256.clone(),
            })
        };
        files.iter().map(file).collect()
    }

    fn nothing_there(&self, key: &str, wanted: &str) -> Error {
        Error::NothingThere {
            file: self.file.into(),
            wanted: format!("{key} names {wanted:?}"),
            repository: format!("{} at revision {}", self.repository, self.commit),
            there: There(self.listed.iter().map(|listed| listed.path.clone()).collect()),
        }
    }
}

/// Sorts `files` by path; two of the same path would overwrite each other, also where case makes no difference.
fn check_collisions(place: &Path, files: &mut [RemoteFile]) -> Result<()> {
    files.sort_by_cached_key(|file| file.path.to_lowercase());
    let same = |pair: &[RemoteFile]| match pair {
        [a, b] if a.path.to_lowercase() == b.path.to_lowercase() => Some((a.clone(), b.clone())),
        _ => None,
    };
    if let Some((first, second)) = files.windows(2).find_map(same) {
        let (first, second, path) = (first.source, second.source, second.path);
        return Err(Error::Collision { file: place.into(), first, second, path });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}
