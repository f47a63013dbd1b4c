//! `clean`: removes what can be made again, and nothing else.

use crate::say;
use crate::workspace::{Workspace, contents};
use anyhow::Result;
use record::{RunFolder, RunLock, State};
use slurm::Queue;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Remove what is listed
    #[arg(long)]
    yes: bool,
}

/// A file that is not needed, and why not.
struct Waste {
    path: PathBuf,
    why: &'static str,
    /// The run that it is of, whose lock is held while it is removed.
    run: Option<RunFolder>,
}

/// A file is written within seconds: one that is older was left by a process that was killed.
const LEFT: Duration = Duration::from_secs(3600);

pub(crate) fn clean(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let waste = find(&workspace)?;
    let mut bytes = 0;
    for Waste { path, why, .. } in &waste {
        let size = path.symlink_metadata().map_or(0, |file| file.len());
        bytes += size;
        let shown = path.strip_prefix(&workspace.root).unwrap_or(path);
        say(&format!("{:>10}  {}  ({why})", crate::machine::in_words(size), shown.display()));
    }
    let sum = format!("{} files, {}", waste.len(), crate::machine::in_words(bytes));
    if !arguments.yes {
        eprintln!(
            "{sum}, can be made again{}",
            if waste.is_empty() { "" } else { "; `cargo xtask clean --yes` removes them" }
        );
        return Ok(ExitCode::SUCCESS);
    }
    for waste in &waste {
        remove(waste)?;
    }
    eprintln!("removed {sum}");
    Ok(ExitCode::SUCCESS)
}

fn remove(waste: &Waste) -> Result<()> {
    let lock = match &waste.run {
        None => None,
        Some(run) => match RunLock::try_take(run)? {
            Some(lock) => Some((lock, run.state()?.is_over())),
            // Somebody has begun to train it.
            None => return Ok(()),
        },
    };
    files::remove_if_present(&waste.path)?;
    // That of an unfinished run stays: somebody may wait for this very file.
    if let Some((lock, true)) = lock {
        lock.remove()?;
    }
    Ok(())
}

fn find(workspace: &Workspace) -> Result<Vec<Waste>> {
    let mut waste = Vec::new();
    for run in contents(&workspace.root.join("runs")).into_iter().filter(|path| path.is_dir()) {
        of_run(&RunFolder::new(run), &mut waste);
    }
    waste.extend(of_slurm(workspace));
    for folder in ["reports", "reports/records", "reports/figures", "datasets", "runs"] {
        let left =
            contents(&workspace.root.join(folder)).into_iter().filter(|path| is_half_written(path) && is_left(path));
        waste.extend(left.map(|path| Waste { path, why: "half-written", run: None }));
    }
    Ok(waste)
}

fn of_run(run: &RunFolder, waste: &mut Vec<Waste>) {
    // What is damaged is not touched: `doctor` tells.
    let Ok(state) = run.state() else { return };
    let is_run = run.spec().exists() || state.is_over();
    if state == State::Running || !is_run {
        return;
    }
    let mut of = |path: PathBuf, why| waste.push(Waste { path, why, run: Some(run.clone()) });
    for path in contents(run.path()).into_iter().filter(|path| is_half_written(path)) {
        of(path, "half-written");
    }
    if state.is_over() {
        let left = [run.checkpoint(), run.checkpoint_before(), run.lock()];
        left.into_iter().filter(|path| path.exists()).for_each(|path| of(path, "of a run that is over"));
        let pictures = contents(&run.path().join("pictures"));
        pictures
            .into_iter()
            .filter(|path| path.is_file())
            .for_each(|path| of(path, "drawn again by `show --pictures`"));
    }
}

/// Plans, scripts, outputs and binaries of what is queued no more.
fn of_slurm(workspace: &Workspace) -> Vec<Waste> {
    let files = contents(&slurm::folder(&workspace.root));
    if files.is_empty() {
        return Vec::new();
    }
    let queue = match Queue::ask(&workspace.root) {
        Ok(queue) => queue,
        Err(why) => {
            eprintln!("what is queued is not known, so runs/slurm stays: {why:#}");
            return Vec::new();
        }
    };
    let is_needed = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Any binary may be that of any plan.
        queue.plans().any(|plan| name.starts_with(plan) || !name.starts_with(slurm::PREFIX))
    };
    let waste = files.into_iter().filter(|path| path.is_file() && !is_needed(path));
    waste.map(|path| Waste { path, why: "of jobs that have ended", run: None }).collect()
}

fn is_half_written(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".writing-")) && path.is_file()
}

fn is_left(path: &Path) -> bool {
    let modified = path.metadata().and_then(|file| file.modified());
    // A clock that was set back makes it younger, never older.
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > LEFT))
}
