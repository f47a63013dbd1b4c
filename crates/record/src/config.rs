//! A configuration: the settings that a comparison tries, and the seeds.

use crate::fs::{FileError, read_text};
use crate::spec::{Spec, Table};
use crate::tuning::{Search, Tuning, settings};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
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
///
/// A `[[method]]` may hold an `optimizer` of its own: keys over those of `[optimizer]`, or, with another
/// `name`, in their place.
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
    #[serde(default)]
    tuning: Tuning,
    quick: Option<Quick>,
}

/// What `--quick` changes: tables are merged into those above (that of an optimizer where a method uses that
/// optimizer), and nothing is searched.
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

/// A setting, and the `[[method]]` that it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct GridPoint {
    /// As written: defaults are not filled in. With the first seed of the trials.
    pub spec: Spec,
    /// Index of its `[[method]]`.
    pub method: usize,
}

/// What a selection of a configuration asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Every setting once.
    pub points: Vec<GridPoint>,
    /// Seeds that the chosen settings are trained on.
    pub seeds: Vec<u64>,
    /// How settings are chosen; its seeds are given. Budgets may differ where the selection changes what is searched.
    pub tuning: Tuning,
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
        let form = &config.form;
        let quick_seeds = form.quick.as_ref().and_then(|quick| quick.seeds.as_ref());
        let lists: [(&[&str], bool); 4] = [
            (&["seeds"], form.seeds.is_empty()),
            (&["method"], form.method.is_empty()),
            (&["quick", "seeds"], quick_seeds.is_some_and(Vec::is_empty)),
            (&["tuning", "seeds"], form.tuning.seeds.as_ref().is_some_and(Vec::is_empty)),
        ];
        if let Some((place, _)) = lists.into_iter().find(|(_, empty)| *empty) {
            let key = place.last().copied().unwrap_or_default();
            return Err(config.error(place, &format!("expected at least one entry in `{key}`, found none")));
        }
        config.check_rungs()?;
        if let Some((start, message)) = crate::finite::mistake(&config.text) {
            return Err(error(format!("line {}: {message}", config.line_at(start))));
        }
        Ok(config)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Each rung keeps fewer trials than the one before, for longer.
    fn check_rungs(&self) -> Result<(), ConfigError> {
        let rungs = &self.form.tuning.halving;
        for (index, rung) in rungs.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|before| rungs.get(before));
            let problem = match before {
                _ if rung.epochs == 0 || rung.keep == 0 => "at least one epoch, and one trial to keep".to_owned(),
                Some(before) if rung.epochs <= before.epochs || rung.keep >= before.keep => {
                    format!("more epochs than {} and fewer trials to keep than {}", before.epochs, before.keep)
                }
                _ => continue,
            };
            let message = format!("expected {problem}, found {{ epochs = {}, keep = {} }}", rung.epochs, rung.keep);
            return Err(self.error(&["tuning", "halving", &index.to_string()], &message));
        }
        Ok(())
    }

    /// The settings and seeds of `selection`.
    ///
    /// # Errors
    ///
    /// Where a method is not in the configuration, a key cannot be set, or a search gives no settings.
    pub fn grid(&self, selection: &Selection) -> Result<Grid, ConfigError> {
        let quick = self.form.quick.clone().unwrap_or_default();
        let quick = if selection.quick { quick } else { Quick::default() };
        let methods = self.selected_methods(selection, &quick)?;
        let optimizers = self.optimizers(&quick.optimizer)?;
        let own = quick.seeds.clone().unwrap_or_else(|| self.form.seeds.clone());
        let mut seeds = selection.seeds.clone().unwrap_or_else(|| own.clone());
        seeds.sort_unstable();
        seeds.dedup();
        let mut tuning = self.form.tuning.clone();
        let trial_seeds = tuning.seeds.get_or_insert_with(|| own.first().copied().into_iter().collect());
        tuning.unequal |= selection.quick || !selection.set.is_empty();
        let mut searches = Vec::new();
        for index in methods {
            let mut method = self.form.method[index].clone();
            method.remove("optimizer");
            let search = self.search(index, method.remove("search"), selection)?;
            searches.push((index, method, search));
        }
        // Of all methods, also of those that are not selected: what is drawn for a method does not depend on the others.
        let keys = self.searched();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let mut points = Vec::new();
        for (index, method, search) in searches {
            let mut spec = Spec {
                task: merged(&self.form.task, &quick.task),
                dataset: self.form.dataset.clone(),
                seed: trial_seeds.first().copied().unwrap_or_default(),
                train: merged(&self.form.train, &quick.train),
                optimizer: optimizers[index].clone(),
                schedule: merged(&self.form.schedule, &quick.schedule),
                method,
                rest_decay: self.form.rest_decay,
            };
            for (key, value) in &selection.set {
                // TOML has no null: what JSON cannot hold is not finite.
                if value.is_null() {
                    return Err(ConfigError::Selection(format!("`{key}` must be a finite number")));
                }
                set(&mut spec, key, value.clone()).map_err(ConfigError::Selection)?;
            }
            let error = |message: String| self.error(&["method", &index.to_string(), "search"], &message);
            let tried = settings(&search, &keys, tuning.trials).map_err(error)?;
            if let Some(trials) = tuning.trials.filter(|trials| !tuning.unequal && *trials != tried.len()) {
                return Err(error(format!(
                    "expected {trials} settings, as `trials` in `[tuning]` says, found {}: search ranges, or lists of which there \
                     are as many combinations",
                    tried.len()
                )));
            }
            for setting in tried {
                let mut spec = spec.clone();
                for (key, value) in setting {
                    set(&mut spec, &key, value).map_err(error)?;
                }
                points.push(GridPoint { spec, method: index });
            }
        }
        Ok(Grid { points, seeds, tuning })
    }

    /// The keys that any method searches.
    fn searched(&self) -> BTreeSet<String> {
        let searches = self.form.method.iter().filter_map(|method| method.get("search")?.as_object());
        searches.flat_map(|search| search.keys().cloned()).collect()
    }

    /// Where a mistake in `section` of method `method` comes from, as `file:line`: at the key that `message`
    /// quotes first, where the value that counts stands, else at the section; `--set <key>` where `selection`
    /// sets that key.
    pub fn locate(&self, section: &str, method: usize, selection: &Selection, message: &str) -> String {
        let (file, index) = (self.path.display(), method.to_string());
        let (own, quick) = (["method", index.as_str(), "optimizer"], ["quick", section]);
        let replaced = match self.form.method.get(method).and_then(|method| method.get("optimizer")) {
            Some(Value::Object(table)) => section == "optimizer" && names_another(table, &self.form.optimizer),
            _ => false,
        };
        let mut tables: Vec<&[&str]> = if selection.quick && !replaced { vec![&quick] } else { Vec::new() };
        tables.extend(match section {
            "method" => vec![&own[..2]],
            "optimizer" if replaced => vec![&own[..]],
            "optimizer" => vec![&own[..], &["optimizer"]],
            _ => vec![std::slice::from_ref(&section)],
        });
        for quoted in message.split('`').skip(1).step_by(2) {
            let dotted = format!("{section}.{quoted}");
            if selection.set.iter().any(|(key, _)| *key == dotted) {
                return format!("--set {dotted}");
            }
            let searched = ["method", index.as_str(), "search", dotted.as_str()];
            let searched = (!selection.quick).then(|| self.find(&searched)).flatten();
            let key = quoted.split('.').next().unwrap_or(quoted);
            if let Some(start) =
                searched.or_else(|| tables.iter().find_map(|table| self.find(&[table, &[key][..]].concat())))
            {
                return format!("{file}:{}", self.line_at(start));
            }
        }
        // Where no key is named it is the optimizer that is wrong: at the table that names it.
        let named = tables.iter().find(|table| self.find(&[table, &["name"][..]].concat()).is_some());
        let table = named.or(tables.last()).copied().unwrap_or_default();
        format!("{file}:{}", self.line(table))
    }

    /// The optimizer of each method: its own table over `[optimizer]`, and `quick` over both. A table that
    /// names another optimizer is not merged, because keys of one do not fit the other: a method's own
    /// replaces `[optimizer]`, and `quick` leaves other optimizers alone.
    fn optimizers(&self, quick: &Table) -> Result<Vec<Table>, ConfigError> {
        let shared = &self.form.optimizer;
        let mut optimizers = Vec::new();
        for (index, method) in self.form.method.iter().enumerate() {
            optimizers.push(match method.get("optimizer") {
                None => shared.clone(),
                Some(Value::Object(own)) if names_another(own, shared) => own.clone(),
                Some(Value::Object(own)) => merged(shared, own),
                Some(found) => {
                    let message = format!("`optimizer` must be a table, such as {{ lr = 0.1 }}, found {found}");
                    return Err(self.error(&["method", &index.to_string(), "optimizer"], &message));
                }
            });
        }
        let name = quick.get("name").or(shared.get("name"));
        let mut meant = optimizers.iter_mut().filter(|optimizer| optimizer.get("name") == name).peekable();
        if meant.peek().is_none() && !quick.is_empty() {
            let message = "`optimizer` is of an optimizer that no method uses: correct its `name`, or remove it";
            return Err(self.error(&["quick", "optimizer"], message));
        }
        meant.for_each(|optimizer| *optimizer = merged(optimizer, quick));
        Ok(optimizers)
    }

    fn selected_methods(&self, selection: &Selection, quick: &Quick) -> Result<Vec<usize>, ConfigError> {
        let name = |index: usize| self.form.method[index].get("name").and_then(Value::as_str).unwrap_or_default();
        let all = || 0..self.form.method.len();
        if selection.methods.is_empty() {
            let Some(listed) = &quick.methods else { return Ok(all().collect()) };
            return match listed.iter().find(|index| **index >= self.form.method.len()) {
                Some(index) => {
                    let message =
                        format!("`methods` counts the {} methods from 0, found {index}", self.form.method.len());
                    Err(self.error(&["quick", "methods"], &message))
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

    /// What is searched for a method; nothing in the quick form, nor where a value is set.
    fn search(&self, method: usize, search: Option<Value>, selection: &Selection) -> Result<Search, ConfigError> {
        let Some(search) = search else { return Ok(Search::new()) };
        let search: Search = serde_json::from_value(search).map_err(|_| {
            let message = "`search` must give for each key a list of values, or a range such as { log = [1e-3, 1.0] } or \
                           { linear = [0.0, 0.9] }";
            self.error(&["method", &method.to_string(), "search"], message)
        })?;
        let free = |key: &String| !selection.quick && selection.set.iter().all(|(set, _)| set != key);
        Ok(search.into_iter().filter(|(key, _)| free(key)).collect())
    }

    fn error(&self, place: &[&str], message: &str) -> ConfigError {
        ConfigError::Form { path: self.path.clone(), message: format!("line {}: {message}", self.line(place)) }
    }

    /// The line of what `path` leads to, or of as much of it as there is.
    fn line(&self, path: &[&str]) -> usize {
        let start = (1..=path.len()).rev().find_map(|length| self.find(&path[..length]));
        self.line_at(start.unwrap_or(0))
    }

    fn line_at(&self, start: usize) -> usize {
        self.text.get(..start).map_or(1, |before| before.matches('\n').count() + 1)
    }

    /// Where in the text `path` leads to, given as keys and, in lists, indices.
    fn find(&self, path: &[&str]) -> Option<usize> {
        let document = DeTable::parse(&self.text).ok()?;
        let (first, rest) = path.split_first()?;
        let (name, mut value) = document.get_ref().iter().find(|(name, _)| name.get_ref() == first)?;
        let mut start = name.span().start;
        for step in rest {
            (start, value) = match value.get_ref() {
                DeValue::Table(table) => {
                    let (name, value) = table.iter().find(|(name, _)| name.get_ref() == step)?;
                    (name.span().start, value)
                }
                DeValue::Array(list) => {
                    let value = list.get(step.parse::<usize>().ok()?)?;
                    (value.span().start, value)
                }
                _ => return None,
            };
        }
        Some(start)
    }
}

/// Whether `table` has a name, and another than `shared`.
fn names_another(table: &Table, shared: &Table) -> bool {
    table.get("name").is_some_and(|name| Some(name) != shared.get("name"))
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
        ("method", _) if rest.split('.').next() == Some("optimizer") => {
            return Err(format!("there is no key `{key}`; a method's optimizer is set as optimizer.lr"));
        }
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
        let Grid { points, seeds, tuning } = config(TEXT).unwrap().grid(&Selection::default()).unwrap();
        assert_eq!(points.len(), 1 + 3 * 2);
        assert_eq!((seeds, tuning.seeds.as_deref(), tuning.unequal), (vec![0, 1], Some(&[0][..]), false));
        assert!(points.iter().all(|p| p.spec.task["model"]["resnet"].get("width").is_none()));
        let decays: Vec<_> = points.iter().filter_map(|p| p.spec.method.get("decay")?.as_f64()).collect();
        assert_eq!(decays.iter().filter(|d| **d == 1e-4).count(), 2);
        assert!(points.iter().all(|p| !p.spec.method.contains_key("search")));
    }

    #[test]
    fn quick_merges_and_searches_nothing() {
        let selection = Selection { quick: true, ..Selection::default() };
        let Grid { points, seeds, .. } = config(TEXT).unwrap().grid(&selection).unwrap();
        assert_eq!((points.len(), seeds), (2, vec![0]));
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
        let Grid { points, seeds, tuning } = config.grid(&selection).unwrap();
        assert_eq!((points.len(), seeds), (3, vec![7]));
        assert_eq!(tuning.seeds, Some(vec![0]), "trials stay comparable with those that were made before");
        assert!(tuning.unequal, "what is set is searched for no method");
        assert!(points.iter().all(|p| p.spec.optimizer["lr"] == 0.5));
        assert_eq!(points[0].spec.task["model"]["resnet"]["depth"], 14);
    }

    #[test]
    fn mistakes_say_where_they_are() {
        let message = |text: &str| config(text).unwrap_err().to_string();
        assert!(message("dataset = 3").contains("line 1"), "{}", message("dataset = 3"));
        assert!(message(&TEXT.replace("rest_decay", "restdecay")).contains("unknown field `restdecay`"));
        assert!(message(&TEXT.replace("seeds = [0, 1]", "seeds = []")).contains("line 3: expected at least one"));
        let infinite = message(&TEXT.replace("lr = 0.1", "lr = nan"));
        assert_eq!(infinite, "c.toml: line 12: `lr` must be finite, found nan");
        let grid = |text: &str| config(text).unwrap().grid(&Selection::default()).unwrap_err().to_string();
        assert!(
            grid(&TEXT.replace("\"optimizer.lr\"", "\"optimiser.lr\""))
                .contains("c.toml: line 20: there is no key `optimiser.lr`, did you mean `optimizer`?")
        );
        assert!(
            grid(&TEXT.replace("[0.1, 0.2]", "0.1")).contains("must give for each key a list of values, or a range")
        );
        assert!(message(&TEXT.replace("seeds = [0]", "seeds = []")).contains("line 22: expected at least one"));
        let tuning = |tuning: &str| message(&TEXT.replace("[train]", &format!("[tuning]\n{tuning}\n[train]")));
        assert!(tuning("seeds = []").contains("line 8: expected at least one entry in `seeds`"));
        assert!(tuning("trial = 3").contains("unknown field `trial`"));
        let halving = "halving = [{ epochs = 1, keep = 2 }, { epochs = 2, keep = 2 }]";
        let problem =
            "line 8: expected more epochs than 1 and fewer trials to keep than 2, found { epochs = 2, keep = 2 }";
        assert!(tuning(halving).contains(problem), "{}", tuning(halving));
        let trials = grid(&TEXT.replace("[train]", "[tuning]\ntrials = 4\n[train]"));
        assert!(trials.contains("expected 4 settings, as `trials` in `[tuning]` says, found 1"), "{trials}");
        let select = |selection: Selection| config(TEXT).unwrap().grid(&selection).unwrap_err().to_string();
        let wanted = Selection { methods: vec!["weight-decy".into()], ..Selection::default() };
        assert!(select(wanted).contains("did you mean `weight-decay`?"));
        let key = Selection { set: vec![("optimizer".into(), json!(1))], ..Selection::default() };
        assert!(select(key).contains("is a table"));
        let nan = Selection { set: vec![("optimizer.lr".into(), Value::Null)], ..Selection::default() };
        assert_eq!(select(nan), "`optimizer.lr` must be a finite number");
        let config = config(TEXT).unwrap();
        let locate = |section, method, message| config.locate(section, method, &Selection::default(), message);
        assert_eq!(locate("method", 1, "unknown field `decay`, expected `x`"), "c.toml:20", "where it is searched");
        assert_eq!(locate("method", 0, "no such"), "c.toml:15");
        assert_eq!(locate("optimizer", 0, "`lr`: invalid type"), "c.toml:12");
        assert_eq!(locate("task", 0, "`model.resnet.depth`: 9"), "c.toml:6");
        assert_eq!(locate("dataset", 0, "there is none"), "c.toml:2");
        let quick = Selection { quick: true, ..Selection::default() };
        assert_eq!(config.locate("method", 1, &quick, "`decay` must be"), "c.toml:19");
        assert_eq!(config.locate("train", 1, &quick, "`epochs` must be"), "c.toml:23");
        let set = Selection { set: vec![("optimizer.lr".into(), json!("fast"))], ..Selection::default() };
        assert_eq!(config.locate("optimizer", 1, &set, "`lr`: invalid type"), "--set optimizer.lr");
    }

    #[test]
    fn ranges_are_drawn() {
        let text = TEXT
            .replace(
                "search = { \"method.decay\" = [1e-4, 1e-3, 1e-2], \"optimizer.lr\" = [0.1, 0.2] }",
                "search = { \"method.decay\" = { log = [1e-5, 1e-1] }, \"optimizer.lr\" = { log = [0.01, 1.0] } }",
            )
            .replace("name = \"none\"", "name = \"none\"\nsearch = { \"optimizer.lr\" = { log = [0.01, 1.0] } }")
            .replace("[train]", "[tuning]\ntrials = 4\n[train]");
        let points = config(&text).unwrap().grid(&Selection::default()).unwrap().points;
        let rates: Vec<&Value> = points.iter().map(|point| &point.spec.optimizer["lr"]).collect();
        assert_eq!(rates.len(), 8);
        assert_eq!(rates[..4], rates[4..], "methods try the same rates");
        let only = Selection { methods: vec!["none".into()], ..Selection::default() };
        let alone = config(&text).unwrap().grid(&only).unwrap().points;
        assert_eq!(alone, points[..4], "what is drawn does not depend on what else is selected");
        let missing = config(&text.replace("trials = 4", "")).unwrap().grid(&Selection::default()).unwrap_err();
        assert!(
            missing.to_string().contains("`optimizer.lr` is a range: say in `[tuning]` how many `trials` are drawn")
        );
    }

    const OPTIMIZERS: &str = r#"
dataset = "d"
seeds = [0]
rest_decay = 5e-4
task = {}
train = {}
schedule = {}
[optimizer]
name = "sgd"
lr = 0.1
momentum = 0.9
[[method]]
name = "none"
[[method]]
name = "none"
optimizer = { lr = 0.2 }
[[method]]
name = "none"
[method.optimizer]
name = "sgd"
nesterov = true
[[method]]
name = "none"
optimizer = { name = "adam", lr = 1e-3 }
search = { "optimizer.lr" = [1e-3, 3e-3] }
[quick]
optimizer.lr = 0.5
"#;

    #[test]
    fn a_method_may_have_an_optimizer_of_its_own() {
        let optimizers = |text: &str, selection: Selection| -> Vec<Value> {
            let points = config(text).unwrap().grid(&selection).unwrap().points;
            assert!(points.iter().all(|point| point.spec.method == *json!({"name": "none"}).as_object().unwrap()));
            points.into_iter().map(|point| point.spec.optimizer.into()).collect()
        };
        let sgd = |lr: f64| json!({"name": "sgd", "lr": lr, "momentum": 0.9});
        let adam = |lr: f64| json!({"name": "adam", "lr": lr});
        let nesterov = |lr: f64| json!({"name": "sgd", "lr": lr, "momentum": 0.9, "nesterov": true});
        assert_eq!(
            optimizers(OPTIMIZERS, Selection::default()),
            [sgd(0.1), sgd(0.2), nesterov(0.1), adam(1e-3), adam(3e-3)]
        );
        let quick = || Selection { quick: true, ..Selection::default() };
        assert_eq!(optimizers(OPTIMIZERS, quick()), [sgd(0.5), sgd(0.5), nesterov(0.5), adam(1e-3)]);
        let of_adam = OPTIMIZERS.replace("optimizer.lr = 0.5", "optimizer = { name = \"adam\", lr = 0.5 }");
        assert_eq!(optimizers(&of_adam, quick()), [sgd(0.1), sgd(0.2), nesterov(0.1), adam(0.5)]);
        let set = Selection { set: vec![("optimizer.lr".into(), json!(7.0))], ..quick() };
        assert_eq!(optimizers(OPTIMIZERS, set.clone()), [sgd(7.0), sgd(7.0), nesterov(7.0), adam(7.0)]);
        let set = Selection { quick: false, ..set };
        assert_eq!(optimizers(OPTIMIZERS, set), [sgd(7.0), sgd(7.0), nesterov(7.0), adam(7.0)]);
    }

    #[test]
    fn mistakes_in_the_optimizer_of_a_method_say_where_they_are() {
        let config = |text: &str| config(text).unwrap();
        let locate = |method, message| config(OPTIMIZERS).locate("optimizer", method, &Selection::default(), message);
        assert_eq!(locate(0, "optimizer `sgd`: `lr`: invalid type"), "c.toml:10");
        assert_eq!(locate(1, "optimizer `sgd`: `lr`: invalid type"), "c.toml:16", "the key is the method's");
        assert_eq!(locate(1, "`momentum` must be below 1"), "c.toml:11", "the key is that of all");
        assert_eq!(locate(1, "optimizer `sgd`: missing field"), "c.toml:8");
        assert_eq!(locate(2, "`nesterov` needs"), "c.toml:21");
        assert_eq!(locate(2, "`momentum` must be below 1"), "c.toml:11");
        assert_eq!(locate(3, "`lr`: invalid type"), "c.toml:25", "the search replaces the key");
        assert_eq!(locate(3, "unknown optimizer `adam`; known are sgd"), "c.toml:24");
        assert_eq!(locate(3, "`momentum`: no such"), "c.toml:24", "another optimizer's key is not at fault");
        let quick = Selection { quick: true, ..Selection::default() };
        assert_eq!(config(OPTIMIZERS).locate("optimizer", 1, &quick, "`lr`: invalid type"), "c.toml:27");
        assert_eq!(config(OPTIMIZERS).locate("optimizer", 3, &quick, "`lr`: invalid type"), "c.toml:24");

        let grid = |text: &str, selection: &Selection| config(text).grid(selection).unwrap_err().to_string();
        let text = OPTIMIZERS.replace("{ lr = 0.2 }", "0.2");
        let expected = "c.toml: line 16: `optimizer` must be a table, such as { lr = 0.1 }, found 0.2";
        assert_eq!(grid(&text, &Selection::default()), expected);
        let text = OPTIMIZERS.replace("optimizer.lr = 0.5", "optimizer.name = \"nero\"");
        assert!(grid(&text, &quick).starts_with("c.toml: line 27: `optimizer` is of an optimizer that no method uses"));
        let set = Selection { set: vec![("method.optimizer.lr".into(), json!(1))], ..Selection::default() };
        assert!(grid(OPTIMIZERS, &set).contains("a method's optimizer is set as optimizer.lr"));
    }
}
