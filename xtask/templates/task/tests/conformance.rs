//! The conformance tests of the task.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use record::Spec;
use serde_json::json;

fn spec() -> Spec {
    serde_json::from_value(json!({
        "task": {"depth": 8, "width": 8, "flip": true, "examples": 128},
        "dataset": "example-task", "seed": 0,
        "train": {"epochs": 2, "batch": 32, "log_every": 3},
        "optimizer": {"name": "adam", "lr": 0.01}, "schedule": {"name": "cosine"},
        "method": {"name": "wrs"}, "rest_decay": 5e-4
    }))
    .unwrap()
}

train::conformance!(example_task::ExampleTask, spec());
