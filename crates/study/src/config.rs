//! A configuration: the settings that a comparison tries, and the seeds.
//!
//! A `[[method]]`'s own `optimizer` is merged into `[optimizer]`, or replaces it if it names another one, because the
//! keys of one optimizer do not fit another.

mod matched;
mod place;
mod set;

use crate::tuning::{Rung, Search, Tuning, settings};
use files::{FileError, read_text};
use record::{Spec, Table};
use serde::Deserialize;
use serde_json::Value;
use set::{merged, set};
use settings::Mistake;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

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
    /// A setting is wrong.
    #[error("{}: line {line}: {mistake}", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// Its line.
        line: usize,
        /// What is wrong.
        mistake: Mistake,
    },
    /// The selection asks for something that the configuration has not.
    #[error(transparent)]
    Selection(#[from] Mistake),
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
    /// Whether the learning rate is to be matched to weight decay's; that of the spec only stands in for it.
    pub matched: bool,
}

/// Where the default seeds of a search begin.
const SEARCH_SEEDS: u64 = 100;

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

impl Grid {
    /// The first setting as it is run up to each rung.
    pub fn rungs(&self) -> Vec<GridPoint> {
        let rungs = |point: &GridPoint| {
            let at = |rung: &Rung| GridPoint { spec: rung.of(&point.spec), ..point.clone() };
            self.tuning.halving.iter().map(at).collect()
        };
        self.points.first().map_or_else(Vec::new, rungs)
    }
}

