//! `eval`: scores predictions from files.

use crate::workspace::Workspace;
use anyhow::{Context, Result};
use clap::{Args, CommandFactory};
use std::ffi::OsString;
use std::process::{Command, ExitCode};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Name of the task, such as detection
    #[arg(allow_hyphen_values = true)]
    task: String,
    // The task knows them, and explains them.
    /// Arguments of the task; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn eval(arguments: &Arguments) -> Result<ExitCode> {
    // Behind a task it is the task's own help that is asked for.
    if ["--help", "-h"].contains(&arguments.task.as_str()) {
        let mut command = crate::Cli::command();
        command.build();
        let help = command.find_subcommand_mut("eval").map(|eval| eval.render_help().to_string());
        crate::say(help.unwrap_or_default().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let binary = Workspace::find()?.binary(&arguments.task)?;
    // In the current folder, which the paths may start from.
    let status = Command::new(&binary)
        .arg("eval")
        .args(&arguments.arguments)
        .status()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
