//! A store on a disk that fills, and one that cannot be written. Only root may mount such disks; others skip the test.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use record::{RunFolder, State};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};

/// A file system in memory, under a temporary folder.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        if !mount.is_ok_and(|mount| mount.status.success()) {
            eprintln!("skipped: a small disk cannot be mounted; root can");
            return None;
        }
        Some(Self(folder))
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(self.0.path()).status().unwrap().success());
    }

    /// Takes all space that is left.
    fn fill(&self) {
        let output = Command::new("dd").args(["if=/dev/zero", "bs=1k"]).arg(format!("of={}", self.ballast())).output();
        assert!(!output.unwrap().status.success(), "the disk is larger than expected");
    }

    fn ballast(&self) -> String {
        self.0.path().join("ballast").display().to_string()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn begin(folder: &Path) -> RunFolder {
    let spec = json!({"task": {"model": {"resnet": {"depth": 8, "width": 4}}, "examples": 128}, "dataset": "fashion-mnist-12k",
        "seed": 3, "train": {"epochs": 3, "batch": 16, "log_every": 5}, "optimizer": {"name": "sgd", "lr": 0.1},
        "schedule": {"name": "cosine"}, "method": {"name": "wrs"}, "rest_decay": 5e-4});
    let folder = RunFolder::new(folder);
    folder.write_spec(&serde_json::from_value(spec).unwrap()).unwrap();
    folder
}

fn run(folder: &RunFolder, arguments: &[&str]) -> Output {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_classification"));
    command.arg("run").arg(folder.path()).args(arguments).current_dir(project);
    command.env("WRS_BENCH_CHECKPOINT_SECONDS", "0").stdin(std::process::Stdio::null()).output().unwrap()
}

#[test]
fn a_disk_that_fills_or_cannot_be_written_loses_nothing() {
    let Some(disk) = Disk::mount("1m") else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    let whole = begin(&elsewhere.path().join("run"));
    assert!(run(&whole, &[]).status.success());

    let folder = begin(&disk.0.path().join("run"));
    // The input is closed, so it stops at once, with a checkpoint.
    assert_eq!(run(&folder, &["--stop-on-eof"]).status.code(), Some(75));
    let fails = |expected: &str| {
        let output = run(&folder, &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected) && said.contains("hint: "), "expected {expected}, found {said}");
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(
            names.into_iter().all(|name| !name.to_string_lossy().starts_with(".writing")),
            "something half-written is left"
        );
        assert_ne!(folder.state().unwrap(), State::Finished);
    };
    disk.fill();
    fails("free some space and run the same command again");
    std::fs::remove_file(disk.ballast()).unwrap();
    disk.remount("ro");
    fails("make the folder writable");
    disk.remount("rw");

    let output = run(&folder, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let [found, expected] = [&folder, &whole].map(|folder| folder.read_record().unwrap().unwrap());
    assert_eq!((&found.weights, &found.losses, &found.epochs), (&expected.weights, &expected.losses, &expected.epochs));
    assert_eq!(found.provenance.faults, None);
    assert_eq!(folder.read_log().unwrap(), whole.read_log().unwrap());
}
