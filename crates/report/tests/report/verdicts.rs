//! Which verdicts rows get, and what a comparison must have for one.

use super::*;

#[test]
fn there_is_no_verdict_from_an_edge() {
    let mut entries = runs(json!({"name": "weight-decay", "strength": 5e-4}), 0.8, 10..12);
    entries.extend(runs(json!({"name": "weight-decay", "strength": 0.02}), 0.9, 10..12));
    entries.extend(runs(json!({"name": "weight-decay", "strength": 0.02}), 0.9, 0..3));
    entries.extend(runs(json!({"name": "none"}), 0.7, 0..3));
    entries.extend(runs(json!({"name": "none"}), 0.7, 10..12));
    let entries = with_tests(entries);
    let summary = rendered(&entries).summary;
    assert!(summary.contains("| undecided (edge) |") && !summary.contains("**worse**"), "{summary}");
    let note = "- `none` is undecided (edge): `weight-decay`: strength 0.02 is the largest tried.";
    assert!(summary.contains(note), "{summary}");
    assert!(
        answer(&entries).contains("weight decay's best setting is at an edge (strength 0.02 is the largest tried)")
    );
    assert_eq!(verdicts(&entries), [("none".to_owned(), "undecided (edge)".to_owned())]);
}

/// Each by itself makes the answer one on the comparison.
#[test]
fn what_a_comparison_of_regularizers_needs() {
    let entries = || {
        let mut entries = runs(DECAY(), 0.83, 0..3);
        entries.extend(runs(json!({"name": "none"}), 0.80, 0..3));
        with_tests(entries)
    };
    assert!(answer(&entries()).starts_with("**Answer.** No decay (`none`) ("), "{}", answer(&entries()));
    let mut short = entries();
    short.iter_mut().for_each(|entry| entry.record.decay_efolds = Some(0.5));
    let unable = "**Answer.** This comparison says nothing about regularizers, because ";
    let expected = format!(
        "{unable}the training has only 0.500 e-folding times of weight decay; as far as it goes, no decay (`none`) ("
    );
    assert!(answer(&short).starts_with(&expected), "{}", answer(&short));
    let mut fits = entries();
    fits.iter_mut().for_each(|entry| entry.record.epochs.last_mut().unwrap().train_loss = 0.2);
    assert!(
        answer(&fits).starts_with(&format!("{unable}nothing overfits (training loss 0.200, validation loss 0.237)")),
        "{}",
        answer(&fits)
    );
    let mut old = entries();
    for entry in &mut old {
        entry.record.decay_efolds = None;
        let last = entry.record.epochs.last_mut().unwrap();
        (last.validation_loss, last.validation) = (None, [("top1".to_owned(), last.validation["top1"])].into());
    }
    assert!(answer(&old).starts_with("**Answer.** No decay (`none`) ("), "what is not known is not held against it");
    assert_eq!(rendered(&old).summary.matches("| — |\n").count(), 3);
}

#[test]
fn collapsed_filters_are_an_outcome_of_their_own() {
    let appendix = rendered(&fixture::entries()).appendix;
    assert!(
        appendix.contains("| 12 % of filters collapsed | ") || appendix.contains("12 % of filters collapsed"),
        "{appendix}"
    );
    let row = appendix
        .lines()
        .find(|line| line.starts_with("| [weight-decay (scope everything)](#setting-2-2) | 0.0"))
        .unwrap();
    assert!(row.ends_with("| 1/9 | 1/9 |"), "{row}");
}

/// Tested records of `rows` with five seeds: normal noise of deviation 0.2 points of its own, and 0.5 that a seed has in common;
/// each row is better by its number of points.
fn simulated(table: u64, rows: &[(&str, f64)]) -> Vec<Entry> {
    use rand_distr::{Distribution, StandardNormal};
    let normal =
        |purpose: &str, path: &[u64]| -> f64 { StandardNormal.sample(&mut random::stream(table, purpose, path)) };
    let mut entries = Vec::new();
    for (number, (name, points)) in (0..).zip(rows) {
        for mut entry in runs(json!({"name": name}), 0.8, 0..5) {
            let seed = entry.record.spec.seed;
            let score = 80.0 + points + 0.5 * normal("seed", &[seed]) + 0.2 * normal("run", &[number, seed]);
            entry.record.epochs.last_mut().unwrap().validation.insert("top1".into(), score / 100.0);
            entries.push(entry);
        }
    }
    let mut entries = with_tests(entries);
    for entry in &mut entries {
        let score = entry.record.epochs.last().unwrap().validation["top1"];
        entry.test.as_mut().unwrap().scores.insert("top1".into(), score);
    }
    entries
}

