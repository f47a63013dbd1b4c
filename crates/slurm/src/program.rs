//! Slurm's programs, and what they answer.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// What a program has to answer; Slurm's own wait longer for a controller that is gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `command` prints.
///
/// # Errors
///
/// Where it cannot be started, fails, or does not answer in time.
pub(super) fn ask(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.with_context(|| {
        format!("cannot start `{name}`\n  hint: submit from a machine that has Slurm's programs, such as a login node")
    })?;
    let (sender, receiver) = mpsc::channel();
    // Where nobody waits for the answer any more, it is lost.
    std::thread::spawn(move || drop(sender.send(child.wait_with_output())));
    let Ok(output) = receiver.recv_timeout(PATIENCE) else {
        bail!(
            "`{name}` did not answer within {} s; is Slurm's controller up? `scontrol ping` tells",
            PATIENCE.as_secs()
        )
    };
    let output = output.with_context(|| format!("cannot read what `{name}` says"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{name}` failed ({}): {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The most elements that an array of this site may have.
pub(super) fn max_array_size() -> Result<usize> {
    let config = ask(Command::new("scontrol").args(["show", "config"]))?;
    let value = config.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "MaxArraySize").then(|| value.trim().to_owned())
    });
    let size = value.as_ref().and_then(|value| value.parse().ok());
    match size {
        Some(size) if size > 0 => Ok(size),
        _ => bail!(
            "expected a MaxArraySize of at least 1 in what `scontrol show config` says, found {}: this site has no job arrays",
            value.as_deref().unwrap_or("none")
        ),
    }
}
