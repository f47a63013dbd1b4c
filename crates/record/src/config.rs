//! A configuration: the grid of specs that a comparison consists of.

use crate::fs::{FileError, read_text};
use crate::spec::{Spec, Table};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// What is wrong with a configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not TOML, or not of the form of a configuration.
    #[error("{}: {message}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Line, column, what was expected and what was found.
        message: String,
    },
    /// The selection asks for something that the configuration has not.
    #[error("{0}")]
    Selection(String),
}

/// A comparison: settings that all runs share, methods with what is searched for each, and seeds.
#[derive(Debug, Clone)]
pub struct Config {
    path: PathBuf,
    text: String,
    form: Form,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    dataset: String,
    seeds: Vec<u64>,
    rest_decay: f64,
    task: Table,
    train: Table,
    optimizer: Table,
    schedule: Table,
    method: Vec<Table>,
    quick: Option<Quick>,
}

/// What `--quick` changes: tables are merged into those above, and nothing is searched.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Quick {
    seeds: Option<Vec<u64>>,
    methods: Option<Vec<usize>>,
    task: Table,
    train: Table,
    optimizer: Table,
    schedule: Table,
}

/// Which part of a configuration, and with which changes.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The `[quick]` form.
    pub quick: bool,
    /// Methods by name; all where empty.
    pub methods: Vec<String>,
    /// Seeds in place of the configuration's.
    pub seeds: Option<Vec<u64>>,
    /// Values by dotted key (`optimizer.lr`), in place of the configuration's or of what it searches.
    pub set: Vec<(String, Value)>,
}

/// A run of the grid, and the `[[method]]` that it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct GridPoint {
    /// As written: defaults are not filled in.
    pub spec: Spec,
    /// Index of its `[[method]]`.
    pub method: usize,
}

