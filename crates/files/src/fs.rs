//! The only writer of files in the project.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
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
    let mut file = tempfile::Builder::new().prefix(&writing(path)).tempfile_in(folder).map_err(error)?;
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

/// What the names of temporary files begin with that [`write_atomic`] writes to.
fn writing(path: &Path) -> String {
    format!(".writing-{}-", path.file_name().unwrap_or_default().to_string_lossy())
}

/// What processes that were killed left of writing `path`; and what others are writing now.
pub fn half_written(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let (folder, prefix) = (path.parent().unwrap_or(Path::new(".")), writing(path));
    let entries = std::fs::read_dir(folder).map_err(|cause| FileError::new("read", folder, cause))?;
    let names = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    Ok(names.map(|entry| entry.path()).collect())
}

/// A file that is too large to be written at once: it grows as `<name>.part`, over as many runs as it takes, and is seen
/// under its name when it is whole. Nothing is buffered: what was appended outlives the process, however that ends.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Part {
    /// Where the file at `path` grows.
    pub fn beside(path: &Path) -> PathBuf {
        let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
        name.push(".part");
        path.with_file_name(name)
    }

    /// Opens what there is of the file at `path`; makes the folders above it.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        if let Some(folder) = path.parent() {
            create_folder(folder)?;
        }
        let path = Self::beside(path);
        let error = |source| FileError::new("open", &path, source);
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path).map_err(error)?;
        let len = file.metadata().map_err(error)?.len();
        Ok(Self { path, file, len })
    }

    /// Number of bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Shows all bytes to `each`, piece by piece.
    pub fn read(&mut self, each: impl FnMut(&[u8])) -> Result<(), FileError> {
        self.file.rewind().and_then(|()| read_all(&self.file, each)).map_err(|e| FileError::new("read", &self.path, e))
    }

    /// Adds `bytes` at the end.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(|source| FileError::new("write", &self.path, source))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Forgets all bytes.
    pub fn clear(&mut self) -> Result<(), FileError> {
        self.file.set_len(0).map_err(|source| FileError::new("write", &self.path, source))?;
        self.len = 0;
        Ok(())
    }

    /// Waits until the bytes are on the disk.
    pub fn sync(&self) -> Result<(), FileError> {
        self.file.sync_all().map_err(|source| FileError::new("write", &self.path, source))
    }

    /// Removes the file.
    pub fn remove(self) -> Result<(), FileError> {
        std::fs::remove_file(&self.path).map_err(|source| FileError::new("remove", &self.path, source))
    }
}

/// Gives the [`Part`] of the file at `path`, which must be whole and [synced](Part::sync), its name.
pub fn publish(path: &Path) -> Result<(), FileError> {
    let part = Part::beside(path);
    #[expect(clippy::disallowed_methods, reason = "the part was synced, so a reader sees the whole file or none")]
    std::fs::rename(&part, path).map_err(|source| FileError::new("publish", &part, source))?;
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        // Only then the new name outlives a power cut.
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| FileError::new("write", folder, source))?;
    }
    Ok(())
}

/// Shows all bytes of the file at `path` to `each`, piece by piece.
pub fn read_pieces(path: &Path, each: impl FnMut(&[u8])) -> Result<(), FileError> {
    File::open(path).and_then(|file| read_all(&file, each)).map_err(|source| FileError::new("read", path, source))
}

fn read_all(mut file: &File, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut piece = vec![0; 1 << 18];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => each(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
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

/// Holds `folder`, which is made where there is none, against other processes until the result is dropped. Where another
/// one holds it, says so by `waiting` and waits.
pub fn hold(folder: &Path, waiting: impl FnOnce()) -> Result<File, FileError> {
    create_folder(folder)?;
    let path = folder.join(".lock");
    let fail = |cause| FileError::new("lock", &path, cause);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            waiting();
            file.lock().map_err(fail)?;
        }
        Err(TryLockError::Error(cause)) => return Err(fail(cause)),
    }
    Ok(file)
}

/// Makes `folder` and those above it.
pub fn create_folder(folder: &Path) -> Result<(), FileError> {
    std::fs::create_dir_all(folder).map_err(|source| FileError::new("create", folder, source))
}

/// The text of `path`, which is UTF-8.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let text = std::fs::read(path).and_then(utf8);
    text.map_err(|source| FileError::new("read", path, source))
}

/// Bytes as text, or where they are none and what they are.
fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|cause| {
        let (at, bytes) = (cause.utf8_error().valid_up_to(), cause.as_bytes());
        let line = bytes.iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        let found = match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16".to_owned(),
            _ => format!("the byte 0x{:02x}", bytes.get(at).copied().unwrap_or_default()),
        };
        let message =
            format!("line {line}, byte {at}: expected text in UTF-8, found {found}\n  hint: save the file in UTF-8");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// The text of `path`, or nothing where there is no such file.
pub fn read_text_if_present(path: &Path) -> Result<Option<String>, FileError> {
    match std::fs::read(path).and_then(utf8) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::new("read", path, source)),
    }
}

/// Removes the file `path`, if it is there.
pub fn remove_if_present(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(FileError::new("remove", path, source)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_grows_over_several_runs_and_is_seen_when_it_is_published() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train/a.parquet");
        Part::open(&path).unwrap().append(b"one ").unwrap();
        let mut part = Part::open(&path).unwrap();
        assert_eq!((part.len(), part.is_empty()), (4, false));
        part.append(b"two").unwrap();
        let mut text = Vec::new();
        part.read(|piece| text.extend_from_slice(piece)).unwrap();
        assert_eq!(text, b"one two");
        part.append(b" three").unwrap();
        assert!(!path.exists());
        part.sync().unwrap();
        publish(&path).unwrap();
        assert_eq!(read_text(&path).unwrap(), "one two three");
        assert!(!Part::beside(&path).exists());
    }

    #[test]
    fn other_encodings_are_named_with_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        for (bytes, expected) in [
            (b"a = 1\nb = \"K\xe4fer\"\n".as_slice(), "line 2, byte 12: expected text in UTF-8, found the byte 0xe4"),
            (b"\xff\xfea\0", "line 1, byte 0: expected text in UTF-8, found UTF-16"),
        ] {
            write_atomic(&path, bytes).unwrap();
            for error in [read_text(&path).unwrap_err(), read_text_if_present(&path).unwrap_err()] {
                assert!(error.to_string().contains(expected), "{error}");
                assert!(error.to_string().ends_with("hint: save the file in UTF-8"), "{error}");
            }
        }
    }

    #[test]
    fn a_cleared_part_starts_at_its_begin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut part = Part::open(&path).unwrap();
        part.append(b"wrong").unwrap();
        part.clear().unwrap();
        part.append(b"right").unwrap();
        assert_eq!((part.len(), read_text(&Part::beside(&path)).unwrap().as_str()), (5, "right"));
        part.remove().unwrap();
        assert!(!Part::beside(&path).exists());
        assert!(publish(&path).unwrap_err().to_string().starts_with("cannot publish"));
    }

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
