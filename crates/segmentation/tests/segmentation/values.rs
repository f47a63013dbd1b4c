//! `eval` of masks whose values are not classes counted from 0.

use crate::eval::{eval, gray, painted};
use png::{BitDepth, ColorType};
use serde_json::{Value, json};
use std::path::Path;

/// A folder with a mask of the truth and one of the predictions, of 2 rows.
fn folder(width: u32, truth: &[u8], predictions: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    gray(&folder.path().join("truth/0.png"), width, truth);
    gray(&folder.path().join("predictions/0.png"), width, predictions);
    folder
}

fn iou(folder: &Path, options: &[&str]) -> Value {
    eval(folder, options).unwrap()["mean_iou"].clone()
}

fn warnings(folder: &Path, options: &[&str]) -> Vec<String> {
    let report = eval(folder, options).unwrap();
    let list = report["warnings"].as_array().into_iter().flatten();
    list.map(|warning| warning.as_str().unwrap().to_owned()).collect()
}

/// Three quarters of the truth are 0, one is 255; the predictions have no foreground.
#[test]
fn the_default_ignore_swallows_no_class() {
    let binary = folder(4, &[0, 0, 0, 255, 0, 0, 0, 255], &[0; 8]);
    let path = binary.path();
    let message = eval(path, &["--classes", "2"]).unwrap_err();
    assert_eq!(
        message,
        "~/truth: expected true pixels of several classes: no true pixel that is judged has class 1, while 2 of 8 (25.0 %), those \
         of value 255, are not judged\n  hint: `--values 0,255` if 255 is class 1; `--ignore 255` if 255 is none"
    );
    // IoU of class 0: 6 of 8; of class 1: 0.
    assert_eq!(iou(path, &["--values", "0,255"]), json!(0.375));
    assert_eq!(iou(path, &["--values", "0,255", "--classes", "2"]), json!(0.375));
    // Asked for, but not in silence.
    let found = warnings(path, &["--classes", "2", "--ignore", "255"]);
    assert!(
        found.len() == 1 && found[0].starts_with("no true pixel that is judged has class 1, while 2 of 8"),
        "{found:?}"
    );
    // Both sides are of 0 and 255.
    let binary = folder(4, &[0, 0, 0, 255, 0, 0, 0, 255], &[0, 0, 255, 255, 0, 0, 0, 0]);
    let message = eval(binary.path(), &["--values", "0,255"]).unwrap_err();
    assert!(
        message.ends_with("hint: `--prediction-values 0,255` if they mean what they mean in the truth"),
        "{message}"
    );
    let options = ["--values", "0,255", "--prediction-values", "0,255"];
    assert_eq!(iou(binary.path(), &options), json!((5.0 / 7.0 + 1.0 / 3.0) / 2.0));
    // All of it void.
    let void = folder(1, &[255, 255], &[0, 0]);
    let message = eval(void.path(), &["--classes", "3"]).unwrap_err();
    assert!(message.contains("no true pixel that is judged has classes 0, 1, 2, while 2 of 2 (100.0 %)"), "{message}");
    // One class of several is missing, and may be the one that is ignored.
    let three = folder(2, &[0, 1, 255, 0], &[0, 1, 1, 0]);
    let found = warnings(three.path(), &["--classes", "3"]);
    assert!(found.len() == 1 && found[0].ends_with("hint: `--values 0,1,255` if 255 is class 2"), "{found:?}");
    // Nothing is ignored, or no class is missing.
    for (truth, classes) in [([0, 1, 0, 1], "3"), ([0, 1, 255, 2], "3")] {
        let clean = folder(2, &truth, &[0, 1, 0, 2]);
        assert_eq!(warnings(clean.path(), &["--classes", classes]), [""; 0], "{truth:?}");
    }
}

