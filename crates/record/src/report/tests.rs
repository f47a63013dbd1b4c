use super::ranking::Standing;
use super::*;
use crate::fixture::{self, Made, diverge, entry, with_tests};
use serde_json::json;

const COMMAND: &str = "cargo xtask report classification";

fn rendered(entries: &[Entry]) -> Rendered {
    render("classification", COMMAND, entries, &[]).unwrap()
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
    let note = "- Guessing without a look at the image has a test top-1 % of 25.0 by the most frequent class and 12.5 by the training mean.";
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
            "classification-norms-dark.svg",
            "classification-norms-light.svg",
            "classification-search-dark.svg",
            "classification-search-light.svg",
            "classification-sensitivity-dark.svg",
            "classification-sensitivity-light.svg"
        ]
    );
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
    let error = render("classification", COMMAND, &[], &[]).unwrap_err();
    insta::assert_snapshot!(error, @r"
    expected at least one record to report on in `classification`, found none
      hint: train some runs with `cargo xtask bench classification`
    ");
}

#[test]
fn one_seed_has_no_interval_and_no_winner() {
    let mut entries = runs(json!({"name": "none"}), 0.80, 0..1);
    entries.extend(runs(json!({"name": "weight-decay", "scope": "everything", "strength": 5e-4}), 0.88, 0..1));
    let entries = with_tests(entries);
    insta::assert_snapshot!(table(&entries), @r"
    rank  method        test top-1 %  vs weight decay (paired, Holm)  p (Holm)  chosen                                  update per step  diverged
    —     weight-decay  88.0 ± —      reference                       —         strength 5e-4, lr 0.1 (only one tried)  1.4 % (430 µs)   0/1
    —     none          79.8 ± —      —                               —         lr 0.1 (only one tried)                 1.4 % (430 µs)   0/1

    - One seed, 0: there are no intervals, and no row can be called better.
    - Nothing was searched: each row has one setting. The test split is read for the runs of chosen settings only.
    ");
    insta::assert_snapshot!(answer(&entries), @"**Answer.** Undecided: with fewer than 3 seeds in common, a difference cannot be told from noise. Test top-1 %: `weight-decay` 88.0 ± — and `none` 79.8 ± —.");
    assert!(!rendered(&entries).summary.contains("**["));
}

#[test]
fn a_row_of_diverged_runs_is_printed() {
    let mut entries = runs(json!({"name": "none"}), 0.86, 0..3);
    entries.iter_mut().for_each(diverge);
    insta::assert_snapshot!(table(&entries), @r"
    rank  method  test top-1 %  vs weight decay (paired, Holm)  p (Holm)  chosen             update per step  diverged
    —     none    —             —                               —         none of 1 setting  —                3/3

    - Nothing was searched: each row has one setting. The test split is read for the runs of chosen settings only.
    - No `weight-decay` row has a chosen setting, so nothing is compared with it.
    - `none` has no setting whose runs all finished, so none is chosen.
    ");
    insta::assert_snapshot!(answer(&entries), @"**Answer.** None: no setting has finished runs only, so none could be chosen.");
    assert!(rendered(&entries).figures.is_empty());
    entries.extend(runs(json!({"name": "wrs", "target": "unit"}), 0.89, 0..3));
    let entries = with_tests(entries);
    insta::assert_snapshot!(answer(&entries), @"**Answer.** No comparison: only one row has test scores, `wrs` 88.28 ± 0.28 test top-1 %.");
}

#[test]
fn what_is_better_beyond_noise_is_bold() {
    let mut entries = runs(json!({"name": "none"}), 0.80, 0..3);
    entries.extend(runs(json!({"name": "weight-decay", "scope": "everything", "strength": 5e-4}), 0.83, 0..3));
    entries.extend(runs(json!({"name": "wrs", "target": "unit"}), 0.89, 0..3));
    let entries = with_tests(entries);
    insta::assert_snapshot!(answer(&entries), @"**Answer.** Better than weight decay in test top-1 %, beyond noise: `wrs` +5.64 [+4.65, +6.63] (p 0.002). Worse: `none` −2.98 [−3.40, −2.56] (p 0.002). `wrs` 88.28 ± 0.28 is best, beyond noise of every other row. This holds for this model, data and length of training, from 3 seeds.");
    let summary = rendered(&entries).summary;
    let row = summary.lines().find(|line| line.contains("[wrs]")).unwrap();
    assert!(row.starts_with("| [1](#pairs) | **[wrs](#row-3)** | [88.28 ± 0.28](#setting-3-1) | **[+5.64 "), "{row}");
    assert_eq!(summary.matches("**[").count(), 2);
}

#[test]
fn where_lower_is_better_the_lowest_is_first() {
    let mut entries = runs(json!({"name": "none"}), 0.80, 0..3);
    entries.extend(runs(json!({"name": "wrs", "target": "unit"}), 0.89, 0..3));
    for entry in &mut entries {
        entry.record.headline.higher_is_better = false;
        entry.record.headline.title = "mean absolute error".into();
        entry.record.headline.scale = 1.0;
    }
    let entries = with_tests(entries);
    insta::assert_snapshot!(answer(&entries), @"**Answer.** `none` 0.7966 ± 0.0046 is best, beyond noise of every other row. Not compared with weight decay: `none` 0.7966 ± 0.0046 and `wrs` 0.8828 ± 0.0028. This holds for this model, data and length of training, from 3 seeds.");
    assert!(table(&entries).starts_with("rank  method  test mean absolute error, lower is better"));
}

#[test]
fn without_test_records_there_is_no_answer_yet() {
    let mut entries = fixture::entries();
    entries.iter_mut().for_each(|entry| entry.test = None);
    insta::assert_snapshot!(answer(&entries), @"**Answer.** None yet: there are no test scores. On validation, which chose the settings and so flatters them, `weight-decay (scope scale-invariant)` is first with 88.97 ± 0.36 top-1 %.");
    let summary = rendered(&entries).summary;
    assert!(summary.contains("`wrs`: 3 of 3 runs of the chosen setting have no test record"), "{summary}");
}

#[test]
fn one_missing_test_record_empties_the_cell_and_is_said() {
    let mut entries = fixture::entries();
    let run = entries.iter_mut().find(|entry| entry.test.is_some() && entry.record.spec.method["name"] == "wrs");
    run.unwrap().test = None;
    let summary = rendered(&entries).summary;
    assert!(summary.contains("| — | [wrs](#row-4) | — | — | — |"), "{summary}");
    assert!(summary.contains("`wrs`: 1 of 3 runs of the chosen setting has no test record"), "{summary}");
}

#[test]
fn test_scores_of_other_weights_do_not_count() {
    let mut entries = fixture::entries();
    for entry in entries.iter_mut().filter(|entry| entry.record.spec.method["name"] == "wrs") {
        entry.record.weights.push('x');
    }
    assert!(rendered(&entries).summary.contains("| — | [wrs](#row-4) | — | — | — |"));
}

#[test]
fn records_of_other_settings_are_left_out_and_named() {
    let mut entries = fixture::entries();
    let mut others = runs(json!({"name": "none"}), 0.5, 0..2);
    for other in &mut others {
        other.record.spec.train.insert("epochs".into(), json!(2));
        other.record.id = crate::RunId::new("classification", 1, "", &other.record.spec);
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
    for svg in rendered.figures.values() {
        assert!(svg.contains(">j</text>") && svg.contains(">c</text>"));
        assert!(!svg.contains(">b</text>") && !svg.contains(">a</text>"));
    }
    assert_eq!(rendered.summary.matches("Only the best 8 rows are drawn, without b and a.").count(), 2);
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
    assert!(summary.contains("- Rows of adam are not compared with weight decay: no `weight-decay` row"), "{summary}");
    let row = summary.lines().find(|line| line.contains("[wrs (adam, target unit)]")).unwrap();
    assert!(row.split(" | ").nth(3) == Some("—"), "{row}");
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
    classification.md, line 53: expected the end of block `summary`, found the beginning of `setup`
      hint: add `<!-- END: summary -->` above
    ");
    insta::assert_snapshot!(error("<!-- BEGIN: summary —", "<!-- BEGIN: sumary —"), @r"
    classification.md, line 3: expected one of the blocks `summary`, `setup`, `limits`, `appendix`, found `sumary`
      hint: correct or remove the marker
    ");
    insta::assert_snapshot!(error("<!-- BEGIN: setup —", "<!-- BEGIN: summary —"), @r"
    classification.md, line 53: expected block `summary` once, found it again
      hint: remove one of the two
    ");
    insta::assert_snapshot!(error("<!-- BEGIN: limits —", "<!-- gone —"), @r"
    classification.md, line 102: expected no end of block `limits`, which is not open here
      hint: remove the line or add `<!-- BEGIN: limits -->` above
    ");
    assert!(
        splice(Some("# Page\n"), &rendered).unwrap_err().to_string().contains("expected block `summary`, found none")
    );
    let cut = good.trim_end().strip_suffix("<!-- END: appendix -->").unwrap();
    assert!(splice(Some(cut), &rendered).unwrap_err().to_string().contains("found the end of the page"));
}

#[test]
fn a_choice_at_the_edge_of_what_was_tried_is_said() {
    let mut entries = runs(json!({"name": "weight-decay", "strength": 5e-4}), 0.8, 0..2);
    entries.extend(runs(json!({"name": "weight-decay", "strength": 0.02}), 0.9, 0..2));
    let limits = rendered(&entries).limits;
    let expected =
        "The strength chosen for weight-decay, 0.02, is the largest that was tried: a better one may lie beyond.";
    assert!(limits.contains(expected), "{limits}");
}

#[test]
fn one_epoch_is_a_dot_on_an_axis_of_whole_epochs() {
    let mut entries = fixture::entries();
    entries.iter_mut().for_each(|entry| entry.record.epochs.truncate(1));
    let figures = rendered(&entries).figures;
    let svg = &figures["classification-accuracy-light.svg"];
    assert_eq!(svg.matches("<circle").count(), 4);
    assert!(svg.contains(">1</text>") && !svg.contains(">1.0</text>") && !svg.contains("NaN"), "{svg}");
}

#[test]
fn a_sheet_of_the_first_row_is_shown_and_no_other() {
    let entries = fixture::entries();
    let id = pictured(&entries).unwrap();
    let first = entries.iter().find(|entry| entry.record.id == id).unwrap();
    assert_eq!(first.record.spec.seed, 0);
    let with = |sheets: &[String], entries: &[Entry]| render("classification", COMMAND, entries, sheets).unwrap();
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
    assert!(shown.contains(", seed 1, predicts") && shown.ends_with("nobody chose them.\n"), "{shown}");

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
            // What a table of differences does not need makes a thousand of them slow.
            entry.record.norms.clear();
            entry.record.epochs.drain(..29);
            entry.record.epochs[0].validation.insert("top1".into(), score / 100.0);
            entries.push(entry);
        }
    }
    let mut entries = with_tests(entries);
    for entry in &mut entries {
        let score = entry.record.epochs[0].validation["top1"];
        entry.test.as_mut().unwrap().scores.insert("top1".into(), score);
    }
    entries
}

const METHODS: [&str; 5] = ["weight-decay", "none", "wrs", "weight-standardization", "weight-normalization"];

/// The standing of each row that is no reference, by method.
fn standings(entries: &[Entry]) -> Vec<(String, Standing)> {
    let comparison = Comparison::of(entries).unwrap();
    let ranking = Ranking::of(&comparison);
    let others = ranking.lines.iter().filter(|line| !line.is_reference);
    others.map(|line| (line.row.method.to_owned(), line.standing)).collect()
}

#[test]
fn a_planted_effect_is_found_and_equal_methods_tie() {
    let mut found_both = 0;
    for table in 0..100 {
        let rows = [("weight-decay", 0.0), ("wrs", -1.0), ("none", 0.0), ("weight-standardization", 1.0)];
        let entries = simulated(table, &rows);
        let found = standings(&entries);
        let of = |method: &str| found.iter().find(|(name, _)| name == method).unwrap().1;
        found_both += usize::from((of("wrs"), of("weight-standardization")) == (Standing::Worse, Standing::Better));
    }
    assert!(found_both >= 90, "both in {found_both} of 100 tables");
    // The same runs under another name; and the same with a point less.
    let mut entries = simulated(0, &[("weight-decay", 0.0)]);
    for (name, points) in [("wrs", 0.0), ("none", 0.01)] {
        for mut copy in simulated(0, &[("weight-decay", 0.0)]) {
            copy.record.spec.method.insert("name".into(), json!(name));
            copy.record.id = crate::RunId::new("classification", 1, "", &copy.record.spec);
            *copy.test.as_mut().unwrap().scores.get_mut("top1").unwrap() -= points;
            entries.push(copy);
        }
    }
    assert_eq!(standings(&entries), [("wrs".to_owned(), Standing::Tied), ("none".to_owned(), Standing::Worse)]);
    let table = table(&entries);
    assert!(table.contains("0.00 [0.00, 0.00] (tie)"), "{table}");
}

/// In how many of a thousand tables of equal methods any row is called better or worse than weight decay, and in how many any
/// pair is told apart: at most 5 % by Holm, and nearly as many where there are few rows.
#[test]
fn tables_of_equal_methods_rarely_tell_them_apart() {
    for rows in [2, 3, 5] {
        let rows: Vec<(&str, f64)> = METHODS[..rows].iter().map(|name| (*name, 0.0)).collect();
        let (mut against_reference, mut pairs) = (0, 0);
        for table in 0..1000 {
            let entries = simulated(table, &rows);
            let comparison = Comparison::of(&entries).unwrap();
            let ranking = Ranking::of(&comparison);
            let called = |line: &ranking::Line<'_>| matches!(line.standing, Standing::Better | Standing::Worse);
            against_reference += usize::from(ranking.lines.iter().any(called));
            pairs += usize::from(ranking.pairs.iter().any(|pair| pair.difference.is_beyond_noise()));
        }
        println!("{} rows: {against_reference} and {pairs} of 1000", rows.len());
        assert!((40..=60).contains(&against_reference), "{} rows: {against_reference}", rows.len());
        assert!(pairs <= 60, "{} rows: {pairs}", rows.len());
    }
}

#[test]
fn stopped_trials_are_declared() {
    let mut entries = fixture::entries();
    let decays = entries.iter_mut().filter(|entry| entry.record.spec.method.get("strength") == Some(&json!(1e-4)));
    for entry in decays {
        entry.record.spec.train.insert("stop_after".into(), json!(3));
        entry.record.id = crate::RunId::new("classification", 1, "", &entry.record.spec);
    }
    let Rendered { summary, appendix, .. } = rendered(&entries);
    assert!(
        summary.contains("; **successive halving** stopped the worse ones after 3 epochs; validation chose."),
        "{summary}"
    );
    assert!(summary.contains("(best of 3)"), "what was stopped was tried: {summary}");
    assert_eq!(appendix.matches("(stopped after 3 epochs)").count(), 6);
    assert!(appendix.contains("| — | — | stopped | "), "{appendix}");
}

/// The same rows in the page over all reports and on the project's own page, and nothing where that has no place for them.
#[test]
fn the_page_over_all_reports() {
    let (one, mut other) = (fixture::entries(), fixture::families());
    for entry in &mut other {
        entry.record.about.title = Some("Derived | classification".into());
    }
    let overview = overview(&[("classification", &one), ("empty", &[]), ("families", &other)]);
    let page = overview.splice(None).unwrap();
    insta::assert_snapshot!("overview", page);
    assert_eq!(overview.splice(Some(&page.replace("wrs", "www"))).unwrap(), page);
    let names: Vec<&String> = overview.figures.keys().collect();
    assert_eq!(names, ["profile-dark.svg", "profile-light.svg"]);

    assert_eq!(overview.splice_results("# Project\n").unwrap(), "# Project\n");
    let own = "# Project\n\n<!-- BEGIN: results -->\nold\n<!-- END: results -->\n\nMore.\n";
    let own = overview.splice_results(own).unwrap();
    assert!(own.starts_with("# Project\n") && own.ends_with("\nMore.\n") && !own.contains("\nold\n"), "{own}");
    for link in ["](reports/classification.md#row-4)", "](METHODOLOGY.md)"] {
        assert!(own.contains(link), "{own}");
    }
    assert!(overview.splice_results("<!-- BEGIN: results -->\n").is_err());

    let mut changed = one.clone();
    let tested = changed.iter_mut().find_map(|entry| entry.test.as_mut()).unwrap();
    *tested.scores.get_mut("top1").unwrap() += 0.001;
    let changed = super::overview(&[("classification", &changed), ("families", &other)]);
    assert_ne!(changed.splice(None).unwrap(), page);
}

#[test]
fn results_are_data() {
    let results = results(&fixture::entries());
    let rows = results["rows"].as_array().unwrap();
    let of = |method: &str| rows.iter().find(|row| row["label"] == method).unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!((&of("none")["verdict"], &of("none")["rank"]), (&json!("worse"), &json!(4)));
    assert_eq!(of("weight-decay (scope scale-invariant)")["verdict"], "reference");
    let difference = &of("none")["against_weight_decay"];
    assert!(difference["adjusted_p"].as_f64().unwrap() > difference["p"].as_f64().unwrap());
    assert!(of("wrs")["test"]["by_seed"].as_object().unwrap().len() == 3);
    assert_eq!(super::results(&[]), json!(null));
}

#[test]
fn figures_are_known_by_their_names() {
    assert!(is_figure("classification", "classification-search-dark.svg"));
    let others = ["classification-cifar10-search-dark.svg", "classification-search.svg", "profile-dark.svg"];
    assert!(others.iter().all(|file| !is_figure("classification", file)));
}

/// Of two seeds the spread is a guess.
#[test]
fn two_seeds_decide_nothing() {
    let mut entries = runs(json!({"name": "none"}), 0.70, 0..2);
    entries.extend(runs(json!({"name": "weight-decay", "scope": "everything", "strength": 5e-4}), 0.88, 0..2));
    let entries = with_tests(entries);
    assert!(
        answer(&entries).starts_with("**Answer.** Undecided: with fewer than 3 seeds in common"),
        "{}",
        answer(&entries)
    );
    assert_eq!(standings(&entries), [("none".to_owned(), Standing::Unknown)]);
}

/// What the planned comparison tells apart, the ranks and the answer tell apart as well.
#[test]
fn the_answer_does_not_contradict_itself() {
    for table in 0..200 {
        let entries =
            simulated(table, &[("weight-decay", 0.0), ("wrs", -0.4), ("none", 0.1), ("weight-standardization", 0.4)]);
        let comparison = Comparison::of(&entries).unwrap();
        let ranking = Ranking::of(&comparison);
        let rank = |line: &ranking::Line<'_>| line.rank.unwrap();
        let reference = ranking.lines.iter().find(|line| line.is_reference).unwrap();
        for line in &ranking.lines {
            match line.standing {
                Standing::Better => assert!(rank(reference) > 1, "table {table}"),
                Standing::Worse => assert!(rank(line) > 1, "table {table}"),
                _ => {}
            }
        }
        let first = &ranking.lines[0];
        let behind_reference = ranking.not_behind_first().into_iter().any(|line| line.standing == Standing::Worse);
        assert!(!(first.is_reference && behind_reference), "table {table}");
    }
}
