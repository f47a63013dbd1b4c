//! Files as a manifest or its lock lists them.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use data::Manifest;
use record::fs::FileError;
use record::hex;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::release::Release;

/// That `folder` has the files that `known` lists, where it lists any.
pub(crate) fn check(known: &Manifest, manifest: &Path, folder: &Path, release: &Release) -> Result<()> {
    let disagrees = |reason: String| Err(Error::Disagrees { manifest: manifest.to_path_buf(), reason });
    for file in &known.files {
        let path = folder.join(&file.path);
        if !path.is_file() {
            let splits: Vec<&str> = release.parts.iter().map(|part| part.split.name()).collect();
            let found = format!("the import writes 0000.parquet, … for {}", splits.join(", "));
            return disagrees(format!("`files`: expected {:?}, {found}", file.path));
        }
        let Some(expected) = &file.sha256 else { continue };
        let found = sha256(&path).map_err(|cause| FileError::new("read", &path, cause))?;
        if *expected != found {
            return disagrees(format!("`files`: expected sha256 {expected} of {:?}, found {found}", file.path));
        }
    }
    Ok(())
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut file = BufReader::with_capacity(1 << 18, File::open(path)?);
    loop {
        let piece = file.fill_buf()?;
        if piece.is_empty() {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(piece);
        let length = piece.len();
        file.consume(length);
    }
}
