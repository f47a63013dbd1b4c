//! `methods`: the methods and optimizers that a task's binary knows.

use crate::workspace::Workspace;
use crate::{mistake, say};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Explain this method or optimizer: formula, defaults, limits
    name: Option<String>,
    /// Print them as JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print all of them as a markdown page
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

/// What a task's binary answers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    methods: Vec<Info>,
    optimizers: Vec<Info>,
    /// All of them as Markdown.
    #[serde(skip_serializing)]
    page: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    name: String,
    /// One line.
    description: String,
    formula: String,
    source: String,
    /// What to know before use.
    limits: String,
    defaults: record::Table,
    /// Its part of the page.
    #[serde(skip_serializing)]
    page: String,
}

pub(crate) fn methods(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut catalogue = ask(&workspace)?;
    if let Some(name) = &arguments.name {
        catalogue = catalogue.only(name)?;
    }
    say(match arguments {
        Arguments { json: true, .. } => serde_json::to_string_pretty(&catalogue)?,
        Arguments { markdown: true, .. } => catalogue.page,
        Arguments { name: Some(_), .. } => catalogue.details(),
        _ => catalogue.list(),
    }
    .trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Has the first task's binary say what there is: every task has the same methods.
fn ask(workspace: &Workspace) -> Result<Catalogue> {
    let tasks = workspace.tasks();
    let task = tasks.first().context("there is no task: `configs` has no folder")?;
    let binary = workspace.binary(task)?;
    answer(&binary).with_context(|| format!("cannot ask {} for its methods", binary.display()))
}

fn answer(binary: &Path) -> Result<Catalogue> {
    let output = Command::new(binary).arg("methods").stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("it failed with {}; see its message above", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

impl Catalogue {
    fn sections(&self) -> [(&'static str, &[Info]); 2] {
        [("Methods", &self.methods), ("Optimizers", &self.optimizers)]
    }

    /// Those called `name`.
    fn only(mut self, name: &str) -> Result<Self> {
        let names: Vec<String> =
            self.sections().iter().flat_map(|(_, all)| *all).map(|info| info.name.clone()).collect();
        if !names.iter().any(|known| known == name) {
            let near = settings::did_you_mean(name, names.iter().map(String::as_str));
            return Err(mistake(format!(
                "there is no method or optimizer `{name}`{near}; there is {}",
                names.join(", ")
            )));
        }
        self.methods.retain(|info| info.name == name);
        self.optimizers.retain(|info| info.name == name);
        Ok(self)
    }

    /// Name, description and source of each.
    fn list(&self) -> String {
        let names = self.sections().into_iter().flat_map(|(_, all)| all).map(|info| info.name.chars().count());
        let width = names.max().unwrap_or(0);
        let section = |(title, all): (&str, &[Info])| {
            let lines = all.iter().map(|Info { name, description, source, .. }| {
                format!("  {name:width$}  {description}\n  {:width$}  source: {source}\n", "")
            });
            format!("{title}\n{}", lines.collect::<String>())
        };
        self.sections().map(section).join("\n")
    }

    /// All that is known of each.
    fn details(&self) -> String {
        let all = self.sections().into_iter().flat_map(|(_, all)| all);
        all.map(|info| info.page.as_str()).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const ANSWER: &str = r#"{
        "methods": [
            {"name": "none", "description": "nothing", "formula": "w ← w − η·u", "source": "control", "limits": "grows",
             "defaults": {}, "page": "all of none\n"},
            {"name": "wrs", "description": "puts filters back to their norms", "formula": "f ← f/‖f‖",
             "source": "arXiv 2102.03497", "limits": "no frozen batch norm", "defaults": {"target": "unit"},
             "page": "all of wrs\n"}
        ],
        "optimizers": [
            {"name": "adam", "description": "adapts", "formula": "w ← w − η·m/√v", "source": "torch.optim.Adam",
             "limits": "none", "defaults": {"lr": 0.001}, "page": "all of adam\n"}
        ],
        "page": "all of all\n"
    }"#;

    fn catalogue() -> Catalogue {
        serde_json::from_str(ANSWER).unwrap()
    }

    #[test]
    fn a_list_has_a_line_and_a_source_each() {
        let expected = "\
Methods
  none  nothing
        source: control
  wrs   puts filters back to their norms
        source: arXiv 2102.03497

Optimizers
  adam  adapts
        source: torch.optim.Adam
";
        assert_eq!(catalogue().list(), expected);
    }

    #[test]
    fn one_is_explained_with_its_part_of_the_page() {
        assert_eq!(catalogue().only("wrs").unwrap().details(), "all of wrs\n");
        assert_eq!(catalogue().only("adam").unwrap().details(), "all of adam\n");
    }

    #[test]
    fn an_unknown_name_is_a_mistake_with_what_is_near() {
        let error = catalogue().only("wsr").unwrap_err();
        assert!(error.is::<crate::Mistake>());
        assert_eq!(
            error.to_string(),
            "there is no method or optimizer `wsr`, did you mean `wrs`?; there is none, wrs, adam"
        );
    }

    #[test]
    fn an_answer_of_another_form_is_refused() {
        assert!(serde_json::from_str::<Catalogue>(&ANSWER.replace("limits", "limit")).is_err());
    }
}
