//! Runs as the runner starts them: interruptions, exit codes, mistakes, damaged files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use classification::Classification;
use record::{Outcome, Record, RunFolder, Spec};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use train::{Error, Options};

fn spec() -> Value {
    json!({
        "task": {"model": {"resnet": {"depth": 8, "width": 4}}, "padding": 2, "flip": true, "examples": 128},
        "dataset": "fashion-mnist-12k",
        "seed": 3,
        "train": {"epochs": 6, "batch": 16, "log_every": 5},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "schedule": {"name": "cosine", "warmup_epochs": 0.5},
        "method": {"name": "wrs"},
        "rest_decay": 5e-4
    })
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().into()
}

fn command(verb: &str, folder: &RunFolder, threads: usize) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_classification"));
    command.arg(verb).arg(folder.path()).current_dir(workspace());
    command.env("RAYON_NUM_THREADS", threads.to_string()).env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    command
}

fn run(folder: &RunFolder, threads: usize) -> Output {
    command("run", folder, threads).output().unwrap()
}

fn folder(spec: &Value) -> (tempfile::TempDir, RunFolder) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = RunFolder::new(temporary.path().join("run"));
    folder.write_spec(&serde_json::from_value(spec.clone()).unwrap()).unwrap();
    (temporary, folder)
}

