//! Slurm: what is missing becomes job arrays. Nothing stays alive to watch them: the truth is the record files, and the
//! same command submits what is missing then.

mod program;
mod queue;
mod script;
mod site;

pub use queue::{Queue, Queued};
pub use site::SettingsError;

use anyhow::{Context, Result};
use script::Script;
use sha2::{Digest, Sha256};
use site::Settings;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of the jobs and plans that are ours.
pub const PREFIX: &str = "wrs-bench-";

/// The folder of plans, scripts and outputs in the project's folder `root`.
pub fn folder(root: &Path) -> PathBuf {
    root.join("runs/slurm")
}

/// What an element of an array does: a verb of the task's binary, and the run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Work {
    verb: Verb,
    id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    Run,
    Test,
}

impl Work {
    /// Training of `id`.
    pub fn run(id: &record::RunId) -> Self {
        Self { verb: Verb::Run, id: id.to_string() }
    }

    /// Scoring of `id` on the test split.
    pub fn test(id: &record::RunId) -> Self {
        Self { verb: Verb::Test, id: id.to_string() }
    }

    /// A line of a plan.
    fn line(&self) -> String {
        let verb = match self.verb {
            Verb::Run => "run",
            Verb::Test => "test",
        };
        format!("{verb} {}\n", self.id)
    }

    fn parse(line: &str) -> Option<Self> {
        let (verb, id) = line.split_once(' ')?;
        let verb = match verb {
            "run" => Verb::Run,
            "test" => Verb::Test,
            _ => return None,
        };
        Some(Self { verb, id: id.to_owned() })
    }
}

/// Submits of `work`, the longest first, what is not queued yet, and prints a line for each array: its job, and its plan. The
/// project's folder is `root`.
///
/// # Errors
///
/// A [`SettingsError`] where the site's settings are wrong; others where Slurm does not answer or refuses.
pub fn submit(root: &Path, binary: &Path, work: Vec<Work>) -> Result<()> {
    let settings = Settings::read(root)?;
    let queue = Queue::ask(root);
    if let Err(why) = &queue {
        eprintln!(
            "warning: what is queued is not known: {why:#}\n  what is queued already is submitted again, which trains nothing \
             twice: the second waits for the first and finds its record"
        );
    }
    let all = work.len();
    let new: Vec<Work> = match &queue {
        Ok(queue) => work.into_iter().filter(|work| queue.of(work).is_none()).collect(),
        Err(_) => work,
    };
    if all > new.len() {
        eprintln!("{} of them are queued already", all - new.len());
    }
    if new.is_empty() {
        eprintln!("nothing to submit");
        return Ok(());
    }
    let binary = keep(root, binary)?;
    let (most, commit) = (program::max_array_size()?, record::commit::of_folder());
    let arrays = new.len().div_ceil(most);
    let (mut jobs, mut submitted) = (Vec::new(), 0);
    for part in new.chunks(most) {
        let plan = write_plan(root, part)?;
        let script =
            Script { settings: &settings, plan: &plan, elements: part.len(), arrays, binary: &binary, commit: &commit };
        let path = folder(root).join(format!("{plan}.sh"));
        files::write_atomic(&path, script.text().as_bytes())?;
        let mut sbatch = Command::new("sbatch");
        sbatch.arg("--parsable").arg(&path).current_dir(root);
        let answer = program::ask(&mut sbatch).with_context(|| {
            format!(
                "submitted {submitted} of {} in {} of {arrays} arrays; not the next\n  hint: the same command submits what is \
                 missing, once `sbatch {}` works",
                new.len(),
                jobs.len(),
                path.display()
            )
        })?;
        // With several clusters, the job's is behind a semicolon.
        let job = answer.trim().split(';').next().unwrap_or_default().to_owned();
        // A pipe may be closed.
        let _ = writeln!(std::io::stdout(), "{job}  {} elements  runs/slurm/{plan}.sh", part.len());
        submitted += part.len();
        jobs.push(job);
    }
    eprintln!(
        "submitted {submitted} as {}; outputs are in runs/slurm",
        match jobs.as_slice() {
            [job] => format!("job {job}"),
            jobs => format!("jobs {}", jobs.join(", ")),
        }
    );
    Ok(())
}

/// Writes the plan of an array, a line for each element, and gives its name: that of its content, and of the store, so
/// that two clones of a user do not take each other's jobs for their own.
fn write_plan(root: &Path, work: &[Work]) -> Result<String> {
    let text: String = work.iter().map(Work::line).collect();
    let mut hash = Sha256::new();
    hash.update(root.as_os_str().as_encoded_bytes());
    hash.update(&text);
    let plan = format!("{PREFIX}{}", files::hex(&hash.finalize()[..6]));
    files::write_atomic(&folder(root).join(format!("{plan}.plan")), text.as_bytes())?;
    Ok(plan)
}

/// Copies the task's binary to where no build replaces it: jobs may wait for days.
fn keep(root: &Path, binary: &Path) -> Result<PathBuf> {
    let bytes = std::fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let name = binary.file_name().unwrap_or_default().to_string_lossy();
    let kept = folder(root).join(format!("{name}-{}", files::hex(&Sha256::digest(&bytes)[..6])));
    if !kept.is_file() {
        files::write_atomic(&kept, &bytes)?;
    }
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&kept, executable)
        .with_context(|| format!("cannot make {} executable", kept.display()))?;
    Ok(kept)
}