/// The verdict on each row that is no reference, by method.
fn verdicts(entries: &[Entry]) -> Vec<(String, String)> {
    let results = results(entries);
    let rows = results["rows"].as_array().unwrap().iter().filter(|row| row["verdict"] != "reference");
    rows.map(|row| (row["method"].as_str().unwrap().to_owned(), row["verdict"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn planted_effects_are_found() {
    let rows = [("weight-decay", 0.0), ("wrs", -1.5), ("none", 0.0), ("weight-standardization", 1.5)];
    let mut found = std::collections::BTreeMap::<String, usize>::new();
    for table in 0..20 {
        let verdicts = verdicts(&simulated(table, &rows));
        let of = |method: &str| verdicts.iter().find(|(name, _)| name == method).unwrap().1.clone();
        for (method, expected) in [("wrs", "worse"), ("weight-standardization", "better")] {
            assert_eq!(of(method), expected, "{method} in table {table}");
        }
        *found.entry(of("none")).or_default() += 1;
    }
    assert!(found["equivalent"] >= 10 && found.keys().len() <= 2, "{found:?}");
}

/// What a verdict rests on is what the table and the figure show.
#[test]
fn verdicts_follow_from_intervals() {
    for table in 0..40 {
        let rows = [("weight-decay", 0.0), ("wrs", -0.4), ("none", 0.1), ("weight-standardization", 0.4)];
        let entries = simulated(table, &rows);
        for row in results(&entries)["rows"].as_array().unwrap() {
            let difference = &row["against_weight_decay"];
            let Some(low) = difference["interval"]["low"].as_f64() else { continue };
            let (high, p) = (difference["interval"]["high"].as_f64().unwrap(), difference["p"].as_f64().unwrap());
            let inside = -0.5 <= low && high <= 0.5;
            let has_zero = low <= 0.0 && 0.0 <= high;
            assert_eq!(has_zero, p >= 0.05, "table {table}: p {p}");
            assert!(match row["verdict"].as_str().unwrap() {
                "equivalent" => inside,
                "undecided" => has_zero && !inside,
                "better" => low > 0.0 && !inside,
                "worse" => high < 0.0 && !inside,
                _ => false,
            });
            // A difference of the margin at least is to be found.
            assert!(difference["seeds_that_would_decide"].as_u64().is_some_and(|seeds| seeds < 20), "{difference}");
        }
    }
}

#[test]
fn a_matched_row_is_no_part_of_the_search() {
    let mut entries = fixture::entries();
    let mut matched = runs(fixture::made()[1].method.clone(), 0.88, 0..3);
    for entry in &mut matched {
        entry.record.spec.optimizer.insert("lr".into(), json!(0.31));
        entry.record.id = record::RunId::new("classification", 1, "", &entry.record.spec);
    }
    let protocol =
        Protocol { matched: matched.iter().map(|entry| entry.record.id.clone()).collect(), ..protocol(&entries) };
    entries.extend(matched);
    let summary = render("classification", COMMAND, &entries, &protocol, &[]).unwrap().summary;
    assert!(
        summary.contains("| [wrs (lr matched)](#row-4) |") && summary.contains("lr 0.31, not searched"),
        "{summary}"
    );
    assert!(summary.contains("Nothing was searched for `wrs (lr matched)`"), "{summary}");
}

#[test]
fn stopped_trials_are_declared() {
    let mut entries = fixture::entries();
    let decays = entries.iter_mut().filter(|entry| entry.record.spec.method.get("strength") == Some(&json!(1e-4)));
    for entry in decays {
        entry.record.spec.train.insert("stop_after".into(), json!(3));
        entry.record.id = record::RunId::new("classification", 1, "", &entry.record.spec);
    }
    let Rendered { summary, appendix, .. } = rendered(&entries);
    assert!(
        summary.contains("; **successive halving** stopped the worse ones after 3 epochs; validation selected."),
        "{summary}"
    );
    assert!(summary.contains("(best of 3)"), "what was stopped was tried: {summary}");
    assert_eq!(appendix.matches("(stopped after 3 epochs)").count(), 4);
    assert!(appendix.contains("| — | — | stopped | "), "{appendix}");
}

/// Of two seeds the spread is a guess.
#[test]
fn two_seeds_decide_nothing() {
    let mut entries = runs(json!({"name": "none"}), 0.70, 0..2);
    entries.extend(runs(DECAY(), 0.88, 0..2));
    let entries = with_tests(entries);
    let expected = "**Answer.** Undecided, because with fewer than 3 seeds in common";
    assert!(answer(&entries).starts_with(expected), "{}", answer(&entries));
    assert_eq!(verdicts(&entries), [("none".to_owned(), "—".to_owned())]);
}

#[test]
fn without_test_records_there_is_no_answer_yet() {
    let mut entries = fixture::entries();
    entries.iter_mut().for_each(|entry| entry.test = None);
    assert!(answer(&entries).starts_with("**Answer.** None yet: there are no test scores."), "{}", answer(&entries));
    let summary = rendered(&entries).summary;
    assert!(summary.contains("`wrs`: 3 of 3 runs of the chosen setting have no test record"), "{summary}");
}

#[test]
fn one_missing_test_record_empties_the_cell_and_is_said() {
    let mut entries = fixture::entries();
    let run = entries.iter_mut().find(|entry| entry.test.is_some() && entry.record.spec.method["name"] == "wrs");
    run.unwrap().test = None;
    let summary = rendered(&entries).summary;
    assert!(summary.contains("| [wrs](#row-4) | — | — | — |"), "{summary}");
    assert!(summary.contains("`wrs`: 1 of 3 runs of the chosen setting has no test record"), "{summary}");
}

#[test]
fn test_scores_of_other_weights_do_not_count() {
    let mut entries = fixture::entries();
    for entry in entries.iter_mut().filter(|entry| entry.record.spec.method["name"] == "wrs") {
        entry.record.weights.push('x');
    }
    assert!(rendered(&entries).summary.contains("| [wrs](#row-4) | — | — | — |"));
}
