//! What `eval` says of boxes that look wrong, and of those that do not count.

use crate::files::eval_text;
use detection::metric::{Boxes, Found, Truth, coco};
use serde_json::{Value, json};

/// Objects in two images of 640×480 pixels: category, left, top, width and height.
type Object = (u32, i64, [f64; 4]);

const OBJECTS: [Object; 3] =
    [(1, 1, [10.0, 20.0, 50.0, 60.0]), (2, 3, [400.0, 300.0, 120.0, 80.0]), (2, 1, [300.0, 30.0, 40.0, 50.0])];

fn annotations(objects: &[Object]) -> Value {
    let object = |(id, (image, category, bbox)): (usize, &Object)| json!({"id": id, "image_id": image, "category_id": category, "bbox": bbox});
    json!({
        "images": [{"id": 1, "width": 640, "height": 480}, {"id": 2, "width": 640, "height": 480}],
        "categories": [{"id": 1}, {"id": 3}, {"id": 4}],
        "annotations": objects.iter().enumerate().map(object).collect::<Vec<_>>()
    })
}

fn results(objects: &[Object]) -> Value {
    objects
        .iter()
        .map(|(image, category, bbox)| json!({"image_id": image, "category_id": category, "bbox": bbox, "score": 0.9}))
        .collect()
}

/// AP, or VOC's at all points, and what is listed under `warnings`.
fn report(annotations: &Value, results: &Value, style: &str) -> (f64, Vec<String>) {
    let report = eval_text(&annotations.to_string(), &results.to_string(), style).unwrap();
    let score = report["stats"][if style == "coco" { "AP" } else { "mAP_all_points" }].as_f64().unwrap();
    let warnings = report["warnings"].as_array().into_iter().flatten();
    (score, warnings.map(|warning| warning.as_str().unwrap().to_owned()).collect())
}

fn moved(objects: &[Object], to: impl Fn([f64; 4]) -> [f64; 4]) -> Vec<Object> {
    objects.iter().map(|(image, category, bbox)| (*image, *category, to(*bbox))).collect()
}

#[test]
fn what_is_in_order_has_no_warning() {
    for style in ["coco", "voc"] {
        let (score, warnings) = report(&annotations(&OBJECTS), &results(&OBJECTS), style);
        assert!(score > 0.999 && warnings.is_empty(), "{score} {warnings:?}");
    }
    // A poor detector, of which one box reaches out a little.
    let poor =
        [(1, 1, [12.0, 25.0, 45.0, 65.0]), (2, 3, [500.0, 100.0, 150.0, 80.0]), (2, 4, [400.0, 300.0, 120.0, 80.0])];
    assert_eq!(report(&annotations(&OBJECTS), &results(&poor), "coco").1, [""; 0]);
}

#[test]
fn normalized_boxes_are_noticed() {
    let parts = moved(&OBJECTS, |[x, y, w, h]| [x / 640.0, y / 480.0, w / 640.0, h / 480.0]);
    let expected = |what: &str| {
        format!(
            "all {what} lie within 1.5 pixels of the corner of their image: they look like parts of its width and height, where \
             pixels are meant\n  hint: multiply by both"
        )
    };
    for style in ["coco", "voc"] {
        let warnings = |truth: &[Object], found: &[Object]| report(&annotations(truth), &results(found), style).1;
        assert_eq!(warnings(&OBJECTS, &parts), [expected("detections")]);
        assert_eq!(warnings(&parts, &OBJECTS), [expected("objects")]);
        assert_eq!(warnings(&parts, &parts), [expected("objects and detections")]);
    }
}

#[test]
fn a_part_of_normalized_boxes_is_counted() {
    let parts = moved(&OBJECTS, |[x, y, w, h]| [x / 640.0, y / 480.0, w / 640.0, h / 480.0]);
    let mixed = [OBJECTS.as_slice(), &parts].concat();
    let warnings = |truth: &[Object], found: &[Object]| report(&annotations(truth), &results(found), "coco").1;
    let expected = "3 of 6 detections lie within 1.5 pixels of the corner of their image: they look like parts of its width and \
                    height, where pixels are meant\n  hint: multiply those by both";
    assert_eq!(warnings(&OBJECTS, &mixed), [expected]);
    assert_eq!(warnings(&mixed, &OBJECTS), [expected.replace("detections", "objects")]);
    // One small box is a small box.
    assert_eq!(warnings(&OBJECTS, &[OBJECTS.as_slice(), &parts[..1]].concat()), [""; 0]);
}

