//! What holds for COCO's average precision of any boxes.

use data::Object;
use detection::metric::{AveragePrecision, Detection};
use proptest::prelude::*;
use record::Scores;

type Image = (Vec<Detection>, Vec<Object>);

fn meter(images: &[Image]) -> AveragePrecision {
    let mut meter = AveragePrecision::default();
    for (detections, objects) in images {
        meter.observe(detections, objects);
    }
    meter
}

fn scores(images: &[Image]) -> Scores {
    meter(images).scores()
}

fn found(class: u32, score: f32, corners: [f32; 4]) -> Detection {
    Detection { class, score, corners }
}

fn object(class: u32, corners: [f32; 4]) -> Object {
    Object { class, corners, ignore: false }
}

fn crowd(class: u32, corners: [f32; 4]) -> Object {
    Object { ignore: true, ..object(class, corners) }
}

/// Detections that are right about objects, the first the surest.
fn right(objects: &[Object]) -> Vec<Detection> {
    (1..).zip(objects).map(|(rank, object)| found(object.class, 1.0 / rank as f32, object.corners)).collect()
}

/// Few places, so that boxes overlap and coincide, and few classes.
fn any_corners() -> impl Strategy<Value = [f32; 4]> {
    let side = || prop_oneof![Just(8.0), Just(30.0), Just(31.5), Just(60.0), Just(120.0), 0.0_f32..200.0];
    ((0_u8..12), (0_u8..12), side(), side()).prop_map(|(x, y, width, height)| {
        let (left, top) = (f32::from(x) * 20.0, f32::from(y) * 20.0);
        [left, top, left + width, top + height]
    })
}

fn any_images() -> impl Strategy<Value = Vec<Image>> {
    let objects = prop::collection::vec(
        ((0_u32..3), any_corners(), prop::bool::weighted(0.1)).prop_map(|(class, corners, ignore)| Object {
            class,
            corners,
            ignore,
        }),
        0..8,
    );
    let detections = prop::collection::vec(
        ((0_u32..4), any_corners()).prop_map(|(class, corners)| found(class, 0.0, corners)),
        0..8,
    );
    // Half of the objects are found, as they are.
    let image = (detections, objects).prop_map(|(mut detections, objects)| {
        detections.extend(right(&objects).into_iter().step_by(2));
        (detections, objects)
    });
    prop::collection::vec(image, 0..6).prop_map(|mut images: Vec<Image>| {
        let all: Vec<&mut Detection> = images.iter_mut().flat_map(|(detections, _)| detections).collect();
        // Distinct scores, not in the order of the list.
        let count = all.len();
        for (index, detection) in all.into_iter().enumerate() {
            detection.score = ((index * 7919) % 104_729) as f32 / (count + 1) as f32;
        }
        images
    })
}

