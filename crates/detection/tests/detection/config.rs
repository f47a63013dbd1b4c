//! Mistakes in the `[task]` table.

use detection::Config;
use serde_json::{Value, json};

fn check(pointer: &str, value: Value) -> Result<(), String> {
    let mut config = json!({
        "model": {"depth": 18, "width": 16, "stride": 8, "levels": 3, "channels": 32, "convs": 1},
        "size": [96, 128],
        "examples": 10,
        "suppression": {"nms": {"iou": 0.6}}
    });
    *config.pointer_mut(pointer).unwrap() = value;
    settings::read::<Config>(config).and_then(|config| config.check()).map_err(|mistake| mistake.to_string())
}

#[test]
fn mistakes_are_named_with_their_key() {
    assert_eq!(check("/examples", Value::Null), Ok(()));
    for (pointer, value, expected) in [
        ("/model/depth", json!(20), "`model.depth`: expected 10, 18, 34, 50, 101 or 152, found 20"),
        ("/model/width", json!(0), "`model.width`: expected 1 to 1024, found 0"),
        ("/model/stride", json!(6), "`model.stride`: expected 4, 8, 16 or 32, found 6"),
        ("/model/levels", json!(9), "`model.levels`: expected 1 to 8, found 9"),
        (
            "/model/levels",
            json!(6),
            "`model.levels`: expected levels of strides up to 128, the longer side of `size`, found 6",
        ),
        ("/model/channels", json!(100_000), "`model.channels`: expected 1 to 4096, found 100000"),
        ("/model/convs", json!(17), "`model.convs`: expected 0 to 16, found 17"),
        ("/size", json!([100_000, 64]), "`size`: expected height and width from 32 to 8192, found [100000, 64]"),
        ("/examples", json!(0), "`examples`: expected at least 1, found 0"),
        ("/suppression/nms/iou", json!(1.5), "`suppression.nms.iou`: expected 0 to 1, found 1.5"),
        (
            "/suppression",
            json!({"soft-nms": {"sigma": 0.0}}),
            "`suppression.soft-nms.sigma`: expected a number above 0",
        ),
    ] {
        let message = check(pointer, value).unwrap_err();
        assert!(message.starts_with(expected), "{message}");
    }
}
