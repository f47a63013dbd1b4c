//! `report`: pages and figures from records.

use crate::workspace::{Workspace, names};
use crate::{mistake, say};
use anyhow::{Context, Result};
use record::fs::{read_text_if_present, write_atomic};
use serde_json::json;
use std::path::{Path, PathBuf};
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
        let Files { texts, unreferenced } = files(&workspace, name)?;
        for (path, text) in texts {
            let found = read_text_if_present(&path)?;
            if found.as_deref() == Some(text.as_str()) {
                continue;
            }
            let shown = shown(&workspace, &path);
            if arguments.check {
                let difference = record::difference(&text, found.as_deref().unwrap_or_default()).unwrap_or_default();
                eprintln!("{shown} is not what its records say:\n{difference}");
            } else {
                write_atomic(&path, text.as_bytes())?;
                eprintln!("wrote {shown}");
            }
            stale.push(shown);
        }
        for path in unreferenced {
            let shown = shown(&workspace, &path);
            if arguments.check {
                eprintln!("{shown} is shown by no report");
            } else {
                remove(&path)?;
                eprintln!("removed {shown}, which no report shows");
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
    let Files { texts, unreferenced } = files(workspace, name)?;
    for (path, text) in texts {
        write_atomic(&path, text.as_bytes())?;
    }
    unreferenced.iter().try_for_each(|path| remove(path))?;
    eprintln!("wrote {}", shown(workspace, &workspace.reports().join(format!("{name}.md"))));
    Ok(())
}

/// The files of a report.
struct Files {
    /// As its records say they should be.
    texts: Vec<(PathBuf, String)>,
    /// Sheets of pictures that it does not show.
    unreferenced: Vec<PathBuf>,
}

fn files(workspace: &Workspace, name: &str) -> Result<Files> {
    let entries = record::read_entries(&workspace.records(name))?;
    let folder = workspace.figures();
    let sheets = names(&folder, "png").into_iter().map(|stem| format!("{stem}.png"));
    let sheets: Vec<String> = sheets.filter(|file| record::is_sheet(name, file)).collect();
    let rendered = record::render(name, &format!("cargo xtask report {name}"), &entries, &sheets)?;
    let unreferenced = sheets.iter().filter(|file| rendered.sheet.as_ref() != Some(file));
    let unreferenced = unreferenced.map(|file| folder.join(file)).collect();
    let page = workspace.reports().join(format!("{name}.md"));
    let text = record::splice(read_text_if_present(&page)?.as_deref(), &rendered)?;
    let figures = rendered.figures.into_iter();
    let figures = figures.map(|(file, svg)| (folder.join(file), svg));
    Ok(Files { texts: std::iter::once((page, text)).chain(figures).collect(), unreferenced })
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}

/// `path` as seen from the project's folder.
fn shown(workspace: &Workspace, path: &Path) -> String {
    path.strip_prefix(&workspace.root).unwrap_or(path).display().to_string()
}
