//! `eval` on folders of files.

use record::fs::write_atomic;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;

/// A mask of 2 rows.
fn mask(path: &Path, colour: png::ColorType, depth: png::BitDepth, width: u32, rows: &[u8]) {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, 2);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if colour == png::ColorType::Indexed {
        encoder.set_palette([[9, 9, 9]; 16].concat());
    }
    encoder.write_header().unwrap().write_image_data(rows).unwrap();
    write_atomic(path, &file).unwrap();
}

fn grey(path: &Path, width: u32, rows: &[u8]) {
    mask(path, png::ColorType::Grayscale, png::BitDepth::Eight, width, rows);
}

/// `eval` of the folders `truth` and `predictions` in `folder`; an error with `~` for `folder`.
fn eval(folder: &Path, options: &[&str]) -> Result<Value, String> {
    let mut arguments: Vec<OsString> = Vec::new();
    for (flag, name) in [("--truth", "truth"), ("--predictions", "predictions")] {
        arguments.extend([flag.into(), folder.join(name).into()]);
    }
    arguments.extend(options.iter().map(OsString::from));
    let json = segmentation::eval(&arguments)
        .map_err(|error| format!("{error:#}").replace(&folder.display().to_string(), "~"))?;
    Ok(serde_json::from_str(&json).unwrap())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    grey(&path("truth/a.png"), 3, &[0, 0, 0, 1, 1, 255]);
    grey(&path("predictions/a.png"), 3, &[0, 0, 3, 1, 0, 77]);
    // Palettes and few bits: the indices count.
    mask(&path("truth/sub/b.PNG"), png::ColorType::Indexed, png::BitDepth::Four, 3, &[0x11, 0x10, 0x11, 0x10]);
    mask(&path("predictions/sub/b.PNG"), png::ColorType::Grayscale, png::BitDepth::One, 3, &[0b1110_0000, 0b1110_0000]);
    write_atomic(&path("truth/notes.txt"), b"no mask").unwrap();
    folder
}

#[test]
fn folders_are_scored() {
    let folder = folder();
    let report = eval(folder.path(), &["--classes", "4"]).unwrap();
    let expected = json!({
        "images": 2,
        "pixels": 11,
        "mean_iou": (0.5 + 7.0 / 8.0 + 0.0) / 3.0,
        "pixel_accuracy": 9.0 / 11.0,
        "mean_accuracy": (2.0 / 3.0 + 7.0 / 8.0) / 2.0,
        "frequency_weighted_iou": (3.0 * 0.5 + 8.0 * 7.0 / 8.0) / 11.0,
        "iou_per_class": [0.5, 7.0 / 8.0, null, 0.0],
        "confusion": [[2, 0, 0, 1], [1, 7, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    });
    assert_eq!(report, expected);
    // Value 0 is not judged either.
    let report = eval(folder.path(), &["--classes", "4", "--ignore", "255,0"]).unwrap();
    assert_eq!((&report["pixels"], &report["mean_iou"]), (&json!(8), &json!((7.0 / 8.0) / 2.0)));
}

#[test]
fn mistakes_are_named_with_their_file() {
    type Change = fn(&Path);
    let cases: [(Change, &str); 7] = [
        (
            |path| grey(&path.join("predictions/a.png"), 2, &[0; 4]),
            "~/predictions/a.png: expected 2×3 pixels (height × width) as in ~/truth/a.png, found 2×2",
        ),
        (
            |path| grey(&path.join("truth/a.png"), 3, &[0, 0, 0, 0, 9, 0]),
            "~/truth/a.png: expected classes below 4 or an ignored value, found 9 at row 1, column 1\n  hint: `--ignore 255,9` \
             leaves such pixels out",
        ),
        (
            |path| grey(&path.join("predictions/a.png"), 3, &[0, 7, 0, 0, 0, 0]),
            "~/predictions/a.png: expected classes below 4, found 7 at row 0, column 1",
        ),
        (
            |path| grey(&path.join("predictions/c.png"), 3, &[0; 6]),
            "~/predictions/c.png: a prediction without truth: expected ~/truth/c.png, found no such file",
        ),
        (
            |path| grey(&path.join("truth/c.png"), 3, &[0; 6]),
            "~/truth/c.png: truth without a prediction: expected ~/predictions/c.png, found no such file",
        ),
        (
            |path| mask(&path.join("truth/a.png"), png::ColorType::Rgb, png::BitDepth::Eight, 1, &[0; 6]),
            "~/truth/a.png: expected one index a pixel, found colours",
        ),
        (|path| write_atomic(&path.join("truth/a.png"), b"GIF89a").unwrap(), "~/truth/a.png: "),
    ];
    for (change, expected) in cases {
        let folder = folder();
        change(folder.path());
        let message = eval(folder.path(), &["--classes", "4"]).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    let nowhere = tempfile::tempdir().unwrap();
    assert!(eval(nowhere.path(), &["--classes", "4"]).unwrap_err().contains("~/truth: cannot list the masks"));
    std::fs::create_dir(nowhere.path().join("truth")).unwrap();
    assert!(eval(nowhere.path(), &["--classes", "4"]).unwrap_err().contains("~/truth: expected PNG files, found none"));
    for options in [&["--classes", "0"][..], &["--classes", "256"], &[]] {
        let error = segmentation::eval(&options.iter().map(OsString::from).collect::<Vec<_>>()).unwrap_err();
        assert!(error.downcast_ref::<clap::Error>().is_some(), "{error}");
    }
}
