//! Whether two records of one run, which is deterministic, say the same of its result.

use crate::digest::LOSS_DIGITS;
use crate::run::{Entry, LogLine, SCHEMA};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;

/// The schema that all keys of a result are there from.
const COMPLETE: u32 = 4;
const _: () = assert!(COMPLETE <= SCHEMA);

/// A place where two records of one run differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Disagreement {
    /// Key of the record, and keys and names in it, such as `norms`, `weight_norm`; `test` comes before a key of the
    /// test scores.
    pub path: Vec<String>,
    /// Step of the run, from 0, where the key belongs to one.
    pub step: Option<u64>,
    /// What either has there; `None` where it has nothing.
    pub values: [Option<Value>; 2],
}

impl Disagreement {
    /// The key of the record.
    pub fn key(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }

    /// The path as one text.
    pub fn dotted(&self) -> String {
        self.path.join(".")
    }

    fn under(mut self, key: &str) -> Self {
        self.path.insert(0, key.to_owned());
        self
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = self.values.each_ref().map(|value| match value {
            None => "nothing".to_owned(),
            Some(Value::Object(_) | Value::Array(_)) => "something".to_owned(),
            Some(value) => value.to_string(),
        });
        write!(f, "`{}`", self.dotted())?;
        if let Some(step) = self.step {
            write!(f, " of step {step}")?;
        }
        match self.key() {
            // What digests are says nothing.
            "losses" | "tensors" | "weights" => Ok(()),
            _ => write!(f, ": {one} and {other}"),
        }
    }
}

/// The first place under each key of the result where the records of `one` and `other` differ, those of a step first.
///
/// Everything is the result but where and when it was computed, how long that took, and the words of `about`; see
/// docs/methodology.md. Test scores count where both have them, and what a record is too old to have does not.
pub fn disagreements(one: &Entry, other: &Entry) -> Vec<Disagreement> {
    let old = one.record.schema.min(other.record.schema) < COMPLETE;
    let of = |entry: &Entry| {
        let mut record = entry.record.clone();
        if old {
            (record.tensors, record.losses) = (None, None);
            (record.decay_efolds, record.collapsed) = (None, None);
            record.epochs.iter_mut().for_each(|row| row.validation_loss = None);
        }
        result(&record)
    };
    let mut found = of_maps(&of(one), &of(other));
    if let (Some(one), Some(other)) = (&one.test, &other.test) {
        found.extend(of_maps(&result(one), &result(other)).into_iter().map(|found| found.under("test")));
    }
    found.sort_by_key(|found| (found.step.is_none(), found.step));
    found
}

/// The first place, by step, where the logs of two trainings of a run differ. Losses count where both have logged them.
pub fn log_disagreement(one: &[LogLine], other: &[LogLine]) -> Option<Disagreement> {
    let is_losses = |line: &&LogLine| matches!(line, LogLine::Losses { .. });
    let lines = |log, losses| <[LogLine]>::iter(log).filter(|line| is_losses(line) == losses).collect::<Vec<_>>();
    let [losses, rest] = [true, false].map(|losses| [lines(one, losses), lines(other, losses)]);
    let losses = losses.iter().all(|lines| !lines.is_empty()).then_some(losses);
    let found = losses.into_iter().chain([rest]).filter_map(|[one, other]| line_disagreement(&one, &other));
    found.min_by_key(|found| found.step)
}

fn line_disagreement(one: &[&LogLine], other: &[&LogLine]) -> Option<Disagreement> {
    let line = (0..one.len().max(other.len())).find(|line| one.get(*line) != other.get(*line))?;
    match [one.get(line).copied(), other.get(line).copied()] {
        [Some(LogLine::Losses { first, losses: one }), Some(LogLine::Losses { first: same, losses: other })]
            if first == same =>
        {
            let index = (0..one.len().max(other.len())).find(|i| one.get(*i) != other.get(*i))?;
            let values = [one, other].map(|losses| losses.get(index).map(|loss| (*loss).into()));
            Some(Disagreement { path: vec!["loss".into()], step: Some(first + index as u64), values })
        }
        lines @ [one, other] => {
            let step = lines.into_iter().flatten().map(step_of).min();
            // So that a line which one has not is named by what it is.
            let json_of = |line: Option<&LogLine>| line.map_or_else(|| Value::Object(Map::new()), json);
            Some(Disagreement { step, ..difference(Some(&json_of(one)), Some(&json_of(other)))? })
        }
    }
}

fn step_of(line: &LogLine) -> u64 {
    match line {
        LogLine::Losses { first, .. } => *first,
        LogLine::Norms { median, .. } => median.step,
        LogLine::Epoch(row) => last_step(row.step),
    }
}

