//! Runs of all tasks that are killed at random moments, and a reader that looks at their files all the time.
#![cfg(unix)]

use rand::RngExt;
use random::Rng;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many kills, of all tasks together: `WRS_BENCH_KILLS=1000 cargo test -p xtask killed_at_random`.
fn kills() -> usize {
    std::env::var("WRS_BENCH_KILLS").map_or(200, |kills| kills.parse().unwrap())
}

fn specs() -> [(&'static str, Value); 4] {
    let spec = |task: Value, dataset: &str, optimizer: &str| {
        json!({"task": task, "dataset": dataset, "seed": 0, "train": {"epochs": 4, "batch": 16, "log_every": 3, "evaluate_every": 2},
            "optimizer": {"name": optimizer, "lr": 0.01}, "schedule": {"name": "cosine"}, "method": {"name": "wrs"},
            "rest_decay": 5e-4})
    };
    let detection = json!({"depth": 10, "width": 4, "stride": 4, "levels": 2, "channels": 8, "convs": 1});
    let segmentation = json!({"deeplab": {"depth": 10, "width": 4, "output_stride": 8, "channels": 8, "low_level": 4, "rates": [2, 4]}});
    let counting = json!({"resnet": {"depth": 10, "width": 4, "output_stride": 8, "channels": 8}});
    let classification =
        json!({"model": {"resnet": {"depth": 8, "width": 4}}, "padding": 2, "flip": true, "examples": 96});
    let scenes =
        |model: Value| json!({"model": model, "size": [32, 32], "augmentation": {"flip": true}, "examples": 48});
    [
        ("classification", spec(classification, "fashion-mnist-12k", "sgd")),
        ("detection", spec(scenes(detection), "fashion-scenes", "adam")),
        ("segmentation", spec(scenes(segmentation), "fashion-scenes", "adam")),
        ("crowd-counting", spec(scenes(counting), "fashion-scenes", "adamw")),
    ]
}

struct Runs {
    task: &'static str,
    spec: Value,
    store: PathBuf,
}

impl Runs {
    fn begin(&self, name: &str) -> PathBuf {
        let folder = self.store.join(name);
        files::write_atomic(&folder.join("spec.json"), self.spec.to_string().as_bytes()).unwrap();
        folder
    }

    fn command(&self, folder: &Path, numbers: &mut Rng) -> Command {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_xtask")).parent().unwrap().join(self.task);
        let mut command = Command::new(binary);
        command
            .arg("run")
            .arg(folder)
            .current_dir(project)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // A checkpoint after each step, or where epochs end only.
        command.env("WRS_BENCH_CHECKPOINT_SECONDS", ["0", "20"][numbers.random_range(0..2)]);
        command.env("RAYON_NUM_THREADS", numbers.random_range(1..=3).to_string());
        command
    }
}

/// What must not depend on interruptions: the record but for times and provenance, the log, and the weights.
fn result(folder: &Path) -> (Value, Vec<u8>, Vec<u8>) {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let mut record: Value = serde_json::from_slice(&read("record.json")).unwrap();
    record.as_object_mut().unwrap().retain(|key, _| !["seconds", "provenance"].contains(&key.as_str()));
    (record, read("log.jsonl"), read("weights.safetensors"))
}

/// A run that nobody disturbs: how long it takes, in milliseconds, and its result.
fn undisturbed(runs: &Runs) -> (u64, (Value, Vec<u8>, Vec<u8>)) {
    let whole = runs.begin("whole");
    let began = Instant::now();
    assert!(
        runs.command(&whole, &mut random::stream(0, "the undisturbed run", &[])).status().unwrap().success(),
        "{}",
        runs.task
    );
    (began.elapsed().as_millis() as u64, result(&whole))
}

/// Kills runs of a task `kills` times, and compares those that come to their end; gives how many did.
fn kill(runs: &Runs, kills: usize, seed: u64) -> usize {
    let mut numbers = random::stream(seed, "kills", &[]);
    let (mut length, expected) = undisturbed(runs);
    let (mut killed, mut finished) = (0, 0);
    while killed < kills || finished == 0 {
        let folder = runs.begin(&format!("run-{finished}"));
        loop {
            let mut child = runs.command(&folder, &mut numbers).spawn().unwrap();
            if killed < kills {
                std::thread::sleep(Duration::from_millis(numbers.random_range(0..length.max(16))));
                let signal = ["-KILL", "-KILL", "-KILL", "-TERM", "-INT", "-USR1"][numbers.random_range(0..6)];
                // It may be over, and is a zombie until it is waited for.
                assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
            }
            let status = child.wait().unwrap();
            match status.code() {
                // How long a run takes depends on what else the machine does: signals shall come now before its end, now after it.
                Some(0) => {
                    length -= length / 8;
                    break;
                }
                // By a signal, which may come before it is listened to, or after that from a checkpoint.
                None | Some(75) => {
                    length += length / 16;
                    killed += 1;
                }
                Some(code) => panic!("{}: exit code {code}", runs.task),
            }
        }
        assert!(result(&folder) == expected, "{}: run {finished} differs from the undisturbed one", runs.task);
        let mut left: Vec<String> =
            std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["log.jsonl", "record.json", "spec.json", "weights.safetensors"], "{}", runs.task);
        left.iter().for_each(|name| std::fs::remove_file(folder.join(name)).unwrap());
        std::fs::remove_dir(&folder).unwrap();
        finished += 1;
    }
    finished
}

