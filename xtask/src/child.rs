//! The binary of a task, started for one run after another.
//!
//! A run ends with its runner: when the runner dies, however it dies, the child's stdin closes; the child then writes
//! a checkpoint and stops. A run that is still held waits for its lock.

use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use progress::{Ended, RunProgress};
use record::RunFolder;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of what was interrupted and goes on when it is started again.
pub(crate) const INTERRUPTED: u8 = 75;

/// Whether the user wants to stop.
#[derive(Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens for signals from now on.
    pub(crate) fn listen() -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGUSR1] {
            signal_hook::flag::register(signal, stop.clone()).context("cannot listen for signals")?;
        }
        Ok(Self(stop))
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A task's binary.
pub(crate) struct TaskBinary {
    pub(crate) path: PathBuf,
    /// Where it looks for data sets.
    root: PathBuf,
    /// That it was built from.
    commit: String,
    stop: Stop,
}

impl TaskBinary {
    pub(crate) fn new(workspace: &Workspace, path: PathBuf, stop: &Stop) -> Self {
        let commit = record::commit::of_folder();
        Self { path, root: workspace.root.clone(), commit, stop: stop.clone() }
    }

    /// Trains the run in `folder` and shows how that goes; threads are as many as the process would take where none are
    /// given.
    pub(crate) fn train(&self, folder: &RunFolder, threads: Option<usize>, shown: &RunProgress<'_>) -> Result<Ended> {
        // The child's input closes when this process ends, however it ends; then the child stops too.
        let mut child = self.start("run", folder, threads, Stdio::piped(), &["--stop-on-eof"])?;
        let (mut input, output) = (child.stdin.take(), child.stdout.take().context("no output")?);
        let errors = child.stderr.take().context("no standard error")?;
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = BufReader::new(errors).read_to_string(&mut text);
            text
        });
        for line in BufReader::new(output).lines() {
            shown.line(&line?);
            if self.stop.is_wanted() {
                input = None;
            }
        }
        drop(input);
        let status = child.wait()?;
        let errors = errors.join().unwrap_or_default();
        let errors = errors.trim();
        Ok(match status.code() {
            Some(0) => {
                let record = folder.read_record()?.context("the task's binary succeeded but left no record")?;
                Ended::Recorded(Box::new(record))
            }
            Some(code) if code == i32::from(INTERRUPTED) => Ended::Interrupted,
            _ => Ended::Failed(match errors.strip_prefix("error: ").unwrap_or(errors) {
                "" => format!("{status}"),
                message => message.to_owned(),
            }),
        })
    }

    /// Does `verb` with the finished run in `folder`; the error is what the binary says.
    pub(crate) fn call(&self, verb: &str, folder: &RunFolder, threads: Option<usize>, options: &[&str]) -> Result<()> {
        let output = self.start(verb, folder, threads, Stdio::null(), options)?.wait_with_output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    fn start(
        &self,
        verb: &str,
        folder: &RunFolder,
        threads: Option<usize>,
        input: Stdio,
        options: &[&str],
    ) -> Result<Child> {
        let mut command = Command::new(&self.path);
        if let Some(threads) = threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        command
            .arg(verb)
            .arg(folder.path())
            .args(options)
            .current_dir(&self.root)
            .env(record::commit::VARIABLE, &self.commit)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.path.display()))
    }
}
