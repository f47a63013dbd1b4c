//! Records as tables.

use anyhow::{Context, Result};
use jiff::Timestamp;
use record::{Entry, EpochRow, LayerRow, NormRow, Outcome};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A table with columns of the same length.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Name of its file.
    pub name: &'static str,
    /// In their order.
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Unique in the table.
    pub name: String,
    /// A value a row.
    pub values: Values,
}

/// Values of one kind; `None` where there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Words.
    Text(Vec<Option<String>>),
    /// Real numbers.
    Number(Vec<Option<f64>>),
    /// Counts, seeds and steps.
    Whole(Vec<Option<i64>>),
    /// What is on or off.
    Flag(Vec<Option<bool>>),
    /// Moments.
    Time(Vec<Option<Timestamp>>),
}

impl Values {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::Whole(values) => values.len(),
            Self::Flag(values) => values.len(),
            Self::Time(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The tables of `entries`: `runs`, `epochs`, `norms` and `layers`. Scores are as the task gives them.
///
/// # Errors
///
/// Where a record's times are not in RFC 3339.
pub fn tables(entries: &[Entry]) -> Result<Vec<Table>> {
    Ok(vec![runs(entries)?, epochs(entries), norms(entries), layers(entries)])
}

fn text<T>(name: &str, rows: &[T], value: impl Fn(&T) -> Option<String>) -> Column {
    Column { name: name.to_owned(), values: Values::Text(rows.iter().map(value).collect()) }
}

fn number<T>(name: &str, rows: &[T], value: impl Fn(&T) -> Option<f64>) -> Column {
    Column { name: name.to_owned(), values: Values::Number(rows.iter().map(value).collect()) }
}

/// As text where a number is beyond what other tools count to.
fn whole<T>(name: &str, rows: &[T], value: impl Fn(&T) -> Option<u64>) -> Column {
    let numbers: Result<Vec<Option<i64>>, _> =
        rows.iter().map(|row| value(row).map(i64::try_from).transpose()).collect();
    let text = |_| Values::Text(rows.iter().map(|row| Some(value(row)?.to_string())).collect());
    Column { name: name.to_owned(), values: numbers.map_or_else(text, Values::Whole) }
}

fn time(name: &str, entries: &[Entry], value: impl Fn(&Entry) -> &str) -> Result<Column> {
    let times = entries.iter().map(|entry| Ok(Some(moment(entry, value(entry))?)));
    Ok(Column { name: name.to_owned(), values: Values::Time(times.collect::<Result<_>>()?) })
}

/// The moment that `text` of a record means.
pub(crate) fn moment(entry: &Entry, text: &str) -> Result<Timestamp> {
    text.parse().with_context(|| format!("run {}: expected a time in RFC 3339, found `{text}`", entry.record.id))
}

fn runs(entries: &[Entry]) -> Result<Table> {
    let settings: Vec<BTreeMap<String, Value>> = entries.iter().map(settings).collect();
    let keys: BTreeSet<&String> = settings.iter().flat_map(BTreeMap::keys).collect();
    let scores: BTreeSet<&String> =
        entries.iter().filter_map(|entry| entry.test.as_ref()).flat_map(|test| test.scores.keys()).collect();
    let mut columns = vec![
        text("id", entries, |entry| Some(entry.record.id.to_string())),
        text("task", entries, |entry| Some(entry.record.task.clone())),
        text("dataset", entries, |entry| Some(entry.record.spec.dataset.clone())),
        whole("seed", entries, |entry| Some(entry.record.spec.seed)),
    ];
    columns.extend(keys.into_iter().map(|key| setting(key, &settings)));
    columns.extend([
        text("outcome", entries, |entry| {
            let finished = entry.record.outcome == Outcome::Finished;
            Some(if finished { "finished" } else { "diverged" }.to_owned())
        }),
        whole("step", entries, |entry| Some(entry.record.steps)),
        text("score", entries, |entry| Some(entry.record.headline.score.clone())),
        number("validation", entries, |entry| entry.record.validation()),
    ]);
    columns.extend(scores.into_iter().map(|score| {
        number(&format!("test/{score}"), entries, |entry| entry.test.as_ref()?.scores.get(score).copied())
    }));
    columns.extend([
        number("seconds/data", entries, |entry| Some(entry.record.seconds.data)),
        number("seconds/forward", entries, |entry| Some(entry.record.seconds.forward)),
        number("seconds/backward", entries, |entry| Some(entry.record.seconds.backward)),
        number("seconds/update", entries, |entry| Some(entry.record.seconds.update)),
        number("seconds/evaluation", entries, |entry| Some(entry.record.seconds.evaluation)),
        text("weights", entries, |entry| Some(entry.record.weights.clone())),
        text("commit", entries, |entry| Some(entry.record.provenance.commit.clone())),
        text("dataset_digest", entries, |entry| Some(entry.record.provenance.dataset_digest.clone())),
        text("kernels", entries, |entry| entry.record.provenance.kernels.clone()),
        text("cpu", entries, |entry| Some(entry.record.provenance.cpu.clone())),
        whole("threads", entries, |entry| Some(entry.record.provenance.threads)),
        time("started", entries, |entry| &entry.record.provenance.started)?,
        time("ended", entries, |entry| &entry.record.provenance.ended)?,
    ]);
    Ok(Table { name: "runs", columns })
}

/// Everything that a spec sets, by dotted key; what is null is not set.
pub(crate) fn settings(entry: &Entry) -> BTreeMap<String, Value> {
    fn insert(settings: &mut BTreeMap<String, Value>, key: &str, value: &Value) {
        match value {
            Value::Null => {}
            Value::Object(table) => {
                table.iter().for_each(|(inner, value)| insert(settings, &format!("{key}.{inner}"), value));
            }
            value => drop(settings.insert(key.to_owned(), as_written(value))),
        }
    }
    let spec = &entry.record.spec;
    let mut settings = BTreeMap::new();
    let tables = [
        ("method", &spec.method),
        ("optimizer", &spec.optimizer),
        ("schedule", &spec.schedule),
        ("task", &spec.task),
        ("train", &spec.train),
    ];
    for (key, table) in tables {
        insert(&mut settings, key, &Value::Object(table.clone()));
    }
    settings.insert("rest_decay".to_owned(), spec.rest_decay.into());
    settings
}

/// A setting as a configuration has it: one that is kept as `f32` is recorded as 0.6000000238418579 where 0.6 is meant.
fn as_written(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(as_written).collect(),
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            let single = number as f32;
            let written = if f64::from(single) == number { single.to_string().parse().ok() } else { None };
            written.unwrap_or(number).into()
        }
        other => other.clone(),
    }
}

