//! `new task`: a crate, its configuration and its data set, and nothing else.
//!
//! The templates are plain Rust code of a task `example-task`; `new` replaces the name in its three spellings.
//! `.ci/run` generates one of each before its tests, so the templates pass every check. A task is written in three
//! parts, each visible at once: data set, crate, configuration. After an interruption, `new` adds the missing ones.

use super::name::Name;
use crate::workspace::{Workspace, names};
use crate::{mistake, say};
use anyhow::{Context, Result};
use files::{NewFolder, write_atomic};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Files of the crate.
const CRATE: &[(&str, &str)] = &[
    ("README.md", include_str!("../../templates/task/README.md")),
    ("src/lib.rs", include_str!("../../templates/task/src/lib.rs")),
    ("src/main.rs", include_str!("../../templates/task/src/main.rs")),
    ("src/meter.rs", include_str!("../../templates/task/src/meter.rs")),
    ("src/task.rs", include_str!("../../templates/task/src/task.rs")),
    ("tests/conformance.rs", include_str!("../../templates/task/tests/conformance.rs")),
    ("Cargo.toml", include_str!("../../templates/task/Cargo.toml")),
];
const CONFIGURATION: &[(&str, &str)] = &[("default.toml", include_str!("../../templates/task/config.toml"))];
const MANIFEST: &str = include_str!("../../templates/task/manifest.toml");
/// What these call the task.
const PLACEHOLDER: &str = "example-task";

pub(super) fn new(name: &str) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let code = CRATE.iter().filter(|(path, _)| path.ends_with(".rs"));
    let name = Name::parse(name, PLACEHOLDER, code.map(|(_, template)| *template))?;
    let fill = |files: &[(&'static str, &str)]| files.iter().map(|(path, text)| (*path, name.fill(text))).collect();
    let root = &workspace.root;
    // The configuration is the last: it makes the task known to the other verbs.
    let parts = [
        Part::File(root.join("datasets").join(format!("{}.toml", name.kebab)), name.fill(MANIFEST)),
        Part::Folder(root.join("crates").join(&name.kebab), fill(CRATE)),
        Part::Folder(root.join("configs").join(&name.kebab), fill(CONFIGURATION)),
    ];
    let places = parts.each_ref().map(Part::place);
    check_free(&workspace, &name, &parts, places)?;
    for (part, _) in parts.iter().zip(places).filter(|(_, place)| *place == Place::Free) {
        part.write().with_context(|| {
            format!("the task is not complete; `cargo xtask new task {}` continues where it stopped", name.kebab)
        })?;
        for path in part.paths() {
            say(&path.strip_prefix(root).unwrap_or(&path).display().to_string());
        }
    }
    eprintln!(
        "wrote the task {0}; `rm -r crates/{0} configs/{0} datasets/{0}.toml` removes it\n\
         cargo adds it to Cargo.lock when it is next called\n\
         next:\n  \
         cargo xtask bench {0} --quick    a first table\n  \
         cargo test -p {0}                the tests that every task passes\n  \
         crates/{0}/README.md             what it does, and what to change first",
        name.kebab
    );
    Ok(ExitCode::SUCCESS)
}

/// A mistake where the name belongs to something else.
fn check_free(workspace: &Workspace, name: &Name, parts: &[Part; 3], places: [Place; 3]) -> Result<()> {
    let kebab = &name.kebab;
    let taken = |by: String| Err(mistake(format!("`{kebab}` is taken: {by}; choose another name, or move it away")));
    let shown = |path: &Path| path.strip_prefix(&workspace.root).unwrap_or(path).display().to_string();
    if places == [Place::Written; 3] {
        return taken(format!("the task exists, as it was written, in {}", shown(parts[1].path())));
    }
    if let Some((part, _)) = parts.iter().zip(places).find(|(_, place)| *place == Place::Taken) {
        return taken(format!(
            "expected nothing at {}, found something else than what would be written",
            shown(part.path())
        ));
    }
    let beside = [
        workspace.root.join("datasets").join(kebab),
        workspace.root.join("datasets").join(format!("{kebab}.lock")),
        workspace.records(kebab),
        workspace.reports().join(format!("{kebab}.md")),
    ];
    if let Some(path) = beside.iter().find(|path| path.symlink_metadata().is_ok()) {
        return taken(format!("expected nothing at {}, found something", shown(path)));
    }
    // The report of the configuration `b` of the task `a` is called `a-b`.
    let of = |task: &str| kebab.strip_prefix(&format!("{task}-")).map(str::to_owned);
    for task in workspace.tasks() {
        let folder = workspace.root.join("configs").join(&task);
        if of(&task).is_some_and(|config| names(&folder, "toml").contains(&config)) {
            return taken(format!("the report of a configuration of {task} is called so"));
        }
    }
    let lock = files::read_text_if_present(&workspace.root.join("Cargo.lock"))?.unwrap_or_default();
    let packages = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let clash = packages.into_iter().find(|package| package.replace('-', "_") == name.snake);
    match clash {
        Some(package) if places[1] == Place::Free => taken(format!("Cargo.lock has a package `{package}`")),
        _ => Ok(()),
    }
}

/// What stands where something is to be written.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Free,
    /// Just what would be written: an earlier call was interrupted.
    Written,
    Taken,
}

/// What is seen at once or not at all.
enum Part {
    File(PathBuf, String),
    Folder(PathBuf, Vec<(&'static str, String)>),
}

impl Part {
    fn path(&self) -> &Path {
        match self {
            Self::File(path, _) | Self::Folder(path, _) => path,
        }
    }

    /// The files in it.
    fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::File(path, _) => vec![path.clone()],
            Self::Folder(path, files) => files.iter().map(|(file, _)| path.join(file)).collect(),
        }
    }

    fn place(&self) -> Place {
        let holds = |path: &Path, text: &str| std::fs::read(path).is_ok_and(|found| found == text.as_bytes());
        let written = match self {
            Self::File(path, text) => holds(path, text),
            Self::Folder(path, files) => files.iter().all(|(file, text)| holds(&path.join(file), text)),
        };
        match self.path().symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Place::Free,
            _ if written => Place::Written,
            _ => Place::Taken,
        }
    }

    fn write(&self) -> Result<()> {
        match self {
            Self::File(path, text) => write_atomic(path, text.as_bytes())?,
            Self::Folder(path, files) => {
                let mut folder = NewFolder::begin(path)?;
                for (file, text) in files {
                    let written = folder.file(file)?.write_all(text.as_bytes());
                    written.with_context(|| format!("cannot write {}", path.join(file).display()))?;
                }
                folder.publish()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_short() {
        let rust = CRATE.iter().filter(|(path, _)| path.ends_with(".rs"));
        let lines: usize = rust.map(|(_, text)| text.lines().count()).sum();
        assert!((150..=230).contains(&lines), "{lines} lines of Rust");
    }
}
