//! Where things are.

use crate::mistake;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use settings::did_you_mean;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use study::Config;

/// A folder of built binaries; where it is set, nothing is built.
pub(crate) const BINARIES: &str = "WRS_BENCH_BIN";

/// The project's folder.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
}

impl Workspace {
    /// The workspace that holds the current folder.
    pub(crate) fn find() -> Result<Self> {
        let here = std::env::current_dir().context("cannot determine the current folder")?;
        let root = here.ancestors().find(|folder| folder.join("configs").is_dir() && folder.join("datasets").is_dir());
        match root {
            Some(root) => Ok(Self { root: root.into() }),
            None => bail!("{} is not in a wrs-bench workspace; run this in a clone of the repository", here.display()),
        }
    }

    /// The tasks that have configurations, sorted.
    pub(crate) fn tasks(&self) -> Vec<String> {
        let folders = std::fs::read_dir(self.root.join("configs")).into_iter().flatten().flatten();
        let folders = folders.filter(|entry| entry.path().is_dir());
        let names = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
        // A folder that was being written when the process was killed keeps a hidden name.
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    pub(crate) fn run(&self, id: &record::RunId) -> record::RunFolder {
        record::RunFolder::new(self.root.join("runs").join(id.as_str()))
    }

    pub(crate) fn reports(&self) -> PathBuf {
        self.root.join("reports")
    }

    /// The folder of the reports' figures.
    pub(crate) fn figures(&self) -> PathBuf {
        self.reports().join("figures")
    }

    /// Whether the files of the data set `name`, or of the one that its scenes are made of, come with the project: what
    /// it shows may be shown in it as well.
    pub(crate) fn embeds(&self, name: &str) -> bool {
        let folder = self.root.join("datasets");
        let manifest = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap_or_default();
        let source =
            toml::from_str::<Value>(&manifest).ok().and_then(|set| Some(set["scenes"]["from"].as_str()?.to_owned()));
        folder.join(source.as_deref().unwrap_or(name)).is_dir()
    }

    /// The file of a comparison's records.
    pub(crate) fn records(&self, name: &str) -> PathBuf {
        self.reports().join("records").join(format!("{name}.jsonl"))
    }

    /// The configuration called `name` of `task`, or in the file `name`; and the name of its report.
    pub(crate) fn config(&self, task: &str, name: &str) -> Result<(Config, String)> {
        let folder = self.root.join("configs").join(task);
        let known = names(&folder, "toml");
        let is_file = name.ends_with(".toml") || name.contains('/');
        if !is_file && !known.iter().any(|known| known == name) {
            let near = did_you_mean(name, known.iter().map(String::as_str));
            return Err(mistake(format!(
                "task `{task}` has no configuration `{name}`{near}; it has {}",
                known.join(", ")
            )));
        }
        let path = if is_file { PathBuf::from(name) } else { folder.join(format!("{name}.toml")) };
        let shown = path.strip_prefix(&self.root).map(Path::to_path_buf).unwrap_or(path.clone());
        let config = Config::read_as(&path, &shown)?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok((config, if stem == "default" { task.to_owned() } else { format!("{task}-{stem}") }))
    }

    /// The built binary of `task`.
    pub(crate) fn binary(&self, task: &str) -> Result<PathBuf> {
        self.built(task, |metadata| {
            let tasks = tasks(metadata);
            if tasks.iter().any(|known| known == task) {
                return Ok(());
            }
            let near = did_you_mean(task, tasks.iter().map(String::as_str));
            Err(mistake(format!("there is no task `{task}`{near}; there is {}", tasks.join(", "))))
        })
    }

    /// The built binary of a package that is no task.
    pub(crate) fn tool(&self, package: &str) -> Result<PathBuf> {
        self.built(package, |_| Ok(()))
    }

    /// The release binary of `package`, which is built where `check` agrees to what cargo says of the workspace.
    fn built(&self, package: &str, check: impl Fn(&Value) -> Result<()>) -> Result<PathBuf> {
        if let Some(folder) = std::env::var_os(BINARIES).filter(|folder| !folder.is_empty()) {
            let binary = Path::new(&folder).join(format!("{package}{}", std::env::consts::EXE_SUFFIX));
            if !binary.is_file() {
                bail!("${BINARIES} is set, but there is no {}", binary.display());
            }
            return Ok(std::path::absolute(binary)?);
        }
        let metadata = self.metadata()?;
        check(&metadata)?;
        let status = Command::new(cargo())
            // With `--package`, a package whose dependencies others want more features of would compile them again.
            .args(["build", "--release", "--workspace", "--bin", package])
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .status()
            .context("cannot start cargo")?;
        if !status.success() {
            bail!("`{package}` does not build; see cargo's messages above");
        }
        let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
        Ok(Path::new(target).join("release").join(format!("{package}{}", std::env::consts::EXE_SUFFIX)))
    }

    fn metadata(&self) -> Result<Value> {
        let output = Command::new(cargo())
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(&self.root)
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!("cargo metadata failed; see its message above");
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// The tasks: packages with a binary that depend on `train`.
fn tasks(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let has = |list: &Value, test: &dyn Fn(&Value) -> bool| list.as_array().is_some_and(|list| list.iter().any(test));
    let is_task = |package: &&Value| {
        has(&package["dependencies"], &|dependency| dependency["name"] == "train")
            && has(&package["targets"], &|target| has(&target["kind"], &|kind| kind == "bin"))
    };
    packages.iter().filter(is_task).filter_map(|package| Some(package["name"].as_str()?.to_owned())).collect()
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Stems of the files in `folder` with `extension`, sorted.
pub(crate) fn names(folder: &Path, extension: &str) -> Vec<String> {
    let files = contents(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == extension));
    let mut names: Vec<String> =
        files.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    names
}

/// What is in `folder`, sorted; nothing where it cannot be read.
pub(crate) fn contents(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
