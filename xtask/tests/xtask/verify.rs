//! `verify`: recorded runs, trained again.

use super::{CONFIG, Workspace};
use record::Entry;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Output;

const RECORDS: &str = "reports/records/classification.jsonl";

/// A workspace with a report on two runs of one method.
fn reported() -> Workspace {
    let (head, _) = CONFIG.split_once("[[method]]").unwrap();
    let workspace = Workspace::new(&format!("{head}[[method]]\nname = \"wrs\"\n"));
    workspace.succeed(&["bench", "classification"]);
    workspace
}

fn entries(workspace: &Workspace) -> Vec<Entry> {
    record::read_entries(&workspace.path(RECORDS)).unwrap()
}

fn write(workspace: &Workspace, lines: &[Value]) {
    workspace.write(RECORDS, &lines.iter().map(|line| format!("{line}\n")).collect::<String>());
}

fn lines(workspace: &Workspace) -> Vec<Value> {
    workspace.read(RECORDS).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Gives an altered record the id that it would have.
fn readdress(line: &mut Value) -> String {
    let entry: Entry = serde_json::from_value(line.clone()).unwrap();
    let id = record::address(&entry.record).to_string();
    line["record"]["id"] = json!(id);
    line["test"]["id"] = json!(id);
    id
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Name, length and time of every file of every run.
fn files(workspace: &Workspace) -> BTreeMap<PathBuf, (u64, std::time::SystemTime)> {
    let list = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = list(workspace.path("runs")).flat_map(list);
    let about = |path: PathBuf| {
        let metadata = std::fs::metadata(&path).unwrap();
        (path, (metadata.len(), metadata.modified().unwrap()))
    };
    files.map(about).collect()
}

/// The cells of the only row of a table that begins with `id`.
fn row<'t>(table: &'t str, id: &str) -> Vec<&'t str> {
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with(id)).collect();
    assert_eq!(rows.len(), 1, "{table}");
    rows[0].split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn a_run_is_what_its_record_says_with_and_without_its_folder() {
    let workspace = reported();
    let all = entries(&workspace);
    assert!(all.iter().all(|entry| entry.record.spec.train["engine"] == "cpu"));
    let id = all[0].record.id.as_str();
    let before = files(&workspace);
    let (code, table, talk) = said(&workspace.run(&["verify", &id[..10]]));
    assert_eq!(code, Some(0), "{table}{talk}");
    let place = format!("{RECORDS}:1, runs/{id}");
    assert_eq!(row(&table, id), [id, "equal", "equal", "equal", "equal", &place]);
    assert!(table.lines().count() == 2 && talk.contains("1 of 1 records were reproduced bit by bit"), "{table}{talk}");
    assert_eq!(files(&workspace), before);

    // The records alone, on another number of threads.
    let elsewhere = Workspace::new(CONFIG);
    elsewhere.write(RECORDS, &workspace.read(RECORDS));
    let table = elsewhere.succeed(&["verify", "classification", "--sample", "1", "--seed", "3", "--threads", "3"]);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.lines().all(|line| !line.contains("runs/")));
    assert!(!elsewhere.path("runs").exists());
    assert_eq!(elsewhere.succeed(&["verify", "classification"]).lines().count(), 3);
}

#[test]
fn the_kernels_that_are_asked_for_are_used_and_recorded() {
    let workspace = Workspace::new(CONFIG);
    let arguments = ["bench", "classification", "--quick", "--method", "none"];
    let output = workspace.command(&arguments).env("OPS_KERNELS", "portable").output().unwrap();
    assert!(output.status.success(), "{}", said(&output).2);
    let id = workspace.weights().into_keys().next().unwrap();
    let record: Value = serde_json::from_str(&workspace.read(&format!("runs/{id}/record.json"))).unwrap();
    assert_eq!(record["provenance"]["kernels"], "portable");
    let verify =
        |kernels: &str| said(&workspace.command(&["verify", &id]).env("OPS_KERNELS", kernels).output().unwrap());
    let (code, table, talk) = verify("portable");
    assert_eq!(code, Some(0), "{table}{talk}");
    let (code, table, talk) = verify("abacus");
    assert_eq!(code, Some(1), "{table}{talk}");
    assert!(row(&table, &id)[2] == "failed" && table.contains("OPS_KERNELS") && table.contains("abacus"), "{table}");
}