/// Truth as ADE20K has it: 0 is other, the classes are 1 to N; predictions are counted from 0.
#[test]
fn truth_may_count_from_one() {
    let ade = folder(4, &[1, 2, 3, 4, 4, 3, 0, 1], &[0, 1, 2, 3, 3, 2, 0, 1]);
    let path = ade.path();
    let message = eval(path, &["--classes", "4", "--ignore", "0"]).unwrap_err();
    assert_eq!(
        message,
        "~/truth/0.png: expected classes below 4 or an ignored value, found 4 at row 0, column 3; the values of the true masks are \
         0-4\n  hint: `--values 1-4 --ignore 0` if the classes are counted from 1, as those of ADE20K, and 0 is none; `--classes 5` \
         if 0 is a class, too"
    );
    let expected = (0.5 + 0.5 + 1.0 + 1.0) / 4.0;
    assert_eq!(iou(path, &["--values", "1-4", "--ignore", "0"]), json!(expected));
    assert_eq!(warnings(path, &["--values", "1-4", "--ignore", "0"]), [""; 0]);
    let message = eval(path, &["--values", "1-4"]).unwrap_err();
    assert_eq!(
        message,
        "~/truth/0.png: expected a value of `--values` or an ignored one, found 0 at row 1, column 2\n  hint: `--ignore 0,255` \
         leaves such pixels out, if they are of no class"
    );
    // With one class more each prediction is off by one.
    let found = warnings(path, &["--classes", "5", "--ignore", "0"]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("no true pixel that is judged has class 0, while 1 of 8"), "{found:?}");
    assert!(
        found[0].ends_with("hint: `--values` lists the value of each class"),
        "no value is told to be what it is: {found:?}"
    );
    assert!(
        found[1].starts_with(
            "predictions agree with the truth in 14.3 % of the pixels, and would in 85.7 % if each predicted class is \
                              counted one higher, as if only the truth counted from 1"
        ),
        "{found:?}"
    );
    // The other way round, and both sides from 1.
    let from_one = folder(3, &[0, 1, 2, 2, 1, 0], &[1, 2, 3, 3, 2, 1]);
    assert_eq!(iou(from_one.path(), &["--classes", "3", "--prediction-values", "1-3"]), json!(1.0));
    let found = warnings(from_one.path(), &["--classes", "4"]);
    assert!(found.len() == 1 && found[0].contains("one lower, as if only the predictions counted from 1"), "{found:?}");
    let both = folder(3, &[1, 2, 3, 3, 2, 1], &[1, 2, 2, 2, 2, 1]);
    let found = warnings(both.path(), &["--values", "1-3"]);
    assert!(
        found[0].ends_with(
            "hint: `--prediction-values 1-3` if they mean what they mean in the truth, `--prediction-values 0-2` if not"
        ),
        "{found:?}"
    );
    assert_eq!(iou(both.path(), &["--values", "1-3", "--prediction-values", "1-3"]), json!((1.0 + 0.5 + 0.0) / 3.0));
}

/// Label ids, with train ids in the predictions: road is 7 and 0, building 11 and 2, bicycle 33 and 18.
#[test]
fn truth_may_be_label_ids_of_cityscapes() {
    const IDS: &str = "7,8,11-13,17,19-28,31-33";
    const IGNORED: &str = "0-6,9,10,14-16,18,29,30,255";
    let city = folder(3, &[7, 11, 33, 7, 11, 4], &[0, 2, 18, 0, 0, 0]);
    let message = eval(city.path(), &["--classes", "19"]).unwrap_err();
    assert!(
        message.contains("found 33 at row 0, column 2; the values of the true masks are 4,7,11,33\n")
            && message.ends_with(&format!("the label ids of Cityscapes are `--values {IDS} --ignore {IGNORED}`")),
        "{message}"
    );
    let report = eval(city.path(), &["--values", IDS, "--ignore", IGNORED]).unwrap();
    assert_eq!(report["iou_per_class"].as_array().unwrap().len(), 19);
    assert_eq!(report["mean_iou"], json!((2.0 / 3.0 + 0.5 + 1.0) / 3.0));
    // Label ids on both sides.
    let city = folder(3, &[7, 11, 33, 7, 11, 4], &[7, 11, 33, 7, 7, 7]);
    let message = eval(city.path(), &["--values", IDS, "--ignore", IGNORED]).unwrap_err();
    assert!(message.contains(&format!("hint: `--prediction-values {IDS}` if they mean")), "{message}");
    let options = ["--values", IDS, "--ignore", IGNORED, "--prediction-values", IDS];
    assert_eq!(iou(city.path(), &options), json!((2.0 / 3.0 + 0.5 + 1.0) / 3.0));
}

