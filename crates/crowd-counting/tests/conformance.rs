//! The conformance tests of the task.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use crowd_counting::CrowdCounting;
use record::Spec;
use serde_json::json;

/// Of a ResNet: behind CSRNet's sixteen convolutions without a shortcut, the loss bends within the steps that differences take.
fn spec() -> Spec {
    serde_json::from_value(json!({
        "task": {
            "model": {"resnet": {"depth": 10, "width": 8, "output_stride": 8, "channels": 16}},
            "size": [64, 64],
            "augmentation": {"flip": true},
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

train::conformance!(CrowdCounting, spec());
