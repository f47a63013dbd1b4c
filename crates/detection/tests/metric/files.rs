//! Files in COCO's format, as they come from anybody.

use serde_json::{Value, json};
use std::ffi::OsString;

/// A file of annotations of two images, two categories and one object.
fn annotations() -> Value {
    json!({
        "info": {"year": 2017}, "licenses": [], "type": "instances",
        "images": [
            {"id": 9_000_000_000_i64, "width": 640, "height": 480, "file_name": "b.jpg"},
            {"id": 139, "width": 640, "height": 480, "file_name": "a.jpg", "coco_url": "http://x"}
        ],
        "annotations": [{
            "id": 1768, "image_id": 139, "category_id": 90, "bbox": [10, 20.5, 40, 30], "iscrowd": 0,
            "segmentation": [[10.0, 20.5, 50.0, 50.5]], "area": 900.25
        }],
        "categories": [{"id": 90, "name": "toothbrush", "supercategory": "indoor"}, {"id": 3, "name": "car"}]
    })
}

fn result() -> Value {
    json!([{"image_id": 139, "category_id": 90, "bbox": [10, 20.5, 40, 30], "score": 0.5, "segmentation": {"size": [1, 2]}}])
}

/// What `eval` says of two files, given as text; paths are without their folder.
pub(crate) fn eval_text(annotations: &str, results: &str, style: &str) -> Result<Value, String> {
    eval_bytes(annotations.as_bytes(), results.as_bytes(), style)
}

fn eval_bytes(annotations: &[u8], results: &[u8], style: &str) -> Result<Value, String> {
    let folder = tempfile::tempdir().unwrap();
    let paths = [("a.json", annotations), ("r.json", results)].map(|(name, text)| {
        let path = folder.path().join(name);
        files::write_atomic(&path, text).unwrap();
        path.into_os_string()
    });
    let [annotations, results] = paths;
    let arguments = ["--annotations".into(), annotations, "--results".into(), results, "--style".into(), style.into()];
    let json = detection::eval(&arguments.map(|argument: OsString| argument));
    let json =
        json.map_err(|error| columnless(&format!("{error:#}").replace(&format!("{}/", folder.path().display()), "")))?;
    Ok(serde_json::from_str(&json).unwrap())
}

