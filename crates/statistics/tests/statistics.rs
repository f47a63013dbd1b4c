//! Statistics against SciPy and formulas written out (tools/make_statistics_golden.py).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use statistics::{Dunnett, Noise, area, correlation, deviation, interval, mean};

/// The cases of one kind.
fn cases(kind: &str) -> Vec<Value> {
    let path = golden::path(env!("CARGO_MANIFEST_DIR"), "statistics.json");
    let mut golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    serde_json::from_value(golden[kind].take()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Within 1e-9 of `expected`, relatively, or of `size` where that is more: what numbers are made of whose
/// difference it is.
fn assert_near(place: &str, found: f64, expected: &Value, size: f64) {
    let expected = expected.as_f64().unwrap();
    let error = (found - expected).abs() / expected.abs().max(size);
    assert!(found == expected || error <= 1e-9, "{place}: {found:e}, expected {expected:e}, error {error:e}");
}

#[test]
fn golden_samples() {
    for case in cases("one_sample") {
        let place = case["name"].as_str().unwrap();
        let values = numbers(&case["values"]);
        let spread = deviation(&values).unwrap();
        assert_near(place, mean(&values).unwrap(), &case["mean"], spread);
        assert_near(place, spread, &case["deviation"], 0.0);
        let found = interval(&values).unwrap();
        assert_near(place, found.low(), &case["interval"][0], spread);
        assert_near(place, found.high(), &case["interval"][1], spread);
    }
}

#[test]
fn golden_comparisons_with_one_row() {
    for case in cases("dunnett") {
        let comparisons = case["comparisons"].as_u64().unwrap() as usize;
        let of = Dunnett { comparisons, degrees: case["degrees"].as_f64().unwrap_or(f64::INFINITY) };
        assert_near(&case.to_string(), of.within(case["t"].as_f64().unwrap()), &case["within"], 1.0);
    }
}

#[test]
fn golden_tables_of_scores() {
    for case in cases("noise") {
        let rows: Vec<Vec<f64>> = case["rows"].as_array().unwrap().iter().map(numbers).collect();
        let noise = Noise::of(&rows).unwrap();
        for expected in case["contrasts"].as_array().unwrap() {
            let pair: [usize; 2] = serde_json::from_value(expected["rows"].clone()).unwrap();
            let found = noise.contrast(pair[0], pair[1]).unwrap();
            // Rounding of scores of about 80.
            assert_near("difference", found.difference, &expected["difference"], 1.0);
            assert_near("error", found.error, &expected["error"], 1.0);
            assert_near("degrees", found.degrees, &expected["degrees"], 1.0);
        }
    }
}

#[test]
fn golden_areas() {
    for case in cases("area") {
        let points: Vec<(f64, f64)> = serde_json::from_value(case["points"].clone()).unwrap();
        assert_near(&format!("{points:?}"), area(&points).unwrap(), &case["area"], 1.0);
    }
}

#[test]
fn golden_correlations() {
    for case in cases("correlation") {
        let pairs: Vec<(f64, f64)> = serde_json::from_value(case["pairs"].clone()).unwrap();
        assert_near(&format!("{pairs:?}"), correlation(&pairs).unwrap(), &case["correlation"], 1.0);
    }
}