#[test]
fn hints_drop_no_class() {
    for (truth, options, expected) in [
        ([0, 128, 255, 0], &["--classes", "3"][..], "`--values 0,128,255` if these are the values of the classes"),
        ([0, 100, 200, 255], &["--classes", "3"], "`--values 0,100,200` if these are the values of the classes"),
        (
            [0, 255, 9, 77],
            &["--classes", "2"],
            "`--values` lists the value of each class, and `--ignore` those of no class",
        ),
        ([0, 1, 2, 3], &["--classes", "3"], "`--values 1-3 --ignore 0,255` if the classes are counted from 1"),
    ] {
        let folder = folder(2, &truth, &[0; 4]);
        let message = eval(folder.path(), options).unwrap_err();
        assert!(message.contains(&format!("\n  hint: {expected}")), "{message}");
    }
    let masks = folder(2, &[0, 1, 0, 1], &[0, 255, 0, 255]);
    let message = eval(masks.path(), &["--classes", "2"]).unwrap_err();
    assert!(message.ends_with("hint: `--prediction-values 0,255` if these are the values of the classes"), "{message}");
    for (options, expected) in [
        (
            &["--values", "0,255", "--ignore", "255"][..],
            "`--ignore`: expected values of no class, found 255, which is in `--values`",
        ),
        (
            &["--values", "0,255", "--classes", "3"],
            "`--values`: expected a value for each of 3 classes, found 2 values",
        ),
        (
            &["--classes", "2", "--prediction-values", "1-3"],
            "`--prediction-values`: expected a value for each of 2 classes, found 3 values",
        ),
        (&["--values", "0-255"], "`--values`: expected at most 255 classes, found 256"),
    ] {
        assert_eq!(eval(masks.path(), options).unwrap_err(), expected);
    }
}

#[test]
fn three_equal_channels_are_one_value() {
    let folder = folder(1, &[0, 1], &[0, 1]);
    let pixels = [0, 0, 0, 1, 1, 1];
    painted(&folder.path().join("truth/0.png"), (ColorType::Rgb, BitDepth::Eight), 1, &pixels, &[]);
    assert_eq!(iou(folder.path(), &["--classes", "2"]), json!(1.0));
}

const BLACK: [u8; 3] = [0, 0, 0];
const RED: [u8; 3] = [128, 0, 0];
const GREEN: [u8; 3] = [0, 128, 0];
const UNUSED: [u8; 3] = [1, 1, 1];

#[test]
fn palettes_in_another_order_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let indexed = |name: &str, rows: &[u8], palette: &[[u8; 3]]| {
        painted(&folder.path().join(name), (ColorType::Indexed, BitDepth::Eight), 3, rows, palette);
    };
    // They look the same.
    indexed("truth/0.png", &[0, 1, 2, 0, 1, 2], &[BLACK, RED, GREEN]);
    indexed("predictions/0.png", &[2, 0, 1, 2, 0, 1], &[RED, GREEN, BLACK]);
    let classes = ["--classes", "3"];
    let shown = folder.path().display().to_string();
    let found: Vec<String> =
        warnings(folder.path(), &classes).iter().map(|warning| warning.replace(&shown, "FOLDER")).collect();
    assert_eq!(
        found,
        [
            "the palettes of truth and predictions give the same colors other values, and it is values that count: #000000 is 0 in \
          the truth and 2 in predictions; #800000 is 1 in the truth and 0 in predictions; #008000 is 2 in the truth and 1 in \
          predictions, first in FOLDER/predictions/0.png\n  hint: `--values` and `--prediction-values` say which value each class has"
        ]
    );
    let mapped = ["--classes", "3", "--prediction-values", "2,0,1"];
    assert_eq!(iou(folder.path(), &mapped), json!(1.0));
    assert_eq!(warnings(folder.path(), &mapped), [""; 0]);
    // Palettes of the values that occur in a mask: each file has its own.
    indexed("truth/0.png", &[0, 1, 1, 0, 1, 1], &[BLACK, GREEN]);
    indexed("predictions/0.png", &[0, 2, 2, 0, 2, 2], &[BLACK, RED, GREEN]);
    for name in ["truth/1.png", "predictions/1.png"] {
        indexed(name, &[0, 2, 2, 0, 2, 2], &[BLACK, RED, GREEN]);
    }
    let found = warnings(folder.path(), &classes);
    assert!(
        found.len() == 1 && found[0].contains("#008000 is 1 in the truth and 2 in predictions, first in"),
        "{found:?}"
    );
    for name in ["truth/1.png", "predictions/1.png"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    // What a palette says of values that do not occur means nothing, nor do two values of one color.
    indexed("predictions/0.png", &[0, 1, 2, 0, 1, 2], &[BLACK, RED, GREEN, UNUSED, BLACK, RED]);
    indexed("truth/0.png", &[0, 1, 2, 0, 1, 2], &[BLACK, RED, GREEN, RED]);
    assert_eq!(warnings(folder.path(), &classes), [""; 0]);
    // The palette of another program says nothing.
    indexed("predictions/0.png", &[0, 1, 2, 0, 1, 2], &[[10, 10, 10], [20, 20, 20], [30, 30, 30]]);
    assert_eq!(warnings(folder.path(), &classes), [""; 0]);
    // Two palettes in one folder.
    indexed("truth/1.png", &[0, 0, 0, 1, 1, 1], &[BLACK, GREEN, RED]);
    indexed("predictions/1.png", &[0, 0, 0, 1, 1, 1], &[[10, 10, 10], [20, 20, 20]]);
    let found = warnings(folder.path(), &classes);
    assert!(found.len() == 1 && found[0].contains("give value 1 the colors [128, 0, 0] and [0, 128, 0]"), "{found:?}");
}

