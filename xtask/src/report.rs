//! `report`: pages and figures from records.

use crate::workspace::{Workspace, names};
use crate::{mistake, say};
use anyhow::Result;
use record::fs::{read_text_if_present, write_atomic};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Tasks or reports, such as classification; all where none is given
    names: Vec<String>,
    /// Write nothing; exit with 1 and show the difference where a file is stale
    #[arg(long)]
    check: bool,
    /// Print which files were written, or are stale, as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn report(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let known = names(&workspace.reports().join("records"), "jsonl");
    let matches = |name: &str, wanted: &str| name == wanted || name.starts_with(&format!("{wanted}-"));
    for wanted in &arguments.names {
        if !known.iter().any(|name| matches(name, wanted)) {
            let near = record::did_you_mean(wanted, known.iter().map(String::as_str));
            let list = if known.is_empty() { "none".into() } else { known.join(", ") };
            return Err(mistake(format!("there are no records of `{wanted}`{near}; there are records of {list}")));
        }
    }
    let selected = known
        .iter()
        .filter(|name| arguments.names.is_empty() || arguments.names.iter().any(|wanted| matches(name, wanted)));
    let mut stale = Vec::new();
    for name in selected {
        for (path, text) in files(&workspace, name)? {
            let found = read_text_if_present(&path)?;
            if found.as_deref() == Some(text.as_str()) {
                continue;
            }
            let shown = path.strip_prefix(&workspace.root).unwrap_or(&path).display().to_string();
            if arguments.check {
                let difference = record::difference(&text, found.as_deref().unwrap_or_default()).unwrap_or_default();
                eprintln!("{shown} is not what its records say:\n{difference}");
            } else {
                write_atomic(&path, text.as_bytes())?;
                eprintln!("wrote {shown}");
            }
            stale.push(shown);
        }
    }
    if arguments.json {
        say(&json!({"checked": arguments.check, "stale": stale}).to_string());
    }
    if arguments.check && !stale.is_empty() {
        eprintln!("hint: `cargo xtask report` makes {} stale file(s) anew", stale.len());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the report `name`.
pub(crate) fn write(workspace: &Workspace, name: &str) -> Result<()> {
    for (path, text) in files(workspace, name)? {
        write_atomic(&path, text.as_bytes())?;
    }
    let page = workspace.reports().join(format!("{name}.md"));
    eprintln!("wrote {}", page.strip_prefix(&workspace.root).unwrap_or(&page).display());
    Ok(())
}

/// The files of the report `name` as its records say they should be.
fn files(workspace: &Workspace, name: &str) -> Result<Vec<(PathBuf, String)>> {
    let entries = record::read_entries(&workspace.records(name))?;
    let rendered = record::render(name, &format!("cargo xtask report {name}"), &entries)?;
    let page = workspace.reports().join(format!("{name}.md"));
    let text = record::splice(read_text_if_present(&page)?.as_deref(), &rendered)?;
    let figures = rendered.figures.into_iter();
    let figures = figures.map(|(file, svg)| (workspace.reports().join("figures").join(file), svg));
    Ok(std::iter::once((page, text)).chain(figures).collect())
}
