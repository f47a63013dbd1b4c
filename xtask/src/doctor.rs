//! `doctor`: whether this machine and this clone can do what they shall, and what to do where not.

mod data;
mod locks;

use crate::machine::{self, in_words};
use crate::say;
use crate::workspace::{Workspace, contents};
use anyhow::Result;
use record::{RunFolder, State};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// What was looked at, what was found, and what to do about it; nothing where all is well.
struct Finding {
    what: &'static str,
    found: String,
    trouble: Option<Trouble>,
}

enum Trouble {
    /// Works, but not as well as it could.
    Warning(String),
    /// Does not work.
    Error(String),
}

impl Finding {
    fn well(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, found: found.into(), trouble: None }
    }

    fn warning(what: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what, found: found.into(), trouble: Some(Trouble::Warning(hint.into())) }
    }

    fn error(what: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what, found: found.into(), trouble: Some(Trouble::Error(hint.into())) }
    }

    fn say(&self) {
        let (level, hint) = match &self.trouble {
            None => ("ok", None),
            Some(Trouble::Warning(hint)) => ("warning", Some(hint)),
            Some(Trouble::Error(hint)) => ("error", Some(hint)),
        };
        say(&format!("{level:8} {:13} {}", self.what, self.found));
        if let Some(hint) = hint {
            say(&format!("{:22} hint: {hint}", ""));
        }
    }
}

pub(crate) fn doctor(_: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let memory = memory_of_runs(&workspace);
    let checks: [&dyn Fn() -> Vec<Finding>; 7] = [
        &|| store(&workspace),
        &|| locks::check(&workspace),
        &|| vec![disk(&workspace.root)],
        &|| vec![threads()],
        &|| vec![self::memory(memory)],
        &|| vec![instructions()],
        &|| data::check(&workspace),
    ];
    let mut is_well = true;
    for check in checks {
        for finding in check() {
            finding.say();
            is_well &= !matches!(finding.trouble, Some(Trouble::Error(_)));
        }
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether runs can be written, and are whole.
fn store(workspace: &Workspace) -> Vec<Finding> {
    let runs = workspace.root.join("runs");
    let folder = if runs.is_dir() { &runs } else { &workspace.root };
    let mut findings = Vec::new();
    if let Err(error) = tempfile::Builder::new().prefix(".writing-doctor-").tempfile_in(folder) {
        let hint = "make the folder writable, or work in a clone elsewhere";
        findings.push(Finding::error("store", format!("{} cannot be written: {error}", folder.display()), hint));
    }
    let (mut states, mut left) = (BTreeMap::<State, usize>::new(), 0);
    for run in
        contents(&runs).into_iter().filter(|path| path.join("spec.json").exists() || path.join("record.json").exists())
    {
        let folder = RunFolder::new(&run);
        let whole = folder.state().and_then(|state| {
            folder.read_test()?;
            folder.read_spec()?;
            Ok(state)
        });
        match whole {
            Ok(state) => *states.entry(state).or_default() += 1,
            Err(error) => {
                let text = error.to_string();
                let (found, hint) = text.split_once("\n  hint: ").unwrap_or((text.as_str(), "look at the file"));
                findings.push(Finding::error("store", found, hint));
            }
        }
        left += contents(&run).iter().filter(|path| path.to_string_lossy().contains("/.writing-")).count();
    }
    if left > 0 {
        let found = format!("{left} half-written files of processes that were killed");
        findings.push(Finding::warning("store", found, "`cargo xtask clean` lists them"));
    }
    if findings.is_empty() {
        let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let states = if states.is_empty() { "no runs".to_owned() } else { states.join(", ") };
        findings.push(Finding::well("store", format!("{} can be written: {states}", folder.display())));
    }
    findings
}

fn disk(root: &Path) -> Finding {
    const LITTLE: u64 = 2 << 30;
    let output = Command::new("df").args(["-P", "-k"]).arg(root).output().ok();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let free = text.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    let caches =
        ["runs", "datasets/.cache"].map(|name| format!("{name} has {}", in_words(machine::size(&root.join(name)))));
    match free.map(|blocks| blocks * 1024) {
        None => Finding::warning("disk", "`df` does not say how much is free", "look whether there is space"),
        Some(free) if free < LITTLE => Finding::warning(
            "disk",
            format!("{} are free; {}", in_words(free), caches.join(", ")),
            "free some space: a run that cannot write its checkpoint stops; `cargo xtask clean` lists what is not needed",
        ),
        Some(free) => Finding::well("disk", format!("{} are free; {}", in_words(free), caches.join(", "))),
    }
}

fn threads() -> Finding {
    const VARIABLE: &str = "RAYON_NUM_THREADS";
    let (cores, all) = (machine::cores(), machine::all_cores());
    let found = format!("{cores} of the machine's {} cores may be used", all.unwrap_or(cores));
    match std::env::var(VARIABLE).ok().and_then(|threads| threads.parse::<usize>().ok()) {
        Some(threads) if threads > cores => Finding::warning(
            "threads",
            format!("{found}, but ${VARIABLE} is {threads}"),
            format!("unset ${VARIABLE}: more threads than cores wait for each other; `bench` sets it for its runs"),
        ),
        _ => Finding::well("threads", found),
    }
}

/// The most that a run has taken.
fn memory_of_runs(workspace: &Workspace) -> Option<u64> {
    let runs = contents(&workspace.root.join("runs"));
    runs.into_iter().filter_map(|run| RunFolder::new(run).read_record().ok()??.provenance.memory).max()
}

fn memory(of_run: Option<u64>) -> Finding {
    let (Some(all), Some(free)) = (machine::memory(), machine::free_memory()) else {
        return Finding::well("memory", "this system does not say how much there is");
    };
    let found = format!("{} may be used, {} are free", in_words(all), in_words(free));
    match of_run {
        None => Finding::well("memory", found),
        Some(run) if run > free => Finding::warning(
            "memory",
            format!("{found}; the largest run here took {}", in_words(run)),
            "end other programs, raise the limit of the control group, or make `batch` smaller",
        ),
        Some(run) => {
            let at_a_time = free / run.max(1);
            Finding::well("memory", format!("{found}: for {at_a_time} of the largest run here, {}", in_words(run)))
        }
    }
}

fn instructions() -> Finding {
    const VARIABLE: &str = "OPS_KERNELS";
    #[cfg(target_arch = "x86_64")]
    let found = match (std::is_x86_feature_detected!("avx512f"), std::is_x86_feature_detected!("avx2")) {
        (true, _) => "AVX-512",
        (false, true) => "AVX2",
        (false, false) => "neither AVX-512 nor AVX2",
    };
    #[cfg(not(target_arch = "x86_64"))]
    let found = std::env::consts::ARCH;
    match std::env::var(VARIABLE) {
        Ok(kernels) if !kernels.is_empty() => Finding::warning(
            "instructions",
            format!("{found}, but ${VARIABLE} is {kernels}"),
            format!("unset ${VARIABLE}, unless you compare kernels: the fastest ones are found, and bits are the same"),
        ),
        _ if found.starts_with("neither") => Finding::warning(
            "instructions",
            found,
            "runs are several times slower here, with the same bits; use a newer processor, or have the virtual machine pass it on",
        ),
        _ => Finding::well("instructions", found),
    }
}
