//! The conformance tests of the task.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use detection::ObjectDetection;
use record::Spec;
use serde_json::json;

fn spec() -> Spec {
    serde_json::from_value(json!({
        "task": {
            "model": {"depth": 10, "width": 8, "stride": 4, "levels": 2, "channels": 16, "convs": 1},
            "size": [64, 64],
            "augmentation": {"scale": {"fit": [0.8, 1.2]}, "flip": true, "jitter": {"brightness": 0.2}},
            "examples": 96
        },
        "dataset": "fashion-scenes",
        "seed": 0,
        "train": {"epochs": 2, "batch": 32, "log_every": 3},
        "optimizer": {"name": "adam", "lr": 0.01},
        "schedule": {"name": "cosine"},
        "method": {"name": "wrs"},
        "rest_decay": 5e-4
    }))
    .unwrap()
}

train::conformance!(ObjectDetection, spec());
