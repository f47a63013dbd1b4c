//! Which code made a record.

use std::process::Command;

/// The runner sets this variable to the commit that it built the task's binary from: the folder may
/// change while runs go on.
pub const VARIABLE: &str = "WRS_BENCH_COMMIT";

/// What the runner says; without a runner, the commit of the current folder.
pub fn of_binary() -> String {
    std::env::var(VARIABLE).ok().filter(|commit| !commit.is_empty()).unwrap_or_else(of_folder)
}

/// The commit of the code in the current folder, with `+changes` where files differ from it that a result
/// depends on; `unknown` outside git.
pub fn of_folder() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".into() };
    let code = ["status", "--porcelain", "--untracked-files=no", "--", ":/crates/*/src", ":/datasets", ":/Cargo.lock"];
    match git(&code) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit}+changes"),
    }
}