impl Config {
    /// Reads the configuration in `path`.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, is not TOML, or lacks a key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::read_as(path, path)
    }

    /// Reads the configuration in `path`, which messages call `name`.
    ///
    /// # Errors
    ///
    /// As [`Config::read`].
    pub fn read_as(path: &Path, name: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path).map_err(|error| FileError { path: name.into(), ..error })?;
        Self::parse(name, text)
    }

    /// Reads the configuration `text`, which is from `path`.
    ///
    /// # Errors
    ///
    /// Where it is not TOML, or lacks a key.
    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let error = |message: String| ConfigError::Form { path: path.into(), message };
        // The message holds line, column and caret.
        let form: Form = toml::from_str(&text).map_err(|e| error(e.to_string()))?;
        let config = Self { path: path.into(), text, form };
        let form = &config.form;
        let quick_seeds = form.quick.as_ref().and_then(|quick| quick.seeds.clone());
        let lists: [(&[&str], bool); 4] = [
            (&["seeds"], form.seeds.is_empty()),
            (&["method"], form.method.is_empty()),
            (&["quick", "seeds"], quick_seeds.as_ref().is_some_and(Vec::is_empty)),
            (&["tuning", "seeds"], form.tuning.seeds.as_ref().is_some_and(Vec::is_empty)),
        ];
        if let Some((place, _)) = lists.into_iter().find(|(_, empty)| *empty) {
            let key = place.last().copied().unwrap_or_default();
            return Err(config.error(place, Mistake::new(key, "at least one entry", "none")));
        }
        config.check_rungs()?;
        if let Some((start, mistake)) = crate::finite::mistake(&config.text) {
            return Err(config.error_at(config.line_at(start), mistake));
        }
        let tuning = &config.form.tuning;
        let problem = match tuning.margin {
            _ if tuning.finalists == 0 => Err(Mistake::new("finalists", "at least one", 0)),
            Some(margin) => settings::above("margin", margin, 0.0),
            None => Ok(()),
        };
        problem.map_err(|mistake| {
            let key = mistake.key.clone().unwrap_or_default();
            config.error(&["tuning", &key], mistake)
        })?;
        for seeds in std::iter::once(&config.form.seeds).chain(&quick_seeds) {
            config.check_seeds(seeds).map_err(|mistake| config.error(&["tuning", "seeds"], mistake))?;
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
            let found = format!("{{ epochs = {}, keep = {} }}", rung.epochs, rung.keep);
            let mistake = Mistake::new("halving", problem, found);
            return Err(self.error(&["tuning", "halving", &index.to_string()], mistake));
        }
        Ok(())
    }

    /// A setting must not be judged on the seeds that chose it.
    fn check_seeds(&self, seeds: &[u64]) -> Result<(), Mistake> {
        let search = self.form.tuning.seeds.as_deref().unwrap_or_default();
        let Some(seed) = search.iter().find(|seed| seeds.contains(seed)) else { return Ok(()) };
        let why = "the run that won the search would flatter its setting";
        let expected = "seeds of the search, `seeds` in `[tuning]`, that are no seeds of the result";
        let mistake = Mistake::new("tuning.seeds", expected, format!("{seed} in both: {why}"));
        Err(mistake.with_hint("take others, such as seeds = [100, 101]"))
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
        self.check_seeds(&seeds)?;
        let others = || (SEARCH_SEEDS..).filter(|seed| !own.contains(seed) && !seeds.contains(seed));
        let trial_seeds = tuning.seeds.get_or_insert_with(|| others().take(2).collect());
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
            let is_set = selection.set.iter().any(|(key, _)| key == "optimizer.lr");
            let matched = self.is_matched(index, &mut spec, &search)? && !is_set;
            for (key, value) in &selection.set {
                // TOML has no null: what JSON cannot hold is not finite.
                if value.is_null() {
                    return Err(Mistake::new(key, "a finite number", "none").into());
                }
                set(&mut spec, key, value.clone())?;
            }
            let error = |mistake: Mistake| self.error(&["method", &index.to_string(), "search"], mistake);
            let tried = settings(&search, &keys, tuning.trials).map_err(error)?;
            if let Some(trials) = tuning.trials.filter(|trials| !tuning.unequal && !matched && *trials != tried.len()) {
                let expected = format!("{trials} settings, as `trials` in `[tuning]` says");
                let mistake = Mistake::new("search", expected, tried.len());
                return Err(error(
                    mistake.with_hint("search ranges, or lists of which there are as many combinations"),
                ));
            }
            for setting in tried {
                let mut spec = spec.clone();
                for (key, value) in setting {
                    set(&mut spec, &key, value).map_err(error)?;
                }
                points.push(GridPoint { spec, method: index, matched });
            }
        }
        Ok(Grid { points, seeds, tuning })
    }

    /// The keys that any method searches.
    fn searched(&self) -> BTreeSet<String> {
        let searches = self.form.method.iter().filter_map(|method| method.get("search")?.as_object());
        searches.flat_map(|search| search.keys().cloned()).collect()
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
                    let mistake = Mistake::new("optimizer", "a table, such as { lr = 0.1 }", found);
                    return Err(self.error(&["method", &index.to_string(), "optimizer"], mistake));
                }
            });
        }
        let name = quick.get("name").or(shared.get("name"));
        let mut meant = optimizers.iter_mut().filter(|optimizer| optimizer.get("name") == name).peekable();
        if meant.peek().is_none() && !quick.is_empty() {
            let mistake = Mistake::new("optimizer", "an optimizer that a method uses", name.unwrap_or(&Value::Null));
            return Err(self.error(&["quick", "optimizer"], mistake.with_hint("correct its `name`, or remove it")));
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
                    let expected = format!("indices of the {} methods, from 0", self.form.method.len());
                    Err(self.error(&["quick", "methods"], Mistake::new("methods", expected, index)))
                }
                None => Ok(listed.clone()),
            };
        }
        for wanted in &selection.methods {
            if !all().any(|index| name(index) == wanted) {
                let mut known: Vec<&str> = all().map(name).collect();
                known.dedup();
                let mistake = Mistake::unknown("--method", wanted, known);
                let expected = format!("a method of {}: {}", self.path.display(), mistake.expected);
                return Err(Mistake { expected, ..mistake }.into());
            }
        }
        Ok(all().filter(|index| selection.methods.iter().any(|wanted| wanted == name(*index))).collect())
    }

    /// What is searched for a method; nothing in the quick form, nor where a value is set.
    fn search(&self, method: usize, search: Option<Value>, selection: &Selection) -> Result<Search, ConfigError> {
        let Some(search) = search else { return Ok(Search::new()) };
        let read = Search::deserialize(&search).map_err(|_| {
            let expected =
                "for each key a list of values, or a range such as { log = [1e-3, 1.0] } or { linear = [0.0, 0.9] }";
            self.error(&["method", &method.to_string(), "search"], Mistake::new("search", expected, &search))
        })?;
        let free = |key: &String| !selection.quick && selection.set.iter().all(|(set, _)| set != key);
        Ok(read.into_iter().filter(|(key, _)| free(key)).collect())
    }
}

/// Whether `table` has a name, and another than `shared`.
fn names_another(table: &Table, shared: &Table) -> bool {
    table.get("name").is_some_and(|name| Some(name) != shared.get("name"))
}

#[cfg(test)]
mod tests;
