//! Records as TensorBoard's event files.

use crate::proto::{
    Event, Hparams, Metadata, PluginData, Session, SessionEnd, SessionStart, Summary, SummaryValue, What,
};
use crate::table::{NORMS, moment, settings};
use anyhow::Result;
use prost::Message;
use prost_types::value::Kind;
use record::{Entry, Outcome, Spec};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What TensorBoard calls a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its row and hyper-parameters: the name of a folder. Runs that differ in their seed alone share it.
    pub group: String,
    /// Its seed: the name of a folder in that of the group.
    pub run: String,
}

/// The names of the runs of `entries`, no two of them equal.
pub fn names(entries: &[Entry]) -> Vec<Name> {
    let seedless: Vec<Spec> = entries.iter().map(|entry| Spec { seed: 0, ..entry.record.spec.clone() }).collect();
    let described = study::describe(&seedless.iter().collect::<Vec<_>>());
    let (mut settings, mut taken) = (BTreeMap::<String, Vec<&Spec>>::new(), BTreeSet::new());
    let mut names = Vec::new();
    for ((entry, spec), line) in entries.iter().zip(&seedless).zip(described) {
        let line = line.rsplit_once(" seed 0").map_or(line.clone(), |(row, rest)| format!("{row}{rest}"));
        let row = folder(&line);
        // Specs that one row does not tell apart, such as those of two data sets, are counted.
        let known = settings.entry(row.clone()).or_default();
        let index = known.iter().position(|other| *other == spec).unwrap_or_else(|| {
            known.push(spec);
            known.len() - 1
        });
        let group = if index == 0 { row } else { format!("{row} ({})", index + 1) };
        let mut run = format!("seed {}", entry.record.spec.seed);
        while !taken.insert((group.clone(), run.clone())) {
            run = format!("{run} again");
        }
        names.push(Name { group, run });
    }
    names
}

/// `text` as the name of a folder on any system.
fn folder(text: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || " -_+.,()=".contains(c);
    let text: String = text.chars().map(|c| if allowed(c) { c } else { '-' }).take(150).collect();
    let text = text.trim_matches([' ', '.']);
    if text.is_empty() { "run".to_owned() } else { text.to_owned() }
}

/// The event file of a run: scalars of each evaluation (`train_loss`, `validation/…`), of each logged step (`lr`, `norms/…`)
/// and of the test split (`test/…`, at the last step), and what the HPARAMS tab shows of the session group `group`: everything
/// that the spec sets but the seed. Times between start and end are in proportion to steps.
///
/// # Errors
///
/// Where the record's times are not in RFC 3339.
pub fn events(entry: &Entry, group: &str) -> Result<Vec<u8>> {
    let record = &entry.record;
    let seconds = |time: &str| -> Result<f64> { Ok(moment(entry, time)?.as_microsecond() as f64 / 1e6) };
    let (started, ended) = (seconds(&record.provenance.started)?, seconds(&record.provenance.ended)?);
    let time = |step: u64| started + (ended - started) * step as f64 / record.steps.max(1) as f64;
    let mut scalars: BTreeMap<u64, Vec<SummaryValue>> = BTreeMap::new();
    let mut add = |step: u64, tag: String, value: f64| {
        let value = SummaryValue { tag, simple_value: Some(value as f32), metadata: None };
        scalars.entry(step).or_default().push(value);
    };
    for row in &record.epochs {
        add(row.step, "train_loss".to_owned(), row.train_loss);
        row.validation.iter().for_each(|(score, value)| add(row.step, format!("validation/{score}"), *value));
    }
    for row in &record.norms {
        for (name, value) in NORMS {
            let tag = if name == "lr" { name.to_owned() } else { format!("norms/{name}") };
            if let Some(value) = value(row) {
                add(row.step, tag, value);
            }
        }
    }
    for (score, value) in entry.test.iter().flat_map(|test| &test.scores) {
        add(record.steps, format!("test/{score}"), *value);
    }

    let mut file = framed(
        &Event { wall_time: started, step: 0, what: Some(What::FileVersion("brain.Event:2".to_owned())) }
            .encode_to_vec(),
    );
    let mut push = |step: u64, wall_time: f64, value: Vec<SummaryValue>| {
        let event = Event { wall_time, step: step as i64, what: Some(What::Summary(Summary { value })) };
        file.extend(framed(&event.encode_to_vec()));
    };
    let start = SessionStart { hparams: hparams(entry), group_name: group.to_owned(), start_time_secs: started };
    push(0, started, vec![session("session_start_info", Session::Start(start))]);
    for (step, values) in scalars {
        push(step, time(step), values);
    }
    let status = if record.outcome == Outcome::Finished { 1 } else { 2 };
    let end = SessionEnd { status, end_time_secs: ended };
    push(record.steps, ended, vec![session("session_end_info", Session::End(end))]);
    Ok(file)
}

fn session(tag: &str, data: Session) -> SummaryValue {
    let content = Hparams { data: Some(data) }.encode_to_vec();
    let plugin_data = Some(PluginData { plugin_name: "hparams".to_owned(), content });
    SummaryValue { tag: format!("_hparams_/{tag}"), simple_value: None, metadata: Some(Metadata { plugin_data }) }
}

fn hparams(entry: &Entry) -> BTreeMap<String, prost_types::Value> {
    let kind = |value: &Value| match value {
        Value::Bool(on) => Kind::BoolValue(*on),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text.clone()),
        other => Kind::StringValue(other.to_string()),
    };
    settings(entry).into_iter().map(|(key, value)| (key, prost_types::Value { kind: Some(kind(&value)) })).collect()
}

/// `data` as a record of a TFRecord file: its length, and each of the two followed by its masked CRC-32C.
pub fn framed(data: &[u8]) -> Vec<u8> {
    let masked = |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}