/// An epoch's row counts the steps before its end.
fn last_step(steps: u64) -> u64 {
    steps.saturating_sub(1)
}

/// What must be equal in all records of a run.
fn result(record: &impl Serialize) -> Map<String, Value> {
    let Value::Object(mut result) = json(record) else { return Map::new() };
    for key in ["schema", "seconds", "about"] {
        result.remove(key);
    }
    if let Some(Value::Object(provenance)) = result.get_mut("provenance") {
        provenance.retain(|key, _| key == "dataset_digest" || key == "precision");
    }
    result
}

/// A record is plain data with string keys, which always has a JSON form.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// The first difference under each key.
fn of_maps(one: &Map<String, Value>, other: &Map<String, Value>) -> Vec<Disagreement> {
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let found = keys.into_iter().filter_map(|key| {
        let mut found = match (key.as_str(), one.get(key), other.get(key)) {
            ("losses", Some(Value::String(one)), Some(Value::String(other))) => of_losses(one, other)?,
            (_, one, other) => difference(one, other)?,
        };
        if key == "epochs" {
            found.step = found.step.map(last_step);
        }
        Some(found.under(key))
    });
    found.collect()
}

/// Digests tell where losses part, not what they are.
fn of_losses(one: &str, other: &str) -> Option<Disagreement> {
    let pieces = |text: &str| text.as_bytes().chunks(LOSS_DIGITS).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (one, other) = (pieces(one), pieces(other));
    let step = (0..one.len().max(other.len())).find(|i| one.get(*i) != other.get(*i))?;
    let values = [one, other].map(|losses| losses.get(step).map(|digits| String::from_utf8_lossy(digits).into()));
    Some(Disagreement { path: Vec::new(), step: Some(step as u64), values })
}

/// The first place where two JSON values differ. Rows of a list are known by their `name`, and belong to their `step`.
pub(crate) fn difference(one: Option<&Value>, other: Option<&Value>) -> Option<Disagreement> {
    match (one, other) {
        (one, other) if same(one, other) => None,
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            // Rows of other steps have other numbers.
            let keys: BTreeSet<(bool, &String)> =
                one.keys().chain(other.keys()).map(|key| (key != "step", key)).collect();
            let found = |(_, key): (bool, &String)| Some(difference(one.get(key), other.get(key))?.under(key));
            let found = keys.into_iter().find_map(found)?;
            let step = found.step.or_else(|| first_step([one, other]));
            Some(Disagreement { step, ..found })
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            let index = (0..one.len().max(other.len())).find(|i| !same(one.get(*i), other.get(*i)))?;
            let (one, other) = (one.get(index), other.get(index));
            let found = difference(one, other)?;
            let name = one.or(other).and_then(|row| row.get("name")?.as_str());
            Some(match name {
                Some(name) => found.under(name),
                None => found,
            })
        }
        _ => {
            let rows = [one, other].map(|value| value.and_then(Value::as_object));
            let step = first_step(rows.into_iter().flatten());
            Some(Disagreement { path: Vec::new(), step, values: [one.cloned(), other.cloned()] })
        }
    }
}

/// Whether two values are written alike: 0 and −0 are equal, and other bits.
fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    one.map(Value::to_string) == other.map(Value::to_string)
}