/// Looks at every file of `store` until `stop`; gives how many it read.
fn read_all(store: &Path, stop: &AtomicBool) -> usize {
    let folders = |path: &Path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let mut read = 0;
    // It must leave the runs a core.
    let pause = Duration::from_millis(1);
    while !stop.load(Ordering::Relaxed) {
        for run in folders(store).iter().flat_map(|task| folders(task)) {
            for name in ["record.json", "log.jsonl", "checkpoint", "checkpoint.before", "weights.safetensors"] {
                let Ok(bytes) = std::fs::read(run.join(name)) else { continue };
                assert!(is_whole(name, &bytes), "{}: a torn {name}", run.display());
                read += 1;
            }
        }
        std::thread::sleep(pause);
    }
    read
}

fn is_whole(name: &str, bytes: &[u8]) -> bool {
    let is_json = |text: &[u8]| serde_json::from_slice::<Value>(text).is_ok();
    match name {
        "record.json" => is_json(bytes),
        "log.jsonl" => {
            bytes.is_empty()
                || bytes.ends_with(b"\n") && bytes.trim_ascii_end().split(|byte| *byte == b'\n').all(is_json)
        }
        "weights.safetensors" => SafeTensors::deserialize(bytes).is_ok(),
        _ => SafeTensors::read_metadata(bytes).is_ok_and(|(_, metadata)| {
            let metadata = metadata.metadata().clone().unwrap();
            let header: Value = serde_json::from_str(&metadata["wrs-bench"]).unwrap();
            let digest = header["digest"].as_str().unwrap().as_bytes();
            let place = bytes.windows(digest.len()).position(|part| part == digest).unwrap();
            let mut without = bytes.to_vec();
            without[place..place + digest.len()].fill(b'0');
            files::hex(&Sha256::digest(&without)).as_bytes() == digest
        }),
    }
}

#[test]
fn killed_at_random_moments_runs_of_all_tasks_end_with_the_same_bits() {
    let build = |task: &str| {
        let build = Command::new(env!("CARGO")).args(["build", "--quiet", "--workspace", "--bin", task]).status();
        assert!(build.unwrap().success());
    };
    let (store, stop, ended) = (tempfile::tempdir().unwrap(), AtomicBool::new(false), AtomicUsize::new(0));
    let specs = specs();
    for (task, _) in &specs {
        build(task);
        files::create_folder(&store.path().join(task)).unwrap();
    }
    let (each, began) = (kills().div_ceil(specs.len()), Instant::now());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_all(store.path(), &stop));
        let killers = (1..).zip(specs).map(|(seed, (task, spec))| {
            let (store, ended) = (store.path().join(task), &ended);
            scope.spawn(move || ended.fetch_add(kill(&Runs { task, spec, store }, each, seed), Ordering::Relaxed))
        });
        let results: Vec<_> =
            killers.collect::<Vec<_>>().into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        let read = reader.join().unwrap();
        assert!(results.iter().all(Result::is_ok), "see above");
        assert!(read > 0);
        eprintln!(
            "{} kills, {} runs ended with the bits of the undisturbed, {read} files read, {:.0} s",
            4 * each,
            ended.load(Ordering::Relaxed),
            began.elapsed().as_secs_f64()
        );
    });
}
