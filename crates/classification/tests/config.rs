//! Mistakes in the `[task]` and `[train]` tables, told when a run is planned.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use classification::Classification;
use serde_json::{Value, json};
use std::path::Path;

/// The section and the message of the mistake that planning finds.
fn plan(pointer: &str, value: Value) -> Result<(), (String, String)> {
    let mut spec = json!({
        "task": {"model": {"resnet": {"depth": 8, "width": 4}}, "size": 32, "padding": 2, "flip": true, "examples": 128},
        "dataset": "fashion-mnist-12k",
        "seed": 3,
        "train": {"epochs": 6, "batch": 16},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "schedule": {"name": "cosine"},
        "method": {"name": "none"},
        "rest_decay": 5e-4
    });
    *spec.pointer_mut(pointer).unwrap() = value;
    let root = data::Root::from_env(Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap());
    let planned = train::plan::<Classification>(&serde_json::from_value(spec).unwrap(), &root);
    planned.map(drop).map_err(|error| match error {
        train::Error::Spec { section, mistake } => (section.to_string(), mistake.to_string()),
        other => panic!("{other}"),
    })
}

#[test]
fn mistakes_are_told_when_a_run_is_planned() {
    for (pointer, value) in [
        ("/task/model/resnet/depth", json!(1202)),
        ("/task/model", json!({"vgg-bn": {"depth": 19}})),
        ("/task/size", Value::Null),
        ("/task/padding", json!(31)),
        ("/train/epochs", json!(1_000_000_000)),
    ] {
        assert_eq!(plan(pointer, value), Ok(()), "{pointer}");
    }
    let deep = "`model.resnet.depth`: expected 8, 14, 20, … up to 1202, found ";
    for (pointer, value, expected) in [
        ("/task/model/resnet/depth", json!(9), format!("{deep}9")),
        ("/task/model/resnet/depth", json!(2), format!("{deep}2")),
        ("/task/model/resnet/depth", json!(1_000_000_004), format!("{deep}1000000004")),
        ("/task/model/resnet/width", json!(0), "`model.resnet.width`: expected 1 to 1024, found 0".to_owned()),
        (
            "/task/model/resnet/width",
            json!(100_000),
            "`model.resnet.width`: expected 1 to 1024, found 100000".to_owned(),
        ),
        (
            "/task/model",
            json!({"vgg-bn": {"depth": 12}}),
            "`model.vgg-bn.depth`: expected 11, 13, 16 or 19, found 12".to_owned(),
        ),
        (
            "/task/model",
            json!({"vgg-bn": {"depth": 16, "width": 0}}),
            "`model.vgg-bn.width`: expected 1 to 1024, found 0".to_owned(),
        ),
        ("/task/size", json!(0), "`size`: expected 1 to 8192, found 0".to_owned()),
        ("/task/size", json!(100_000), "`size`: expected 1 to 8192, found 100000".to_owned()),
        ("/task/padding", json!(100_000), "`padding`: expected 0 to 31, found 100000".to_owned()),
        ("/task/padding", json!(32), "`padding`: expected 0 to 31, found 32".to_owned()),
        ("/task/examples", json!(0), "`examples`: expected at least 1, found 0".to_owned()),
        (
            "/train/epochs",
            json!(1_000_000_000_000_000_000_u64),
            "`epochs`: expected at most 1000000000, found 1000000000000000000".to_owned(),
        ),
        ("/train/batch", json!(1_000_000_001), "`batch`: expected at most 1000000000, found 1000000001".to_owned()),
        ("/train/epochs", json!(0), "`epochs`: expected at least 1, found 0".to_owned()),
    ] {
        let section = pointer.split('/').nth(1).unwrap();
        assert_eq!(plan(pointer, value), Err((section.to_owned(), expected)), "{pointer}");
    }
    let (_, message) = plan("/task/padding", json!(-1)).unwrap_err();
    assert!(message.starts_with("`padding`: "), "{message}");
    let vgg = json!({"model": {"vgg-bn": {"depth": 11}}, "size": 28});
    assert_eq!(plan("/task", vgg), Err(("task".to_owned(), "`size`: expected 32 to 8192, found 28".to_owned())));
    let large = json!({"model": {"resnet": {"depth": 8}}, "padding": 100_000});
    assert_eq!(
        plan("/task", large),
        Err(("task".to_owned(), "`padding`: expected 0 to 4096, found 100000".to_owned()))
    );
}