#[test]
fn corners_where_sizes_are_meant_are_noticed() {
    let corners = moved(&OBJECTS, |[x, y, w, h]| [x, y, x + w, y + h]);
    let warnings = |truth: &[Object], found: &[Object]| report(&annotations(truth), &results(found), "coco").1;
    let expected = |what: &str| {
        format!(
            "1 of 3 {what} reach out of their image, and none would if `bbox` were left, top, right and bottom, where left, top, \
             width and height are meant"
        )
    };
    assert_eq!(warnings(&OBJECTS, &corners), [expected("detections")]);
    assert_eq!(warnings(&corners, &OBJECTS), [expected("objects")]);
    // Both, and so an AP of 1.
    assert_eq!(warnings(&corners, &corners), [expected("objects"), expected("detections")]);
    // None reaches out.
    let inside = [(1, 1, [10.0, 20.0, 50.0, 60.0])];
    let found = warnings(&inside, &moved(&inside, |[x, y, w, h]| [x, y, x + w, y + h]));
    assert!(found.is_empty(), "an IoU of .62: {found:?}");
    let inside = [(1, 1, [200.0, 100.0, 50.0, 60.0])];
    let found = warnings(&inside, &moved(&inside, |[x, y, w, h]| [x, y, x + w, y + h]));
    assert!(
        found[0].starts_with("AP at an IoU of 0.5 is 0.000, and would be 1.000 if `bbox` of the detections were"),
        "{found:?}"
    );
}

#[test]
fn detections_that_find_nothing_are_noticed() {
    let warnings = |found: &[Object]| report(&annotations(&OBJECTS), &results(found), "coco").1;
    let shifted: Vec<Object> =
        OBJECTS.map(|(image, category, bbox)| (image, if category == 1 { 3 } else { 4 }, bbox)).into();
    let found = warnings(&shifted);
    assert!(
        found[0].ends_with("if all categories were one: are ids of categories those of the annotations?"),
        "{found:?}"
    );
    let elsewhere = moved(&OBJECTS, |[x, y, w, h]| [x / 4.0, y / 4.0, w / 4.0, h / 4.0]);
    let found = warnings(&elsewhere);
    assert_eq!(
        found,
        [
            "no detection has an IoU of 0.5 with an object of its category, nor of any other: are they of these images, in pixels of \
          the original ones?"
        ]
    );
}

/// 300 objects that are all found: the 200 worst detections do not count.
#[test]
fn detections_beyond_100_are_counted() {
    let objects: Vec<Object> = (0..300)
        .map(|index| (1, 1, [f64::from(index % 20) * 30.0, f64::from(index / 20) * 30.0, 20.0, 20.0]))
        .collect();
    let (score, warnings) = report(&annotations(&objects), &results(&objects), "coco");
    // Recall ends at a third: 34 of 101 thresholds have a precision of 1.
    assert!((score - 34.0 / 101.0).abs() < 1e-12, "{score}");
    assert_eq!(
        warnings,
        [
            "200 detections, in 1 of 2 images, do not count: of an image's detections of a category, COCO counts the 100 with the \
          highest scores"
        ]
    );
    let (score, warnings) = report(&annotations(&objects), &results(&objects), "voc");
    assert!((score - 1.0).abs() < 1e-12 && warnings.is_empty(), "VOC counts all: {score}");
}

/// Of a class's detections in an image, those with the highest scores count, and of equal ones the first.
#[test]
fn the_best_100_count() {
    let bounds = [10.0, 10.0, 50.0, 50.0];
    let truths = vec![Truth { image: 0, class: 0, bounds, area: 2500.0, ignore: false }];
    let wrong = Found { image: 0, class: 0, bounds: [500.0, 10.0, 50.0, 50.0], score: 0.5 };
    let right = |score: f64| Found { bounds, score, ..wrong };
    let recall = |found: Vec<Found>| coco(&Boxes { images: 1, truths: truths.clone(), found }).statistics[8];
    let with = |last: Found| [vec![wrong; 100], vec![last]].concat();
    assert_eq!(recall(with(right(0.6))), Some(1.0));
    assert_eq!(recall(with(right(0.5))), Some(0.0), "the earlier of equal ones counts");
    assert_eq!(recall(with(right(0.4))), Some(0.0));
    assert_eq!(recall([vec![wrong; 99], vec![right(0.5)], vec![wrong; 50]].concat()), Some(1.0));
    let elsewhere = Found { image: 1, ..wrong };
    let two = Boxes { images: 2, truths: truths.clone(), found: [vec![elsewhere; 100], vec![right(0.1)]].concat() };
    assert_eq!(coco(&two).statistics[8], Some(1.0), "images are counted apart");
}

/// Comparing all of them with all objects at once would take 8 GB.
#[test]
fn many_detections_in_an_image_take_little_memory() {
    let bounds = |index: u32| [f64::from(index % 1000) * 10.0, f64::from(index / 1000) * 10.0, 8.0, 8.0];
    let truth = |index| Truth { image: 0, class: 0, bounds: bounds(index), area: 64.0, ignore: false };
    let found = |index: u32| Found { image: 0, class: 0, bounds: bounds(index), score: f64::from(50_000 - index) };
    let boxes = Boxes { images: 1, truths: (0..20_000).map(truth).collect(), found: (0..50_000).map(found).collect() };
    let recall = coco(&boxes).statistics[8].unwrap();
    assert!((recall - 100.0 / 20_000.0).abs() < 1e-12, "{recall}");
}
