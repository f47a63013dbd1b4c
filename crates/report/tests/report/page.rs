//! The page of a report, that over all reports, and what programs get.

use super::*;
use report::overview;

#[test]
fn the_page_as_a_whole() {
    insta::assert_snapshot!("page", page(&fixture::entries()));
}

#[test]
fn the_table_for_a_terminal() {
    insta::assert_snapshot!("table", table(&fixture::entries()));
    assert_eq!(table(&[]), "no records\n");
}

/// Of scores that only some runs have, and of those of parts too.
#[test]
fn all_test_scores_are_in_the_appendix() {
    let mut entries = with_tests(runs(json!({"name": "wrs"}), 0.9, 0..2));
    assert!(!rendered(&entries).appendix.contains("All test scores"));
    let tests = entries.iter_mut().filter_map(|entry| entry.test.as_mut());
    for (scores, more) in
        tests.map(|test| &mut test.scores).zip([vec![("loss", 0.5), ("iou/car", 0.25)], vec![("loss", 0.25)]])
    {
        scores.clear();
        scores.insert("top1".into(), 0.875);
        scores.extend(more.into_iter().map(|(name, score)| (name.to_owned(), score)));
    }
    let appendix = rendered(&entries).appendix;
    let start = appendix.find("All test scores").unwrap();
    let table: Vec<&str> = appendix[start..].lines().filter(|line| line.starts_with('|')).take(5).collect();
    let expected = ["| score | wrs |", "|---|---|", "| iou/car | 0.2500 |", "| loss | 0.3750 |", "| top1 | 0.8750 |"];
    assert_eq!(table, expected);
}

/// Ranges are in the order of their numbers, and guesses stand beside the table.
#[test]
fn scores_of_guesses_and_of_ranges() {
    let mut entries = with_tests(runs(json!({"name": "wrs"}), 0.9, 0..2));
    assert!(!rendered(&entries).summary.contains("Guessing"));
    for test in entries.iter_mut().filter_map(|entry| entry.test.as_mut()) {
        let more = [("baseline/training mean", 0.125), ("baseline/most frequent class", 0.25)];
        let ranges = [("mae/100-299", 3.0), ("mae/10-29", 2.0), ("mae/0", 1.0)];
        test.scores.extend(more.into_iter().chain(ranges).map(|(name, score)| (name.to_owned(), score)));
    }
    let Rendered { summary, appendix, .. } = rendered(&entries);
    let note =
        "- Image-blind baselines have a test top-1 % of 25.0 by the most frequent class and 12.5 by the training mean.";
    assert!(summary.contains(note), "{summary}");
    let rows: Vec<&str> = appendix.lines().filter_map(|line| line.strip_prefix("| mae/")?.split(' ').next()).collect();
    assert_eq!(rows, ["0", "10-29", "100-299"]);
}

/// Where records say what is compared, the page is called so.
#[test]
fn the_title_of_a_page() {
    let mut entries = with_tests(runs(json!({"name": "wrs"}), 0.9, 0..2));
    let page = |entries: &[Entry]| splice(None, &rendered(entries)).unwrap();
    assert!(page(&entries).starts_with("# Classification\n"));
    for entry in &mut entries {
        entry.record.about.title = Some("Derived object counting".into());
    }
    assert!(page(&entries).starts_with("# Derived object counting\n"));
}

#[test]
fn the_order_of_entries_does_not_matter() {
    let entries = fixture::entries();
    let mut reversed = entries.clone();
    reversed.reverse();
    let mut doubled = reversed.clone();
    doubled.extend(entries.clone());
    assert_eq!(rendered(&reversed), rendered(&entries));
    assert_eq!(rendered(&doubled), rendered(&entries));
    assert_eq!(table(&reversed), table(&entries));
}

