//! Reports on made-up records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod answer;
mod figures;
#[path = "../../../record/src/fixture.rs"]
#[allow(dead_code, reason = "`record` and `study` test with it, too")]
mod fixture;
mod page;
mod verdicts;

use fixture::{Made, diverge, entry};
use record::Entry;
use report::{Rendered, render, splice};
use serde_json::{Value, json};
use study::Protocol;

/// Adds test records to the runs of chosen settings.
fn with_tests(entries: Vec<Entry>) -> Vec<Entry> {
    let chosen = study::chosen(&entries, &Protocol::inferred(&entries));
    fixture::tested(entries, |entry| chosen.contains(&entry.record.id))
}

const COMMAND: &str = "cargo xtask report classification";

/// What seeds tell, and a margin of half a point.
fn protocol(entries: &[Entry]) -> Protocol {
    Protocol { margin: Some(0.5), ..Protocol::inferred(entries) }
}

fn rendered(entries: &[Entry]) -> Rendered {
    render("classification", COMMAND, entries, &protocol(entries), &[]).unwrap()
}

fn table(entries: &[Entry]) -> String {
    report::table(entries, &protocol(entries))
}

fn page(entries: &[Entry]) -> String {
    splice(None, &rendered(entries)).unwrap()
}

fn answer(entries: &[Entry]) -> String {
    let summary = rendered(entries).summary;
    summary.lines().find(|line| line.starts_with("**Answer.**")).unwrap().to_owned()
}

/// Runs of `method` which reaches `reaches`, one for each of `seeds`.
fn runs(method: Value, reaches: f64, seeds: std::ops::Range<u64>) -> Vec<Entry> {
    let made = Made { optimizer: fixture::sgd(), method, reaches, norm: 1.0, micros: 10.0 };
    seeds.map(|seed| entry(&made, seed)).collect()
}

fn results(entries: &[Entry]) -> Value {
    report::results(entries, &protocol(entries))
}

const DECAY: fn() -> Value = || json!({"name": "weight-decay", "scope": "everything", "strength": 5e-4});