proptest! {
    #[test]
    fn every_score_is_a_share(images in any_images()) {
        let scores = scores(&images);
        prop_assert!(scores.contains_key("AP") && scores.contains_key("AP50"));
        for (name, score) in &scores {
            prop_assert!((0.0..=1.0).contains(score), "{name} is {score}");
        }
        prop_assert!(scores["AP"] <= scores["AP50"] + 1e-12);
        let recalls: Vec<f64> = ["AR1", "AR10", "AR100"].iter().filter_map(|name| scores.get(*name).copied()).collect();
        prop_assert!(recalls.is_sorted(), "{recalls:?}");
    }

    #[test]
    fn ap_is_the_mean_over_classes(images in any_images()) {
        let meter = meter(&images);
        let classes = meter.per_class();
        let mean = classes.values().sum::<f64>() / classes.len().max(1) as f64;
        prop_assert!((meter.scores()["AP"] - mean).abs() < 1e-12);
        let mut real: Vec<u32> =
            images.iter().flat_map(|(_, objects)| objects).filter(|o| !o.ignore).map(|o| o.class).collect();
        real.sort_unstable();
        real.dedup();
        prop_assert_eq!(classes.into_keys().collect::<Vec<_>>(), real);
    }

    #[test]
    fn what_is_right_about_everything_has_ap_1(mut images in any_images()) {
        // Boxes that coincide, or have no extent, may be taken for each other.
        for (detections, objects) in &mut images {
            let mut kept: Vec<Object> = Vec::new();
            for object in objects.drain(..) {
                let [left, top, right, bottom] = object.corners;
                if left < right && top < bottom && kept.iter().all(|k| (k.class, k.corners) != (object.class, object.corners)) {
                    kept.push(object);
                }
            }
            *objects = kept;
            *detections = right(objects);
        }
        let scores = scores(&images);
        let any = images.iter().flat_map(|(_, objects)| objects).any(|object| !object.ignore);
        for name in ["AP", "AP50", "AR100"] {
            let expected = if any { Some(1.0) } else if name == "AR100" { None } else { Some(0.0) };
            let near = match (scores.get(name), expected) {
                (Some(score), Some(expected)) => (score - expected).abs() < 1e-9,
                (score, expected) => score.is_none() && expected.is_none(),
            };
            prop_assert!(near, "{name} is {:?}", scores.get(name));
        }
    }

    #[test]
    fn with_distinct_scores_no_order_matters(images in any_images()) {
        let mut reversed = images.clone();
        reversed.reverse();
        for (detections, _) in &mut reversed {
            detections.reverse();
        }
        let (a, b) = (scores(&images), scores(&reversed));
        prop_assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
        for (name, score) in &a {
            prop_assert!((score - b[name]).abs() < 1e-12, "{name}: {score} and {}", b[name]);
        }
    }

    /// At rank last it can but find what nothing found before.
    #[test]
    fn one_more_detection_below_all_others_never_lowers_a_score(
        images in any_images().prop_filter("an image", |images| !images.is_empty()), class in 0_u32..3, corners in any_corners()
    ) {
        let mut more = images.clone();
        more[0].0.push(found(class, -1.0, corners));
        let (before, after) = (scores(&images), scores(&more));
        for (name, score) in &before {
            prop_assert!(after[name] >= score - 1e-12, "{name}: {score}, then {}", after[name]);
        }
    }

    #[test]
    fn only_the_order_of_scores_matters(images in any_images()) {
        let mut other = images.clone();
        for detection in other.iter_mut().flat_map(|(detections, _)| detections) {
            detection.score = libm::logf(detection.score + 1.0) - 100.0;
        }
        prop_assert_eq!(scores(&images), scores(&other));
    }

    #[test]
    fn any_number_of_threads_has_the_same_bits(images in any_images()) {
        let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| scores(&images));
        let bits = |scores: Scores| scores.into_values().map(f64::to_bits).collect::<Vec<_>>();
        prop_assert_eq!(bits(with(1)), bits(with(3)));
    }
}

#[test]
fn nothing_to_be_found_is_ap_0_and_no_other_score() {
    let nothing = Scores::from([("AP".to_owned(), 0.0), ("AP50".to_owned(), 0.0)]);
    let something = vec![found(0, 0.5, [0.0, 0.0, 10.0, 10.0])];
    for images in [
        vec![],
        vec![(vec![], vec![])],
        vec![(something.clone(), vec![])],
        vec![(vec![], vec![crowd(0, [0.0, 0.0, 9.0, 9.0])]), (something, vec![crowd(0, [0.0, 0.0, 9.0, 9.0])])],
    ] {
        assert_eq!(scores(&images), nothing, "{images:?}");
        assert!(meter(&images).per_class().is_empty());
    }
}

#[test]
fn no_detections_score_0_in_every_size_that_occurs() {
    let scores = scores(&[(vec![], vec![object(3, [0.0, 0.0, 10.0, 10.0])])]);
    let names: Vec<&str> = scores.keys().map(String::as_str).collect();
    assert_eq!(names, ["AP", "AP50", "AP75", "APs", "AR1", "AR10", "AR100", "ARs"]);
    assert!(scores.values().all(|score| *score == 0.0), "{scores:?}");
}

#[test]
fn of_a_detection_that_is_right_and_one_that_is_not_the_surer_one_decides() {
    let corners = [0.0, 0.0, 100.0, 100.0];
    let elsewhere = [200.0, 200.0, 300.0, 300.0];
    let of = |right: f32, wrong: f32| {
        scores(&[(vec![found(0, right, corners), found(0, wrong, elsewhere)], vec![object(0, corners)])])
    };
    assert!((of(0.9, 0.1)["AP"] - 1.0).abs() < 1e-9);
    assert!((of(0.1, 0.9)["AP"] - 0.5).abs() < 1e-9);
    // Of equal scores the earlier one ranks higher.
    assert!((of(0.5, 0.5)["AP"] - 1.0).abs() < 1e-9);
}

#[test]
fn an_overlap_counts_at_the_thresholds_below_it() {
    // 72 of 100: .50, .55, .60, .65, .70.
    let detections = vec![found(0, 1.0, [0.0, 0.0, 100.0, 72.0])];
    let scores = scores(&[(detections, vec![object(0, [0.0, 0.0, 100.0, 100.0])])]);
    for (name, expected) in [("AP", 0.5), ("AP50", 1.0), ("AP75", 0.0), ("AR1", 0.5), ("APl", 0.5)] {
        assert!((scores[name] - expected).abs() < 1e-9, "{name} is {}", scores[name]);
    }
}

