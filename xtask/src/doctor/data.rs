//! Whether the data sets that are here are what their manifests say.

use super::Finding;
use crate::workspace::{Workspace, names};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// What a manifest, or the lock beside it, says of files.
#[derive(Deserialize, Default)]
struct Listed {
    #[serde(default)]
    files: Vec<ListedFile>,
}

#[derive(Deserialize)]
struct ListedFile {
    path: String,
    sha256: Option<String>,
}

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let folder = workspace.root.join("datasets");
    let read = |name: &str, extension: &str| {
        let text = std::fs::read_to_string(folder.join(format!("{name}.{extension}"))).unwrap_or_default();
        toml::from_str::<Listed>(&text).unwrap_or_default().files
    };
    let (mut findings, mut away) = (Vec::new(), 0);
    for name in names(&folder, "toml") {
        let files = [read(&name, "lock"), read(&name, "toml")].into_iter().find(|files| !files.is_empty());
        match (place(&folder, &name), files) {
            (Some(place), Some(files)) => findings.push(of_set(&name, &place, &files)),
            (Some(_), None) => {
                findings.push(Finding::well("data", format!("{name} is here; its manifest lists no digests")));
            }
            (None, _) => away += 1,
        }
    }
    if away > 0 {
        let found =
            format!("{away} sets are made when they are needed, or not here; `cargo xtask fetch --list` lists them");
        findings.push(Finding::well("data", found));
    }
    findings
}

/// Where the files of the set `name` are.
fn place(folder: &Path, name: &str) -> Option<PathBuf> {
    let own = std::env::var_os("WRS_BENCH_DATA").map(PathBuf::from);
    let roots = own.into_iter().chain([folder.to_path_buf(), folder.join(".cache")]);
    roots.map(|root| root.join(name).join("default")).find(|place| place.is_dir())
}

fn of_set(name: &str, place: &Path, files: &[ListedFile]) -> Finding {
    let hint = format!("remove {} and make it again: `cargo xtask fetch {name}`, or `import`", place.display());
    for file in files {
        let path = place.join(&file.path);
        let mut hash = Sha256::new();
        if let Err(error) = files::read_pieces(&path, |piece| hash.update(piece)) {
            return Finding::error("data", format!("{name}: {error}"), hint);
        }
        let found = files::hex(&hash.finalize());
        if let Some(expected) = file.sha256.as_ref().filter(|expected| **expected != found) {
            let found = format!("{name}: {}: expected SHA-256 {expected:.16}…, found {found:.16}…", path.display());
            return Finding::error("data", found, hint);
        }
    }
    Finding::well("data", format!("{name}: {} files are as listed", files.len()))
}
