//! VOC's average precision, worked out by hand.

use detection::metric::{Boxes, Found, Truth, voc};

const A: [f64; 4] = [0.0, 0.0, 10.0, 10.0];
const B: [f64; 4] = [100.0, 0.0, 10.0, 10.0];
const NOWHERE: [f64; 4] = [500.0, 500.0, 10.0, 10.0];

fn truth(image: u32, bounds: [f64; 4], ignore: bool) -> Truth {
    Truth { image, class: 0, bounds, area: 100.0, ignore }
}

fn found(image: u32, bounds: [f64; 4], score: f64) -> Found {
    Found { image, class: 0, bounds, score }
}

/// All-point and 11-point AP of the only class, and its objects.
fn ap(truths: Vec<Truth>, found: Vec<Found>) -> (f64, f64, usize) {
    let scores = voc(&Boxes { images: 2, truths, found });
    assert_eq!(scores.len(), 1);
    (scores[&0].all_points, scores[&0].eleven_points, scores[&0].positives)
}

fn assert_ap(truths: Vec<Truth>, found: Vec<Found>, all_points: f64, eleven_points: f64, positives: usize) {
    let ap = ap(truths, found);
    let near = (ap.0 - all_points).abs() < 1e-12 && (ap.1 - eleven_points).abs() < 1e-12 && ap.2 == positives;
    assert!(near, "{ap:?}, expected {:?}", (all_points, eleven_points, positives));
}

#[test]
fn precision_is_the_best_at_a_recall_or_above() {
    // Right, wrong, right: precision 1 up to recall 1/2, then 2/3.
    let detections = vec![found(0, A, 0.9), found(0, NOWHERE, 0.8), found(1, B, 0.7)];
    let truths = vec![truth(0, A, false), truth(1, B, false)];
    assert_ap(truths, detections, 0.5 + 0.5 * 2.0 / 3.0, (6.0 + 5.0 * 2.0 / 3.0) / 11.0, 2);
}

#[test]
fn an_object_is_found_once() {
    assert_ap(
        vec![truth(0, A, false), truth(0, B, false)],
        vec![found(0, A, 0.9), found(0, A, 0.8)],
        0.5,
        6.0 / 11.0,
        2,
    );
}

#[test]
fn half_an_overlap_is_enough() {
    let half = [0.0, 0.0, 10.0, 5.0];
    assert_ap(vec![truth(0, A, false)], vec![found(0, half, 0.9)], 1.0, 1.0, 1);
    assert_ap(vec![truth(0, A, false)], vec![found(0, [0.0, 0.0, 10.0, 4.9], 0.9)], 0.0, 0.0, 1);
}

#[test]
fn what_is_found_of_an_ignored_object_is_neither_right_nor_wrong() {
    let truths = vec![truth(0, A, true), truth(0, B, false)];
    assert_ap(truths.clone(), vec![found(0, A, 0.9), found(0, A, 0.8), found(0, B, 0.7)], 1.0, 1.0, 1);
    assert_ap(truths, vec![found(0, NOWHERE, 0.9), found(0, B, 0.7)], 0.5, 0.5, 1);
}

#[test]
fn a_class_without_objects_has_none() {
    let found = vec![found(0, A, 0.9)];
    assert!(voc(&Boxes { images: 1, truths: vec![], found: found.clone() }).is_empty());
    assert!(voc(&Boxes { images: 1, truths: vec![truth(0, A, true)], found }).is_empty());
    assert_ap(vec![truth(0, A, false)], vec![], 0.0, 0.0, 1);
}

#[test]
fn of_equal_scores_the_earlier_one_ranks_higher() {
    let truths = || vec![truth(0, A, false)];
    assert_ap(truths(), vec![found(0, A, 0.0), found(0, NOWHERE, -0.0)], 1.0, 1.0, 1);
    assert_ap(truths(), vec![found(0, NOWHERE, -0.0), found(0, A, 0.0)], 0.5, 0.5, 1);
}
