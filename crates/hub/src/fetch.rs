//! A whole set: what is missing is fetched, the lock is written, and the files are seen.

use std::path::{Path, PathBuf};

use data::{ExpectedFile, Lock, Manifest, Root, Source, Stored, sha256_of};
use files::{FileError, Part, create_folder, hold, publish};
use indicatif::DecimalBytes;
use rayon::prelude::*;

use crate::download::Downloads;
use crate::http::Files;
use crate::plan::{Plan, RemoteFile};
use crate::progress::Progress;
use crate::repository::Repository;
use crate::retry::Stop;
use crate::{Error, Result, Settings};

/// How many files are fetched at once.
const AT_ONCE: usize = 4;
/// What a full disk must be left with.
const SPARE: u64 = 64 << 20;

/// Makes the data set `name` complete, and gives the folder that it is in.
///
/// What is here and right is not fetched again, and what was interrupted goes on. Files are seen under their names when
/// all of them are complete and right: before, a part of a set could be taken for all of it. Of a derived set, the set
/// that it is made of is fetched.
///
/// # Errors
///
/// Where there is no such set, it is on no hub, or a file cannot be had. Parts of files are kept.
pub fn fetch(root: &Root, name: &str, settings: &Settings, progress: &Progress) -> Result<PathBuf> {
    let Source::Scenes(scenes) = root.manifest(name)?.source else {
        return fetch_stored(root, name, settings, progress);
    };
    progress.note(&format!("{name}: is made of {}, nothing else to fetch", scenes.from));
    fetch_stored(root, &scenes.from, settings, progress)
}

