//! `export`: the records of a report, for other tools.

use crate::report::known;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Name of the task or report, such as classification
    name: String,
    /// Tables (CSV or Parquet) or TensorBoard event files
    #[arg(long, value_parser = ["csv", "parquet", "tensorboard"])]
    format: String,
    /// The folder to create; must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn export(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    known(&workspace, &arguments.name)?;
    let binary = workspace.tool("export")?;
    let status = Command::new(&binary)
        .arg(workspace.records(&arguments.name))
        .args(["--format", &arguments.format])
        .arg("--out")
        .arg(&arguments.out)
        .status()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
