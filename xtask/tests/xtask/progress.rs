//! What `bench` says off a terminal while runs go, and its events: of a task's binary that plays them.

use super::{CONFIG, Workspace};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Trains nothing: it says what is in `<id>.events`, and leaves `<id>.record` as the record where that is there.
const PLAYER: &str = r#"#!/bin/sh
here=$(dirname "$0")
id=$(basename "${2:-}")
case $1 in
plan) cat > /dev/null; cat "$here/plan" ;;
run)
    cat "$here/$id.events"
    [ ! -f "$here/$id.error" ] || { cat "$here/$id.error" >&2; exit 1; }
    [ -f "$here/$id.record" ] || exit 75
    cp "$here/$id.record" "$2/record.json" ;;
test) cp "$here/$id.test" "$2/test.json" ;;
esac
"#;

const IDS: [&str; 2] = ["00000000000000aa", "00000000000000bb"];

/// A comparison of `none` and `wrs`, whose binary plays.
struct Played(Workspace);

impl Played {
    fn new() -> Self {
        let played = Self(Workspace::new(CONFIG));
        played.write("classification", PLAYER);
        let binary = played.0.path("play/classification");
        std::fs::set_permissions(binary, std::fs::Permissions::from_mode(0o755)).unwrap();
        let plan = [("none", 0), ("wrs", 1)].map(|(method, run)| json!({"id": IDS[run], "spec": spec(method)}));
        played.write("plan", &json!(plan).to_string());
        played
    }

    fn write(&self, name: &str, text: &str) {
        self.0.write(&format!("play/{name}"), text);
    }

    fn record(&self, run: usize, method: &str, outcome: &Value) {
        let provenance = json!({"commit": "", "dataset_digest": "", "cpu": "", "threads": 1, "precision": "f32",
            "started": "", "ended": "", "resumed": 0});
        let epoch = json!({"epoch": 1, "step": 12, "train_loss": 0.5, "validation": {"loss": 0.4, "top1": 0.75}});
        let about = json!({"method": "", "method_source": "", "optimizer": "", "optimizer_source": "", "model": "",
            "parameters": 1, "dataset": "", "dataset_licence": "", "dataset_caveat": null, "examples": {}, "recipe": ""});
        let record = json!({"schema": record::SCHEMA, "id": IDS[run], "task": "classification", "task_version": 1,
            "spec": spec(method), "outcome": outcome, "headline": headline(), "epochs": [epoch], "norms": [],
            "layers": [], "weights": "w", "steps": 12, "about": about, "provenance": provenance,
            "seconds": {"data": 0.0, "forward": 0.0, "backward": 0.0, "update": 0.0, "evaluation": 0.0}});
        self.write(&format!("{}.record", IDS[run]), &record.to_string());
        let test = json!({"schema": record::SCHEMA, "id": IDS[run], "weights": "w", "scores": {"top1": 0.5},
            "provenance": provenance});
        self.write(&format!("{}.test", IDS[run]), &test.to_string());
    }

    /// Exit code, events, and what is said.
    fn bench(&self) -> (i32, Vec<Value>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["bench", "classification", "--quick", "--method", "none", "--method", "wrs", "--json"]);
        command.args(["--jobs", "1", "--threads", "1"]).current_dir(self.0.path(""));
        let output = command.env("WRS_BENCH_BIN", self.0.path("play")).output().unwrap();
        let events = String::from_utf8(output.stdout).unwrap();
        let events = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.code().unwrap(), events, String::from_utf8(output.stderr).unwrap())
    }
}

fn headline() -> Value {
    json!({"score": "top1", "title": "top-1 %", "scale": 100.0, "higher_is_better": true})
}

fn spec(method: &str) -> Value {
    json!({"task": {}, "dataset": "fashion-mnist-12k", "seed": 5, "train": {"epochs": 2, "batch": 16},
        "optimizer": {"name": "sgd", "lr": 0.1}, "schedule": {"name": "cosine"}, "method": {"name": method},
        "rest_decay": 5e-4})
}

