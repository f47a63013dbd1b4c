//! `eval` on folders of files.

use files::write_atomic;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;

/// A mask of 2 rows.
fn mask(path: &Path, color: png::ColorType, depth: png::BitDepth, width: u32, rows: &[u8]) {
    painted(path, (color, depth), width, rows, &[[9, 9, 9]; 16]);
}

/// A mask with a palette, where it is of a kind that has one.
pub(crate) fn painted(
    path: &Path,
    (color, depth): (png::ColorType, png::BitDepth),
    width: u32,
    rows: &[u8],
    palette: &[[u8; 3]],
) {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, 2);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == png::ColorType::Indexed {
        encoder.set_palette(palette.concat());
    }
    encoder.write_header().unwrap().write_image_data(rows).unwrap();
    write_atomic(path, &file).unwrap();
}

pub(crate) fn gray(path: &Path, width: u32, rows: &[u8]) {
    mask(path, png::ColorType::Grayscale, png::BitDepth::Eight, width, rows);
}

/// `eval` of the folders `truth` and `predictions` in `folder`; an error with `~` for `folder`.
pub(crate) fn eval(folder: &Path, options: &[&str]) -> Result<Value, String> {
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
    gray(&path("truth/a.png"), 3, &[0, 0, 0, 1, 1, 255]);
    gray(&path("predictions/a.png"), 3, &[0, 0, 3, 1, 0, 77]);
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
        "confusion": [[2, 0, 0, 1], [1, 7, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        "warnings": [
            "no true pixel that is judged has classes 2, 3, while 1 of 12 (8.3 %), those of value 255, are not judged\n  \
             hint: `--values` lists the value of each class"
        ]
    });
    assert_eq!(report, expected);
    // Value 0 is not judged either.
    let report = eval(folder.path(), &["--classes", "4", "--ignore", "255,0"]).unwrap();
    assert_eq!((&report["pixels"], &report["mean_iou"]), (&json!(8), &json!((7.0 / 8.0) / 2.0)));
}

#[test]
fn mistakes_are_named_with_their_file() {
    type Change = fn(&Path);
    let cases: [(Change, &str); 10] = [
        (
            |path| gray(&path.join("predictions/a.png"), 2, &[0; 4]),
            "~/predictions/a.png: expected 2×3 pixels (height × width) as in ~/truth/a.png, found 2×2",
        ),
        (
            |path| gray(&path.join("truth/a.png"), 3, &[0, 0, 0, 0, 9, 0]),
            "~/truth/a.png: expected classes below 4 or an ignored value, found 9 at row 1, column 1; the values of the true \
             masks are 0,1,9\n  hint: `--values` lists the value of each class, and `--ignore` those of no class",
        ),
        (
            |path| gray(&path.join("predictions/a.png"), 3, &[0, 7, 0, 0, 0, 0]),
            "~/predictions/a.png: expected classes below 4, found 7 at row 0, column 1; the values of the predicted masks are \
             0,1,7\n  hint: `--prediction-values` lists the value of each class",
        ),
        (
            |path| gray(&path.join("predictions/c.png"), 3, &[0; 6]),
            "~/predictions/c.png: a prediction without truth: expected ~/truth/c.png, found no such file",
        ),
        (
            |path| gray(&path.join("truth/c.png"), 3, &[0; 6]),
            "~/truth/c.png: truth without a prediction: expected ~/predictions/c.png, found no such file",
        ),
        (
            |path| mask(&path.join("truth/a.png"), png::ColorType::Rgb, png::BitDepth::Eight, 1, &[0; 6]),
            "~/predictions/a.png: expected 2×1 pixels",
        ),
        (
            |path| mask(&path.join("truth/a.png"), png::ColorType::Rgb, png::BitDepth::Eight, 1, &[3, 3, 3, 1, 2, 3]),
            "~/truth/a.png: expected one value a pixel, found the color [1, 2, 3] at row 1, column 0",
        ),
        (
            |path| write_atomic(&path.join("truth/a.png"), b"GIF89a").unwrap(),
            "~/truth/a.png: expected a PNG file, found a GIF image",
        ),
        (
            |path| write_atomic(&path.join("truth/a.png"), b"version https://git-lfs.github.com/spec/v1\n").unwrap(),
            "~/truth/a.png: expected a PNG file, found a Git LFS pointer, which stands for the file\n  hint: `git lfs pull`",
        ),
        (
            |path| {
                std::fs::remove_file(path.join("predictions/a.png")).unwrap();
                write_atomic(&path.join("predictions/a.bmp"), b"BM").unwrap();
            },
            "~/truth/a.png: truth without a prediction: expected ~/predictions/a.png, found a.bmp, which is no PNG file",
        ),
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
    write_atomic(&nowhere.path().join("truth/a.tif"), b"II*").unwrap();
    let message = eval(nowhere.path(), &["--classes", "4"]).unwrap_err();
    assert_eq!(message, "~/truth: expected PNG files, found others alone, such as a.tif");
    for options in [
        &["--classes", "0"][..],
        &["--classes", "256"],
        &[],
        &["--values", "0-256"],
        &["--values", "5-3"],
        &["--values", "0,1,1"],
        &["--values", ""],
    ] {
        let error = segmentation::eval(&options.iter().map(OsString::from).collect::<Vec<_>>()).unwrap_err();
        assert!(error.downcast_ref::<clap::Error>().is_some(), "{error}");
    }
}