/// A column of numbers, or of flags, where all that is set is of that kind.
fn setting(key: &str, settings: &[BTreeMap<String, Value>]) -> Column {
    let values = || settings.iter().filter_map(|settings| settings.get(key));
    let of = |values| Column { name: key.to_owned(), values };
    if values().all(Value::is_i64) {
        of(Values::Whole(settings.iter().map(|settings| settings.get(key)?.as_i64()).collect()))
    } else if values().all(Value::is_boolean) {
        of(Values::Flag(settings.iter().map(|settings| settings.get(key)?.as_bool()).collect()))
    } else if values().all(Value::is_number) {
        number(key, settings, |settings| settings.get(key)?.as_f64())
    } else {
        text(key, settings, |settings| {
            Some(match settings.get(key)? {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
        })
    }
}

fn epochs(entries: &[Entry]) -> Table {
    let rows: Vec<(&Entry, &EpochRow)> =
        entries.iter().flat_map(|entry| entry.record.epochs.iter().map(move |row| (entry, row))).collect();
    let scores: BTreeSet<&String> = rows.iter().flat_map(|(_, row)| row.validation.keys()).collect();
    let mut columns = vec![
        text("id", &rows, |(entry, _)| Some(entry.record.id.to_string())),
        whole("step", &rows, |(_, row)| Some(row.step)),
        whole("epoch", &rows, |(_, row)| Some(row.epoch)),
        number("train_loss", &rows, |(_, row)| Some(row.train_loss)),
    ];
    columns.extend(
        scores
            .into_iter()
            .map(|score| number(&format!("validation/{score}"), &rows, |(_, row)| row.validation.get(score).copied())),
    );
    Table { name: "epochs", columns }
}

/// A column's name and its value in a row.
type Logged = (&'static str, fn(&NormRow) -> Option<f64>);

/// What is logged of norms at a step.
pub(crate) const NORMS: [Logged; 8] = [
    ("lr", |row| Some(row.lr)),
    ("weight_norm", |row| Some(row.weight_norm)),
    ("filter_norm_min", |row| Some(row.filter_norm_min)),
    ("filter_norm_median", |row| Some(row.filter_norm_median)),
    ("gradient_norm", |row| Some(row.gradient_norm)),
    ("effective_lr", |row| Some(row.effective_lr)),
    ("rotation", |row| Some(row.rotation)),
    ("equilibrium_rotation", |row| row.equilibrium_rotation),
];

fn norms(entries: &[Entry]) -> Table {
    let rows: Vec<(&Entry, &NormRow)> =
        entries.iter().flat_map(|entry| entry.record.norms.iter().map(move |row| (entry, row))).collect();
    let mut columns = vec![
        text("id", &rows, |(entry, _)| Some(entry.record.id.to_string())),
        whole("step", &rows, |(_, row)| Some(row.step)),
    ];
    columns.extend(NORMS.map(|(name, value)| number(name, &rows, |(_, row)| value(row))));
    Table { name: "norms", columns }
}

fn layers(entries: &[Entry]) -> Table {
    let rows: Vec<(&Entry, &LayerRow)> =
        entries.iter().flat_map(|entry| entry.record.layers.iter().map(move |row| (entry, row))).collect();
    let columns = vec![
        text("id", &rows, |(entry, _)| Some(entry.record.id.to_string())),
        // The last that was logged.
        whole("step", &rows, |(entry, _)| Some(entry.record.norms.last()?.step)),
        text("layer", &rows, |(_, row)| Some(row.name.clone())),
        number("weight_norm", &rows, |(_, row)| Some(row.weight_norm)),
        number("filter_norm_min", &rows, |(_, row)| Some(row.filter_norm_min)),
        number("filter_norm_median", &rows, |(_, row)| Some(row.filter_norm_median)),
        number("gradient_norm", &rows, |(_, row)| Some(row.gradient_norm)),
        number("effective_lr", &rows, |(_, row)| Some(row.effective_lr)),
        number("rotation", &rows, |(_, row)| Some(row.rotation)),
    ];
    Table { name: "layers", columns }
}
