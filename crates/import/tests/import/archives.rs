//! Releases in archives: the same bytes as from a folder, and nothing from outside of it.

use std::io::{Cursor, Write};
use std::path::Path;

use files::write_atomic;
use formats::archive::{Archive, member_name};
use import::{Options, import};
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::crowd::shanghaitech;
use crate::project::{Project, Release, gzip};

fn zip(release: &Release) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in &release.0 {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn tar(release: &Release) -> Vec<u8> {
    let files = release.0.iter().map(|(name, bytes)| (name.as_str(), EntryType::Regular, bytes.as_slice()));
    tar_of(&files.collect::<Vec<_>>())
}

/// Members with any name: where there are several, also the same.
fn tar_of(members: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, kind, bytes) in members {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("../../secret").unwrap();
        }
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

fn open(bytes: &[u8]) -> Result<Archive, String> {
    let scratch = tempfile::tempdir().unwrap();
    Archive::open(Box::new(Cursor::new(bytes.to_vec())), scratch.path()).map_err(|cause| cause.to_string())
}

fn refusal(bytes: &[u8]) -> String {
    open(bytes).err().unwrap()
}

#[test]
fn an_archive_is_as_its_folder() {
    let project = Project::new();
    let release = shanghaitech("ShanghaiTech/part_B/", "ground-truth").with("__MACOSX/part_B/._x", "x");
    project.import("folder", &release, &Options::default()).unwrap();
    for (name, bytes) in [("zip", zip(&release)), ("tar", tar(&release)), ("tar.gz", gzip(&tar(&release)))] {
        let path = project.path(&format!("release.{name}"));
        write_atomic(&path, &bytes).unwrap();
        let name = name.replace('.', "-");
        import(&project.root(), &name, &path, &Options::default()).unwrap();
        for split in ["train", "test"] {
            let same = std::fs::read(project.file("folder", split)).unwrap()
                == std::fs::read(project.file(&name, split)).unwrap();
            assert!(same, "{name} {split}");
        }
    }
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    for (name, expected) in
        [("../x", "`..`"), ("a/../../x", "`..`"), ("a/..", "`..`"), ("/x", "an absolute"), ("C:\\x", "an absolute")]
    {
        let members = [("fine", EntryType::Regular, b"1".as_slice()), (name, EntryType::Regular, b"2")];
        let complaint = refusal(&tar_of(&members));
        assert!(
            complaint.contains("expected a name inside of its folder") && complaint.contains(expected),
            "{complaint}"
        );
        let complaint = refusal(&gzip(&tar_of(&members)));
        assert!(complaint.contains(expected), "{complaint}");
        let complaint = refusal(&zip(&Release::default().with("fine", "1").with(name, "2")));
        assert!(complaint.contains(expected), "{complaint}");
    }
    assert_eq!(member_name(b"./a//b/").unwrap().as_deref(), Some("a/b"));
    assert_eq!(member_name(b"a\\b").unwrap().as_deref(), Some("a/b"));
    assert_eq!(member_name(b"./").unwrap(), None);
    assert!(member_name(b"a\\..\\..\\b").is_err() && member_name(b"a\xff").is_err());
}

#[test]
fn links_and_devices_are_refused() {
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Fifo] {
        let complaint = refusal(&tar_of(&[("a/x", kind, b"")]));
        assert!(
            complaint.starts_with("member \"a/x\": expected a file or folder, found a link or device"),
            "{complaint}"
        );
    }
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink("x", "../../secret", SimpleFileOptions::default()).unwrap();
    assert!(refusal(zip.finish().unwrap().get_ref()).contains("found a link or device"));
}

#[test]
fn damaged_archives_are_refused() {
    let release = Release::default().with("a", "one").with("b", vec![7; 3000]);
    let whole = tar(&release);
    assert!(refusal(&whole[..2048]).contains("member \"b\": expected 3000 bytes from byte 1536, found the end"));
    // A cut between two members leaves whole ones.
    let complaint = refusal(&whole[..1024]);
    assert!(complaint.contains("byte 1024: expected the end of a whole tar archive, found none"), "{complaint}");
    assert!(open(&whole[..whole.len() - 512]).is_ok(), "one block of zeros is an end");
    assert!(
        refusal(&tar_of(&[("a", EntryType::Regular, b"1"), ("./a", EntryType::Regular, b"2")]))
            .contains("found it twice")
    );
    assert!(refusal(b"Rar!").contains("expected a folder, or a zip, tar or gzipped tar archive"));
    assert!(refusal(&gzip(b"no tar")).contains("expected a folder, or a zip, tar or gzipped tar archive"));
    assert!(refusal(&gzip(&whole)[..30]).contains("a whole archive"));
    let packed = zip(&release);
    assert!(refusal(&packed[..packed.len() - 30]).contains("a whole zip archive"));

    // The compression of the first member, in its own header and in the list.
    let mut other = packed.clone();
    for (begin, at) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
        let header = other.windows(4).position(|bytes| bytes == begin).unwrap();
        other[header + at] = 14;
    }
    let complaint = refusal(&other);
    assert!(
        complaint.starts_with("member \"a\": expected deflate") && complaint.contains("hint: unpack"),
        "{complaint}"
    );

    let mut wrong = packed.clone();
    let data = wrong.windows(3).position(|bytes| bytes == b"one").unwrap_or(35);
    wrong[data] ^= 1;
    let archive = open(&wrong).unwrap();
    assert!(archive.read("a").is_err(), "its checksum is another");
    assert_eq!(archive.read("b").unwrap(), [7; 3000]);
    assert!(archive.read("c").is_err());
}

#[test]
fn a_missing_archive_is_named() {
    let project = Project::new();
    let error = import(&project.root(), "x", Path::new("no/such.zip"), &Options::default()).unwrap_err().to_string();
    assert!(error.starts_with("cannot read no/such.zip"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damage_never_panics(kind in 0..3, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let release = Release::default().with("a", "one").with("b/c", vec![7; 700]);
        let mut bytes = match kind { 0 => zip(&release), 1 => tar(&release), _ => gzip(&tar(&release)) };
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(bytes.len() - if byte.is_multiple_of(2) { 0 } else { cut.index(bytes.len()) });
        if let Ok(archive) = open(&bytes) {
            for name in archive.names() {
                prop_assert!(!name.starts_with('/') && !name.split('/').any(|part| part == ".."));
                let _ = archive.read(name);
            }
        }
    }
}
