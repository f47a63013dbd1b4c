//! What the answer and the table say.

use super::*;

#[test]
fn one_seed_has_no_interval_and_no_winner() {
    let mut entries = runs(json!({"name": "none"}), 0.80, 0..1);
    entries.extend(runs(DECAY(), 0.88, 0..1));
    let entries = with_tests(entries);
    insta::assert_snapshot!("one_seed_table", table(&entries));
    insta::assert_snapshot!("one_seed_answer", answer(&entries));
    assert!(!rendered(&entries).summary.contains("**better"));
}

#[test]
fn a_row_of_diverged_runs_is_printed() {
    let mut entries = runs(json!({"name": "none"}), 0.86, 0..3);
    entries.iter_mut().for_each(diverge);
    insta::assert_snapshot!("diverged_table", table(&entries));
    insta::assert_snapshot!(answer(&entries), @"**Answer.** None: no setting finished all of its runs, so none could be selected.");
    assert!(rendered(&entries).figures.is_empty());
    entries.extend(runs(json!({"name": "wrs", "target": "unit"}), 0.89, 0..3));
    let entries = with_tests(entries);
    insta::assert_snapshot!(answer(&entries), @"**Answer.** Undecided, because only weight rescaling (`wrs`) has test scores: test top-1 % of weight rescaling (`wrs`) 88.28 ± 0.28.");
}

#[test]
fn what_is_decided_is_bold() {
    let mut entries = runs(json!({"name": "none"}), 0.80, 0..3);
    entries.extend(runs(DECAY(), 0.83, 0..3));
    entries.extend(runs(json!({"name": "wrs", "target": "unit"}), 0.89, 0..3));
    let entries = with_tests(entries);
    insta::assert_snapshot!("decided_answer", answer(&entries));
    let summary = rendered(&entries).summary;
    let row = summary.lines().find(|line| line.contains("[wrs]")).unwrap();
    assert!(
        row.starts_with("| [wrs](#row-3) | [88.28 ± 0.28](#setting-3-1) | [+5.") && row.contains("| **better** |"),
        "{row}"
    );
    assert_eq!((summary.matches("**better**").count(), summary.matches("**worse**").count()), (1, 1));
}

#[test]
fn where_lower_is_better_the_lowest_is_first() {
    let mut entries = runs(json!({"name": "none"}), 0.80, 0..3);
    entries.extend(runs(DECAY(), 0.83, 0..3));
    entries.extend(runs(json!({"name": "wrs", "target": "unit"}), 0.89, 0..3));
    for entry in &mut entries {
        entry.record.headline.higher_is_better = false;
        entry.record.headline.title = "mean absolute error".into();
        entry.record.headline.scale = 1.0;
    }
    let mut entries = with_tests(entries);
    let verdicts = |entries: &[Entry]| {
        let results = report::results(entries, &Protocol::inferred(entries));
        results["rows"].as_array().unwrap().iter().map(|row| row["verdict"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(verdicts(&entries), ["better", "reference", "worse"]);
    assert!(
        table(&entries).starts_with("method        test mean absolute error, lower is better"),
        "{}",
        table(&entries)
    );
    entries.retain(|entry| entry.record.spec.method["name"] != "weight-decay");
    assert_eq!(verdicts(&entries), ["—", "—"]);
    assert!(answer(&entries).starts_with("**Answer.** Undecided, because no `weight-decay` row has a chosen setting"));
}

#[test]
fn families_of_optimizers_have_references_and_plots_of_their_own() {
    let entries = fixture::families();
    let rendered = rendered(&entries);
    insta::assert_snapshot!("families_table", table(&entries));
    insta::assert_snapshot!("families_summary", rendered.summary);
    insta::assert_snapshot!("families_setup", rendered.setup);
    let svg = &rendered.figures["classification-accuracy-light.svg"];
    assert!(svg.contains(">validation top-1 %, sgd and sgdp</text>"));
    assert!(svg.contains(">validation top-1 %, adam, adamp and adamw</text>"));
    assert_eq!(rendered.figures["classification-norms-light.svg"].matches("<clipPath").count(), 4);
}

#[test]
fn a_family_without_weight_decay_is_compared_with_none() {
    let mut entries = fixture::families();
    entries.retain(|entry| {
        !(entry.record.spec.optimizer["name"] == "adamw" || entry.record.spec.optimizer["name"] == "adamp")
    });
    let summary = rendered(&entries).summary;
    assert!(
        summary.contains("- Rows of adam are not compared with weight decay: none of their `weight-decay` rows"),
        "{summary}"
    );
    let row = summary.lines().find(|line| line.contains("[wrs (adam, target unit)]")).unwrap();
    assert!(row.split(" | ").nth(2) == Some("—"), "{row}");
}