fn fetch_stored(root: &Root, name: &str, settings: &Settings, progress: &Progress) -> Result<PathBuf> {
    let manifest = root.manifest(name)?;
    let not_on_hub = || Error::NotOnHub { name: name.to_owned(), home: manifest.home.clone() };
    let stored = manifest.stored().ok_or_else(not_on_hub)?;
    let folder = root.downloads(name);
    let found = match root.find(name, stored) {
        Ok(found) => Some(found),
        Err(data::Error::NoFiles { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(found) = found.filter(|found| *found != folder || stored.hub.is_none()) {
        progress.note(&format!("{name}: is in {} already, nothing to fetch", found.display()));
        return Ok(found);
    }
    stored.hub.as_ref().ok_or_else(not_on_hub)?;
    let waiting = || progress.note(&format!("{name}: another process makes it; waiting for that to end"));
    let _held = hold(folder.parent().unwrap_or(&folder), waiting)?;
    // Whoever held it may have written the lock of the set.
    let manifest = root.manifest(name)?;
    let stored = manifest.stored().ok_or_else(not_on_hub)?;
    let path = root.manifests().join(format!("{name}.toml"));
    let lock = Lock::read(&Lock::beside(&path))?;
    let hub = stored.hub.as_ref().ok_or_else(not_on_hub)?;
    let repository = Repository { id: &hub.repository, manifest: &path, settings };
    let plan = Plan::new(repository, stored, hub, lock.as_ref(), progress)?;
    let missing = missing(name, &plan, &folder, progress)?;
    let unpinned = lock.is_none() && !stored.files.iter().any(|file| file.sha256.is_some());
    let found = missing.iter().map(|file| folder.join(&file.path)).find(|path| path.exists());
    if let Some(file) = found.filter(|_| unpinned) {
        return Err(Error::NotFetched { name: name.to_owned(), file });
    }
    if missing.is_empty() {
        progress.note(&format!("{name}: all {} files are in {} already", plan.files.len(), folder.display()));
    } else {
        announce(name, &manifest, &repository, &plan, &missing, &folder, progress);
        check_space(&missing, &folder)?;
    }
    let sums = obtain(repository, &plan, &missing, &folder, progress)?;
    let files = plan.files.iter().map(|file| {
        let obtained = missing.iter().zip(&sums).find(|(missing, _)| missing.path == file.path);
        expected(file, obtained.map(|(_, sum)| sum.clone()).or_else(|| file.sha256.clone()))
    });
    let files: Vec<ExpectedFile> = files.collect();
    if lock.is_none() && !(hub.is_pinned() && pins(stored, &files)) {
        let lock = Lock { revision: plan.commit.clone(), files };
        lock.write(&Lock::beside(&path))?;
        let lock = Lock::beside(&path);
        progress.note(&format!("{name}: wrote {}; commit it, so that everybody has the same data", lock.display()));
    }
    for file in &missing {
        publish(&folder.join(&file.path))?;
    }
    if !missing.is_empty() {
        progress.note(&format!("{name}: all {} files are complete and right", plan.files.len()));
    }
    Ok(folder)
}

/// The files of `plan` that are not in `folder`, or are not right.
fn missing(name: &str, plan: &Plan, folder: &Path, progress: &Progress) -> Result<Vec<RemoteFile>> {
    let right_size =
        |file: &RemoteFile| std::fs::metadata(folder.join(&file.path)).is_ok_and(|found| found.len() == file.size);
    let is_here = |file: &RemoteFile| {
        Ok(match &file.sha256 {
            Some(expected) if right_size(file) => sha256_of(&folder.join(&file.path))? == *expected,
            _ => false,
        })
    };
    let here: Vec<u64> = plan.files.iter().filter(|file| right_size(file)).map(|file| file.size).collect();
    if !here.is_empty() {
        let bytes = DecimalBytes(here.iter().sum());
        progress.note(&format!("{name}: checking {} files that are here, {bytes}", here.len()));
    }
    let here: Vec<Result<bool>> = at_once(&plan.files, is_here)?;
    let mut missing = Vec::new();
    for (file, here) in plan.files.iter().zip(here) {
        if !here? {
            missing.push(file.clone());
        }
    }
    Ok(missing)
}

fn announce(
    name: &str,
    manifest: &Manifest,
    repository: &Repository<'_>,
    plan: &Plan,
    missing: &[RemoteFile],
    folder: &Path,
    progress: &Progress,
) {
    let bytes = missing.iter().map(|file| file.size).fold(0, u64::saturating_add);
    let files = match missing.len() == plan.files.len() {
        true => format!("{} files, {}", plan.files.len(), DecimalBytes(bytes)),
        false => format!(
            "{} of {} files, {} of {}",
            missing.len(),
            plan.files.len(),
            DecimalBytes(bytes),
            DecimalBytes(plan.size())
        ),
    };
    progress.note(&format!(
        "{name}: {}\n  licence   {}\n  citation  {}\n  home      {}\n  from      {}/datasets/{} at {}\n  files     \
         {files}\n  to        {}",
        manifest.title,
        manifest.licence,
        manifest.citation,
        manifest.home,
        repository.settings.endpoint,
        repository.id,
        plan.commit,
        folder.display()
    ));
}

fn check_space(missing: &[RemoteFile], folder: &Path) -> Result<()> {
    let have =
        |file: &RemoteFile| std::fs::metadata(Part::beside(&folder.join(&file.path))).map_or(0, |part| part.len());
    let needed = missing.iter().map(|file| file.size.saturating_sub(have(file))).fold(SPARE, u64::saturating_add);
    create_folder(folder)?;
    let free =
        fs4::available_space(folder).map_err(|cause| FileError::new("ask for the free space of", folder, cause))?;
    if needed > free {
        return Err(Error::Space { folder: folder.into(), needed, free });
    }
    Ok(())
}

/// Makes the parts of `missing` whole; gives their sha256.
fn obtain(
    repository: Repository<'_>,
    plan: &Plan,
    missing: &[RemoteFile],
    folder: &Path,
    progress: &Progress,
) -> Result<Vec<String>> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let files = if repository.settings.offline { None } else { Some(Files::new(repository)?) };
    let shown = progress.download(missing.iter().map(|file| file.size).fold(0, u64::saturating_add));
    let downloads = Downloads { repository, files, plan, folder, progress, shown, stop: Stop::default() };
    let obtained: Vec<Result<Option<String>>> = at_once(missing, |file| {
        let sum = downloads.obtain(file);
        if sum.is_err() {
            downloads.stop.stop();
        }
        sum
    })?;
    let obtained = obtained.into_iter().collect::<Result<Vec<_>>>()?;
    let incomplete = missing.iter().zip(&obtained).filter(|(_, sum)| sum.is_none());
    let incomplete: Vec<String> =
        incomplete.map(|(file, _)| format!("{} ({})", file.path, DecimalBytes(file.size))).collect();
    if incomplete.is_empty() {
        Ok(obtained.into_iter().flatten().collect())
    } else {
        Err(Error::Offline { missing: incomplete })
    }
}

/// What `work` makes of each of `items`, in their order.
fn at_once<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Send + Sync) -> Result<Vec<R>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(AT_ONCE).build();
    let pool = pool.map_err(|cause| Error::Client(format!("cannot start threads: {cause}")))?;
    Ok(pool.install(|| items.par_iter().with_max_len(1).map(work).collect()))
}

fn expected(file: &RemoteFile, sha256: Option<String>) -> ExpectedFile {
    ExpectedFile {
        path: file.path.clone(),
        source: (file.source != file.path).then(|| file.source.clone()),
        rows: file.rows,
        size: Some(file.size),
        sha256,
    }
}

/// Whether `stored` says as much as `files`.
fn pins(stored: &Stored, files: &[ExpectedFile]) -> bool {
    files.iter().all(|file| {
        stored
            .files
            .iter()
            .any(|pinned| pinned.path == file.path && pinned.size == file.size && pinned.sha256 == file.sha256)
    })
}
