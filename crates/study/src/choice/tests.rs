use super::*;
use crate::fixture::{self, Made, diverge, entry};
use serde_json::{Value, json};

fn decay(strength: f64, reaches: f64, seeds: &[u64]) -> Vec<Entry> {
    let method = json!({"name": "weight-decay", "strength": strength});
    let made = Made { optimizer: fixture::sgd(), method, reaches, norm: 1.0, micros: 0.0 };
    seeds.iter().map(|seed| entry(&made, *seed)).collect()
}

const SEARCH: [u64; 2] = [10, 11];

fn protocol() -> Protocol {
    Protocol { search: SEARCH.into(), seeds: [0, 1, 2].into(), ..Protocol::default() }
}

fn comparison(entries: &[Entry]) -> Comparison<'_> {
    Comparison::of(entries, &protocol()).unwrap()
}

/// Strength of the chosen setting of the only row.
fn chosen_strength(entries: &[Entry]) -> Option<f64> {
    let comparison = comparison(entries);
    assert_eq!(comparison.rows.len(), 1);
    comparison.rows[0].chosen().map(|setting| setting.hyper["method.strength"].0)
}

/// Sorted.
fn labels(entries: &[Entry]) -> Vec<String> {
    let mut labels: Vec<String> = comparison(entries).rows.into_iter().map(|row| row.label).collect();
    labels.sort();
    labels
}

#[test]
fn numbers_inside_of_a_setting_are_searched_and_unset_ones_make_rows() {
    let made =
        |method: Value, optimizer: Value| entry(&Made { optimizer, method, reaches: 0.8, norm: 1.0, micros: 0.0 }, 0);
    let sgd = |rho: Value| json!({"name": "sgd", "lr": 0.1, "sam_rho": rho});
    let matched = |lr: f64| json!({"name": "wrs", "rate": {"matched": {"lr": lr, "decay": 5e-4}}});
    let entries = [
        made(matched(0.1), sgd(Value::Null)),
        made(matched(0.2), sgd(Value::Null)),
        made(json!({"name": "wrs", "rate": "own", "target": {"constant": 2.0}}), sgd(Value::Null)),
        made(json!({"name": "wrs", "rate": "own", "target": {"constant": 3.0}}), sgd(Value::Null)),
        made(json!({"name": "none"}), sgd(Value::Null)),
        made(json!({"name": "none"}), sgd(json!(0.05))),
    ];
    assert_eq!(
        labels(&entries),
        ["none", "none (sam_rho set)", "wrs (rate matched)", "wrs (rate own, target constant)"]
    );
}

#[test]
fn the_best_setting_of_each_row_is_chosen() {
    let entries = fixture::entries();
    let chosen = chosen(&entries, &fixture::protocol());
    let of_chosen = |entry: &&Entry| chosen.contains(&entry.record.id);
    let strengths: Vec<_> = entries
        .iter()
        .filter(of_chosen)
        .map(|entry| entry.record.spec.method.get("strength").and_then(Value::as_f64))
        .collect();
    assert_eq!(chosen.len(), 12);
    assert!(chosen.is_sorted());
    assert!(entries.iter().filter(of_chosen).all(|entry| entry.record.spec.seed < 3), "no run of the search is tested");
    assert_eq!(strengths.iter().filter(|strength| **strength == Some(5e-4)).count(), 6);
    assert_eq!(strengths.iter().filter(|strength| strength.is_none()).count(), 6);
    assert!(super::chosen(&[], &fixture::protocol()).is_empty());
}

