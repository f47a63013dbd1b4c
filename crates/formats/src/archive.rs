//! Members of zip and tar archives, read one by one. Nothing is unpacked to disk by its name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use flate2::read::MultiGzDecoder;
use zip::{CompressionMethod, ZipArchive};

use data::Malformed;

/// The largest member that is read, in bytes: above the largest annotations of COCO.
pub const MEMBER_LIMIT: u64 = 1 << 29;

/// What deflate can make of a byte.
const DEFLATE_RATIO: u64 = 1032;

/// Bytes that members of a tar archive are a multiple of.
const BLOCK: usize = 512;

const AGAIN: &str = "get the archive again";
const UNPACK: &str = "unpack the archive, and import the folder";

/// Something to read from any place.
pub trait Source: Read + Seek + Send {}

impl<R: Read + Seek + Send> Source for R {}

/// The files of an archive.
pub struct Archive {
    kind: Kind,
    folders: Vec<String>,
}

enum Kind {
    Zip { zip: Mutex<ZipArchive<Box<dyn Source>>>, members: BTreeMap<String, usize> },
    Tar { file: Mutex<Box<dyn Source>>, members: BTreeMap<String, Extent> },
}

/// Where a member is.
struct Extent {
    start: u64,
    length: u64,
}

impl Archive {
    /// Lists the members of a zip, tar or gzipped tar archive. The last is decompressed to a file
    /// without a name in the folder `scratch`.
    ///
    /// # Errors
    ///
    /// Where it is no such archive or damaged, a name leaves the archive's folder (`..`, absolute)
    /// or comes twice, or a member is a link or a device.
    pub fn open(mut source: Box<dyn Source>, scratch: &Path) -> Result<Self, Malformed> {
        let mut first = magic(&mut source).map_err(unreadable)?;
        if first.starts_with(&[0x1f, 0x8b]) {
            let mut file = tempfile::tempfile_in(scratch).map_err(unreadable)?;
            io::copy(&mut MultiGzDecoder::new(io::BufReader::new(source)), &mut file).map_err(unreadable)?;
            source = Box::new(file);
            first = magic(&mut source).map_err(unreadable)?;
        }
        if first.starts_with(b"PK") {
            zip(source)
        } else if first.get(257..262) == Some(b"ustar") {
            tar(source)
        } else {
            Err(Malformed::new("", "a folder, or a zip, tar or gzipped tar archive", data::kind::found(&first)))
        }
    }

    /// Names of all files with `/` between folders, sorted.
    pub fn names(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Zip { members, .. } => members.keys().map(String::as_str).collect(),
            Kind::Tar { members, .. } => members.keys().map(String::as_str).collect(),
        }
    }

    /// The folders that are members of their own, as most archives have them.
    pub fn folders(&self) -> &[String] {
        &self.folders
    }

    /// The bytes of the file `name`.
    ///
    /// # Errors
    ///
    /// Where there is no such member, it is damaged, encrypted, or longer than [`MEMBER_LIMIT`].
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Malformed> {
        let missing = || Malformed::new("", "a member of the archive", "no such name");
        match &self.kind {
            Kind::Zip { zip, members } => {
                let index = *members.get(name).ok_or_else(missing)?;
                let mut zip = zip.lock().unwrap_or_else(PoisonError::into_inner);
                let member = zip.by_index(index).map_err(damaged)?;
                let room = member.compressed_size().saturating_mul(DEFLATE_RATIO).min(member.size());
                whole(member, room, "a whole member")
            }
            Kind::Tar { file, members } => {
                let extent = members.get(name).ok_or_else(missing)?;
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(extent.start)).map_err(unreadable)?;
                whole(file.as_mut().take(extent.length), extent.length, "a whole member")
            }
        }
    }
}

/// A gzipped file's content.
///
/// # Errors
///
/// Where it is damaged, or longer than [`MEMBER_LIMIT`].
pub fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    whole(MultiGzDecoder::new(bytes), 0, "a whole gzip file")
}

/// The name of a member with `/` between folders, or nothing where it is the archive's own folder.
///
/// # Errors
///
/// Where it leaves the archive's folder, or is not UTF-8.
pub fn member_name(raw: &[u8]) -> Result<Option<String>, Malformed> {
    let shown = String::from_utf8_lossy(raw).into_owned();
    let refused = |found: &str| Malformed::new(format!("member {shown:?}"), "a name inside of its folder", found);
    let Ok(name) = std::str::from_utf8(raw) else {
        return Err(refused(&format!("bytes that are not UTF-8\n  hint: {UNPACK}")));
    };
    // Some archives of Windows have the other slash; where it is part of a name, `..\` must not slip through.
    let name = name.replace('\\', "/");
    let drive = name.as_bytes().get(1) == Some(&b':');
    if name.starts_with('/') || drive {
        return Err(refused("an absolute one"));
    }
    if name.contains('\0') {
        return Err(refused("a zero byte"));
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(refused("`..`"));
    }
    Ok(if parts.is_empty() { None } else { Some(parts.join("/")) })
}

