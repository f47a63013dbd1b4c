//! Statistics against SciPy and statsmodels (tools/make_statistics_golden.py), and in simulations where
//! the truth is known.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rand_distr::{Distribution, Normal};
use record::statistics::{
    Interval, Profile, Welch, area, bootstrap, deviation, expected_best, holm, interval_at, mean, paired_t, profile,
    welch, wilcoxon,
};
use serde_json::Value;

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

fn assert_close(place: &str, found: f64, expected: &Value) {
    assert_near(place, found, expected, 0.0);
}

#[test]
fn golden_samples() {
    for case in cases("one_sample") {
        let place = case["name"].as_str().unwrap();
        let values = numbers(&case["values"]);
        let spread = deviation(&values).unwrap();
        assert_near(place, mean(&values).unwrap(), &case["mean"], spread);
        assert_close(place, spread, &case["deviation"]);
        for expected in case["intervals"].as_array().unwrap() {
            let found: Interval = interval_at(&values, expected[0].as_f64().unwrap()).unwrap();
            assert_near(&format!("{place}, {expected}"), found.low(), &expected[1], spread);
            assert_near(&format!("{place}, {expected}"), found.high(), &expected[2], spread);
        }
        assert_close(&format!("{place}, t"), paired_t(&values).unwrap(), &case["paired_t"]);
        assert_close(&format!("{place}, Wilcoxon"), wilcoxon(&values).unwrap(), &case["wilcoxon"]);
    }
}

#[test]
fn golden_pairs_of_samples() {
    for case in cases("two_samples") {
        let place = case["name"].as_str().unwrap();
        let (a, b) = (numbers(&case["a"]), numbers(&case["b"]));
        let Welch { statistic, degrees, p } = welch(&a, &b).unwrap();
        assert_close(place, statistic, &case["statistic"]);
        assert_close(place, degrees, &case["degrees"]);
        assert_close(place, p, &case["p"]);
    }
}

#[test]
fn golden_adjusted_ps() {
    for case in cases("holm") {
        let p = numbers(&case["p"]);
        let found = holm(&p);
        assert_eq!(found.len(), p.len());
        for (found, expected) in found.into_iter().zip(case["adjusted"].as_array().unwrap()) {
            assert_close(&format!("{p:?}"), found, expected);
        }
    }
}

/// Other random numbers than SciPy's: each end lies between its ends at 98 % and at 92 %. Where resamples have many
/// means, the mean of an end over seeds is that of 200 of SciPy's intervals, within five standard errors.
#[test]
fn golden_bootstraps() {
    const SEEDS: u64 = 40;
    for case in cases("bootstrap") {
        let values = numbers(&case["values"]);
        let (low, high): (Vec<f64>, Vec<f64>) = (0..SEEDS).map(|seed| bootstrap(&values, seed).unwrap()).unzip();
        for (found, expected) in [low, high].into_iter().zip(case["ends"].as_array().unwrap()) {
            let place = format!("{} {expected}", case["name"]);
            let [wide, narrow, centre, spread] =
                ["wide", "narrow", "mean", "deviation"].map(|key| expected[key].as_f64().unwrap());
            let rounding = 1e-9 * wide.abs();
            let range = wide.min(narrow) - rounding..=wide.max(narrow) + rounding;
            assert_eq!(found.iter().find(|end| !range.contains(*end)), None, "{place}");
            if values.len() >= 10 {
                let error = 5.0 * spread * (1.0 / SEEDS as f64 + 1.0 / 200.0).sqrt() + rounding;
                let found = mean(&found).unwrap();
                assert!((found - centre).abs() <= error, "{place}: {found}, expected {centre} ± {error}");
            }
        }
    }
}

#[test]
fn golden_searches() {
    for case in cases("expected_best") {
        let scores = numbers(&case["scores"]);
        let found = expected_best(&scores, case["higher_is_better"].as_bool().unwrap());
        assert_eq!(found.len(), scores.len());
        for expected in case["expected"].as_array().unwrap() {
            let k = expected[0].as_u64().unwrap() as usize;
            assert_close(&format!("{k} of {}", scores.len()), found[k - 1], &expected[1]);
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
fn golden_profiles() {
    for case in cases("profile") {
        let costs: Vec<Vec<Option<f64>>> = serde_json::from_value(case["costs"].clone()).unwrap();
        let found = profile(&costs);
        let expected = case["profiles"].as_array().unwrap();
        assert_eq!(found.len(), expected.len());
        for (Profile { steps, mean }, expected) in found.into_iter().zip(expected) {
            assert_near("mean", mean, &expected["mean"], 1.0);
            // The reference has a step wherever any method has one.
            for share in expected["shares"].as_array().unwrap() {
                let tau = share[0].as_f64().unwrap();
                let (_, found) = *steps.iter().rfind(|step| step.0 <= tau).unwrap();
                assert_near(&format!("share at {tau}"), found, &share[1], 1.0);
            }
        }
    }
}

/// p of comparisons of two methods over five seeds. Runs of a seed have noise in common, and noise of 0.3 of
/// their own; the first method is better by `effect`.
fn simulated(effect: f64) -> Vec<f64> {
    let noise = Normal::new(0.0, 0.3).unwrap();
    let p = |comparison| {
        let mut rng = random::stream(0, "simulated comparisons", &[comparison]);
        let difference = |_| {
            let common = 3.0 * noise.sample(&mut rng);
            let [ours, theirs] = [effect, 0.0].map(|score| 91.0 + score + common + noise.sample(&mut rng));
            ours - theirs
        };
        paired_t(&[0; 5].map(difference)).unwrap()
    };
    (0..2000).map(p).collect()
}

fn share_below(p: &[f64], threshold: f64) -> f64 {
    p.iter().filter(|p| **p < threshold).count() as f64 / p.len() as f64
}

/// The bounds are two standard errors of a share of 2,000 away from 5 %.
#[test]
fn equal_methods_seem_different_as_often_as_promised() {
    let share = share_below(&simulated(0.0), 0.05);
    assert!((0.04..=0.06).contains(&share), "{share}");
}

#[test]
fn a_planted_effect_is_found() {
    let p = simulated(1.0);
    let share = share_below(&p, 0.05);
    assert!(share > 0.95, "{share}");
    // Most would be found among ten comparisons, too.
    let adjusted: Vec<f64> = p.iter().map(|p| holm(&[&[*p][..], &[0.5; 9]].concat())[0]).collect();
    assert!((0.5..share).contains(&share_below(&adjusted, 0.05)));
}
