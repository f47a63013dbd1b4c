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

/// Fewer examples, and another method and optimizer.
fn compared(method: serde_json::Value, optimizer: serde_json::Value) -> Spec {
    let table = |value: serde_json::Value| value.as_object().unwrap().clone();
    let mut spec = spec();
    spec.task.insert("examples".into(), json!(100));
    Spec { method: table(method), optimizer: table(optimizer), ..spec }
}

#[test]
fn methods_that_reach_into_training_resume_bit_for_bit() {
    let root = train::conformance::workspace_root(env!("CARGO_MANIFEST_DIR"));
    let sgd = || json!({"name": "sgd", "lr": 0.05});
    let sam = json!({"name": "adamw", "lr": 1e-3, "sam_rho": 0.05, "clip_norm": 1.0});
    for spec in [
        compared(json!({"name": "wrs", "interval": {"epochs": 1}}), sgd()),
        compared(json!({"name": "weight-normalization"}), sgd()),
        compared(json!({"name": "forced-weight-normalization"}), json!({"name": "adamp"})),
        compared(json!({"name": "wrs"}), sam),
        compared(json!({"name": "weight-decay", "form": "stable"}), json!({"name": "adamw"})),
        compared(json!({"name": "none"}), json!({"name": "muon"})),
    ] {
        if let Err(error) = train::conformance::a_resumed_run_gives_the_same_weights::<Classification>(&root, &spec) {
            panic!("{:?} {:?}: {error:#}", spec.method, spec.optimizer);
        }
    }
}

#[test]
fn weights_that_are_normalized_on_their_way_have_their_gradient_and_invariance() {
    let root = train::conformance::workspace_root(env!("CARGO_MANIFEST_DIR"));
    for method in ["weight-standardization", "weight-normalization", "forced-weight-normalization"] {
        let spec = compared(json!({"name": method}), json!({"name": "sgd", "lr": 0.05}));
        let checks = [
            train::conformance::loss_gradient_matches_finite_differences::<Classification>,
            train::conformance::declared_scale_invariance_is_real::<Classification>,
            train::conformance::one_batch_can_be_learned::<Classification>,
        ];
        for check in checks {
            if let Err(error) = check(&root, &spec) {
                panic!("{method}: {error:#}");
            }
        }
    }
}

#[test]
fn validation_is_scored_after_every_so_many_epochs_and_the_last() {
    let root = train::conformance::workspace_root(env!("CARGO_MANIFEST_DIR"));
    let mut spec = compared(json!({"name": "none"}), json!({"name": "sgd", "lr": 0.05}));
    spec.train = json!({"epochs": 5, "batch": 25, "evaluate_every": 2}).as_object().unwrap().clone();
    let folder = tempfile::tempdir().unwrap();
    let run = record::RunFolder::new(folder.path().join("run"));
    run.write_spec(&spec).unwrap();
    let losses = std::cell::RefCell::new(Vec::new());
    let event = |event: &train::Event<'_>| {
        if let train::Event::Step { loss, .. } = event {
            losses.borrow_mut().push(*loss);
        }
    };
    let options = train::Options {
        loader_threads: 1,
        stop: &|_| false,
        event: &event,
        checkpoint_every: std::time::Duration::MAX,
    };
    let record = train::train::<Classification>(&run, &root, &options).unwrap();
    let losses = losses.into_inner();
    let per_epoch = losses.len() / 5;
    let mean = |epochs: std::ops::Range<usize>| {
        let steps = &losses[epochs.start * per_epoch..epochs.end * per_epoch];
        steps.iter().sum::<f64>() / steps.len() as f64
    };
    let expected = [(1, mean(0..2)), (3, mean(2..4)), (4, mean(4..5))];
    assert_eq!(record.epochs.len(), expected.len());
    for (row, (epoch, loss)) in record.epochs.iter().zip(expected) {
        assert_eq!((row.epoch, row.step), (epoch, (epoch + 1) * per_epoch as u64));
        assert!((row.train_loss - loss).abs() < 1e-9 && row.validation.contains_key("top1"), "{row:?} {loss}");
    }
    if let Err(error) = train::conformance::a_resumed_run_gives_the_same_weights::<Classification>(&root, &spec) {
        panic!("{error:#}");
    }

    // Specs from before the key was there keep their ids.
    let every = |every: u64| {
        let train = json!({"epochs": 5, "batch": 25, "evaluate_every": every}).as_object().unwrap().clone();
        train::plan::<Classification>(&record::Spec { train, ..spec.clone() }, &root).unwrap()
    };
    assert!(!every(1).spec.train.contains_key("evaluate_every"));
    assert_ne!(every(1).id, every(2).id);
}