fn events(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

/// `said` with T for every time, which is not the same again.
fn timeless(said: &str) -> String {
    let line = |line: &str| {
        let line = line.split("; about ").next().unwrap_or_default();
        let (rest, seconds) = line.rsplit_once(", ").unwrap_or((line, ""));
        let time = seconds.strip_suffix(" s").is_some_and(|seconds| seconds.parse::<u32>().is_ok());
        if time { format!("{rest}, T\n") } else { format!("{line}\n") }
    };
    said.lines().map(line).collect()
}

#[test]
fn runs_are_told_in_lines_and_events() {
    let played = Played::new();
    let scores = json!({"loss": 0.4, "top1": 0.75, "iou/car": 0.1});
    let told = [
        json!({"event": "start", "step": 0, "steps": 12, "headline": headline()}),
        json!({"event": "step", "step": 1, "steps": 12, "loss": 2.5}),
        json!({"event": "epoch", "epoch": 1, "step": 12, "train_loss": 0.5, "validation": scores}),
    ];
    played.write(&format!("{}.events", IDS[0]), &events(&told));
    played.record(0, "none", &json!("finished"));
    let start = json!({"event": "start", "step": 6, "steps": 12, "headline": headline()});
    let step = json!({"event": "step", "step": 7, "steps": 12, "loss": null});
    played.write(&format!("{}.events", IDS[1]), &format!("a word\n7\n{}", events(&[start, step])));
    played.record(1, "wrs", &json!({"diverged": {"epoch": 1, "step": 8, "reason": "the training loss became inf"}}));
    let (code, mut heard, said) = played.bench();
    insta::assert_snapshot!(timeless(&said), @r"
    2 runs, 2 of them to train
    [1/2] 00000000 none seed 5: starts, 12 steps
    [1/2] 00000000 none seed 5: epoch 2 of 2, training loss 0.5000, validation loss 0.4000, top1 0.7500
    [1/2] 00000000 none seed 5: finished, top-1 % 75.00, T
    [2/2] 00000000 wrs seed 5: a word
    [2/2] 00000000 wrs seed 5: 7
    [2/2] 00000000 wrs seed 5: resumes at step 6 of 12
    [2/2] 00000000 wrs seed 5: diverged in epoch 2, the training loss became inf, T
    the report was not changed: this table does not cover the whole configuration
    ");
    assert_eq!(code, 0);

    for event in &mut heard {
        let event = event.as_object_mut().unwrap();
        assert!(event.remove("seconds").is_none_or(|seconds| seconds.as_f64().is_some_and(|seconds| seconds >= 0.0)));
        event.remove("spec");
        event.get_mut("record").map(|record| record.as_object_mut().unwrap().remove("provenance"));
    }
    insta::assert_snapshot!(events(&heard), @r#"
    {"event":"plan","runs":[{"id":"00000000000000aa","method":"none","seed":5,"setting":"none","state":"missing"},{"id":"00000000000000bb","method":"wrs","seed":5,"setting":"wrs","state":"missing"}]}
    {"event":"run_start","id":"00000000000000aa"}
    {"event":"start","headline":{"higher_is_better":true,"scale":100.0,"score":"top1","title":"top-1 %"},"id":"00000000000000aa","step":0,"steps":12}
    {"event":"step","id":"00000000000000aa","loss":2.5,"step":1,"steps":12}
    {"epoch":1,"event":"epoch","id":"00000000000000aa","step":12,"train_loss":0.5,"validation":{"iou/car":0.1,"loss":0.4,"top1":0.75}}
    {"event":"run_end","id":"00000000000000aa","state":"finished","validation":0.75}
    {"event":"run_start","id":"00000000000000bb"}
    {"event":"start","headline":{"higher_is_better":true,"scale":100.0,"score":"top1","title":"top-1 %"},"id":"00000000000000bb","step":6,"steps":12}
    {"event":"step","id":"00000000000000bb","loss":null,"step":7,"steps":12}
    {"event":"run_end","id":"00000000000000bb","state":"diverged","validation":null}
    {"event":"test","id":"00000000000000aa","record":{"id":"00000000000000aa","schema":5,"scores":{"top1":0.5},"weights":"w"}}
    {"diverged":1,"event":"done","failed":0,"finished":1,"interrupted":0,"missing":0,"running":0,"runs":2}
    "#);

    let (code, heard, said) = played.bench();
    assert_eq!(code, 0);
    assert!(!said.contains("[1/2]"), "{said}");
    let kinds: Vec<&str> = heard.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["plan", "done"]);
    assert_eq!([&heard[0]["runs"][0]["state"], &heard[0]["runs"][1]["state"]], ["finished", "diverged"]);
}

#[test]
fn interruptions_and_failures_are_told() {
    let played = Played::new();
    let start = events(&[json!({"event": "start", "step": 0, "steps": 12})]);
    played.write(&format!("{}.events", IDS[0]), &start);
    played.write(&format!("{}.events", IDS[1]), &start);
    let (code, heard, said) = played.bench();
    assert_eq!(code, 75, "{said}");
    let done = heard.last().unwrap();
    assert_eq!([&done["event"], &done["runs"], &done["interrupted"]], [&json!("done"), &json!(2), &json!(2)]);

    played.write(&format!("{}.error", IDS[0]), "error: no such data\n");
    let (code, heard, said) = played.bench();
    insta::assert_snapshot!(timeless(&said), @r"
    2 runs, 2 of them to train
    [1/2] 00000000 none seed 5: starts, 12 steps
    [1/2] 00000000 none seed 5: failed, no such data, T
    [2/2] 00000000 wrs seed 5: starts, 12 steps
    [2/2] 00000000 wrs seed 5: interrupted, T
    error: 1 of the runs failed, as said above
      run 00000000000000aa (none seed 5)
    ");
    assert_eq!(code, 1);
    let end = heard.iter().find(|event| event["event"] == "run_end" && event["id"] == IDS[0]).unwrap();
    let expected = [&json!("failed"), &json!("no such data"), &Value::Null];
    assert_eq!([&end["state"], &end["error"], &end["validation"]], expected);
    let done = heard.last().unwrap();
    assert_eq!([&done["event"], &done["failed"], &done["interrupted"]], [&json!("done"), &json!(1), &json!(1)]);

    // Of the same reason there is one line.
    played.write(&format!("{}.error", IDS[1]), "error: no such data\n");
    insta::assert_snapshot!(timeless(&played.bench().2), @r"
    2 runs, 2 of them to train
    [1/2] 00000000 none seed 5: starts, 12 steps
    [1/2] 00000000 none seed 5: failed, no such data, T
    [2/2] 00000000 wrs seed 5: starts, 12 steps
    [2/2] 00000000 wrs seed 5: failed for the same reason, T
    error: 2 of the runs failed, as said above
      run 00000000000000aa (none seed 5)
      run 00000000000000bb (wrs seed 5)
    ");
    // What is wrong before the first step is wrong with all that have the same data and settings of the task.
    played.write(&format!("{}.events", IDS[0]), "");
    insta::assert_snapshot!(timeless(&played.bench().2), @r"
    2 runs, 2 of them to train
    [1/2] 00000000 none seed 5: failed, no such data, T
    error: 1 of the runs failed, as said above
      run 00000000000000aa (none seed 5)
      1 more of the same data set and task were not started
    ");
}
