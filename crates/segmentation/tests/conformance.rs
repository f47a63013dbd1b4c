//! The conformance tests of the task.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use record::Spec;
use segmentation::SemanticSegmentation;
use serde_json::json;

fn spec() -> Spec {
    serde_json::from_value(json!({
        "task": {
            "model": {"deeplab": {
                "depth": 10, "width": 8, "output_stride": 8, "channels": 16, "low_level": 8, "rates": [2, 4]
            }},
            "loss": {"median_frequency": 1.0, "dice": 0.5},
            "size": [64, 64],
            "augmentation": {"scale": {"image": [0.6, 1.2]}, "flip": true, "jitter": {"brightness": 0.2}},
            "examples": 96
        },
        "dataset": "fashion-scenes",
        "seed": 0,
        "train": {"epochs": 2, "batch": 32, "log_every": 3},
        "optimizer": {"name": "adam", "lr": 0.01},
        "schedule": {"name": "polynomial"},
        "method": {"name": "wrs"},
        "rest_decay": 5e-4
    }))
    .unwrap()
}

train::conformance!(SemanticSegmentation, spec());