#[test]
fn the_hundred_surest_detections_of_a_class_and_image_count() {
    let corners = [0.0, 0.0, 50.0, 50.0];
    for (wrong, expected) in [(99, 0.01), (100, 0.0)] {
        let away = |rank: u16| found(0, 1.0 - f32::from(rank) / 1000.0, [500.0, 500.0, 550.0, 550.0]);
        let mut detections: Vec<Detection> = (0..wrong).map(away).collect();
        detections.push(found(0, 0.0, corners));
        let ap = scores(&[(detections, vec![object(0, corners)])])["AP"];
        assert!((ap - expected).abs() < 1e-9, "{ap} behind {wrong}");
    }
}

#[test]
fn five_hundred_objects_in_an_image_are_found_up_to_the_hundred_that_count() {
    let place = |index: u16| [f32::from(index % 25) * 20.0, f32::from(index / 25) * 20.0];
    let box_of = |index: u16| {
        let [x, y] = place(index);
        [x, y, x + 16.0, y + 16.0]
    };
    let objects: Vec<Object> = (0..500).map(|index| object(7, box_of(index))).collect();
    let scores = scores(&[(right(&objects), objects)]);
    // Recall .2 is reached by thresholds 0, .01 … .2: 21 of 101.
    assert!((scores["AP"] - 21.0 / 101.0).abs() < 1e-9, "{}", scores["AP"]);
    for (name, expected) in [("AR1", 0.002), ("AR10", 0.02), ("AR100", 0.2)] {
        assert!((scores[name] - expected).abs() < 1e-9, "{name} is {}", scores[name]);
    }
}

#[test]
fn what_lies_in_a_crowd_is_neither_right_nor_wrong() {
    let (one, region) = ([0.0, 0.0, 50.0, 50.0], [100.0, 100.0, 400.0, 400.0]);
    let inside = |k: u16| {
        let at = 110.0 + f32::from(k) * 10.0;
        found(0, 0.9, [at, at, at + 20.0, at + 20.0])
    };
    let mut detections: Vec<Detection> = (0..20).map(inside).collect();
    detections.push(found(0, 0.1, one));
    let with_crowd = scores(&[(detections.clone(), vec![object(0, one), crowd(0, region)])]);
    assert!((with_crowd["AP"] - 1.0).abs() < 1e-9);
    let without = scores(&[(detections, vec![object(0, one)])]);
    assert!((without["AP"] - 1.0 / 21.0).abs() < 1e-9);
}

#[test]
fn degenerate_boxes_and_scores_are_wrong_at_most() {
    let real = object(0, [10.0, 10.0, 60.0, 60.0]);
    let mut detections = vec![found(0, 0.0, real.corners)];
    let (nan, infinity) = (f32::NAN, f32::INFINITY);
    for score in [nan, infinity, -infinity, f32::MAX, -0.0] {
        for corners in [
            [nan; 4],
            [0.0, 0.0, nan, 5.0],
            [-infinity, -infinity, infinity, infinity],
            [f32::MIN, f32::MIN, f32::MAX, f32::MAX],
            [20.0, 20.0, 20.0, 20.0],
            [60.0, 60.0, 10.0, 10.0],
        ] {
            for class in [0, 1, u32::MAX] {
                detections.push(found(class, score, corners));
            }
        }
    }
    let odd = [nan, 1.0, infinity, 2.0];
    let images =
        [(detections.clone(), vec![real]), (detections, vec![object(1, odd), object(2, [5.0, 5.0, 5.0, 5.0])])];
    let meter = meter(&images);
    let classes = meter.per_class();
    assert_eq!(classes.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    assert!(classes[&0] > 0.0 && classes[&0] < 0.2, "{}", classes[&0]);
    assert_eq!((classes[&1], classes[&2]), (0.0, 0.0));
    assert!(meter.scores().values().all(|score| score.is_finite()));
}

#[test]
fn a_score_that_is_no_number_ranks_lowest() {
    let corners = [10.0, 10.0, 60.0, 60.0];
    let detections = vec![found(0, f32::NAN, [200.0, 200.0, 250.0, 250.0]), found(0, -1e30, corners)];
    assert!((scores(&[(detections, vec![object(0, corners)])])["AP"] - 1.0).abs() < 1e-9);
}
