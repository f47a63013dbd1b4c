//! The conformance tests of the task.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use classification::Classification;
use record::Spec;
use serde_json::json;

fn spec() -> Spec {
    serde_json::from_value(json!({
        "task": {"model": {"resnet": {"depth": 8, "width": 4}}, "padding": 2, "flip": true, "examples": 200},
        "dataset": "fashion-mnist-12k",
        "seed": 0,
        "train": {"epochs": 2, "batch": 32, "log_every": 3},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "schedule": {"name": "cosine"},
        "method": {"name": "wrs"},
        "rest_decay": 5e-4
    }))
    .unwrap()
}

train::conformance!(Classification, spec());