impl Config {
    /// Reads the configuration in `path`.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, is not TOML, or lacks a key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, read_text(path)?)
    }

    fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let error = |message: String| ConfigError::Form { path: path.into(), message };
        // The message holds line, column and caret.
        let form: Form = toml::from_str(&text).map_err(|e| error(e.to_string()))?;
        let config = Self { path: path.into(), text, form };
        for (key, empty) in [("seeds", config.form.seeds.is_empty()), ("method", config.form.method.is_empty())] {
            if empty {
                let line = config.line(key, None, None);
                return Err(error(format!("line {line}: expected at least one entry in `{key}`, found none")));
            }
        }
        Ok(config)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The runs of `selection`, seeds innermost.
    ///
    /// # Errors
    ///
    /// Where a method is not in the configuration, or a key cannot be set.
    pub fn grid(&self, selection: &Selection) -> Result<Vec<GridPoint>, ConfigError> {
        let quick = self.form.quick.clone().unwrap_or_default();
        let quick = if selection.quick { quick } else { Quick::default() };
        let methods = self.selected_methods(selection, &quick)?;
        let mut seeds = selection.seeds.clone().or(quick.seeds).unwrap_or_else(|| self.form.seeds.clone());
        seeds.dedup();
        let mut base = Spec {
            task: merged(&self.form.task, &quick.task),
            dataset: self.form.dataset.clone(),
            seed: 0,
            train: merged(&self.form.train, &quick.train),
            optimizer: merged(&self.form.optimizer, &quick.optimizer),
            schedule: merged(&self.form.schedule, &quick.schedule),
            method: Table::new(),
            rest_decay: self.form.rest_decay,
        };
        for (key, value) in &selection.set {
            set(&mut base, key, value.clone()).map_err(ConfigError::Selection)?;
        }
        let mut points = Vec::new();
        for index in methods {
            let mut method = self.form.method[index].clone();
            let search = self.search(index, method.remove("search"), selection)?;
            let settings = std::mem::take(&mut base.method);
            let mut specs = vec![Spec { method: merged(&method, &settings), ..base.clone() }];
            base.method = settings;
            for (key, values) in search {
                let line = self.line("method", Some(index), Some("search"));
                let error =
                    |message| ConfigError::Form { path: self.path.clone(), message: format!("line {line}: {message}") };
                let mut next = Vec::new();
                for spec in &specs {
                    for value in &values {
                        let mut spec = spec.clone();
                        set(&mut spec, &key, value.clone()).map_err(error)?;
                        next.push(spec);
                    }
                }
                specs = next;
            }
            for spec in specs {
                points.extend(
                    seeds.iter().map(|seed| GridPoint { spec: Spec { seed: *seed, ..spec.clone() }, method: index }),
                );
            }
        }
        Ok(points)
    }

    /// Where in the file a mistake in `section` is, as `file:line`: at the key that `message` quotes
    /// first, else at the section.
    pub fn locate(&self, section: &str, method: usize, message: &str) -> String {
        let key = message.split('`').skip(1).step_by(2).find(|quoted| {
            self.find(
                section,
                (section == "method").then_some(method),
                Some(quoted.split('.').next().unwrap_or(quoted)),
            )
            .is_some()
        });
        let key = key.map(|key| key.split('.').next().unwrap_or(key));
        format!("{}:{}", self.path.display(), self.line(section, (section == "method").then_some(method), key))
    }

    fn selected_methods(&self, selection: &Selection, quick: &Quick) -> Result<Vec<usize>, ConfigError> {
        let name = |index: usize| self.form.method[index].get("name").and_then(Value::as_str).unwrap_or_default();
        let all = || 0..self.form.method.len();
        if selection.methods.is_empty() {
            let Some(listed) = &quick.methods else { return Ok(all().collect()) };
            return match listed.iter().find(|index| **index >= self.form.method.len()) {
                Some(index) => {
                    let line = self.line("quick", None, Some("methods"));
                    let message = format!(
                        "line {line}: `methods` counts the {} methods from 0, found {index}",
                        self.form.method.len()
                    );
                    Err(ConfigError::Form { path: self.path.clone(), message })
                }
                None => Ok(listed.clone()),
            };
        }
        for wanted in &selection.methods {
            if !all().any(|index| name(index) == wanted) {
                let mut known: Vec<&str> = all().map(name).collect();
                known.dedup();
                return Err(ConfigError::Selection(format!(
                    "method `{wanted}` is not in {}{}; it has {}",
                    self.path.display(),
                    did_you_mean(wanted, known.iter().copied()),
                    known.join(", ")
                )));
            }
        }
        Ok(all().filter(|index| selection.methods.iter().any(|wanted| wanted == name(*index))).collect())
    }

    /// The keys and values that are searched for a method; none in the quick form, nor where a value is set.
    fn search(
        &self,
        method: usize,
        search: Option<Value>,
        selection: &Selection,
    ) -> Result<BTreeMap<String, Vec<Value>>, ConfigError> {
        let Some(search) = search else { return Ok(BTreeMap::new()) };
        let line = self.line("method", Some(method), Some("search"));
        let error = |problem: String| ConfigError::Form {
            path: self.path.clone(),
            message: format!("line {line}: `search` must give a list of values for each key, {problem}"),
        };
        let search: BTreeMap<String, Vec<Value>> = serde_json::from_value(search).map_err(|e| error(e.to_string()))?;
        if let Some((key, _)) = search.iter().find(|(_, values)| values.is_empty()) {
            return Err(error(format!("found an empty one for `{key}`")));
        }
        let free = |key: &String| !selection.quick && selection.set.iter().all(|(set, _)| set != key);
        Ok(search.into_iter().filter(|(key, _)| free(key)).collect())
    }

    fn line(&self, section: &str, method: Option<usize>, key: Option<&str>) -> usize {
        let offset = self.find(section, method, key).or_else(|| self.find(section, method, None)).unwrap_or(0);
        self.text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1)
    }

    /// The offset of a section, or of a key in it.
    fn find(&self, section: &str, method: Option<usize>, key: Option<&str>) -> Option<usize> {
        let document = DeTable::parse(&self.text).ok()?;
        let (name, value) = document.get_ref().iter().find(|(name, _)| name.get_ref() == section)?;
        let (start, value) = match (method, value.get_ref()) {
            (Some(index), DeValue::Array(methods)) => {
                let method = methods.get(index)?;
                (method.span().start, method.get_ref())
            }
            (_, value) => (name.span().start, value),
        };
        let Some(key) = key else { return Some(start) };
        let DeValue::Table(table) = value else { return None };
        table.iter().find(|(name, _)| name.get_ref() == key).map(|(name, _)| name.span().start)
    }
}

