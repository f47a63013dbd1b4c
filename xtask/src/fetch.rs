//! `fetch`: starts the binary `hub`, the only one that opens connections.

use crate::workspace::Workspace;
use anyhow::{Context, Result};
use clap::Args;
use std::process::{Command, ExitCode};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Data sets; without any, lists those that can be fetched
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// List all data sets and whether they are present
    #[arg(long, conflicts_with = "names")]
    list: bool,
}

pub(crate) fn fetch(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut command = Command::new(workspace.tool("hub")?);
    command.arg("fetch").args(arguments.list.then_some("--list")).arg("--").args(&arguments.names);
    replace_with(command.current_dir(&workspace.root)).context("cannot start `hub`")
}

/// Continues as `command`, which so receives signals and sets the exit code.
#[cfg(unix)]
fn replace_with(command: &mut Command) -> std::io::Result<ExitCode> {
    Err(std::os::unix::process::CommandExt::exec(command))
}

#[cfg(not(unix))]
fn replace_with(command: &mut Command) -> std::io::Result<ExitCode> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}
