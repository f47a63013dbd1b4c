//! `doctor` and `clean`.

use super::{CONFIG, Workspace};

const RUN: &str = "runs/00000000000000aa";

#[test]
fn doctor_says_what_is_wrong_and_what_to_do() {
    let workspace = Workspace::new(CONFIG);
    let output =
        workspace.command(&["doctor"]).env_remove("RAYON_NUM_THREADS").env_remove("OPS_KERNELS").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for what in ["store", "locks", "disk", "threads", "memory", "instructions", "data"] {
        assert!(said.lines().any(|line| line.split_whitespace().nth(1) == Some(what)), "{what}: {said}");
    }
    assert!(said.contains("fashion-mnist-12k: 2 files are as listed"), "{said}");

    workspace.write(&format!("{RUN}/spec.json"), "{}");
    workspace.write(&format!("{RUN}/record.json"), "{\"schema\": 99}");
    let output = workspace.command(&["doctor"]).env("RAYON_NUM_THREADS", "999").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("expected a schema from") && said.contains("hint: delete the folder"), "{said}");
    assert!(said.contains("but $RAYON_NUM_THREADS is 999"), "{said}");
}

#[test]
fn data_that_changed_is_found() {
    let workspace = Workspace::new(CONFIG);
    let own = workspace.path("own/fashion-mnist-12k/default");
    for split in ["train", "test"] {
        record::fs::write_atomic(&own.join(split).join("0000.parquet"), b"other bytes").unwrap();
    }
    let output = workspace.command(&["doctor"]).env("WRS_BENCH_DATA", workspace.path("own")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("0000.parquet: expected SHA-256 10e27fb1dcd9b6fc…, found"), "{said}");
}

#[test]
fn clean_lists_and_then_removes_only_what_can_be_made_again() {
    let workspace = Workspace::new(CONFIG);
    workspace.succeed(&["bench", "classification", "--quick", "--method", "none"]);
    let [finished] = workspace.weights().into_keys().collect::<Vec<_>>().try_into().unwrap();
    let kept = ["spec.json", "log.jsonl", "weights.safetensors", "record.json", "test.json"];
    let wasted = ["checkpoint", "checkpoint.before", "lock", ".writing-weights.safetensors-a1", "pictures/sheet.png"];
    for name in wasted {
        workspace.write(&format!("runs/{finished}/{name}"), "waste");
    }
    // Not over: its checkpoint is needed.
    let interrupted = [format!("{RUN}/spec.json"), format!("{RUN}/checkpoint"), "runs/mine.txt".to_owned()];
    interrupted.iter().for_each(|name| workspace.write(name, "{}"));

    let listed = workspace.succeed(&["clean"]);
    assert_eq!(listed.lines().count(), wasted.len(), "{listed}");
    for name in wasted {
        assert!(listed.contains(&format!("runs/{finished}/{name}  (")), "{listed}");
        assert!(workspace.path(&format!("runs/{finished}/{name}")).exists(), "only listed");
    }
    assert_eq!(workspace.succeed(&["clean", "--yes"]), listed);
    assert!(wasted.iter().all(|name| !workspace.path(&format!("runs/{finished}/{name}")).exists()));
    assert!(kept.iter().all(|name| workspace.path(&format!("runs/{finished}/{name}")).exists()));
    assert!(interrupted.iter().all(|name| workspace.path(name).exists()));
    assert_eq!(workspace.succeed(&["clean"]), "");
}
