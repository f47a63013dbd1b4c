//! What tells rows of a table apart, and what they are called.

use super::Float;
use record::{Spec, Table, canonical_json};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The last part of a dotted key.
pub fn last(key: &str) -> &str {
    key.split_once('.').map_or(key, |(_, last)| last)
}

/// A setting's value as a label shows it.
pub(super) fn in_words(value: &Value) -> String {
    match value {
        // A line break would end the line of the page that shows it.
        Value::String(text) if !text.contains(char::is_control) => text.clone(),
        other => canonical_json(other),
    }
}

/// What tells rows apart: optimizer, method, and their settings that are no real numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowKey<'a> {
    pub(super) optimizer: &'a str,
    pub(super) method: &'a str,
    pub(super) words: BTreeMap<String, String>,
}

/// Splits `optimizer` and `method` of each spec into what makes its row and its hyper-parameters. What is null
/// is not set; a number that another spec leaves unset makes another row.
pub(super) fn split<'a>(specs: &[&'a Spec]) -> Vec<(RowKey<'a>, BTreeMap<String, Float>)> {
    let tables = |spec: &'a Spec| [("method", &spec.method), ("optimizer", &spec.optimizer)];
    let settings = |spec: &'a Spec| {
        let (mut words, mut hyper) = (BTreeMap::new(), BTreeMap::new());
        for (prefix, table) in tables(spec) {
            for (key, value) in table.iter().filter(|(key, _)| *key != "name") {
                sort(format!("{prefix}.{key}"), value, &mut words, &mut hyper);
            }
        }
        (RowKey { optimizer: named(&spec.optimizer), method: named(&spec.method), words }, hyper)
    };
    let mut split: Vec<_> = specs.iter().map(|spec| settings(spec)).collect();
    let nulls = specs.iter().flat_map(|spec| tables(spec)).flat_map(|(prefix, table)| {
        table.iter().filter(|(_, value)| value.is_null()).map(move |(key, _)| format!("{prefix}.{key}"))
    });
    let nulls: BTreeSet<String> = nulls.collect();
    for (key, hyper) in &mut split {
        let set = hyper.keys().filter(|name| nulls.contains(*name));
        key.words.extend(set.map(|name| (name.clone(), "set".to_owned())));
    }
    split
}

/// Real numbers, also those inside of a setting that has a name (`{ constant = 2.0 }`), are hyper-parameters.
fn sort(key: String, value: &Value, words: &mut BTreeMap<String, String>, hyper: &mut BTreeMap<String, Float>) {
    match value {
        Value::Null => {}
        Value::Number(number) if number.is_f64() => {
            hyper.insert(key, Float(number.as_f64().unwrap_or(f64::NAN)));
        }
        Value::Object(table) => {
            for (inner, value) in table {
                let path = format!("{key}.{inner}");
                match value {
                    Value::Object(fields) => {
                        words.insert(key.clone(), inner.clone());
                        for (field, value) in fields {
                            sort(format!("{path}.{field}"), value, words, hyper);
                        }
                    }
                    Value::Number(number) if number.is_f64() => {
                        words.entry(key.clone()).or_insert_with(|| inner.clone());
                        sort(path, value, words, hyper);
                    }
                    other => drop(words.insert(key.clone(), format!("{inner} {}", in_words(other)))),
                }
            }
        }
        other => drop(words.insert(key, in_words(other))),
    }
}

fn named(table: &Table) -> &str {
    table.get("name").and_then(Value::as_str).unwrap_or("unnamed")
}

/// The method's name, and in parentheses the optimizer's where there are several, and the settings that tell
/// `key` from other rows of the same two.
pub(super) fn label<'a, 'b: 'a>(key: &RowKey<'b>, all: impl Iterator<Item = &'a RowKey<'b>> + Clone) -> String {
    let mut words = Vec::new();
    if all.clone().any(|other| other.optimizer != key.optimizer) {
        words.push(key.optimizer.to_owned());
    }
    let siblings = || all.clone().filter(|other| (other.method, other.optimizer) == (key.method, key.optimizer));
    let differing =
        key.words.iter().filter(|(name, value)| siblings().any(|other| other.words.get(*name) != Some(*value)));
    words.extend(differing.map(|(name, value)| format!("{} {value}", last(name))));
    if words.is_empty() { key.method.to_owned() } else { format!("{} ({})", key.method, words.join(", ")) }
}