fn zip(source: Box<dyn Source>) -> Result<Archive, Malformed> {
    let mut zip = ZipArchive::new(source).map_err(damaged)?;
    let (mut members, mut folders) = (BTreeMap::new(), Vec::new());
    for index in 0..zip.len() {
        let member = zip.by_index_raw(index).map_err(damaged)?;
        let Some(name) = member_name(member.name_raw())? else { continue };
        if member.is_dir() {
            folders.push(name);
            continue;
        }
        if !matches!(member.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            let found = format!("{}\n  hint: {UNPACK}", member.compression());
            return Err(Malformed::new(format!("member {name:?}"), "deflate, the usual compression", found));
        }
        // The kind of file in the upper bits of a Unix mode: none, or a regular file.
        let kind = member.unix_mode().unwrap_or(0) & 0o170_000;
        if kind != 0 && kind != 0o100_000 {
            return Err(link(&name));
        }
        insert(&mut members, name, index)?;
    }
    Ok(Archive { kind: Kind::Zip { zip: Mutex::new(zip), members }, folders })
}

fn tar(mut source: Box<dyn Source>) -> Result<Archive, Malformed> {
    let end = source.seek(SeekFrom::End(0)).map_err(unreadable)?;
    source.rewind().map_err(unreadable)?;
    let mut archive = tar::Archive::new(source);
    let (mut members, mut folders, mut last) = (BTreeMap::new(), Vec::new(), 0);
    for entry in archive.entries_with_seek().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let behind = entry.raw_file_position().checked_add(entry.size());
        last = behind.and_then(|behind| behind.checked_next_multiple_of(BLOCK as u64)).unwrap_or(u64::MAX);
        let name = member_name(&entry.path_bytes())?;
        let kind = entry.header().entry_type();
        let Some(name) = name else { continue };
        if kind.is_dir() {
            folders.push(name);
            continue;
        }
        if kind.is_pax_global_extensions() {
            continue;
        }
        if !kind.is_file() && !kind.is_contiguous() {
            return Err(link(&name));
        }
        let extent = Extent { start: entry.raw_file_position(), length: entry.size() };
        if extent.start.checked_add(extent.length).is_none_or(|last| last > end) {
            return Err(Malformed::new(
                format!("member {name:?}"),
                format!("{} bytes from byte {}", extent.length, extent.start),
                format!("the end of the archive at byte {end}"),
            ));
        }
        insert(&mut members, name, extent)?;
    }
    let mut file = archive.into_inner();
    // A block of zeros follows the last member: where there is none, others may have been cut off.
    let mut zeros = [0xff; BLOCK];
    file.seek(SeekFrom::Start(last)).map_err(unreadable)?;
    if file.read_exact(&mut zeros).is_err() || zeros != [0; BLOCK] {
        return Err(Malformed::new(
            format!("byte {last}"),
            "the end of a whole tar archive",
            format!("none\n  hint: {AGAIN}"),
        ));
    }
    Ok(Archive { kind: Kind::Tar { file: Mutex::new(file), members }, folders })
}

fn insert<T>(members: &mut BTreeMap<String, T>, name: String, value: T) -> Result<(), Malformed> {
    match members.entry(name) {
        Entry::Vacant(place) => {
            place.insert(value);
            Ok(())
        }
        Entry::Occupied(place) => {
            Err(Malformed::new(format!("member {:?}", place.key()), "each name once", "it twice"))
        }
    }
}

/// The first bytes, as far as the name of the tar format goes; leaves the source at its start.
fn magic(source: &mut dyn Source) -> io::Result<Vec<u8>> {
    source.rewind()?;
    let mut bytes = Vec::new();
    source.take(262).read_to_end(&mut bytes)?;
    source.rewind()?;
    Ok(bytes)
}

/// All of `reader`, which is `what`, with memory for `room` bytes to begin with.
fn whole(reader: impl Read, room: u64, what: &str) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::with_capacity(usize::try_from(room.min(MEMBER_LIMIT)).unwrap_or(0));
    let read = reader.take(MEMBER_LIMIT + 1).read_to_end(&mut bytes);
    let read = read.map_err(|cause| Malformed::new("", what, cause.to_string()))?;
    if read as u64 > MEMBER_LIMIT {
        return Err(Malformed::new("", format!("at most {MEMBER_LIMIT} bytes"), "more"));
    }
    Ok(bytes)
}

fn link(name: &str) -> Malformed {
    Malformed::new(format!("member {name:?}"), "a file or folder", format!("a link or device\n  hint: {UNPACK}"))
}

fn unreadable(cause: io::Error) -> Malformed {
    Malformed::new("", "a whole archive", cause.to_string())
}

fn damaged(cause: zip::result::ZipError) -> Malformed {
    use zip::result::ZipError::{CompressionMethodNotSupported, UnsupportedArchive};
    let (expected, hint) = match cause {
        // Also where a password is needed.
        UnsupportedArchive(_) | CompressionMethodNotSupported(_) => ("a zip archive that can be read", UNPACK),
        _ => ("a whole zip archive", AGAIN),
    };
    Malformed::new("", expected, format!("{cause}\n  hint: {hint}"))
}
