//! Mistakes in the `[task]` table.

use segmentation::Config;
use serde_json::{Value, json};

fn check(change: impl FnOnce(&mut Value)) -> Result<(), String> {
    let mut config = json!({
        "model": {"deeplab": {"depth": 18}},
        "size": [64, 96],
        "tile": [80, 96],
        "loss": {"ohem": {}, "dice": 1.0},
        "augmentation": {"flip": true}
    });
    change(&mut config);
    settings::read::<Config>(config).and_then(|config| config.check()).map_err(|mistake| mistake.to_string())
}

#[test]
fn mistakes_are_named_with_their_key() {
    assert_eq!(check(|_| ()), Ok(()));
    assert_eq!(check(|c| c["examples"] = json!(1)), Ok(()));
    assert_eq!(check(|c| c["examples"] = json!(0)), Err("`examples`: expected at least 1, found 0".to_owned()));
    assert_eq!(check(|c| c["model"] = json!({"unet": {"levels": 6}})), Ok(()));
    for (key, value, expected) in [
        ("/model", json!({"unet": {"width": 1024, "levels": 7}}), "`model.unet.width`: expected 1 to 128, found 1024"),
        (
            "/model",
            json!({"unet": {"levels": 7}}),
            "`size`: expected height and width from 128 to 8192, found [64, 96]",
        ),
        ("/size", json!([64, 31]), "`size`: expected height and width from 32 to 8192, found [64, 31]"),
        ("/tile", json!([64, 9000]), "`tile`: expected height and width from 32 to 8192, found [64, 9000]"),
        ("/model", json!({"unet": {"levels": 8}}), "`model.unet.levels`: expected 2 to 7, found 8"),
        ("/model", json!({"unet": {"width": 0}}), "`model.unet.width`: expected 1 to 512, found 0"),
        (
            "/model",
            json!({"deeplab": {"depth": 20}}),
            "`model.deeplab.depth`: expected 10, 18, 34, 50, 101 or 152, found 20",
        ),
        (
            "/model",
            json!({"deeplab": {"depth": 18, "output_stride": 12}}),
            "`model.deeplab.output_stride`: expected 4, 8, 16 or 32, found 12",
        ),
        (
            "/model",
            json!({"deeplab": {"depth": 18, "rates": [0]}}),
            "`model.deeplab.rates`: expected at most 8 dilations from 1 to 256, found [0]",
        ),
        ("/loss", json!({"dice": -1}), "`loss.dice`: expected a number of at least 0, found -1"),
        ("/loss", json!({"ohem": {"least": 1.5}}), "`loss.ohem.least`: expected 0 to 1, found 1.5"),
        ("/loss", json!({"median_frequency": 2}), "`loss.median_frequency`: expected 0 to 1, found 2"),
        ("/loss", json!({"focal": 1}), "`loss.focal`: expected the key `median_frequency`, "),
        ("/augmentation", json!({"size": [9, 9]}), "`augmentation.size`: expected none, since it is `size` = [64, 96]"),
        ("/augmentation", json!({"aspect": [2, 1]}), "`augmentation.aspect`: expected two numbers above 0"),
    ] {
        let message = check(|config| *config.pointer_mut(key).unwrap() = value).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}