#[test]
fn without_palettes_it_is_the_pixels_that_tell() {
    let swapped = folder(4, &[0, 0, 1, 1, 2, 2, 0, 1], &[2, 2, 0, 0, 1, 1, 2, 1]);
    let found = warnings(swapped.path(), &["--classes", "3"]);
    assert_eq!(
        found,
        [
            "predictions agree with the truth in 12.5 % of the pixels, and would in 87.5 % if predicted classes had other numbers: 2 \
          means 0, 0 means 1, 1 means 2\n  hint: `--values` and `--prediction-values` say which value each class has"
        ]
    );
    // A poor network of classes that are counted from 0, though those of the truth are counted from 1.
    let truth: Vec<u8> = [[1; 11], [2; 11], [3; 11]].concat().into_iter().chain([0]).collect();
    let guess = |class: u8| [[class - 1; 3].as_slice(), &[4, 4, 5, 5, 6, 6, 7, 7]].concat();
    let guesses: Vec<u8> = (1..4).flat_map(guess).chain([0]).collect();
    let shifted = folder(17, &truth, &guesses);
    let found = warnings(shifted.path(), &["--classes", "8"]);
    assert!(found.len() == 1 && found[0].contains("each predicted class is counted one higher"), "{found:?}");
    // A poor network is no mistake.
    let poor = folder(4, &[0, 0, 1, 1, 2, 2, 0, 1], &[0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(warnings(poor.path(), &["--classes", "3"]), [""; 0]);
}

#[test]
fn hidden_files_are_passed_over() {
    let folder = folder(2, &[0, 1, 0, 1], &[0, 1, 0, 1]);
    for name in [
        "truth/._0.png",
        "truth/__MACOSX/._0.png",
        "predictions/.ipynb_checkpoints/0-checkpoint.png",
        "predictions/.trash/0.png",
    ] {
        files::write_atomic(&folder.path().join(name), b"no mask").unwrap();
    }
    assert_eq!(eval(folder.path(), &["--classes", "2"]).unwrap()["images"], json!(1));
    // The folder itself may be hidden.
    let hidden = tempfile::tempdir().unwrap();
    let inside = hidden.path().join(".cache");
    gray(&inside.join("truth/0.png"), 1, &[0, 1]);
    gray(&inside.join("predictions/0.png"), 1, &[0, 1]);
    assert_eq!(iou(&inside, &["--classes", "2"]), json!(1.0));
}

#[test]
fn masks_that_are_not_scored_are_counted() {
    let folder = folder(2, &[0, 1, 0, 1], &[0, 1, 0, 1]);
    for name in ["truth/1.tif", "truth/2.NPY", "predictions/1.tif", "predictions/Thumbs.db", "predictions/0.jpg"] {
        files::write_atomic(&folder.path().join(name), b"no PNG").unwrap();
    }
    let found = warnings(folder.path(), &["--classes", "2"]);
    let [truth, predictions] = found.as_slice() else { panic!("{found:?}") };
    assert!(truth.starts_with("2 files are no PNG files, and not scored; the first: "), "{truth}");
    assert!(truth.ends_with("1.tif") && predictions.starts_with("1 files"), "{truth} {predictions}");
}

#[test]
fn many_pixels_that_are_not_judged_are_said() {
    let stray = folder(4, &[0, 0, 1, 0, 255, 255, 255, 255], &[0, 0, 0, 0, 1, 1, 1, 1]);
    let found = warnings(stray.path(), &["--classes", "2"]);
    assert!(found.len() == 1 && found[0].starts_with("4 of 8 true pixels (50.0 %), those of value 255"), "{found:?}");
    assert_eq!(warnings(stray.path(), &["--classes", "2", "--ignore", "255"]), [""; 0]);
    let few = folder(4, &[0, 0, 1, 0, 1, 1, 255, 255], &[0, 0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(warnings(few.path(), &["--classes", "2"]), [""; 0]);
}
