//! `eval`: how good somebody's predictions in files are.

use crate::workspace::Workspace;
use anyhow::{Context, Result};
use clap::Args;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Name of the task, such as detection
    task: String,
    // The task knows them, and explains them.
    /// As the task takes them; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn eval(arguments: &Arguments) -> Result<ExitCode> {
    let binary = Workspace::find()?.binary(&arguments.task)?;
    // In the current folder, which the paths may start from.
    let status = Command::new(&binary)
        .arg("eval")
        .args(&arguments.arguments)
        .status()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