fn first_step<'a>(rows: impl IntoIterator<Item = &'a Map<String, Value>>) -> Option<u64> {
    rows.into_iter().filter_map(|row| row.get("step")?.as_u64()).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::run::EpochRow;

    fn told(change: impl FnOnce(&mut Entry)) -> Vec<String> {
        let one = fixture::entries().into_iter().find(|entry| entry.test.is_some()).unwrap();
        let mut other = one.clone();
        change(&mut other);
        disagreements(&one, &other).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn where_and_when_may_differ() {
        let found = told(|entry| {
            let provenance = &mut entry.record.provenance;
            (provenance.commit, provenance.cpu) = ("other".into(), "other".into());
            (provenance.kernels, provenance.threads, provenance.resumed) = (Some("portable".into()), 9, 3);
            (provenance.started, provenance.ended) = (String::new(), String::new());
            entry.record.seconds.data += 1.0;
            entry.record.about.method = "in other words".into();
            entry.test.as_mut().unwrap().provenance = provenance.clone();
        });
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn what_was_computed_may_not() {
        let found = told(|entry| {
            let record = &mut entry.record;
            record.provenance.dataset_digest = "other".into();
            record.provenance.precision = "bf16".into();
            record.norms[2].weight_norm = 0.5;
            record.norms[1].step = 11;
            record.epochs[0].validation.insert("top1".into(), 0.5);
            record.layers[1].rotation = 0.25;
            record.weights = "others".into();
            *record.tensors.as_mut().unwrap().get_mut("layer1.0.conv1.weight").unwrap() = "00000000".into();
            let losses = record.losses.as_mut().unwrap();
            losses.replace_range(14..16, if losses[14..].starts_with("00") { "01" } else { "00" });
            entry.test.as_mut().unwrap().scores.insert("loss".into(), 0.5);
        });
        let keys: Vec<&str> = found.iter().map(|found| found.split(": ").next().unwrap()).collect();
        assert_eq!(
            keys,
            [
                "`losses` of step 7",
                "`norms.step` of step 10",
                "`epochs.validation.top1` of step 69",
                "`layers.layer1.0.conv1.weight.rotation`",
                "`provenance.dataset_digest`",
                "`tensors.layer1.0.conv1.weight`",
                "`weights`",
                "`test.scores.loss`",
            ]
        );
        assert!(found[1].ends_with(": 10 and 11") && found[7].ends_with(": nothing and 0.5"), "{found:?}");
    }

    #[test]
    fn signs_of_zero_are_bits() {
        let zero = |value: f64| difference(Some(&json(&0.0)), Some(&json(&value)));
        assert_eq!(zero(0.0), None);
        assert_eq!(zero(-0.0).unwrap().to_string(), "``: 0.0 and -0.0");
    }

    #[test]
    fn rows_that_one_has_not_are_named_by_their_step() {
        let found = told(|entry| entry.record.norms.truncate(3));
        assert_eq!(found, ["`norms` of step 30: something and nothing"]);
        let found = told(|entry| entry.record.losses.as_mut().unwrap().truncate(100));
        assert_eq!(found, ["`losses` of step 50"]);
    }

    #[test]
    fn what_an_old_record_has_not_does_not_count() {
        let old = |entry: &mut Entry| {
            (entry.record.tensors, entry.record.losses) = (None, None);
            (entry.record.decay_efolds, entry.record.collapsed) = (None, None);
            entry.record.epochs.iter_mut().for_each(|row| row.validation_loss = None);
        };
        let found = told(|entry| {
            old(entry);
            entry.record.schema = 2;
        });
        assert_eq!(found, [""; 0]);
        assert_eq!(told(old).len(), 4, "what a new one has not does");
    }

    #[test]
    fn logs_part_at_a_step() {
        let record = fixture::entries().remove(0).record;
        let losses = |first: u64| LogLine::Losses { first, losses: vec![1.0, 0.5, 0.25] };
        let norms = |i: usize| LogLine::Norms { median: record.norms[i].clone(), layers: record.layers.clone() };
        let log = [losses(0), norms(0), LogLine::Epoch(record.epochs[0].clone()), losses(10), norms(1)];
        let told = |change: &dyn Fn(&mut Vec<LogLine>)| {
            let mut other = log.to_vec();
            change(&mut other);
            log_disagreement(&log, &other).map(|found| found.to_string())
        };
        assert_eq!(told(&|_| {}), None);
        let loss = |log: &mut Vec<LogLine>| log[3] = LogLine::Losses { first: 10, losses: vec![1.0, 0.5, 0.26] };
        assert_eq!(told(&loss).unwrap(), "`loss` of step 12: 0.25 and 0.26");
        let layer = |log: &mut Vec<LogLine>| {
            let LogLine::Norms { layers, .. } = &mut log[4] else { unreachable!() };
            layers[1].rotation = 0.5;
        };
        let found = told(&layer).unwrap();
        assert!(found.starts_with("`norms.layers.layer1.0.conv1.weight.rotation` of step 10: "), "{found}");
        let both = |log: &mut Vec<LogLine>| {
            log[0] = LogLine::Losses { first: 0, losses: vec![1.0, 0.5, 0.26] };
            let LogLine::Norms { median, .. } = &mut log[1] else { unreachable!() };
            median.rotation = 0.5;
        };
        assert!(told(&both).unwrap().starts_with("`norms.median.rotation` of step 0: "), "the loss parts later");
        let epoch = |log: &mut Vec<LogLine>| {
            log[2] = LogLine::Epoch(EpochRow { train_loss: 0.5, ..record.epochs[0].clone() });
        };
        assert!(told(&epoch).unwrap().starts_with("`epoch.train_loss` of step 69: "));
        assert_eq!(told(&|log| log.truncate(4)).unwrap(), "`norms` of step 10: something and nothing");
        let old = |log: &mut Vec<LogLine>| log.retain(|line| !matches!(line, LogLine::Losses { .. }));
        assert_eq!(told(&old), None, "losses that were not logged");
    }
}
