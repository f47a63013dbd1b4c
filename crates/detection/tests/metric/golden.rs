//! Reference numbers of pycocotools and of the VOC devkit's definition, made by tools/make_metric_golden.py.

use data::Object;
use detection::metric::{AveragePrecision, Detection};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

const CASES: [&str; 3] = ["coco_small", "coco_crowd", "coco_dense"];

fn path(name: &str) -> PathBuf {
    golden::path(env!("CARGO_MANIFEST_DIR"), name)
}

fn read(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

/// What `eval` prints of a case.
fn eval(case: &str, style: &str) -> Value {
    let [annotations, results] = ["annotations", "results"].map(|part| path(&format!("{case}.{part}.json")).into());
    let arguments = ["--annotations".into(), annotations, "--results".into(), results, "--style".into(), style.into()];
    serde_json::from_str(&detection::eval(&arguments.map(|argument: OsString| argument)).unwrap()).unwrap()
}

/// Both have the same keys, and numbers within 1e-9.
fn assert_close(place: &str, found: &Value, expected: &Value) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(found), keys(expected), "{place}");
            for (key, expected) in expected {
                assert_close(&format!("{place} {key}"), &found[key], expected);
            }
        }
        (Value::Number(found), Value::Number(expected)) => {
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            assert!((found - expected).abs() < 1e-9, "{place}: {found}, expected {expected}");
        }
        _ => assert_eq!(found, expected, "{place}"),
    }
}

#[test]
fn golden_files_have_the_numbers_of_pycocotools() {
    for case in CASES {
        assert_close(case, &eval(case, "coco"), &read(&format!("{case}.coco_eval.json")));
    }
}

#[test]
fn golden_files_have_the_numbers_of_voc() {
    let (found, expected) = (eval("coco_small", "voc"), read("coco_small.voc_eval.json"));
    assert_close("coco_small", &found["ap_per_category"], &expected);
    for (mean, key) in [("mAP_all_points", "ap_all_points"), ("mAP_11_points", "ap_11_points")] {
        let classes: Vec<f64> = expected.as_object().unwrap().values().filter_map(|ap| ap[key].as_f64()).collect();
        let expected = classes.iter().sum::<f64>() / classes.len() as f64;
        assert_close(mean, &found["stats"][mean], &expected.into());
    }
}

/// Boxes as a network would say them, in `f32`.
#[test]
fn golden_images_one_by_one_have_the_numbers_of_pycocotools() {
    for case in CASES {
        let [annotations, results] = ["annotations", "results"].map(|part| read(&format!("{case}.{part}.json")));
        let mut images: BTreeMap<u64, (Vec<Detection>, Vec<Object>)> = BTreeMap::new();
        for image in annotations["images"].as_array().unwrap() {
            images.insert(image["id"].as_u64().unwrap(), Default::default());
        }
        let class = |entry: &Value| u32::try_from(entry["category_id"].as_u64().unwrap()).unwrap();
        for entry in annotations["annotations"].as_array().unwrap() {
            let ignore = entry["iscrowd"] == 1;
            let object = Object { class: class(entry), corners: corners(&entry["bbox"]), ignore };
            images.get_mut(&entry["image_id"].as_u64().unwrap()).unwrap().1.push(object);
        }
        for entry in results.as_array().unwrap() {
            let score = entry["score"].as_f64().unwrap() as f32;
            let detection = Detection { class: class(entry), score, corners: corners(&entry["bbox"]) };
            images.get_mut(&entry["image_id"].as_u64().unwrap()).unwrap().0.push(detection);
        }
        let mut meter = AveragePrecision::default();
        for (detections, objects) in images.values() {
            meter.observe(detections, objects);
        }
        let expected = read(&format!("{case}.coco_eval.json"));
        let defined = |values: &Value| {
            let values = values.as_object().unwrap().iter().filter(|(_, value)| value.as_f64() != Some(-1.0));
            values.map(|(key, value)| (key.clone(), value.clone())).collect::<serde_json::Map<_, _>>()
        };
        let per_class: serde_json::Map<_, _> =
            meter.per_class().into_iter().map(|(class, ap)| (class.to_string(), ap.into())).collect();
        assert_close(case, &per_class.into(), &defined(&expected["ap_per_category"]).into());
        let scores = serde_json::to_value(meter.scores()).unwrap();
        assert_close(case, &scores, &defined(&expected["stats"]).into());
    }
}

/// Left, top, right, bottom.
fn corners(bbox: &Value) -> [f32; 4] {
    let [x, y, width, height] = serde_json::from_value::<[f64; 4]>(bbox.clone()).unwrap();
    [x, y, x + width, y + height].map(|corner| corner as f32)
}
