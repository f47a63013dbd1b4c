//! The only writer of files in the project.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What went wrong with a file, and with which.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}: {cause}{}", path.display(), hint(cause))]
pub struct FileError {
    /// What was tried: "read", "write", …
    pub verb: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system answered.
    pub cause: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "\n  hint: free some space and run the same command again; nothing was half-written"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "\n  hint: make the folder writable, or work in a copy of the repository elsewhere"
        }
        _ => "",
    }
}

impl FileError {
    /// An error of `verb` on `path`.
    pub fn new(verb: &'static str, path: &Path, source: io::Error) -> Self {
        Self { verb, path: path.to_path_buf(), cause: source }
    }
}

/// Writes `bytes` to `path` so that a reader sees the old file or the new one, never a part: a
/// temporary file in the same folder, fsync, rename. Makes the folders above it.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let error = |source| FileError::new("write", path, source);
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_folder(folder)?;
    let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder).map_err(error)?;
    file.write_all(bytes).map_err(error)?;
    #[cfg(unix)]
    {
        // A temporary file is private to its owner; what we publish is readable as any other file.
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(error)?;
    }
    file.as_file().sync_all().map_err(error)?;
    file.persist(path).map_err(|failed| error(failed.error))?;
    Ok(())
}

/// A folder that is seen with all its files at once, or not at all: it grows beside its place under another name. Where
/// it is dropped before it is published, nothing remains of it.
#[derive(Debug)]
pub struct NewFolder {
    path: PathBuf,
    growing: tempfile::TempDir,
    files: Vec<PathBuf>,
}

impl NewFolder {
    /// Begins the folder `path`, which must not exist; makes those above it.
    pub fn begin(path: &Path) -> Result<Self, FileError> {
        if path.symlink_metadata().is_ok() {
            return Err(FileError::new("create", path, io::ErrorKind::AlreadyExists.into()));
        }
        let parent = path.parent().unwrap_or(Path::new("."));
        create_folder(parent)?;
        let growing = tempfile::Builder::new().prefix(".writing-").tempdir_in(parent);
        let growing = growing.map_err(|cause| FileError::new("create", path, cause))?;
        Ok(Self { path: path.to_path_buf(), growing, files: Vec::new() })
    }

    /// A new file in the folder; `name` may have folders.
    pub fn file(&mut self, name: &str) -> Result<File, FileError> {
        let path = self.growing.path().join(name);
        create_folder(path.parent().unwrap_or(&path))?;
        let file = File::create_new(&path).map_err(|cause| FileError::new("create", &path, cause))?;
        self.files.push(path);
        Ok(file)
    }

    /// Where the folder is until it is published.
    pub fn growing(&self) -> &Path {
        self.growing.path()
    }

    /// Gives the folder its name, with all that was written to its files.
    pub fn publish(self) -> Result<(), FileError> {
        for file in &self.files {
            let synced = File::open(file).and_then(|file| file.sync_all());
            synced.map_err(|cause| FileError::new("write", file, cause))?;
        }
        let error = |cause| FileError::new("publish", &self.path, cause);
        #[cfg(unix)]
        {
            // A temporary folder is private to its owner; what we publish is readable as any other folder.
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(self.growing.path(), std::fs::Permissions::from_mode(0o755)).map_err(error)?;
        }
        #[expect(clippy::disallowed_methods, reason = "all files were synced, and no folder with files is replaced")]
        std::fs::rename(self.growing.path(), &self.path).map_err(error)
    }
}

/// Makes `folder` and those above it.
pub fn create_folder(folder: &Path) -> Result<(), FileError> {
    std::fs::create_dir_all(folder).map_err(|source| FileError::new("create", folder, source))
}

/// The text of `path`.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(path).map_err(|source| FileError::new("read", path, source))
}

/// The text of `path`, or nothing where there is no such file.
pub fn read_text_if_present(path: &Path) -> Result<Option<String>, FileError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::new("read", path, source)),
    }
}

#[cfg(test)]
mod new_folder_tests {
    use super::*;

    #[test]
    fn a_new_folder_is_seen_when_it_is_published_and_never_replaces_one() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("set/default");
        let mut folder = NewFolder::begin(&path).unwrap();
        let mut late = NewFolder::begin(&path).unwrap();
        folder.file("train/a").unwrap().write_all(b"one").unwrap();
        late.file("train/a").unwrap().write_all(b"two").unwrap();
        assert!(!path.exists());
        folder.publish().unwrap();
        assert_eq!(read_text(&path.join("train/a")).unwrap(), "one");

        assert!(late.publish().unwrap_err().to_string().starts_with("cannot publish"));
        assert!(NewFolder::begin(&path).unwrap_err().to_string().starts_with("cannot create"));
        assert_eq!(read_text(&path.join("train/a")).unwrap(), "one");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }
}
