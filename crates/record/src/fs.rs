//! The only writer of files in the project.

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
