//! `import`: a data set from an official release.

use crate::workspace::Workspace;
use anyhow::{Context, Result};
use clap::Args;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

// The importer knows its arguments, and explains them.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Arguments of the importer
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn import(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let binary = workspace.tool("import")?;
    // In the current folder, which the release's path may start from.
    let status = Command::new(&binary)
        .args(&arguments.arguments)
        .arg("--project")
        .arg(&workspace.root)
        .status()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