#[test]
fn one_altered_byte_of_a_spec_is_noticed_and_named() {
    let workspace = reported();
    let good = lines(&workspace);
    let id = good[0]["record"]["id"].as_str().unwrap().to_owned();
    let text = good[0].to_string();
    assert_eq!(text.matches("\"lr\":0.1,\"mom").count(), 1);
    let altered = text.replace("\"lr\":0.1,\"mom", "\"lr\":0.2,\"mom");
    assert_eq!(altered.bytes().zip(text.bytes()).filter(|(one, other)| one != other).count(), 1);
    write(&workspace, &[serde_json::from_str(&altered).unwrap(), good[1].clone()]);

    // Its folder still has what the record said: two claims, each trained.
    let (code, table, talk) = said(&workspace.run(&["verify", &id]));
    assert_eq!(code, Some(1), "{table}{talk}");
    let (committed, here) = (format!("{RECORDS}:1"), format!("runs/{id}"));
    let find = |place: &str| table.lines().find(|line| line.ends_with(place)).unwrap();
    assert!(find(&here).split_whitespace().filter(|cell| *cell == "equal").count() == 4, "{table}");
    assert!(find(&committed).contains("optimizer.lr") && find(&committed).contains("step 0"), "{table}");
    assert!(talk.contains("1 of 2 records"), "{talk}");

    // And the record by itself.
    let alone = Workspace::new(CONFIG);
    alone.write(RECORDS, &workspace.read(RECORDS));
    let (code, table, talk) = said(&alone.run(&["verify", &id]));
    assert_eq!(code, Some(1), "{table}{talk}");
    let cells = row(&table, &id);
    assert_eq!((cells[1], cells[2], cells[3]), ("optimizer.lr", "step 0", "bn1.bias"), "{table}");
    assert!(table.contains("`optimizer.lr`: 0.2 and 0.1, now and before"), "{table}");
    assert!(
        table.contains("`norms.") && table.contains(" of step 0: ") && table.contains("`tensors.bn1.bias`"),
        "{table}"
    );

    // With the id that goes with it, training tells.
    let mut lines = vec![serde_json::from_str(&altered).unwrap()];
    let id = readdress(&mut lines[0]);
    write(&alone, &lines);
    let (code, table, talk) = said(&alone.run(&["verify", &id]));
    assert_eq!(code, Some(1), "{table}{talk}");
    let cells = row(&table, &id);
    assert_eq!((cells[1], cells[2], cells[3]), ("equal", "step 0", "bn1.bias"), "{table}");
    assert!(table.contains("recorded by ") && table.contains("trained again by "), "{table}");
}

#[test]
fn of_records_that_disagree_the_wrong_one_is_named() {
    let workspace = reported();
    let mut lines = lines(&workspace);
    let id = lines[0]["record"]["id"].as_str().unwrap().to_owned();
    let mut other = lines[0].clone();
    other["record"]["provenance"]["kernels"] = json!("abacus");
    let digits = other["record"]["losses"].as_str().unwrap().to_owned();
    let changed = if &digits[10..12] == "00" { "01" } else { "00" };
    other["record"]["losses"] = json!(format!("{}{changed}{}", &digits[..10], &digits[12..]));
    other["test"]["scores"]["top1"] = json!(0.125);
    lines.push(other);
    write(&workspace, &lines);

    let (code, message) = workspace.fail(&["report"]);
    assert_eq!(code, 1);
    for expected in
        ["line 1 (", "line 3 (abacus kernels, ", "`losses` of step 5", &format!("`cargo xtask verify {id}`")]
    {
        assert!(message.contains(expected), "expected {expected}, found {message}");
    }
    let (code, table, _) = said(&workspace.run(&["verify", &id]));
    assert_eq!(code, Some(1));
    let right = table.lines().find(|line| line.contains(&format!("{RECORDS}:1, runs/{id}"))).unwrap();
    assert_eq!(right.split_whitespace().filter(|cell| *cell == "equal").count(), 4);
    let wrong = table.lines().find(|line| line.ends_with(&format!("{RECORDS}:3"))).unwrap();
    let cells: Vec<&str> = wrong.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells[1..5], ["equal", "step 5", "equal", "top1"], "{table}");
    assert!(
        table.contains("recorded by abacus kernels") && table.contains("`test.scores.top1`: 0.125 and "),
        "{table}"
    );
}

