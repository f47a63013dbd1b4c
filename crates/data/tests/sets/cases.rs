//! Files that fuzzing found: each once made a parser panic or run for hours.

use std::path::{Path, PathBuf};

use data::{Channels, decode};

use crate::project::{MANIFEST, Project};

fn cases(parser: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(parser);
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let cases: Vec<_> = paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn images_of_any_bytes_are_errors() {
    for (path, file) in cases("image") {
        for channels in [Channels::Gray, Channels::Rgb] {
            assert!(decode::image(&file, channels).is_err(), "{}", path.display());
        }
    }
}

#[test]
fn parquet_files_of_any_bytes_are_errors() {
    for (path, file) in cases("parquet") {
        // The columns that the cases have.
        let project = Project::with(&MANIFEST.replace("label = \"label\"", "label = \"mask\""));
        files::write_atomic(&project.file("train"), &file).unwrap();
        let complaint = project.complaint();
        assert!(complaint.starts_with("cannot read ~/datasets/pets"), "{}: {complaint}", path.display());
    }
}
