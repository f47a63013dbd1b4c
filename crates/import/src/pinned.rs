//! Files as a manifest or its lock lists them.

use std::path::Path;

use data::{Stored, sha256_of};

use crate::error::{Error, Result};
use crate::release::Release;

/// That `folder` has the files that `known` lists, where it lists any.
pub(crate) fn check(known: &Stored, manifest: &Path, folder: &Path, release: &Release) -> Result<()> {
    let disagrees = |reason: String| Err(Error::Disagrees { manifest: manifest.to_path_buf(), reason });
    for file in &known.files {
        let path = folder.join(&file.path);
        if !path.is_file() {
            let splits: Vec<&str> = release.parts.iter().map(|part| part.split.name()).collect();
            let found = format!("the import writes 0000.parquet, … for {}", splits.join(", "));
            return disagrees(format!("`files`: expected {:?}, {found}", file.path));
        }
        let Some(expected) = &file.sha256 else { continue };
        let found = sha256_of(&path)?;
        if *expected != found {
            return disagrees(format!("`files`: expected sha256 {expected} of {:?}, found {found}", file.path));
        }
    }
    Ok(())
}
