//! Figures, and the pictures of the first row.

use super::*;
use report::{is_figure, is_sheet, sheet};

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
    let pictured = |entries: &[Entry]| report::pictured(entries, &protocol(entries));
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

#[test]
fn figures_are_known_by_their_names() {
    assert!(is_figure("classification", "classification-rates-dark.svg"));
    let others = ["classification-cifar10-rates-dark.svg", "classification-rates.svg", "differences-dark.svg"];
    assert!(others.iter().all(|file| !is_figure("classification", file)));
}