/// `over` merged into `under`, table by table.
fn merged(under: &Table, over: &Table) -> Table {
    let mut result = under.clone();
    for (key, value) in over {
        let value = match (result.get(key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => Value::Object(merged(under, over)),
            _ => value.clone(),
        };
        result.insert(key.clone(), value);
    }
    result
}

/// Sets the value at the dotted `key` of a spec.
fn set(spec: &mut Spec, key: &str, value: Value) -> Result<(), String> {
    const SECTIONS: [&str; 5] = ["task", "train", "optimizer", "schedule", "method"];
    let wrong = |expected: &str| Err(format!("`{key}` must be {expected}, found {value}"));
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    let table = match (section, rest) {
        ("dataset", "") => match value.as_str() {
            Some(name) => {
                spec.dataset = name.into();
                return Ok(());
            }
            None => return wrong("a text"),
        },
        ("rest_decay", "") => match value.as_f64() {
            Some(decay) => {
                spec.rest_decay = decay;
                return Ok(());
            }
            None => return wrong("a number"),
        },
        ("task", _) => &mut spec.task,
        ("train", _) => &mut spec.train,
        ("optimizer", _) => &mut spec.optimizer,
        ("schedule", _) => &mut spec.schedule,
        ("method", _) => &mut spec.method,
        _ => {
            let known = SECTIONS.into_iter().chain(["dataset", "rest_decay"]);
            let near = did_you_mean(section, known);
            return Err(format!(
                "there is no key `{key}`{near}; expected dataset, rest_decay, or a key in {}, such as optimizer.lr",
                SECTIONS.join(", ")
            ));
        }
    };
    let mut parts: Vec<&str> = rest.split('.').collect();
    let Some(last) = parts.pop().filter(|last| !last.is_empty()) else {
        return Err(format!("`{key}` is a table; expected a key in it, such as {key}.name"));
    };
    let mut table = table;
    for part in parts {
        match table.entry(part).or_insert_with(|| Value::Object(Table::new())) {
            Value::Object(inner) => table = inner,
            found => return Err(format!("`{key}`: `{part}` is {found}, not a table")),
        }
    }
    table.insert(last.into(), value);
    Ok(())
}

/// A suggestion, where one of `known` is a few typing mistakes away from `name`.
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.map(|other| (strsim::damerau_levenshtein(name, other), other)).min();
    match nearest {
        Some((distance, best)) if distance <= 1 + name.chars().count() / 3 => format!(", did you mean `{best}`?"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = r#"
dataset = "d"
seeds = [0, 1]
rest_decay = 5e-4
[task]
model = { resnet = { depth = 8 } }
[train]
epochs = 3
batch = 4
[optimizer]
name = "sgd"
lr = 0.1
[schedule]
name = "cosine"
[[method]]
name = "none"
[[method]]
name = "weight-decay"
decay = 1e-3
search = { "method.decay" = [1e-4, 1e-3, 1e-2], "optimizer.lr" = [0.1, 0.2] }
[quick]
seeds = [0]
train.epochs = 1
task.model.resnet.width = 4
"#;

    fn config(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("c.toml"), text.into())
    }

    #[test]
    fn the_grid_has_every_combination_once() {
        let points = config(TEXT).unwrap().grid(&Selection::default()).unwrap();
        assert_eq!(points.len(), 2 + 3 * 2 * 2);
        assert!(points.iter().all(|p| p.spec.task["model"]["resnet"].get("width").is_none()));
        let decays: Vec<_> = points.iter().filter_map(|p| p.spec.method.get("decay")?.as_f64()).collect();
        assert_eq!(decays.iter().filter(|d| **d == 1e-4).count(), 4);
        assert!(points.iter().all(|p| !p.spec.method.contains_key("search")));
    }

    #[test]
    fn quick_merges_and_searches_nothing() {
        let selection = Selection { quick: true, ..Selection::default() };
        let points = config(TEXT).unwrap().grid(&selection).unwrap();
        assert_eq!(points.len(), 2);
        assert_eq!(points[1].spec.train, *json!({"epochs": 1, "batch": 4}).as_object().unwrap());
        assert_eq!(points[1].spec.task["model"], json!({"resnet": {"depth": 8, "width": 4}}));
        assert_eq!(points[1].spec.method["decay"], 1e-3);
    }

    #[test]
    fn selections_narrow_and_change() {
        let config = config(TEXT).unwrap();
        let selection = Selection {
            methods: vec!["weight-decay".into()],
            seeds: Some(vec![7]),
            set: vec![("optimizer.lr".into(), json!(0.5)), ("task.model.resnet.depth".into(), json!(14))],
            ..Selection::default()
        };
        let points = config.grid(&selection).unwrap();
        assert_eq!(points.len(), 3);
        assert!(points.iter().all(|p| p.spec.seed == 7 && p.spec.optimizer["lr"] == 0.5));
        assert_eq!(points[0].spec.task["model"]["resnet"]["depth"], 14);
    }

    #[test]
    fn mistakes_say_where_they_are() {
        let message = |text: &str| config(text).unwrap_err().to_string();
        assert!(message("dataset = 3").contains("line 1"), "{}", message("dataset = 3"));
        assert!(message(&TEXT.replace("rest_decay", "restdecay")).contains("unknown field `restdecay`"));
        assert!(message(&TEXT.replace("seeds = [0, 1]", "seeds = []")).contains("line 3: expected at least one"));
        let grid = |text: &str| config(text).unwrap().grid(&Selection::default()).unwrap_err().to_string();
        assert!(
            grid(&TEXT.replace("\"optimizer.lr\"", "\"optimiser.lr\""))
                .contains("c.toml: line 20: there is no key `optimiser.lr`, did you mean `optimizer`?")
        );
        assert!(grid(&TEXT.replace("[0.1, 0.2]", "0.1")).contains("must give a list"));
        let select = |selection: Selection| config(TEXT).unwrap().grid(&selection).unwrap_err().to_string();
        let wanted = Selection { methods: vec!["weight-decy".into()], ..Selection::default() };
        assert!(select(wanted).contains("did you mean `weight-decay`?"));
        let key = Selection { set: vec![("optimizer".into(), json!(1))], ..Selection::default() };
        assert!(select(key).contains("is a table"));
        let config = config(TEXT).unwrap();
        assert_eq!(config.locate("method", 1, "unknown field `decay`, expected `x`"), "c.toml:19");
        assert_eq!(config.locate("method", 0, "no such"), "c.toml:15");
        assert_eq!(config.locate("optimizer", 0, "`lr`: invalid type"), "c.toml:12");
        assert_eq!(config.locate("dataset", 0, "there is none"), "c.toml:2");
    }
}
