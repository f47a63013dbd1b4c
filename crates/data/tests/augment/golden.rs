//! Against torchvision: vectors made by tools/make_augment_golden.py.

use data::augment::{Adjustment, Follow, Transform, View};
use data::{Image, Mask, VOID};
use golden::Vectors;
use serde_json::Value;
use std::collections::BTreeMap;

/// What torchvision was given and made, `[h, w, c]`, and its settings, of every case whose name begins with `kind`.
fn cases(kind: &str) -> BTreeMap<String, (Image, Image, Value)> {
    let vectors = Vectors::open(env!("CARGO_MANIFEST_DIR"), "augment.safetensors");
    let image = |name: String| {
        let (shape, pixels) = vectors.bytes(&name);
        let [height, width, channels] = *shape else { panic!("{name}: {shape:?}") };
        Image { height, width, channels, pixels }
    };
    let read = |(case, settings): (&str, &Value)| {
        let (x, y) = (image(format!("{case}/x")), image(format!("{case}/y")));
        (case.to_owned(), (x, y, settings.clone()))
    };
    vectors.cases(kind).map(read).collect()
}

fn pair<T: serde::de::DeserializeOwned>(settings: &Value, key: &str) -> [T; 2] {
    serde_json::from_value(settings[key].clone()).unwrap()
}

fn view(source: &Image, settings: &Value) -> View {
    View {
        source: [source.height, source.width],
        scaled: pair(settings, "scaled"),
        offset: pair(settings, "offset"),
        size: pair(settings, "size"),
        flip: settings["flip"].as_bool().unwrap(),
    }
}

fn assert_close(case: &str, found: &Image, expected: &Image, levels: u8) {
    assert_eq!((found.height, found.width, found.channels), (expected.height, expected.width, expected.channels));
    let difference = found.pixels.iter().zip(&expected.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(difference <= levels, "{case}: {difference} levels");
}

#[test]
fn golden_views() {
    let cases = cases("view");
    assert_eq!(cases.len(), 18);
    for (case, (x, y, settings)) in cases {
        assert_close(&case, &Transform::from(view(&x, &settings)).image(&x), &y, 1);
    }
}

#[test]
fn golden_masks() {
    let cases = cases("mask");
    assert_eq!(cases.len(), 9);
    for (case, (x, y, settings)) in cases {
        let mask = Mask { height: x.height, width: x.width, classes: x.pixels.clone() };
        let found = mask.follow(&view(&x, &settings));
        let classes: Vec<u8> = found.classes.iter().map(|&class| if class == VOID { 0 } else { class }).collect();
        assert_eq!(([found.height, found.width], classes), ([y.height, y.width], y.pixels), "{case}");
    }
}

#[test]
fn golden_middles() {
    let cases = cases("centre");
    assert_eq!(cases.len(), 3);
    for (case, (x, y, settings)) in cases {
        let shorter = settings["shorter"].as_u64().unwrap() as usize;
        let view = View::center([x.height, x.width], shorter, pair(&settings, "size"));
        assert_close(&case, &Transform::from(view).image(&x), &y, 1);
    }
}

#[test]
fn golden_colors() {
    let cases = cases("colour");
    assert_eq!(cases.len(), 38);
    for (case, (x, y, settings)) in cases {
        let steps: Vec<(String, f64)> = serde_json::from_value(settings["steps"].clone()).unwrap();
        let step = |(name, factor): (String, f64)| match name.as_str() {
            "brightness" => Adjustment::Brightness(factor),
            "contrast" => Adjustment::Contrast(factor),
            "saturation" => Adjustment::Saturation(factor),
            "hue" => Adjustment::Hue(factor),
            other => panic!("{case}: unknown step {other}"),
        };
        let color = steps.into_iter().map(step).collect();
        let found = Transform { view: View::identity([x.height, x.width]), color }.image(&x);
        assert_close(&case, &found, &y, 1);
    }
}
