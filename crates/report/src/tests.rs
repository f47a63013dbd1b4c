mod verdicts;

use super::ranking::Verdict;
use super::*;
use crate::fixture::{self, Made, diverge, entry};
use serde_json::json;

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
    super::table(entries, &protocol(entries))
}

fn page(entries: &[Entry]) -> String {
    splice(None, &rendered(entries)).unwrap()
}

fn answer(entries: &[Entry]) -> String {
    let summary = rendered(entries).summary;
    summary.lines().find(|line| line.starts_with("**Answer.**")).unwrap().to_owned()
}

/// Runs of `method` which reaches `reaches`, one for each of `seeds`.
fn runs(method: serde_json::Value, reaches: f64, seeds: std::ops::Range<u64>) -> Vec<Entry> {
    let made = Made { optimizer: fixture::sgd(), method, reaches, norm: 1.0, micros: 10.0 };
    seeds.map(|seed| entry(&made, seed)).collect()
}

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
fn the_figures() {
    let figures = rendered(&fixture::entries()).figures;
    let names: Vec<&str> = figures.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "classification-accuracy-dark.svg",
            "classification-accuracy-light.svg",
            "classification-forest-dark.svg",
            "classification-forest-light.svg",
            "classification-norms-dark.svg",
            "classification-norms-light.svg",
            "classification-rates-dark.svg",
            "classification-rates-light.svg",
            "classification-sensitivity-dark.svg",
            "classification-sensitivity-light.svg"
        ]
    );
    insta::assert_snapshot!("forest", figures["classification-forest-light.svg"]);
    insta::assert_snapshot!("rates", figures["classification-rates-light.svg"]);
    insta::assert_snapshot!("accuracy", figures["classification-accuracy-light.svg"]);
    insta::assert_snapshot!("sensitivity", figures["classification-sensitivity-light.svg"]);
    for svg in figures.values() {
        assert!(svg.contains("<title id=\"title\">") && svg.contains("<desc id=\"desc\">"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
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

const DECAY: fn() -> serde_json::Value = || json!({"name": "weight-decay", "scope": "everything", "strength": 5e-4});

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
        let protocol = Protocol::inferred(entries);
        let comparison = Comparison::of(entries, &protocol).unwrap();
        Ranking::of(&comparison, &protocol).lines.iter().map(|line| line.verdict).collect::<Vec<_>>()
    };
    assert_eq!(verdicts(&entries), [Verdict::Better, Verdict::Reference, Verdict::Worse]);
    assert!(
        table(&entries).starts_with("method        test mean absolute error, lower is better"),
        "{}",
        table(&entries)
    );
    entries.retain(|entry| entry.record.spec.method["name"] != "weight-decay");
    assert_eq!(verdicts(&entries), [Verdict::Unknown, Verdict::Unknown]);
    assert!(answer(&entries).starts_with("**Answer.** Undecided, because no `weight-decay` row has a chosen setting"));
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
fn of_many_rows_the_best_are_drawn() {
    let mut entries = Vec::new();
    for (i, name) in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].iter().enumerate() {
        entries.extend(runs(json!({"name": name}), 0.8 + 0.01 * i as f64, 0..2));
    }
    let rendered = rendered(&entries);
    assert!(!rendered.figures.contains_key("classification-forest-light.svg"), "nothing to compare with");
    for svg in rendered.figures.values() {
        assert!(svg.contains(">j</text>") && svg.contains(">c</text>"));
        assert!(!svg.contains(">b</text>") && !svg.contains(">a</text>"));
    }
    let text = rendered.summary + &rendered.appendix;
    assert_eq!(text.matches("Only the best 8 rows are drawn, without b and a.").count(), 3);
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

/// Records that end at 100 %, of a task whose loss is zero, and of weights that do not move.
#[test]
fn flat_curves_are_drawn_flat() {
    let mut entries = fixture::families();
    for entry in &mut entries {
        for row in &mut entry.record.epochs {
            (row.train_loss, row.validation_loss) = (0.0, Some(0.0));
            row.validation.insert("top1".into(), 1.0);
        }
        for row in &mut entry.record.norms {
            (row.filter_norm_median, row.effective_lr, row.rotation) = (1.0, 0.0, 0.0);
        }
        for score in entry.test.iter_mut().flat_map(|test| test.scores.values_mut()) {
            *score = 1.0;
        }
    }
    let rendered = rendered(&entries);
    assert!(rendered.figures.values().all(|svg| !svg.contains("NaN") && !svg.contains("inf")));
    assert!(rendered.summary.contains("| **equivalent** |"), "{}", rendered.summary);
}

#[test]
fn one_epoch_is_a_dot_on_an_axis_of_whole_epochs() {
    let mut entries = fixture::entries();
    entries.iter_mut().for_each(|entry| entry.record.epochs.truncate(1));
    let figures = rendered(&entries).figures;
    let svg = &figures["classification-accuracy-light.svg"];
    assert_eq!(svg.matches("<circle").count(), 3);
    assert!(svg.contains(">1</text>") && !svg.contains(">1.0</text>") && !svg.contains("NaN"), "{svg}");
}

#[test]
fn a_sheet_of_the_first_row_is_shown_and_no_other() {
    let entries = fixture::entries();
    let pictured = |entries: &[Entry]| super::pictured(entries, &protocol(entries));
    let id = pictured(&entries).unwrap();
    let first = entries.iter().find(|entry| entry.record.id == id).unwrap();
    assert_eq!(first.record.spec.seed, 0);
    let with = |sheets: &[String], entries: &[Entry]| {
        render("classification", COMMAND, entries, &protocol(entries), sheets).unwrap()
    };
    let of_first = sheet("classification", &id);
    let of_none = "classification-pictures-0123456789abcdef.png".to_owned();
    let without = rendered(&entries);
    assert_eq!(without.sheet, None);
    assert_eq!(with(std::slice::from_ref(&of_none), &entries), without);

    let shown = with(&[of_none.clone(), of_first.clone()], &entries);
    assert_eq!(shown.sheet.as_ref(), Some(&of_first));
    let section = shown.summary.strip_prefix(without.summary.trim_end()).unwrap();
    insta::assert_snapshot!(section.replace(id.as_str(), "ID"));
    assert!(shown.appendix.contains(&format!("<a id=\"run-{id}\"></a>")), "the link leads nowhere");
    // Of another seed, where the lowest has none; of an older record, without the legend.
    let same_row = |entry: &&Entry| entry.record.spec.method == first.record.spec.method;
    let other = entries.iter().filter(same_row).find(|entry| entry.record.spec.seed == 1).unwrap();
    let mut old = entries.clone();
    old.iter_mut().for_each(|entry| entry.record.about.pictures = None);
    let shown = with(&[sheet("classification", &other.record.id)], &old).summary;
    assert!(shown.contains(", seed 1. They are") && shown.ends_with("were not selected.\n"), "{shown}");

    let mut none: Vec<Entry> = runs(json!({"name": "none"}), 0.86, 0..3);
    none.iter_mut().for_each(diverge);
    assert_eq!((pictured(&none), pictured(&[])), (None, None));
}

#[test]
fn a_sheet_is_known_by_its_name() {
    assert!(is_sheet("a", &sheet("a", &fixture::entries()[0].record.id)));
    assert!(is_sheet("a-b", "a-b-pictures-0123456789abcdef.png"));
    for other in ["a-pictures-1.png", "a-b-pictures-0123456789abcdef.png", "a-pictures-0123456789abcdef.svg"] {
        assert!(!is_sheet("a", other));
    }
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
    let results = results(&entries, &protocol(&entries));
    let rows = results["rows"].as_array().unwrap();
    let of = |method: &str| rows.iter().find(|row| row["label"] == method).unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows.iter().filter(|row| row["verdict"] == "reference").count(), 1);
    let difference = &of("none")["against_weight_decay"];
    assert!(difference["p"].as_f64().unwrap() < 0.05 && of("none")["verdict"] == "worse", "{difference}");
    assert!(of("wrs")["test"]["by_seed"].as_object().unwrap().len() == 3);
    assert!(results["answer"].as_str().unwrap().contains("`none`"));
    assert_eq!(super::results(&[], &Protocol::default()), json!(null));
}

#[test]
fn figures_are_known_by_their_names() {
    assert!(is_figure("classification", "classification-rates-dark.svg"));
    let others = ["classification-cifar10-rates-dark.svg", "classification-rates.svg", "differences-dark.svg"];
    assert!(others.iter().all(|file| !is_figure("classification", file)));
}
