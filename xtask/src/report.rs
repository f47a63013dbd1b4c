//! `report`: pages and figures from records.

use crate::workspace::{Workspace, names};
use crate::{mistake, say};
use anyhow::Result;
use files::{read_text_if_present, write_atomic};
use record::Entry;
use report::Rendered;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use study::Protocol;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Tasks or reports, such as classification; without any, all
    names: Vec<String>,
    /// Write nothing; exit with 1 and show the difference if a file is out of date
    #[arg(long)]
    check: bool,
    /// Print as JSON which files were written or are out of date, and what the reports say
    #[arg(long)]
    json: bool,
    /// Write the reports to this file instead, as one self-contained HTML page
    #[arg(long, value_name = "FILE", conflicts_with_all = ["check", "json"])]
    html: Option<PathBuf>,
}

pub(crate) fn report(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let known = names(&workspace.reports().join("records"), "jsonl");
    let matches = |name: &str, wanted: &str| name == wanted || name.starts_with(&format!("{wanted}-"));
    if let Some(wanted) = arguments.names.iter().find(|wanted| !known.iter().any(|name| matches(name, wanted))) {
        return Err(unknown(wanted, &known));
    }
    let selected = known
        .iter()
        .filter(|name| arguments.names.is_empty() || arguments.names.iter().any(|wanted| matches(name, wanted)));
    if let Some(file) = &arguments.html {
        return html(&workspace, selected, file);
    }
    let selected: Vec<&String> = selected.collect();
    let mut all = Reports::read(&workspace, &known);
    let mut changed = Changed { workspace: &workspace, check: arguments.check, stale: Vec::new() };
    for name in &selected {
        all.attempt(name, |results| changed.apply(files(&workspace, name, results)?));
    }
    changed.apply(overview(&workspace, &all)?)?;
    let stale = changed.stale;
    if arguments.json {
        let results = selected.iter().filter_map(|name| Some((name.as_str(), all.results.get(*name)?)));
        let results: BTreeMap<&str, Value> =
            results.map(|(name, results)| (name, report::results(&results.entries, &results.protocol))).collect();
        say(&json!({"checked": arguments.check, "stale": stale, "failed": all.failed, "reports": results}).to_string());
    }
    if arguments.check && !stale.is_empty() {
        eprintln!("hint: `cargo xtask report` regenerates {} outdated file(s)", stale.len());
    }
    let is_good = all.failed.is_empty() && (stale.is_empty() || !arguments.check);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The records of a report, and how they came about.
struct Results {
    entries: Vec<Entry>,
    protocol: Protocol,
}

impl Results {
    fn read(workspace: &Workspace, name: &str) -> Result<Self> {
        let path = workspace.records(name);
        let entries = record::read_entries(&path)?;
        let protocol = Protocol::read(&path)?.unwrap_or_else(|| Protocol::inferred(&entries));
        Ok(Self { entries, protocol })
    }
}

/// All reports. One that fails is said and left out, and the others go on.
struct Reports {
    results: BTreeMap<String, Results>,
    failed: Vec<String>,
}

impl Reports {
    fn read(workspace: &Workspace, names: &[String]) -> Self {
        let mut all = Self { results: BTreeMap::new(), failed: Vec::new() };
        for name in names {
            match Results::read(workspace, name) {
                Ok(results) => drop(all.results.insert(name.clone(), results)),
                Err(error) => all.fail(name, &error),
            }
        }
        all
    }

    /// Does `what` with the report `name`, where it could be read.
    fn attempt(&mut self, name: &str, what: impl FnOnce(&Results) -> Result<()>) {
        if let Some(Err(error)) = self.results.get(name).map(what) {
            self.results.remove(name);
            self.fail(name, &error);
        }
    }

    fn fail(&mut self, name: &str, error: &anyhow::Error) {
        eprintln!("error: the report `{name}` was not changed: {error:#}");
        self.failed.push(name.to_owned());
    }
}

/// Refuses a report of which there are no records.
pub(crate) fn known(workspace: &Workspace, name: &str) -> Result<()> {
    let known = names(&workspace.reports().join("records"), "jsonl");
    if known.iter().any(|known| known == name) { Ok(()) } else { Err(unknown(name, &known)) }
}

pub(crate) fn unknown(wanted: &str, known: &[String]) -> anyhow::Error {
    let near = settings::did_you_mean(wanted, known.iter().map(String::as_str));
    let list = if known.is_empty() { "none".into() } else { known.join(", ") };
    mistake(format!("there are no records of `{wanted}`{near}; there are records of {list}"))
}

/// Writes the reports `names` to `file` as one HTML page, and nothing else.
fn html<'n>(workspace: &Workspace, names: impl Iterator<Item = &'n String>, file: &Path) -> Result<ExitCode> {
    let problem = match file.parent() {
        _ if file.is_dir() => "a folder".to_owned(),
        _ if !file.extension().is_some_and(|extension| extension == "html" || extension == "htm") => {
            "another name".to_owned()
        }
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            format!("no folder {}", folder.display())
        }
        _ => String::new(),
    };
    if !problem.is_empty() {
        return Err(mistake(format!(
            "--html: expected a file whose name ends in .html, in a folder that exists, found {problem}: {}\n  \
             hint: `cargo xtask report classification --html classification.html`",
            file.display()
        )));
    }
    let mut reports = Vec::new();
    for name in names {
        let (rendered, _) = rendered(workspace, name, &Results::read(workspace, name)?)?;
        let text = text(workspace, &rendered)?;
        reports.push((rendered, text));
    }
    if reports.is_empty() {
        return Err(mistake(
            "--html: expected records of at least one report, found none\n  hint: `cargo xtask bench`",
        ));
    }
    let folder = workspace.reports();
    let page = report::html(&reports, &|path| std::fs::read(folder.join(path)))?;
    write_atomic(file, page.as_bytes())?;
    eprintln!("wrote {}", file.display());
    Ok(ExitCode::SUCCESS)
}