#[test]
fn validation_chooses_on_the_seeds_of_the_search() {
    let mut entries = decay(1e-4, 0.80, &SEARCH);
    entries.extend(decay(5e-4, 0.90, &[0, 1, 2, 10, 11]));
    entries.extend(decay(1e-3, 0.85, &SEARCH));
    for entry in entries.iter_mut().filter(|entry| entry.record.spec.seed < 3) {
        entry.record.epochs.last_mut().unwrap().validation.insert("top1".into(), 0.1);
    }
    assert_eq!(chosen_strength(&entries), Some(5e-4), "what comes after the search decides nothing");
    let rows = comparison(&entries).rows;
    assert_eq!(rows[0].trial_seeds, BTreeSet::from(SEARCH));
    assert_eq!(rows[0].chosen().unwrap().runs.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn only_finalists_that_finished_can_be_chosen() {
    let mut entries = decay(1e-4, 0.80, &SEARCH);
    entries.extend(decay(2e-4, 0.70, &SEARCH));
    assert_eq!(chosen_strength(&entries), Some(1e-4));
    entries.extend(decay(5e-4, 0.90, &SEARCH[..1]));
    assert_eq!(chosen_strength(&entries), Some(1e-4), "it was tried on one seed only");
    let mut wild = decay(5e-3, 0.99, &SEARCH);
    diverge(&mut wild[1]);
    entries.extend(wild);
    assert_eq!(chosen_strength(&entries), Some(1e-4));
    assert_eq!(chosen_strength(&decay(1e-4, 0.8, &[0, 1, 2])), Some(1e-4), "one setting needs no search");
    let mut two = decay(1e-4, 0.80, &[0, 1]);
    two.extend(decay(5e-4, 0.90, &[0, 1]));
    assert_eq!(chosen_strength(&two), None, "on the seeds of the result nothing is chosen");
}

#[test]
fn ends_of_what_was_tried_are_edges() {
    let edges = |strengths: &[(f64, f64)]| {
        let entries: Vec<Entry> =
            strengths.iter().flat_map(|(strength, reaches)| decay(*strength, *reaches, &SEARCH)).collect();
        let edges = edges(&entries, &protocol());
        edges.into_iter().map(|edge| (edge.key, edge.value, edge.is_largest, edge.next)).collect::<Vec<_>>()
    };
    let key = || "method.strength".to_owned();
    assert_eq!(edges(&[(1e-4, 0.8), (5e-4, 0.9), (2e-3, 0.7)]), []);
    assert_eq!(edges(&[(1e-4, 0.7), (5e-4, 0.8), (2e-3, 0.9)]), [(key(), 2e-3, true, 8e-3)]);
    assert_eq!(edges(&[(1e-4, 0.9), (5e-4, 0.8), (2e-3, 0.7)]), [(key(), 1e-4, false, 2e-5)]);
    assert_eq!(edges(&[(0.0, 0.9), (5e-4, 0.8)]), [], "there is nothing below zero");
    assert_eq!(edges(&[(0.0, 0.7), (1e-4, 0.9), (5e-4, 0.8)]), [], "zero was tried below it");
    assert_eq!(edges(&[(0.0, 0.7), (1e-4, 0.9)]), [(key(), 1e-4, true, 2e-4)]);
    assert_eq!(edges(&[(5e-4, 0.9)]), [], "what was not searched has no ends");
}

#[test]
fn a_matched_rate_is_that_of_filters_of_norm_one() {
    let mut runs = decay(5e-4, 0.9, &[0, 1, 2]);
    for (entry, norm) in runs.iter_mut().zip([0.5, 0.4, 2.0]) {
        for row in &mut entry.record.norms {
            row.effective_lr = row.lr / (norm * norm);
        }
    }
    assert_eq!(matched_rate(&runs), Some(0.4), "lr 0.1 at the median norm 0.5, whatever the schedule says midway");
    diverge(&mut runs[0]);
    assert_eq!(matched_rate(&runs), None);
}

#[test]
fn matched_runs_make_a_row_of_their_own() {
    let mut entries = fixture::entries();
    let made = Made {
        optimizer: json!({"name": "sgd", "lr": 0.31, "momentum": 0.9, "nesterov": false}),
        method: fixture::made()[1].method.clone(),
        reaches: 0.88,
        norm: 1.0,
        micros: 0.0,
    };
    entries.extend((0..3).map(|seed| entry(&made, seed)));
    let matched = entries.iter().rev().take(3).map(|entry| entry.record.id.clone()).collect();
    let protocol = Protocol { matched, ..fixture::protocol() };
    let rows = Comparison::of(&entries, &protocol).unwrap().rows;
    let labels: Vec<(&str, bool)> = rows[3..].iter().map(|row| (row.label.as_str(), row.is_matched())).collect();
    assert_eq!(labels, [("wrs (lr matched)", true), ("wrs", false)]);
    assert!(rows.iter().all(|row| row.choice.is_some()));
}

#[test]
fn stopped_runs_are_shown_and_not_chosen() {
    let mut entries = decay(1e-4, 0.80, &SEARCH);
    let mut stopped = decay(5e-4, 0.90, &SEARCH);
    for entry in &mut stopped {
        entry.record.spec.train.insert(STOP_AFTER.into(), json!(3));
        entry.record.id = RunId::new("classification", 1, "", &entry.record.spec);
    }
    entries.extend(stopped);
    assert_eq!(chosen_strength(&entries), Some(1e-4));
    let row = comparison(&entries).rows.remove(0);
    assert_eq!((row.settings.len(), row.entries().count()), (2, 4), "in one comparison");
}

#[test]
fn where_all_diverge_nothing_is_chosen() {
    let mut entries = decay(1e-4, 0.80, &[0, 1]);
    entries.iter_mut().for_each(diverge);
    assert_eq!(chosen_strength(&entries), None);
}

#[test]
fn of_equal_settings_the_smaller_is_chosen() {
    let mut entries = decay(5e-4, 0.80, &SEARCH);
    entries.extend(decay(1e-4, 0.80, &SEARCH));
    for entry in &mut entries {
        entry.record.epochs.last_mut().unwrap().validation.insert("top1".into(), 0.8);
    }
    assert_eq!(chosen_strength(&entries), Some(1e-4));
}

#[test]
fn lower_can_be_better() {
    let mut entries = decay(5e-4, 0.80, &SEARCH);
    entries.extend(decay(1e-4, 0.90, &SEARCH));
    entries.iter_mut().for_each(|entry| entry.record.headline.higher_is_better = false);
    assert_eq!(chosen_strength(&entries), Some(5e-4));
}

#[test]
fn labels_say_what_tells_rows_apart() {
    assert_eq!(
        labels(&fixture::entries()),
        ["none", "weight-decay (scope everything)", "weight-decay (scope scale-invariant)", "wrs"]
    );
    let mut entries = decay(5e-4, 0.8, &[0]);
    for (name, nesterov) in [("adam", None), ("sgd", Some(true))] {
        let mut other = decay(5e-4, 0.8, &[0]).remove(0);
        other.record.spec.optimizer = [("name".to_owned(), json!(name))].into_iter().collect();
        other.record.spec.optimizer.extend(nesterov.map(|on| ("nesterov".to_owned(), json!(on))));
        other.record.id = RunId::new("classification", 1, "", &other.record.spec);
        entries.push(other);
    }
    assert_eq!(
        labels(&entries),
        ["weight-decay (adam)", "weight-decay (sgd, nesterov false)", "weight-decay (sgd, nesterov true)"]
    );
}

#[test]
fn labels_of_several_optimizers_say_no_more_than_it_takes() {
    assert_eq!(
        labels(&fixture::families()),
        [
            "none (sgd)",
            "none (sgdp)",
            "weight-decay (adamp)",
            "weight-decay (adamw)",
            "weight-decay (sgd, scope everything)",
            "weight-decay (sgd, scope scale-invariant)",
            "weight-decay (sgdp)",
            "weight-standardization (sgd)",
            "wrs (adam, target rms-one)",
            "wrs (adam, target unit)",
            "wrs (sgd, granularity filter)",
            "wrs (sgd, granularity layer)",
        ]
    );
}

#[test]
fn what_is_null_makes_no_row_and_no_label() {
    let mut entries = decay(5e-4, 0.8, &[0]);
    let mut other = decay(5e-4, 0.8, &[1]).remove(0);
    other.record.spec.method.extend([("interval".to_owned(), Value::Null)]);
    other.record.spec.optimizer.extend([("clip_norm".to_owned(), Value::Null)]);
    entries.push(other.clone());
    assert_eq!(labels(&entries), ["weight-decay"]);
    assert_eq!(comparison(&entries).rows[0].settings.len(), 1);
    other.record.spec.method.extend([("interval".to_owned(), json!({"steps": 5}))]);
    other.record.id = RunId::new("classification", 1, "", &other.record.spec);
    entries.push(other);
    assert_eq!(labels(&entries), ["weight-decay", "weight-decay (interval steps 5)"]);
}

#[test]
fn a_run_is_described_by_what_tells_it_from_the_others() {
    let entries = fixture::entries();
    let of = |entries: &[Entry]| describe(&entries.iter().map(|entry| &entry.record.spec).collect::<Vec<_>>());
    let lines = of(&entries);
    assert_eq!(lines[0], "none seed 0");
    assert_eq!(lines[7], "weight-decay (scope everything) strength 0.0001 seed 11");
    assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), entries.len());
    assert_eq!(of(&fixture::families())[0], "none (sgd) seed 0");
    let mut rung = fixture::entries();
    rung[0].record.spec.train.insert(STOP_AFTER.into(), json!(3));
    assert_eq!(of(&rung)[0], "none seed 0 to epoch 3");
}

#[test]
fn the_largest_comparison_is_used_and_the_others_are_named() {
    let mut entries = decay(5e-4, 0.8, &[0, 1]);
    let mut other = decay(5e-4, 0.8, &[2]).remove(0);
    other.record.spec.train.insert("epochs".into(), json!(2));
    other.record.provenance.dataset_digest = "abcdef0123456789".into();
    entries.push(other);
    let comparison = comparison(&entries);
    assert_eq!(comparison.entries.len(), 2);
    let differences =
        ["dataset digest abcdef01 instead of 8d1fa07c", "train.epochs 2 instead of 30"].map(str::to_owned);
    assert_eq!(comparison.left_out, [(1, differences.to_vec())]);
}