#[test]
fn records_say_what_a_regularizer_did() {
    let root = train::conformance::workspace_root(env!("CARGO_MANIFEST_DIR"));
    let record = |method: serde_json::Value| {
        let mut spec = compared(method, json!({"name": "sgd", "lr": 0.05}));
        spec.schedule = json!({"name": "step", "milestones": [1]}).as_object().unwrap().clone();
        let folder = tempfile::tempdir().unwrap();
        let run = record::RunFolder::new(folder.path().join("run"));
        run.write_spec(&spec).unwrap();
        let options = train::Options {
            loader_threads: 1,
            stop: &|_| false,
            event: &|_| {},
            checkpoint_every: std::time::Duration::MAX,
        };
        train::train::<Classification>(&run, &root, &options).unwrap()
    };
    let decayed = record(json!({"name": "weight-decay", "decay": 0.01}));
    // Two epochs of as many steps, the second at a tenth of the rate; the momentum is 0.9.
    let expected = decayed.steps as f64 / 2.0 * 1.1 * 4.0 * 0.05 * 0.01 / 0.1;
    assert!((decayed.decay_efolds.unwrap() - expected).abs() < 1e-9, "{:?} {expected}", decayed.decay_efolds);
    assert_eq!(decayed.collapsed, Some(0.0));
    for row in &decayed.epochs {
        let (loss, score) = (row.validation_loss.unwrap(), row.validation["loss"]);
        assert!((loss - score).abs() < 1e-5 * score, "{loss} {score}");
    }
    assert_eq!(record(json!({"name": "wrs"})).decay_efolds, None);
}

/// A rung of successive halving: the beginning of the whole training, with its schedule.
#[test]
fn a_run_that_is_stopped_is_the_beginning_of_the_whole() {
    let root = train::conformance::workspace_root(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let train = |name: &str, stop_after: serde_json::Value| {
        let mut spec = compared(json!({"name": "wrs"}), json!({"name": "sgd", "lr": 0.05}));
        spec.train = json!({"epochs": 4, "batch": 25, "evaluate_every": 2, "log_every": 1, "stop_after": stop_after})
            .as_object()
            .unwrap()
            .clone();
        let run = record::RunFolder::new(folder.path().join(name));
        run.write_spec(&spec).unwrap();
        let options = train::Options {
            loader_threads: 1,
            stop: &|_| false,
            event: &|_| {},
            checkpoint_every: std::time::Duration::MAX,
        };
        train::train::<Classification>(&run, &root, &options)
    };
    let whole = train("whole", json!(null)).unwrap();
    assert!(!whole.spec.train.contains_key("stop_after"), "specs from before the key was there keep their ids");
    let stopped = train("stopped", json!(3)).unwrap();
    assert_eq!(4 * stopped.steps, 3 * whole.steps);
    assert_eq!(stopped.norms, whole.norms[..stopped.norms.len()]);
    assert_eq!(stopped.norms.len() as u64, stopped.steps);
    assert_eq!(stopped.epochs[0], whole.epochs[0]);
    assert_eq!(stopped.epochs.last().unwrap().epoch, 2, "validation is scored where it stops");
    assert!(stopped.validation().is_some());
    for epochs in [0, 4] {
        let error = train("refused", json!(epochs)).unwrap_err().to_string();
        assert!(error.contains("`stop_after`: expected 1 to below `epochs`, 4, found"), "{error}");
    }
}