/// Writes the report `name`, and what is said of all reports together.
pub(crate) fn write(workspace: &Workspace, name: &str) -> Result<()> {
    let known = names(&workspace.reports().join("records"), "jsonl");
    let all = Reports::read(workspace, &known);
    let mut changed = Changed { workspace, check: false, stale: Vec::new() };
    if let Some(results) = all.results.get(name) {
        changed.apply(files(workspace, name, results)?)?;
    }
    changed.apply(overview(workspace, &all)?)
}

/// Files of a report.
struct Files {
    /// As its records say they should be.
    texts: Vec<(PathBuf, String)>,
    /// Sheets of pictures that it does not show.
    unreferenced: Vec<PathBuf>,
}

/// Writes files, or says which of them would change.
struct Changed<'a> {
    workspace: &'a Workspace,
    check: bool,
    /// Those that were not as they should be.
    stale: Vec<String>,
}

impl Changed<'_> {
    fn apply(&mut self, files: Files) -> Result<()> {
        for (path, text) in files.texts {
            let found = read_text_if_present(&path)?;
            if found.as_deref() == Some(text.as_str()) {
                continue;
            }
            let shown = shown(self.workspace, &path);
            if self.check {
                let difference = report::difference(&text, found.as_deref().unwrap_or_default()).unwrap_or_default();
                eprintln!("{shown} differs from its records:\n{difference}");
            } else {
                write_atomic(&path, text.as_bytes())?;
                eprintln!("wrote {shown}");
            }
            self.stale.push(shown);
        }
        for path in files.unreferenced {
            let shown = shown(self.workspace, &path);
            if self.check {
                eprintln!("{shown} is shown by no report");
            } else {
                files::remove_if_present(&path)?;
                eprintln!("removed {shown}, which no report shows");
            }
            self.stale.push(shown);
        }
        Ok(())
    }
}

fn files(workspace: &Workspace, name: &str, results: &Results) -> Result<Files> {
    let (rendered, sheets) = rendered(workspace, name, results)?;
    let folder = workspace.figures();
    let unreferenced = sheets.iter().filter(|file| rendered.sheet.as_ref() != Some(file));
    let mut unreferenced: Vec<PathBuf> = unreferenced.map(|file| folder.join(file)).collect();
    // A figure that is not drawn any more.
    let drawn = names(&folder, "svg").into_iter().map(|stem| format!("{stem}.svg"));
    let gone = drawn.filter(|file| report::is_figure(name, file) && !rendered.figures.contains_key(file));
    unreferenced.extend(gone.map(|file| folder.join(file)));
    let page = (page(workspace, name), text(workspace, &rendered)?);
    let figures = rendered.figures.into_iter();
    let figures = figures.map(|(file, svg)| (folder.join(file), svg));
    Ok(Files { texts: std::iter::once(page).chain(figures).collect(), unreferenced })
}

/// The report `name` as its records say it should be, and the sheets of pictures that there are of it.
fn rendered(workspace: &Workspace, name: &str, results: &Results) -> Result<(Rendered, Vec<String>)> {
    let sheets = names(&workspace.figures(), "png").into_iter().map(|stem| format!("{stem}.png"));
    let sheets: Vec<String> = sheets.filter(|file| report::is_sheet(name, file)).collect();
    let (command, Results { entries, protocol }) = (format!("cargo xtask report {name}"), results);
    Ok((report::render(name, &command, entries, protocol, &sheets)?, sheets))
}

/// The markdown of a report's page, with what people wrote on it.
fn text(workspace: &Workspace, rendered: &Rendered) -> Result<String> {
    let found = read_text_if_present(&page(workspace, &rendered.name))?;
    Ok(report::splice(found.as_deref(), rendered)?)
}

/// The file of a report's page.
fn page(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.reports().join(format!("{name}.md"))
}

/// The page over all reports, the table in the project's own page, which has those of the tasks' `default` configurations
/// alone, since others may be of anybody's data, and the figures of both.
fn overview(workspace: &Workspace, all: &Reports) -> Result<Files> {
    let reports = all.results.iter();
    let reports = reports.map(|(name, results)| (name.as_str(), results.entries.as_slice(), &results.protocol));
    let reports: Vec<(&str, &[Entry], &Protocol)> = reports.collect();
    if reports.is_empty() {
        return Ok(Files { texts: Vec::new(), unreferenced: Vec::new() });
    }
    let every = report::overview(&reports, "differences");
    let page = workspace.reports().join("README.md");
    let mut texts = vec![(page.clone(), every.splice(read_text_if_present(&page)?.as_deref())?)];
    let mut figures = every.figures;
    let own = workspace.root.join("README.md");
    // The report of a `default` configuration has the name of its task.
    let tasks = workspace.tasks();
    let defaults: Vec<_> = reports.into_iter().filter(|(name, ..)| tasks.iter().any(|task| task == name)).collect();
    if let (Some(text), false) = (read_text_if_present(&own)?, defaults.is_empty()) {
        let defaults = report::overview(&defaults, "results");
        if text.contains("figures/results-") {
            figures.extend(defaults.figures.clone());
        }
        texts.push((own, defaults.splice_results(&text)?));
    }
    let folder = workspace.figures();
    texts.extend(figures.into_iter().map(|(file, svg)| (folder.join(file), svg)));
    Ok(Files { texts, unreferenced: Vec::new() })
}

/// `path` as seen from the project's folder.
fn shown(workspace: &Workspace, path: &Path) -> String {
    path.strip_prefix(&workspace.root).unwrap_or(path).display().to_string()
}