#[test]
fn one_digit_of_a_record_changes_the_page() {
    let entries = fixture::entries();
    let before = page(&entries);
    let tested = entries.iter().position(|entry| entry.test.is_some()).unwrap();
    let mut changed = entries.clone();
    *changed[tested].test.as_mut().unwrap().scores.get_mut("top1").unwrap() += 0.001;
    assert_ne!(page(&changed), before);
    let mut changed = entries.clone();
    *changed[tested].record.epochs.last_mut().unwrap().validation.get_mut("top1").unwrap() += 0.001;
    assert_ne!(page(&changed), before);
    let mut changed = entries.clone();
    changed[tested].record.seconds.update += 1.0;
    assert_ne!(page(&changed), before);
    // What no table shows.
    let mut changed = entries.clone();
    changed[1].record.norms[3].gradient_norm += 1e-12;
    assert_ne!(page(&changed), before);
}

#[test]
fn no_entries_are_an_error_that_says_what_to_do() {
    let error = render("classification", COMMAND, &[], &Protocol::default(), &[]).unwrap_err();
    insta::assert_snapshot!(error, @r"
    expected at least one record to report on in `classification`, found none
      hint: train some runs with `cargo xtask bench classification`
    ");
}

#[test]
fn records_of_other_settings_are_left_out_and_named() {
    let mut entries = fixture::entries();
    let mut others = runs(json!({"name": "none"}), 0.5, 0..2);
    for other in &mut others {
        other.record.spec.train.insert("epochs".into(), json!(2));
        other.record.id = record::RunId::new("classification", 1, "", &other.record.spec);
    }
    let alone = rendered(&entries);
    entries.extend(others);
    let both = rendered(&entries);
    assert!(
        both.summary.contains("- Left out: 2 records made with train.epochs 2 instead of 30.\n"),
        "{}",
        both.summary
    );
    let without_digest = |appendix: &str| appendix.split_once("Digest of all records").unwrap().0.to_owned();
    assert_eq!(without_digest(&both.appendix), without_digest(&alone.appendix));
}

#[test]
fn mixed_provenance_is_said() {
    let mut entries = fixture::entries();
    entries[0].record.provenance.commit = "fedcba9876543210+changes".into();
    entries[0].record.provenance.threads = 8;
    let rendered = rendered(&entries);
    assert!(rendered.summary.contains("2 commits ([provenance](#provenance)), 2 kinds of host"));
    assert!(rendered.limits.contains("several commits of the code") && rendered.limits.contains("several hosts"));
    assert!(rendered.appendix.contains("| `fedcba9876+changes` | AMD EPYC 9R14 | avx512 | 8 |"));
}

#[test]
fn records_cannot_inject_markup() {
    let mut entries = runs(json!({"name": "none"}), 0.86, 0..1);
    entries[0].record.about.model = "<!-- END: summary -->\n<!-- END: summary -->".into();
    let page = page(&entries);
    assert_eq!(page.matches("<!-- END: summary -->").count(), 1);
    assert_eq!(splice(Some(&page), &rendered(&entries)).unwrap(), page);
}

#[test]
fn prose_between_the_blocks_is_kept() {
    let entries = fixture::entries();
    let written = page(&entries)
        .replace("# Classification\n", "# Our title\n\nHand-written.\n")
        .replace("## Appendix\n", "## Appendix\n\nMore prose.\n");
    let mut old = rendered(&entries);
    old.summary = "old\n".into();
    old.command = "old command".into();
    let stale = splice(Some(&written), &old).unwrap();
    assert_ne!(stale, written);
    assert!(stale.contains("Hand-written.") && stale.contains("More prose."));
    assert_eq!(splice(Some(&stale), &rendered(&entries)).unwrap(), written);
}

#[test]
fn broken_markers_are_errors_with_their_line() {
    let rendered = rendered(&fixture::entries());
    let good = splice(None, &rendered).unwrap();
    let error = |from: &str, to: &str| splice(Some(&good.replace(from, to)), &rendered).unwrap_err().to_string();
    insta::assert_snapshot!(error("<!-- END: summary -->", ""), @r"
    classification.md, line 47: expected the end of block `summary`, found the beginning of `setup`
      hint: add `<!-- END: summary -->` above
    ");
    insta::assert_snapshot!(error("<!-- BEGIN: summary —", "<!-- BEGIN: sumary —"), @r"
    classification.md, line 3: expected one of the blocks `summary`, `setup`, `limits`, `appendix`, found `sumary`
      hint: correct or remove the marker
    ");
    insta::assert_snapshot!(error("<!-- BEGIN: setup —", "<!-- BEGIN: summary —"), @r"
    classification.md, line 47: expected block `summary` once, found it again
      hint: remove one of the two
    ");
    insta::assert_snapshot!(error("<!-- BEGIN: limits —", "<!-- gone —"), @r"
    classification.md, line 96: expected no end of block `limits`, which is not open here
      hint: remove the line or add `<!-- BEGIN: limits -->` above
    ");
    assert!(
        splice(Some("# Page\n"), &rendered).unwrap_err().to_string().contains("expected block `summary`, found none")
    );
    let cut = good.trim_end().strip_suffix("<!-- END: appendix -->").unwrap();
    assert!(splice(Some(cut), &rendered).unwrap_err().to_string().contains("found the end of the page"));
}

/// The same rows in the page over all reports and on the project's own page, and nothing where that has no place for them.
#[test]
fn the_page_over_all_reports() {
    let (one, mut other) = (fixture::entries(), fixture::families());
    for entry in &mut other {
        entry.record.about.title = Some("Derived | classification".into());
    }
    let [of_one, of_other] = [&one, &other].map(|entries| protocol(entries));
    let overview = |one| {
        overview(
            &[("classification", one, &of_one), ("empty", &[], &of_one), ("families", &other, &of_other)],
            "differences",
        )
    };
    let changed_later = &overview;
    let overview = changed_later(&one);
    let page = overview.splice(None).unwrap();
    insta::assert_snapshot!("overview", page);
    assert_eq!(overview.splice(Some(&page.replace("wrs", "www"))).unwrap(), page);
    let names: Vec<&String> = overview.figures.keys().collect();
    assert_eq!(names, ["differences-dark.svg", "differences-light.svg"]);
    insta::assert_snapshot!("overview_forest", overview.figures["differences-dark.svg"]);

    assert_eq!(overview.splice_results("# Project\n").unwrap(), "# Project\n");
    let own = "# Project\n\n<!-- BEGIN: finding -->\nold\n<!-- END: finding -->\n\n<!-- BEGIN: results -->\nold\n<!-- END: results -->\n\nMore.\n";
    let own = overview.splice_results(own).unwrap();
    assert!(own.starts_with("# Project\n") && own.ends_with("\nMore.\n") && !own.contains("\nold\n"), "{own}");
    for expected in ["](reports/classification.md#row-4)", "](docs/reports.md)", "**Compared with weight decay**, "] {
        assert!(own.contains(expected), "{own}");
    }
    assert!(overview.splice_results("<!-- BEGIN: results -->\n").is_err());

    let mut changed = one.clone();
    let tested = changed.iter_mut().find_map(|entry| entry.test.as_mut()).unwrap();
    *tested.scores.get_mut("top1").unwrap() += 0.001;
    assert_ne!(changed_later(&changed).splice(None).unwrap(), page);
}

#[test]
fn results_are_data() {
    let entries = fixture::entries();
    let results = results(&entries);
    let rows = results["rows"].as_array().unwrap();
    let of = |method: &str| rows.iter().find(|row| row["label"] == method).unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows.iter().filter(|row| row["verdict"] == "reference").count(), 1);
    let difference = &of("none")["against_weight_decay"];
    assert!(difference["p"].as_f64().unwrap() < 0.05 && of("none")["verdict"] == "worse", "{difference}");
    assert!(of("wrs")["test"]["by_seed"].as_object().unwrap().len() == 3);
    assert!(results["answer"].as_str().unwrap().contains("`none`"));
    assert_eq!(report::results(&[], &Protocol::default()), json!(null));
}
