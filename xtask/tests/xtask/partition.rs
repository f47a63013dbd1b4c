//! Several runners that share a store and know nothing of each other.

use super::{CONFIG, Workspace};
use serde_json::Value;
use std::collections::BTreeSet;

/// What a runner of `part` trains until all runs have records.
fn trained(workspace: &Workspace, part: &str) -> Vec<String> {
    let mut trained = Vec::new();
    loop {
        let output = workspace.run(&["bench", "classification", "--partition", part, "--jobs", "1", "--json"]);
        let events = String::from_utf8(output.stdout).unwrap();
        let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        trained
            .extend(events.filter(|event| event["event"] == "start").map(|event| event["id"].as_str().unwrap().into()));
        match output.status.code() {
            Some(0) => return trained,
            Some(75) => {}
            code => panic!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

#[test]
fn parts_at_once_train_the_plan_and_nothing_twice() {
    let workspace = Workspace::new(CONFIG);
    let trained: Vec<Vec<String>> = std::thread::scope(|scope| {
        let runners = ["1/3", "2/3", "3/3"].map(|part| {
            let workspace = &workspace;
            scope.spawn(move || trained(workspace, part))
        });
        runners.into_iter().map(|runner| runner.join().unwrap()).collect()
    });
    let all: Vec<&String> = trained.iter().flatten().collect();
    let distinct: BTreeSet<&String> = all.iter().copied().collect();
    assert_eq!(all.len(), distinct.len(), "a run was trained twice: {trained:?}");
    assert!(!workspace.path("reports").exists(), "a part is no report");
    let whole = workspace.run(&["bench", "classification"]);
    assert!(String::from_utf8_lossy(&whole.stderr).contains(&format!("{} runs, 0 of them to train", all.len())));
    assert_eq!(workspace.weights().keys().collect::<BTreeSet<_>>(), distinct);
    assert_eq!(workspace.read("reports/records/classification.jsonl").lines().count(), all.len());
    let (code, message) = workspace.fail(&["bench", "classification", "--partition", "4/3"]);
    assert!(code == 2 && message.contains("expected I/N with I from 1 to N"), "{message}");
}