/// `message` without the column of a place, which depends on the order of keys.
fn columnless(message: &str) -> String {
    let Some((before, after)) = message.split_once(", column ") else { return message.to_owned() };
    assert!(after.starts_with(|c: char| c.is_ascii_digit()), "{message}");
    format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn eval(annotations: &Value, results: &Value) -> Result<Value, String> {
    eval_text(&annotations.to_string(), &results.to_string(), "coco")
}

fn error(annotations: &Value, results: &Value) -> String {
    eval(annotations, results).expect_err("an error")
}

#[test]
fn ids_of_any_size_and_keys_of_any_kind() {
    let found = eval(&annotations(), &result()).unwrap();
    assert!((found["stats"]["AP"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    assert!((found["ap_per_category"]["90"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(found["ap_per_category"]["3"], -1.0);
    let voc = eval_text(&annotations().to_string(), &result().to_string(), "voc").unwrap();
    assert_eq!(voc["ap_per_category"]["90"], json!({"ap_all_points": 1.0, "ap_11_points": 1.0, "positives": 1}));
    assert_eq!(voc["ap_per_category"]["3"], Value::Null);
    assert_eq!(voc["stats"], json!({"mAP_all_points": 1.0, "mAP_11_points": 1.0}));
}

#[test]
fn statistics_are_in_the_order_of_pycocotools_and_categories_in_that_of_ids() {
    let folder = tempfile::tempdir().unwrap();
    let [annotations, results] = [("a.json", annotations()), ("r.json", result())].map(|(name, json)| {
        let path = folder.path().join(name);
        files::write_atomic(&path, json.to_string().as_bytes()).unwrap();
        path.into_os_string()
    });
    let json = detection::eval(&["--annotations".into(), annotations, "--results".into(), results]).unwrap();
    let keys: Vec<&str> = json.split('"').skip(1).step_by(2).collect();
    let expected = "stats AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl ap_per_category 3 90";
    assert_eq!(keys, expected.split(' ').collect::<Vec<_>>());
}

#[test]
fn area_is_what_the_file_says_and_else_the_box() {
    let mut file = annotations();
    let medium = |file: &Value| eval(file, &result()).unwrap()["stats"]["APm"].as_f64().unwrap();
    assert_eq!(medium(&file), -1.0);
    file["annotations"][0].as_object_mut().unwrap().remove("area");
    assert!((medium(&file) - 1.0).abs() < 1e-9);
    file["annotations"][0]["area"] = Value::Null;
    assert!((medium(&file) - 1.0).abs() < 1e-9);
}

#[test]
fn a_crowd_is_1_or_true() {
    let (yes, no) = ([json!(1), json!(true), json!(1.0)], [json!(0), json!(false), json!(0.0)]);
    for (crowd, expected) in yes.into_iter().map(|crowd| (crowd, -1.0)).chain(no.into_iter().map(|crowd| (crowd, 1.0)))
    {
        let mut file = annotations();
        file["annotations"][0]["iscrowd"] = crowd;
        let ap = eval(&file, &result()).unwrap()["stats"]["AP"].as_f64().unwrap();
        assert!((ap - expected).abs() < 1e-9, "{ap}");
    }
}

#[test]
fn empty_lists_are_valid() {
    let ap =
        |annotations: &Value, results: &Value| eval(annotations, results).unwrap()["stats"]["AP"].as_f64().unwrap();
    assert_eq!(ap(&annotations(), &json!([])), 0.0);
    let mut file = annotations();
    file["annotations"] = json!([]);
    assert_eq!(ap(&file, &result()), -1.0);
    assert_eq!(ap(&file, &json!([])), -1.0);
    let voc = eval_text(&file.to_string(), &result().to_string(), "voc").unwrap();
    assert_eq!(voc["stats"], json!({"mAP_all_points": null, "mAP_11_points": null}));
    assert_eq!(ap(&json!({"images": [], "annotations": [], "categories": []}), &json!([])), -1.0);
}

/// A file with the value at `pointer` put to `value`.
fn with(mut file: Value, pointer: &str, value: Value) -> Value {
    *file.pointer_mut(pointer).unwrap() = value;
    file
}

fn without(mut file: Value, pointer: &str, key: &str) -> Value {
    file.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
    file
}

#[test]
fn mistakes_in_annotations_are_named() {
    let annotation = annotations()["annotations"][0].clone();
    let image = annotations()["images"][1].clone();
    for (file, expected) in [
        (json!([annotation]), "a.json: expected an object with `images`, `annotations` and `categories`, found a list"),
        (
            json!("text"),
            "a.json: line 1: expected an object with `images`, `annotations` and `categories`, found the text \"text\"",
        ),
        (without(annotations(), "", "categories"), "a.json: line 1: expected the key `categories`, found none"),
        (without(annotations(), "/images/1", "id"), "a.json: images[1] (line 1): expected the key `id`, found none"),
        (
            with(annotations(), "/images/1/id", json!("x")),
            "a.json: images[1].id (line 1): expected a whole number, found the text \"x\"",
        ),
        (
            with(annotations(), "/annotations/0/id", json!(1.5)),
            "a.json: annotations[0].id (line 1): expected a whole number, found the number `1.5`",
        ),
        (
            with(annotations(), "/annotations", json!({})),
            "a.json: annotations (line 1): expected a list, found an object",
        ),
        (
            without(annotations(), "/annotations/0", "bbox"),
            "a.json: annotations[0] (line 1): expected the key `bbox`, found none",
        ),
        (
            with(annotations(), "/annotations/0/bbox", json!([1, 2, 3])),
            "a.json: annotations[0].bbox (line 1): expected 4 numbers: left, top, width and height, found 3",
        ),
        (
            with(annotations(), "/annotations/0/bbox", json!([1, 2, 3, 4, 5, 6])),
            "a.json: annotations[0].bbox (line 1): expected 4 numbers: left, top, width and height, found 6",
        ),
        (
            with(annotations(), "/annotations/0/bbox/2", json!("3")),
            "a.json: annotations[0].bbox[2] (line 1): expected a number, found the text \"3\"",
        ),
        (
            with(annotations(), "/annotations/0/bbox/2", json!(-3)),
            "a.json: annotations[0] (id 1768): bbox: expected left, top, width and height, both of 0 or more, found [10.0, 20.5, -3.0, 30.0]",
        ),
        (
            with(annotations(), "/annotations/0/area", json!(-3)),
            "a.json: annotations[0] (id 1768): area: expected 0 or more, found -3",
        ),
        (
            with(annotations(), "/annotations/0/iscrowd", json!(2)),
            "a.json: annotations[0].iscrowd (line 1): expected 0 or 1, false or true, found the number `2`",
        ),
        (
            with(annotations(), "/annotations/0/image_id", json!(140)),
            "a.json: annotations[0] (id 1768): image_id: expected the id of an image of the annotations, found 140",
        ),
        (
            with(annotations(), "/annotations/0/category_id", json!(0)),
            "a.json: annotations[0] (id 1768): category_id: expected the id of a category of the annotations, found 0",
        ),
        (
            with(annotations(), "/annotations", json!([annotation, annotation])),
            "a.json: annotations: expected each id once, found 1768 twice",
        ),
        (
            with(annotations(), "/images", json!([image, image])),
            "a.json: images: expected each id once, found 139 twice",
        ),
    ] {
        let found = error(&file, &result());
        assert!(found.starts_with(expected), "found    {found}\nexpected {expected}");
    }
}

#[test]
fn mistakes_in_results_are_named() {
    let two = json!([result()[0], result()[0]]);
    for (file, expected) in [
        (json!({"annotations": []}), "r.json: expected a list of detections, found an object"),
        (json!([[]]), "r.json: [0] (line 1): expected an object with the keys `image_id`, "),
        (
            with(two.clone(), "/1/image_id", json!(140)),
            "r.json: [1]: image_id: expected the id of an image of the annotations, found 140",
        ),
        (
            with(two.clone(), "/1/category_id", json!(1)),
            "r.json: [1]: category_id: expected the id of a category of the annotations, found 1",
        ),
        (
            with(two.clone(), "/1/score", json!("0.5")),
            "r.json: [1].score (line 1): expected a number, found the text \"0.5\"",
        ),
        (with(two.clone(), "/1/score", Value::Null), "r.json: [1].score (line 1): expected a number, found null"),
        (
            with(two.clone(), "/1/bbox/3", json!(-0.5)),
            "r.json: [1]: bbox: expected left, top, width and height, both of 0 or more, found ",
        ),
        (without(two, "/1", "score"), "r.json: [1] (line 1): expected the key `score`, found none"),
    ] {
        let found = error(&annotations(), &file);
        assert!(found.starts_with(expected), "found    {found}\nexpected {expected}");
    }
}

#[test]
fn what_is_not_json_has_its_place() {
    let result = result().to_string();
    let scored = |score: &str| result.replace("\"score\":0.5", &format!("\"score\":{score}"));
    for (text, place) in [
        (
            scored("NaN"),
            "r.json: [0].score (line 1): expected JSON, which has no NaN, no infinity and no comments, found ",
        ),
        (
            scored("1e999"),
            "r.json: [0].score (line 1): expected JSON, which has no NaN, no infinity and no comments, found number out of range",
        ),
        (result.replace(']', ""), "r.json: "),
        (
            format!("{result}\n]"),
            "r.json: line 2: expected JSON, which has no NaN, no infinity and no comments, found trailing characters",
        ),
        (String::new(), "r.json: expected JSON: a list of detections, found an empty file"),
    ] {
        let found = eval_text(&annotations().to_string(), &text, "coco").expect_err("an error");
        assert!(found.starts_with(place), "found    {found}\nexpected {place}");
    }
}

#[test]
fn whole_numbers_may_have_a_point() {
    let mut file = annotations();
    for pointer in ["/images/1/id", "/annotations/0/image_id"] {
        *file.pointer_mut(pointer).unwrap() = json!(139.0);
    }
    *file.pointer_mut("/annotations/0/id").unwrap() = json!(1768.0);
    *file.pointer_mut("/categories/0/id").unwrap() = json!(90.0);
    let mut found = result();
    found[0]["category_id"] = json!(90.0);
    assert_eq!(eval(&file, &found), eval(&annotations(), &result()));
    found[0]["category_id"] = json!(90.5);
    assert!(
        error(&file, &found)
            .starts_with("r.json: [0].category_id (line 1): expected a whole number, found the number `90.5`")
    );
    found[0]["category_id"] = json!(1e300);
    assert!(error(&file, &found).starts_with("r.json: [0].category_id (line 1): expected a whole number, found "));
    found[0]["category_id"] = json!(u64::MAX);
    assert!(error(&file, &found).contains("expected a whole number, found the number `18446744073709551615`"));
}

#[test]
fn encodings_and_other_files_are_named() {
    let (annotations, results) = (annotations().to_string(), result().to_string());
    let expected = eval_text(&annotations, &results, "coco");
    let marked = |text: &str| format!("\u{feff}{text}");
    assert_eq!(eval_text(&marked(&annotations), &marked(&results), "coco"), expected);
    let wide: Vec<u8> = results.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(eval_bytes(annotations.as_bytes(), &[b"\xff\xfe", wide.as_slice()].concat(), "coco"), expected);
    let eval = |results: &[u8]| eval_bytes(annotations.as_bytes(), results, "coco").unwrap_err();
    assert!(
        eval(&wide).starts_with("r.json: expected text in UTF-8, found UTF-16 without a byte order mark\n  hint: ")
    );
    let latin = results.replace("size", "gr\u{f6}\u{df}e").chars().map(|c| c as u8).collect::<Vec<u8>>();
    assert!(eval(&latin).contains("expected text in UTF-8, found the byte 0xf6\n  hint: "));
    for (bytes, name) in [
        (&b"\x1f\x8b\x08\0"[..], "a gzip file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html>", "a web page (HTML)"),
    ] {
        let message = eval(bytes);
        assert!(
            message.starts_with(&format!("r.json: expected JSON: a list of detections, found {name}")),
            "{message}"
        );
    }
    assert!(eval(b" \n").contains("expected a whole JSON file, found its end"));
}

#[test]
fn arguments_are_checked_and_explained() {
    let usage = |arguments: &[&str]| {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let error = detection::eval(&arguments).expect_err("no files are named");
        let error = error.downcast::<clap::Error>().unwrap();
        (error.exit_code(), error.to_string())
    };
    let (code, help) = usage(&["--help"]);
    assert_eq!(code, 0);
    assert!(help.contains("Usage: cargo xtask eval detection") && help.contains("--style"), "{help}");
    let (code, message) = usage(&["--annotations", "a.json"]);
    assert!(code == 2 && message.contains("--results <FILE>"), "{message}");
    let (code, message) = usage(&["--annotations", "a", "--results", "r", "--style", "kitti"]);
    assert!(code == 2 && message.contains("coco, voc"), "{message}");
    let missing = detection::eval(&["--annotations", "no/a.json", "--results", "no/r.json"].map(OsString::from));
    let missing = format!("{:#}", missing.expect_err("there are no such files"));
    assert!(missing.starts_with("cannot read no/a.json: "), "{missing}");
}