#[test]
fn the_folder_of_a_run_tells_more() {
    let workspace = reported();
    std::fs::remove_file(workspace.path(RECORDS)).unwrap();
    let id = workspace.weights().into_keys().next().unwrap();
    let (log, weights) = (format!("runs/{id}/log.jsonl"), workspace.path(&format!("runs/{id}/weights.safetensors")));
    let mut lines: Vec<Value> = workspace.read(&log).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let second = lines.iter_mut().find(|line| line["losses"]["first"] == 4).unwrap();
    second["losses"]["losses"][1] = json!(0.75);
    workspace.write(&log, &lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    files::write_atomic(&weights, &bytes).unwrap();

    let (code, table, talk) = said(&workspace.run(&["verify", &id[..12]]));
    assert_eq!(code, Some(1), "{table}{talk}");
    let cells = row(&table, &id);
    assert_eq!(cells[2], "step 5", "{table}");
    assert!(table.contains("log: `loss` of step 5: 0.75 and "), "{table}");
    let tensor = format!("tensor `{}`: 1 of ", cells[3]);
    assert!(table.contains(&tensor) && table.contains(" values, of which number "), "{table}");
}

#[test]
fn mistakes_are_told_from_differences() {
    let workspace = reported();
    let expect = |arguments: &[&str], expected: &str| {
        let (code, message) = workspace.fail(arguments);
        assert!(code == 2 && message.contains(expected), "expected {expected}, found {code}: {message}");
    };
    expect(&["verify"], "<ID|REPORT>...");
    expect(&["verify", ""], "several ids begin with ``");
    expect(&["verify", "0123456789abcdef0"], "no run id begins with");
    expect(&["verify", "clasification"], "did you mean `classification`?");
    expect(&["verify", "clasification", "--sample", "1"], "did you mean `classification`?");
    expect(&["verify", "classification", "--sample", "0"], "--sample");
    expect(&["verify", "classification", "--seed", "1"], "--sample");

    // Of another version of the task's code, and of data that is not here.
    let good = lines(&workspace);
    let mut other = good[0].clone();
    other["record"]["task_version"] = json!(1000);
    let version = readdress(&mut other);
    let mut unknown = good[1].clone();
    unknown["record"]["spec"]["dataset"] = json!("fashion-mnist-13k");
    let data = readdress(&mut unknown);
    write(&workspace, &[other, unknown]);
    let (code, table, talk) = said(&workspace.run(&["verify", "classification"]));
    assert_eq!(code, Some(2), "{table}{talk}");
    assert!(
        table.contains("expected version 1000 of `classification`") && table.contains("hint: use commit"),
        "{table}"
    );
    assert!(table.contains("dataset: ") && table.contains("fashion-mnist-12k"), "{table}");
    assert_eq!(row(&table, &version)[1..5], ["equal", "—", "—", "—"]);
    assert_eq!(row(&table, &data)[1..5], ["equal", "—", "—", "—"]);
}

#[test]
fn records_from_before_engines_were_named_are_compared_in_what_they_have() {
    let workspace = reported();
    let mut old = lines(&workspace).remove(0);
    old["record"]["spec"]["train"].as_object_mut().unwrap().remove("engine");
    for part in ["record", "test"] {
        old[part]["schema"] = json!(2);
        old[part]["provenance"].as_object_mut().unwrap().remove("kernels");
        old[part].as_object_mut().unwrap().retain(|key, _| key != "tensors" && key != "losses");
    }
    let id = readdress(&mut old);
    assert!(!entries(&workspace).iter().any(|entry| entry.record.id.as_str() == id));
    write(&workspace, std::slice::from_ref(&old));
    let table = workspace.succeed(&["verify", &id]);
    assert_eq!(row(&table, &id)[1..5], ["equal"; 4]);
    workspace.succeed(&["report"]);

    old["record"]["norms"][1]["rotation"] = json!(0.5);
    old["record"]["weights"] = json!("0".repeat(64));
    old["test"]["weights"] = json!("0".repeat(64));
    write(&workspace, &[old]);
    let (code, table, _) = said(&workspace.run(&["verify", &id]));
    assert_eq!(code, Some(1));
    assert_eq!(row(&table, &id)[1..5], ["equal", "step 4", "some", "equal"], "{table}");
}
