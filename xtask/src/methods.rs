//! `methods`: what can be compared, as the task's binary knows it.

use crate::workspace::Workspace;
use crate::{mistake, say};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this method or optimizer, with its formula, defaults and limits
    name: Option<String>,
    /// Print them as JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print all of them as a page
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

/// What a task's binary answers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    methods: Vec<Info>,
    optimizers: Vec<Info>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    name: String,
    /// One line.
    description: String,
    formula: String,
    source: String,
    /// Where it fails.
    limits: String,
    defaults: record::Table,
}

pub(crate) fn methods(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut catalogue = ask(&workspace)?;
    if let Some(name) = &arguments.name {
        catalogue = catalogue.only(name)?;
    }
    say(match arguments {
        Arguments { json: true, .. } => serde_json::to_string_pretty(&catalogue)?,
        Arguments { markdown: true, .. } => catalogue.page(),
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
            let near = record::did_you_mean(name, names.iter().map(String::as_str));
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
        let kinds = [("method", &self.methods), ("optimizer", &self.optimizers)];
        let details = kinds.into_iter().flat_map(|(kind, all)| all.iter().map(move |info| info.details(kind)));
        details.collect::<Vec<_>>().join("\n")
    }

    /// A documentation page.
    fn page(&self) -> String {
        let section = |(title, all): (&str, &[Info])| {
            let parts: String = all.iter().map(|info| format!("\n{}", info.markdown())).collect();
            format!("\n## {title}\n{parts}")
        };
        let sections = self.sections().map(section).concat();
        format!("# Methods and optimizers\n\nWritten by `cargo xtask methods --markdown`.\n{sections}")
    }
}

impl Info {
    fn details(&self, kind: &str) -> String {
        let parts = [
            ("formula", self.formula.clone()),
            ("defaults", self.toml()),
            ("source", self.source.clone()),
            ("fails where", self.limits.clone()),
        ];
        let parts = parts.iter().filter(|(_, text)| !text.is_empty());
        let parts: String = parts.map(|(title, text)| format!("\n{title}\n{}", indented(text))).collect();
        format!("{kind} `{}`: {}\n{parts}", self.name, self.description)
    }

    fn markdown(&self) -> String {
        let Self { name, description, formula, source, limits, .. } = self;
        let mut text = format!("### {name}\n\n{}.\n", description.trim_end_matches('.'));
        if !formula.is_empty() {
            text += &format!("\n```text\n{formula}\n```\n");
        }
        text += &format!("\n```toml\n{}\n```\n\nSource: {}.\n", self.toml(), source.trim_end_matches('.'));
        if !limits.is_empty() {
            text += &format!("\nFails where: {}.\n", limits.trim_end_matches('.'));
        }
        text
    }

    /// The defaults as a configuration writes them, one key a line; a comment where a key is not set.
    fn toml(&self) -> String {
        let mut lines = vec![format!("name = {}", inline(&self.name.as_str().into()))];
        let others = self.defaults.iter().filter(|(key, _)| *key != "name");
        lines.extend(others.map(|(key, value)| match value.is_null() {
            true => format!("# {key} is not set"),
            false => format!("{key} = {}", inline(value)),
        }));
        lines.join("\n")
    }
}

/// A value on one line of TOML.
fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(table) => {
            let keys = table.iter().map(|(key, value)| format!("{key} = {}", inline(value)));
            format!("{{ {} }}", keys.collect::<Vec<_>>().join(", "))
        }
        // Texts, numbers and flags are written alike in JSON and TOML.
        other => other.to_string(),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const ANSWER: &str = r#"{
        "methods": [
            {"name": "none", "description": "nothing", "formula": "", "source": "control", "limits": "", "defaults": {}},
            {"name": "wrs", "description": "puts filters back to their norms", "formula": "w ← w·c/‖w‖\nof each filter",
             "source": "arXiv 2102.03497", "limits": "no scale-invariant weight is there",
             "defaults": {"name": "wrs", "interval": {"steps": 1}, "limit": null, "target": "unit"}}
        ],
        "optimizers": [
            {"name": "adam", "description": "adapts", "formula": "w ← w − η·m/√v", "source": "torch.optim.Adam",
             "limits": "", "defaults": {"betas": [0.9, 0.999], "eps": 1e-8, "lr": 0.001}}
        ]
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
    fn one_is_explained_in_full() {
        let expected = "\
method `wrs`: puts filters back to their norms

formula
  w ← w·c/‖w‖
  of each filter

defaults
  name = \"wrs\"
  interval = { steps = 1 }
  # limit is not set
  target = \"unit\"

source
  arXiv 2102.03497

fails where
  no scale-invariant weight is there
";
        assert_eq!(catalogue().only("wrs").unwrap().details(), expected);
        let adam = catalogue().only("adam").unwrap();
        assert!(adam.methods.is_empty());
        assert!(adam.details().starts_with("optimizer `adam`: adapts\n"));
    }

    #[test]
    fn defaults_are_toml_that_reads_back() {
        for info in catalogue().methods.iter().chain(&catalogue().optimizers) {
            let read: record::Table = toml::from_str(&info.toml()).unwrap();
            assert_eq!(read["name"], info.name.as_str());
            let set: Vec<_> = info.defaults.iter().filter(|(key, value)| *key != "name" && !value.is_null()).collect();
            assert_eq!(set.len(), read.len() - 1);
            assert!(set.into_iter().all(|(key, value)| read[key] == *value), "{}", info.toml());
        }
    }

    #[test]
    fn a_page_has_a_heading_each() {
        let page = catalogue().page();
        let headings: Vec<&str> =
            page.lines().filter(|line| line.starts_with('#') && !line.contains("is not")).collect();
        assert_eq!(
            headings,
            ["# Methods and optimizers", "## Methods", "### none", "### wrs", "## Optimizers", "### adam"]
        );
        let adam = "\
### adam

adapts.

```text
w ← w − η·m/√v
```

```toml
name = \"adam\"
betas = [0.9, 0.999]
eps = 1e-8
lr = 0.001
```

Source: torch.optim.Adam.
";
        assert!(page.ends_with(adam), "{page}");
        assert!(page.contains("\nFails where: no scale-invariant weight is there.\n"), "{page}");
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
