//! Mistakes in the `[task]` table.

use crowd_counting::{Config, LossConfig, ModelConfig};
use serde_json::{Value, json};

fn check(change: impl FnOnce(&mut Value)) -> Result<(), String> {
    let mut config = json!({
        "model": {"csrnet": {}},
        "size": [64, 96],
        "longest": 1024,
        "loss": {"density": {"spread": {"fixed": {}}}},
        "augmentation": {"flip": true}
    });
    change(&mut config);
    settings::read::<Config>(config).and_then(|config| config.check()).map_err(|mistake| mistake.to_string())
}

#[test]
fn mistakes_are_named_with_their_key() {
    assert_eq!(check(|c| c["examples"] = json!(1)), Ok(()));
    assert_eq!(check(|c| c["examples"] = json!(0)), Err("`examples`: expected at least 1, found 0".to_owned()));
    for (key, value) in [
        ("/model", json!({"csrnet": {"width": 1}})),
        ("/model", json!({"mcnn": {"width": 24}})),
        ("/model", json!({"resnet": {"depth": 50, "output_stride": 16}})),
        ("/loss", json!({"density": {"spread": {"adaptive": {"neighbours": 1, "beta": 0.5}}}})),
        ("/loss", json!({"bayesian": {"background": 0}})),
        ("/loss", json!({"distribution-matching": {"transport": 0, "variation": 0}})),
    ] {
        assert_eq!(check(|config| *config.pointer_mut(key).unwrap() = value), Ok(()));
    }
    let density = |spread: Value| json!({"density": {"spread": spread}});
    let matching = |settings: Value| json!({"distribution-matching": settings});
    for (key, value, expected) in [
        ("/model", json!({"csrnet": {"width": 0}}), "`model.csrnet.width`: expected 1 to 1024, found 0"),
        (
            "/model",
            json!({"mcnn": {"width": 12}}),
            "`model.mcnn.width`: expected a multiple of 8 from 8 to 1024, found 12",
        ),
        (
            "/model",
            json!({"mcnn": {"width": 0}}),
            "`model.mcnn.width`: expected a multiple of 8 from 8 to 1024, found 0",
        ),
        ("/model", json!({"mcnn": {"width": 1032}}), "from 8 to 1024, found 1032"),
        (
            "/model",
            json!({"resnet": {"depth": 20}}),
            "`model.resnet.depth`: expected 10, 18, 34, 50, 101 or 152, found 20",
        ),
        (
            "/model",
            json!({"resnet": {"depth": 18, "output_stride": 12}}),
            "`model.resnet.output_stride`: expected 4, 8, 16 or 32, found 12",
        ),
        ("/model", json!({"resnet": {"depth": 18, "width": 0}}), "`model.resnet.width`: expected 1 to 1024, found 0"),
        (
            "/model",
            json!({"resnet": {"depth": 18, "channels": 4097}}),
            "`model.resnet.channels`: expected 1 to 4096, found 4097",
        ),
        ("/model", json!({"resnet": {"depth": 18, "output_stride": 64}}), "expected 4, 8, 16 or 32, found 64"),
        (
            "/model",
            json!({"resnet": {"depth": 18, "output_stride": 32, "stride": 8}}),
            "`model.resnet.stride`: expected the key ",
        ),
        ("/model", json!({"vgg": {}}), "`model`: expected `csrnet`, `mcnn` or `resnet`, found `vgg`"),
        (
            "/size",
            json!([64, 100]),
            "`size`: expected height and width from 32 to 8192, multiples of 8, the sides of a cell, found [64, 100]",
        ),
        ("/size", json!([24, 64]), "found [24, 64]"),
        ("/size", json!([64, 8200]), "found [64, 8200]"),
        ("/longest", json!(0), "`longest`: expected 1 to 65536, found 0"),
        (
            "/loss",
            density(json!({"fixed": {"sigma": -1}})),
            "`loss.density.spread.fixed.sigma`: expected 0 to 1000, found -1",
        ),
        (
            "/loss",
            density(json!({"adaptive": {"beta": 11}})),
            "`loss.density.spread.adaptive.beta`: expected 0 to 10, found 11",
        ),
        (
            "/loss",
            density(json!({"adaptive": {"neighbours": 0}})),
            "`loss.density.spread.adaptive.neighbours`: expected 1 to 1000, found 0",
        ),
        (
            "/loss",
            density(json!({"adaptive": {"largest": 1e4}})),
            "`loss.density.spread.adaptive.largest`: expected 0 to 1000, found 10000",
        ),
        (
            "/loss",
            density(json!({"gaussian": {}})),
            "`loss.density.spread`: expected `fixed` or `adaptive`, found `gaussian`",
        ),
        ("/loss", json!({"bayesian": {"sigma": 0}}), "`loss.bayesian.sigma`: expected 0.1 to 1000, found 0"),
        (
            "/loss",
            json!({"bayesian": {"background": -0.1}}),
            "`loss.bayesian.background`: expected 0 to 10, found -0.1",
        ),
        (
            "/loss",
            json!({"bayesian": {"stride": 8}}),
            "`loss.bayesian.stride`: expected the key `sigma` or `background`, found one that is not known",
        ),
        (
            "/loss",
            matching(json!({"transport": -1})),
            "`loss.distribution-matching.transport`: expected 0 to 1000000, found -1",
        ),
        (
            "/loss",
            matching(json!({"variation": 1e7})),
            "`loss.distribution-matching.variation`: expected 0 to 1000000, found 10000000",
        ),
        (
            "/loss",
            matching(json!({"regularization": 0})),
            "`loss.distribution-matching.regularization`: expected 0.1 to 1000000, found 0",
        ),
        (
            "/loss",
            matching(json!({"iterations": 0})),
            "`loss.distribution-matching.iterations`: expected 1 to 10000, found 0",
        ),
        ("/loss", json!({"mse": {}}), "`loss`: expected `density`, `bayesian` or "),
        ("/augmentation", json!({"size": [9, 9]}), "`augmentation.size`: expected none, since it is `size` = [64, 96]"),
        ("/augmentation", json!({"aspect": [2, 1]}), "`augmentation.aspect`: expected two numbers above 0"),
    ] {
        let message = check(|config| *config.pointer_mut(key).unwrap() = value).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn windows_are_of_whole_cells() {
    let size =
        |model: Value, size: [usize; 2]| check(|config| (config["model"], config["size"]) = (model, json!(size)));
    assert_eq!(size(json!({"mcnn": {}}), [36, 100]), Ok(()));
    assert!(size(json!({"csrnet": {}}), [36, 100]).unwrap_err().contains("multiples of 8"));
    assert!(
        size(json!({"resnet": {"depth": 18, "output_stride": 32}}), [64, 80]).unwrap_err().contains("multiples of 32")
    );
}

#[test]
fn what_is_not_said_is_as_in_the_papers() {
    let config: Config = serde_json::from_value(json!({"model": {"mcnn": {}}, "size": [64, 64]})).unwrap();
    assert_eq!((config.model, config.loss), (ModelConfig::Mcnn { width: 16 }, LossConfig::default()));
    let loss = |value: Value| serde_json::to_value(serde_json::from_value::<LossConfig>(value).unwrap()).unwrap();
    assert_eq!(loss(json!({"density": {}})), json!({"density": {"spread": {"fixed": {"sigma": 4.0}}}}));
    assert_eq!(
        loss(json!({"density": {"spread": {"adaptive": {}}}})),
        json!({"density": {"spread": {"adaptive": {"beta": 0.3, "neighbours": 3, "largest": 15.0}}}})
    );
    assert_eq!(loss(json!({"bayesian": {}})), json!({"bayesian": {"sigma": 8.0, "background": 0.15}}));
    assert_eq!(
        loss(json!({"distribution-matching": {}}))["distribution-matching"],
        json!({"transport": 0.1, "variation": 0.01, "regularization": 10.0, "iterations": 100})
    );
}

#[test]
fn a_network_is_a_line_in_reports() {
    let line = |value: Value| serde_json::from_value::<ModelConfig>(value).unwrap().to_string();
    assert_eq!(line(json!({"csrnet": {}})), "CSRNet of width 64");
    assert_eq!(line(json!({"mcnn": {"width": 8}})), "MCNN of width 8");
    assert_eq!(line(json!({"resnet": {"depth": 18}})), "ResNet-18 of width 64, output stride 8, 128 channels");
}