fn record(folder: &RunFolder) -> Record {
    folder.read_record().unwrap().unwrap()
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn killed_at_any_moment_and_started_again_a_run_gives_the_same_weights() {
    let (_whole_temporary, whole) = folder(&spec());
    assert_eq!(run(&whole, 1).status.code(), Some(0));
    let expected = record(&whole);
    for (threads, first_kill) in [(1, 60), (2, 150), (3, 330)] {
        let (_temporary, folder) = folder(&spec());
        for kill_after in [first_kill, 250, 410] {
            let mut child = command("run", &folder, threads).stdout(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(kill_after));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let output = run(&folder, threads);
        assert_eq!(output.status.code(), Some(0), "{}", message(&output));
        let found = record(&folder);
        assert_eq!(found.weights, expected.weights);
        assert_eq!((&found.epochs, &found.norms, &found.id), (&expected.epochs, &expected.norms, &expected.id));
        assert_eq!((&found.losses, &found.tensors), (&expected.losses, &expected.tensors));
        assert_eq!(folder.read_log().unwrap(), whole.read_log().unwrap());
        assert!(!folder.checkpoint().exists());
    }
}

/// What the metadata of a safetensors file say besides its tensors: it begins with the length of its head.
fn notes(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap();
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let head: Value = serde_json::from_slice(&rest[..u64::from_le_bytes(*length) as usize]).unwrap();
    serde_json::from_str(head["__metadata__"]["wrs-bench"].as_str().unwrap()).unwrap()
}

#[test]
fn final_weights_say_how_they_are_used() {
    let mut spec = spec();
    spec["train"]["epochs"] = json!(1);
    let set = data::Classification::open(
        &data::Root::from_env(workspace()),
        "fashion-mnist-12k",
        data::Options { examples: Some(128), ..Default::default() },
    );
    let set = set.unwrap();
    for (method, formula) in [
        ("none", None),
        ("wrs", None),
        ("weight-standardization", Some("(w - mean(w)) / (std(w) + 1e-5), std with n - 1")),
        ("weight-normalization", Some("g * w / norm(w), g the parameter whose name ends in _g in place of _v")),
        ("forced-weight-normalization", Some("w / (norm(w) + 1e-4 * sqrt(n))")),
    ] {
        spec["method"] = json!({"name": method});
        let (_temporary, folder) = folder(&spec);
        let output = run(&folder, 1);
        assert_eq!(output.status.code(), Some(0), "{}", message(&output));
        let notes = notes(&folder.weights());
        let pixels = |key: &str| serde_json::from_value::<Vec<f32>>(notes["pixels"][key].clone()).unwrap();
        assert_eq!([pixels("mean"), pixels("std")], [set.mean(), set.std()], "{method}");
        let seen = notes["reparametrized"].as_object().unwrap();
        let of_first = if method == "weight-normalization" { "conv1.weight_v" } else { "conv1.weight" };
        assert_eq!(seen.get(of_first).and_then(Value::as_str), formula, "{method}: {seen:?}");
        assert!(!seen.contains_key("fc.weight") && (seen.is_empty() == formula.is_none()), "{seen:?}");
        assert_eq!(command("test", &folder, 1).output().unwrap().status.code(), Some(0));
    }
}

#[test]
fn a_run_that_is_asked_to_stop_can_be_resumed() {
    let (_temporary, folder) = folder(&spec());
    // The input is closed at once, so the run stops before it ends.
    let output = command("run", &folder, 1).arg("--stop-on-eof").output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", message(&output));
    assert!(message(&output).contains("goes on from the checkpoint"));
    assert_eq!(run(&folder, 1).status.code(), Some(0));
    let before = record(&folder);
    let again = run(&folder, 1);
    assert_eq!(again.status.code(), Some(0));
    assert!(again.stdout.is_empty(), "a finished run trains again");
    assert_eq!(record(&folder), before);
}

#[test]
fn the_test_split_is_read_apart_and_once() {
    let (_temporary, folder) = folder(&spec());
    let early = command("test", &folder, 1).output().unwrap();
    assert_eq!(early.status.code(), Some(1));
    assert!(message(&early).contains("expected a finished run"));
    run(&folder, 1);
    assert!(folder.read_test().unwrap().is_none());
    assert_eq!(command("test", &folder, 1).output().unwrap().status.code(), Some(0));
    let test = folder.read_test().unwrap().unwrap();
    assert_eq!(test.weights, record(&folder).weights);
    assert!((0.0..=1.0).contains(&test.scores["top1"]));
    command("test", &folder, 2).output().unwrap();
    assert_eq!(folder.read_test().unwrap().unwrap(), test);
}

#[test]
fn pictures_are_drawn_of_a_finished_run() {
    let (temporary, folder) = folder(&spec());
    let out = temporary.path().join("new/folder");
    let draw = |threads: usize, count: &str| {
        let mut command = command("pictures", &folder, threads);
        command.arg("--out").arg(&out).args(["--count", count]).output().unwrap()
    };
    let files = || {
        let entries = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        entries.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect::<BTreeMap<_, _>>()
    };
    let early = draw(1, "4");
    assert!(message(&early).contains("expected a finished run, found no record"), "{}", message(&early));
    assert_eq!((early.status.code(), out.exists()), (Some(1), false));
    run(&folder, 1);

    let drawn = draw(1, "4");
    assert_eq!(drawn.status.code(), Some(0), "{}", message(&drawn));
    let first = files();
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    let expected = ["sheet.png", "validation-0.png", "validation-300.png", "validation-600.png", "validation-900.png"];
    assert_eq!(names, expected);
    // The image itself is above the captions.
    let root = data::Root::from_env(workspace());
    let set = data::Classification::open(&root, "fashion-mnist-12k", data::Options::default()).unwrap();
    let example = set.example(data::Split::Validation, 300).unwrap();
    let picture = data::decode::image(&first["validation-300.png"], data::Channels::Gray).unwrap();
    assert!(picture.width == 280 && picture.height > 280);
    let enlarged = |i: usize| picture.pixels[(i / 28 * 10 + 5) * 280 + i % 28 * 10 + 5];
    assert!(example.image.pixels.iter().enumerate().all(|(i, pixel)| enlarged(i) == *pixel));

    files::write_atomic(&out.join("mine.txt"), b"mine").unwrap();
    assert_eq!(draw(2, "4").status.code(), Some(0));
    let mut again = files();
    assert_eq!(again.remove("mine.txt").unwrap(), b"mine");
    assert!(again == first, "drawn again, a picture differs");
    assert!(folder.read_test().unwrap().is_none(), "pictures are no scores");
    assert_eq!(draw(1, "0").status.code(), Some(2));
    // Test images may be looked at when the run was chosen and tested.
    command("test", &folder, 1).output().unwrap();
    assert_eq!(draw(1, "4").status.code(), Some(0));
    assert!(files().contains_key("test-3750.png"));
    foreign_weights_are_refused(&folder, &|| draw(1, "4"));
    assert_eq!(files().len(), 10);
}

fn foreign_weights_are_refused(folder: &RunFolder, draw: &dyn Fn() -> Output) {
    let weights = std::fs::read(folder.weights()).unwrap();
    let refused = |expected: &str| {
        let output = draw();
        let message = message(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("weights.safetensors") && message.contains("hint:"), "{message}");
        assert!(message.contains(expected), "{message}");
    };
    std::fs::remove_file(folder.weights()).unwrap();
    refused("found no such file");
    let mut others = weights.clone();
    *others.last_mut().unwrap() ^= 1;
    files::write_atomic(&folder.weights(), &others).unwrap();
    refused("expected the weights of the record");
    files::write_atomic(&folder.weights(), &weights[..weights.len() / 2]).unwrap();
    refused("damaged");
}

#[test]
fn a_run_that_diverges_has_a_record_that_says_so() {
    let mut spec = spec();
    spec["optimizer"]["lr"] = json!(1e30);
    spec["method"] = json!({"name": "none"});
    let (_temporary, folder) = folder(&spec);
    let output = run(&folder, 1);
    assert_eq!(output.status.code(), Some(0), "{}", message(&output));
    let record = record(&folder);
    let Outcome::Diverged { reason, .. } = &record.outcome else { panic!("found {:?}", record.outcome) };
    assert!(reason.contains("became"), "{reason}");
    assert_eq!(record.validation(), None);
    let test = command("test", &folder, 1).output().unwrap();
    assert!(message(&test).contains("nothing to test"));
    let pictures = command("pictures", &folder, 1).args(["--out", "nowhere"]).output().unwrap();
    assert!(message(&pictures).contains("the run diverged"));
}

#[test]
fn mistakes_in_a_spec_are_named_and_nothing_is_written() {
    let change = |path: &str, value: Value| {
        let mut spec = spec();
        *spec.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
        spec
    };
    let mut unknown_key = spec();
    unknown_key["method"]["granularty"] = json!("layer");
    let mut unknown_task_key = spec();
    unknown_task_key["task"]["paddding"] = json!(1);
    let mut unknown_engine = spec();
    unknown_engine["train"]["engine"] = json!("cpuu");
    let mut large_batch = change("/train/batch", json!(100_000));
    large_batch["task"]["examples"] = Value::Null;
    for (spec, expected) in [
        (unknown_engine, "train: `engine`: expected `cpu`, found `cpuu`\n  hint: did you mean `cpu`?"),
        (unknown_key, "method: `granularty`: expected the key `granularity`, "),
        (unknown_task_key, "task: `paddding`: expected the key `model`, "),
        (change("/method/name", json!("wsr")), "did you mean `wrs`?"),
        (change("/optimizer/name", json!("sdg")), "did you mean `sgd`?"),
        (change("/optimizer/lr", json!("fast")), "`lr`: expected a number, found \"fast\""),
        (change("/schedule/name", json!("cosinus")), "did you mean `cosine`?"),
        (change("/train/epochs", json!(0)), "`epochs`: expected at least 1"),
        (change("/train/batch", json!(100_000)), "train: `batch`: expected at most `task.examples`, 128, found 100000"),
        (large_batch, "examples that the training split has, found 100000"),
        (change("/dataset", json!("fashion-mnist-12")), "fashion-mnist-12k"),
        (change("/rest_decay", json!(-1.0)), "rest_decay"),
        (change("/task/model/resnet/depth", json!(9)), "8, 14, 20"),
    ] {
        let (_temporary, folder) = folder(&spec);
        let output = run(&folder, 1);
        assert_eq!(output.status.code(), Some(2), "{expected}: {}", message(&output));
        assert!(message(&output).contains(expected), "{expected}: {}", message(&output));
        assert!(folder.read_record().unwrap().is_none());
        assert!(!folder.checkpoint().exists() && !folder.weights().exists());
    }
}

fn stop_at(folder: &RunFolder, step: u64) -> Result<Record, Error> {
    let stop = |now: u64| now == step;
    let options = Options { loader_threads: 1, stop: &stop, event: &|_| {}, checkpoint_every: Duration::MAX };
    train::train::<Classification>(folder, &data::Root::from_env(workspace()), &options)
}

/// A run that stopped at step 20, with the checkpoint beside it that the end of an epoch left at step 16.
fn stopped() -> (tempfile::TempDir, RunFolder) {
    let (temporary, folder) = folder(&spec());
    assert!(matches!(stop_at(&folder, 20), Err(Error::Interrupted)));
    (temporary, folder)
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before_and_the_record_says_so() {
    let (_whole_temporary, whole) = folder(&spec());
    run(&whole, 1);
    let expected = record(&whole);
    let goes_on = |damage: &dyn Fn(&RunFolder), faults: &[&str]| {
        let (_temporary, folder) = stopped();
        damage(&folder);
        let output = run(&folder, 1);
        assert_eq!(output.status.code(), Some(0), "{faults:?}: {}", message(&output));
        let found = record(&folder);
        assert_eq!((&found.weights, &found.losses), (&expected.weights, &expected.losses), "{faults:?}");
        assert_eq!(folder.read_log().unwrap(), whole.read_log().unwrap());
        let said = found.provenance.faults.unwrap_or_default();
        assert_eq!(said.len(), faults.len(), "{said:?}");
        for (said, expected) in said.iter().zip(faults) {
            assert!(expected.split('|').all(|part| said.contains(part)), "expected {expected}, found {said}");
            assert!(message(&output).contains(said), "{}", message(&output));
        }
    };
    let change = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = std::fs::read(path).unwrap();
        change(&mut bytes);
        files::write_atomic(path, &bytes).unwrap();
    };
    let before = "went on from step 16 of the checkpoint before it";
    let start = "trained from the start";
    goes_on(&|_| {}, &[]);
    let torn = format!("the checkpoint could not be used: expected a whole safetensors file|{before}");
    for length in [0, 3, 5000] {
        goes_on(&|folder| change(&folder.checkpoint(), &|bytes| bytes.truncate(length)), &[&torn]);
    }
    let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    goes_on(&|folder| change(&folder.checkpoint(), &flip), &[&format!("expected the digest|{before}")]);
    goes_on(&|folder| std::fs::remove_file(folder.checkpoint()).unwrap(), &[]);
    let both = |folder: &RunFolder| {
        change(&folder.checkpoint(), &flip);
        change(&folder.checkpoint_before(), &|bytes| bytes.truncate(9));
    };
    goes_on(
        &both,
        &["the checkpoint could not|expected the digest", &format!("the checkpoint before it could not|{start}")],
    );
    // The log belongs to both.
    let digit = |bytes: &mut Vec<u8>| {
        let place = bytes.iter().position(|byte| *byte == b'.').unwrap() + 1;
        bytes[place] = if bytes[place] == b'1' { b'2' } else { b'1' };
    };
    let log = "log.jsonl: its lines are not those";
    goes_on(&|folder| change(&folder.log(), &digit), &[log, &format!("{log}|{start}")]);
    goes_on(&|folder| change(&folder.log(), &|bytes| bytes.truncate(5)), &["log.jsonl: line 1", start]);
}

#[test]
fn a_record_of_another_version_is_refused_by_its_name() {
    let (_temporary, folder) = folder(&spec());
    files::write_atomic(&folder.record(), br#"{"schema": 99}"#).unwrap();
    let output = run(&folder, 1);
    assert_eq!(output.status.code(), Some(1));
    assert!(message(&output).contains("expected a schema from 2 to 5, found 99"), "{}", message(&output));
}

/// Under weight rescaling every scale-invariant filter has norm 1 after every step.
#[test]
fn filters_have_unit_norm_after_every_step() {
    let spec: Spec = serde_json::from_value(spec()).unwrap();
    let mut filters = 0;
    for step in 1..=9 {
        let (_temporary, folder) = folder(&serde_json::to_value(&spec).unwrap());
        assert!(matches!(stop_at(&folder, step), Err(Error::Interrupted)));
        let tensors = candle_core::safetensors::load(folder.checkpoint(), &candle_core::Device::Cpu).unwrap();
        let convolutions: BTreeMap<_, _> =
            tensors.into_iter().filter(|(name, tensor)| name.starts_with("params/") && tensor.rank() == 4).collect();
        for (name, weight) in convolutions {
            let rows: Vec<Vec<f32>> = weight.flatten_from(1).unwrap().to_vec2().unwrap();
            for row in rows {
                let norm = row.iter().map(|w| f64::from(*w) * f64::from(*w)).sum::<f64>().sqrt();
                assert!((norm - 1.0).abs() < 1e-5, "{name} after step {step}: {norm}");
                filters += 1;
            }
        }
    }
    assert!(filters > 500, "{filters}");
}
