//! The runner as its users run it, in a workspace of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod care;
mod faults;
mod new;
mod partition;
mod progress;
mod real_slurm;
mod slurm;
mod verify;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

const CONFIG: &str = r#"dataset = "fashion-mnist-12k"
seeds = [0, 1]
rest_decay = 5e-4
[task]
model = { resnet = { depth = 8, width = 4 } }
examples = 96
[train]
epochs = 2
batch = 16
log_every = 4
[optimizer]
name = "sgd"
lr = 0.1
[schedule]
name = "cosine"
[[method]]
name = "none"
[[method]]
name = "weight-decay"
search = { "method.decay" = [1e-4, 1e-3] }
[[method]]
name = "wrs"
[tuning]
unequal = true
[quick]
seeds = [5]
"#;

/// The folder of the built task binaries.
fn binaries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_xtask")).parent().unwrap();
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("crates");
        let built = std::fs::metadata(folder.join("classification")).and_then(|file| file.modified());
        // `cargo test --workspace` has built it.
        if built.is_ok_and(|built| built >= newest_source(&crates)) {
            return folder.to_owned();
        }
        let build =
            Command::new(env!("CARGO")).args(["build", "--quiet", "--workspace", "--bin", "classification"]).status();
        assert!(build.unwrap().success());
        folder.to_owned()
    })
}

fn newest_source(folder: &Path) -> SystemTime {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let times = entries.map(|path| match path.is_dir() {
        // Other binaries are no part of it.
        true if path.ends_with("tests") => SystemTime::UNIX_EPOCH,
        true if path.join("src/main.rs").exists() && !path.ends_with("classification") => SystemTime::UNIX_EPOCH,
        true => newest_source(&path),
        false => std::fs::metadata(path).unwrap().modified().unwrap(),
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

struct Workspace(tempfile::TempDir);

impl Workspace {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        std::os::unix::fs::symlink(project.join("datasets"), folder.path().join("datasets")).unwrap();
        let workspace = Self(folder);
        workspace.write("configs/classification/default.toml", config);
        workspace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        files::write_atomic(&self.path(name), text.as_bytes()).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(arguments).current_dir(self.0.path()).env("WRS_BENCH_BIN", binaries()).env("RUST_BACKTRACE", "0");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit code and standard error of a command that fails.
    fn fail(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn weights(&self) -> BTreeMap<String, String> {
        let folders = std::fs::read_dir(self.path("runs")).unwrap().map(|entry| entry.unwrap().file_name());
        let record = |id: std::ffi::OsString| {
            let id = id.into_string().unwrap();
            let record: Value = serde_json::from_str(&self.read(&format!("runs/{id}/record.json"))).unwrap();
            (id, record["weights"].as_str().unwrap().to_owned())
        };
        folders.map(record).collect()
    }
}

#[test]
fn fetch_becomes_the_binary_that_fetches() {
    let workspace = Workspace::new(CONFIG);
    let fetch = |program: &str, arguments: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(program, folder.path().join("hub")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(arguments).current_dir(workspace.0.path()).env("WRS_BENCH_BIN", folder.path()).output().unwrap()
    };
    let said = |arguments: &[&str]| String::from_utf8(fetch("/bin/echo", arguments).stdout).unwrap();
    assert_eq!(said(&["fetch", "one", "two"]), "fetch -- one two\n");
    assert_eq!(said(&["fetch", "--list"]), "fetch --list --\n");
    assert_eq!(fetch("/bin/false", &["fetch"]).status.code(), Some(1));
    assert_eq!(fetch("/bin/echo", &["fetch", "--list", "one"]).status.code(), Some(2));
}

#[test]
fn a_comparison_from_nothing_to_its_report() {
    let config =
        CONFIG.replace("[tuning]", "[[method]]\nname = \"wrs\"\noptimizer.lr = \"matched\"\n[tuning]\nmargin = 0.5");
    let workspace = Workspace::new(&config);
    // Weight decay tries two settings, the others one: that has to be asked for.
    workspace.write("configs/classification/unasked.toml", &config.replace("unequal = true", ""));
    let (code, message) = workspace.fail(&["bench", "classification", "--config", "unasked"]);
    assert!(code == 2 && message.contains("unasked.toml: expected as many settings"), "{message}");
    assert!(
        message.contains("found 1 for none, 2 for weight-decay, 1 for wrs") && message.contains("hint: "),
        "{message}"
    );

    // Two trials of weight decay on a seed of the search, and the others on those of the result. On another seed of the search, what
    // validation chooses of these, and what is matched to it, follow.
    let planned = workspace.run(&["bench", "classification", "--dry-run"]);
    assert!(String::from_utf8_lossy(&planned.stderr).contains("6 runs, 6 of them to train; 6 more follow"));
    let planned = String::from_utf8(planned.stdout).unwrap();
    assert_eq!(planned.lines().count(), 6);
    assert!(planned.lines().all(|line| line.contains("missing")));
    assert!(!workspace.path("runs").exists(), "a dry run writes");

    // Records of an older version do not keep the whole comparison from being written, but a part of it.
    workspace.write("reports/records/classification.jsonl", "{\"record\": {\"schema\": 1}, \"test\": null}\n");
    let (code, message) = workspace.fail(&["bench", "classification", "--method", "none"]);
    assert!(code == 1 && message.contains("found schema 1"), "{message}");

    let table = workspace.succeed(&["bench", "classification"]);
    for method in ["none", "weight-decay", "wrs"] {
        assert!(table.contains(method), "{table}");
    }
    let page = workspace.read("reports/classification.md");
    assert!(page.contains("cargo xtask report classification"), "{page}");
    let records = workspace.read("reports/records/classification.jsonl");
    assert_eq!(records.lines().count(), 12);
    let protocol: Value = serde_json::from_str(&workspace.read("reports/records/classification.json")).unwrap();
    assert_eq!((&protocol["search"], &protocol["seeds"]), (&serde_json::json!([100, 101]), &serde_json::json!([0, 1])));
    assert_eq!((protocol["matched"].as_array().unwrap().len(), &protocol["margin"]), (2, &serde_json::json!(0.5)));
    assert!(table.contains("wrs (lr matched)") && table.contains("not searched"), "{table}");
    assert!(page.contains("Rows **tried different numbers of settings**"), "{page}");
    // Of weight decay only the chosen strength is tested: 4 rows on 2 seeds.
    let tested = records.lines().filter(|line| !serde_json::from_str::<Value>(line).unwrap()["test"].is_null());
    assert_eq!(tested.count(), 8);

    let before = workspace.weights();
    let again = workspace.run(&["bench", "classification"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("12 runs, 0 of them to train"));
    assert!(String::from_utf8_lossy(&again.stderr).contains("undecided (edge): weight-decay: method.decay 0."));
    assert_eq!(String::from_utf8(again.stdout).unwrap(), table);
    assert_eq!(workspace.weights(), before);
    assert_eq!(workspace.read("reports/classification.md"), page);

    let list: Value = serde_json::from_str(&workspace.succeed(&["status", "classification", "--json"])).unwrap();
    assert!(list.as_array().unwrap().iter().all(|run| run["state"] == "finished"));
    let id = list[0]["id"].as_str().unwrap();
    let record: Value = serde_json::from_str(&workspace.succeed(&["show", id, "--json"])).unwrap();
    assert_eq!(record["weights"], before[id]);
    assert!(workspace.succeed(&["show", &id[..10]]).contains("epoch 2"));

    let quick = workspace.succeed(&["bench", "classification", "--quick", "--method", "wrs", "--json"]);
    let events: Vec<Value> = quick.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert!(
        kinds.contains(&"run_start")
            && kinds.contains(&"epoch")
            && kinds.contains(&"run_end")
            && kinds.contains(&"test")
    );
    assert_eq!(workspace.read("reports/classification.md"), page, "a quick table reached the report");

    a_report_is_checked(&workspace, &page, &records);
    pictures_are_shown_and_checked(&workspace, &page);
}

/// Of a comparison whose report shows a sheet.
fn pictures_are_shown_and_checked(workspace: &Workspace, page: &str) {
    let sheets = || {
        let files = std::fs::read_dir(workspace.path("reports/figures")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".png")).collect::<Vec<_>>()
    };
    let [sheet] = sheets().try_into().unwrap();
    let id = sheet.strip_prefix("classification-pictures-").and_then(|name| name.strip_suffix(".png")).unwrap();
    assert!(page.contains(&format!("src=\"figures/{sheet}\"")) && page.contains("blue is right"), "{page}");
    let path = workspace.path(&format!("reports/figures/{sheet}"));
    let file = std::fs::read(&path).unwrap();

    let shown = workspace.run(&["show", id, "--pictures", "drawn"]);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("epoch 2"));
    assert_eq!(std::fs::read_dir(workspace.path("drawn")).unwrap().count(), 9);
    assert!(std::fs::read(workspace.path(&format!("runs/{id}/pictures/sheet.png"))).unwrap() == file);

    // A sheet that is missing, and one that no report shows.
    std::fs::remove_file(&path).unwrap();
    let (code, message) = workspace.fail(&["report", "--check"]);
    assert!(code == 1 && message.contains("reports/classification.md differs from its records"), "{message}");
    files::write_atomic(&path, &file).unwrap();
    workspace.succeed(&["report", "--check"]);
    let other = "reports/figures/classification-pictures-0123456789abcdef.png";
    workspace.write(other, "");
    let (code, message) = workspace.fail(&["report", "--check"]);
    assert!(code == 1 && message.contains(&format!("{other} is shown by no report")), "{message}");
    workspace.succeed(&["report"]);
    assert_eq!(sheets(), [sheet.as_str()]);
    assert_eq!(workspace.read("reports/classification.md"), page);

    // Only the record is here.
    let [run, elsewhere] = ["runs", "elsewhere"].map(|folder| workspace.path(&format!("{folder}/{id}")));
    files::create_folder(elsewhere.parent().unwrap()).unwrap();
    let rename = |from: &Path, to: &Path| assert!(Command::new("mv").args([from, to]).status().unwrap().success());
    rename(&run, &elsewhere);
    let (code, message) = workspace.fail(&["show", id, "--pictures", "drawn"]);
    assert!(code == 1 && message.contains("train it again with `cargo xtask bench classification`"), "{message}");
    rename(&elsewhere, &run);
}

fn a_report_is_checked(workspace: &Workspace, page: &str, records: &str) {
    workspace.succeed(&["report", "--check"]);
    let digit = page.find(|c: char| c.is_ascii_digit()).unwrap();
    let mut changed = page.to_owned();
    changed.replace_range(digit..=digit, if page[digit..].starts_with('1') { "2" } else { "1" });
    workspace.write("reports/classification.md", &changed);
    let (code, message) = workspace.fail(&["report", "--check"]);
    assert_eq!(code, 1);
    assert!(message.contains("reports/classification.md differs from its records"), "{message}");
    workspace.succeed(&["report", "classification"]);
    assert_eq!(workspace.read("reports/classification.md"), page);

    // One report that fails leaves the others alone.
    workspace.write("reports/records/other.jsonl", records);
    workspace.write(
        "README.md",
        "<!-- BEGIN: results -->\n<!-- END: results -->\n\n![](reports/figures/results-light.svg)\n",
    );
    workspace.succeed(&["report"]);
    let own = workspace.read("README.md");
    assert!(own.contains("(reports/classification.md)") && !own.contains("other.md"), "{own}");
    workspace.write("reports/records/classification.jsonl", &records[..records.len() / 2]);
    let (code, message) = workspace.fail(&["report"]);
    assert_eq!(code, 1);
    assert!(
        message.contains("error: the report `classification` was not changed")
            && message.contains("classification.jsonl"),
        "{message}"
    );
    assert_eq!(workspace.read("reports/classification.md"), page);
    assert!(workspace.read("reports/other.md").contains("**Answer.**"));
    assert!(workspace.read("reports/README.md").contains("](other.md)"));
    assert_eq!(workspace.read("README.md"), own, "the project's own page has the tasks' default comparisons alone");
    std::fs::remove_file(workspace.path("reports/records/other.jsonl")).unwrap();
    workspace.write("reports/records/classification.jsonl", records);
    workspace.succeed(&["report"]);
    let (code, message) = workspace.fail(&["report", "clasification"]);
    assert_eq!(code, 2);
    assert!(message.contains("did you mean `classification`?"), "{message}");
}

#[test]
fn killed_with_its_runs_a_comparison_goes_on_to_the_same_weights() {
    let config = CONFIG.replace("epochs = 2", "epochs = 6");
    let whole = Workspace::new(&config);
    whole.succeed(&["bench", "classification", "--seeds", "0", "--method", "wrs", "--jobs", "1", "--threads", "1"]);
    let broken = Workspace::new(&config);
    let arguments = ["bench", "classification", "--seeds", "0", "--method", "wrs", "--threads", "2"];
    for kill_after in [150, 300, 700] {
        let mut child = broken.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(kill_after));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    broken.succeed(&arguments);
    assert_eq!(whole.weights(), broken.weights());
}

#[test]
fn mistakes_say_where_they_are_and_what_to_do() {
    let expect = |config: &str, arguments: &[&str], expected: &str| {
        let workspace = Workspace::new(config);
        let (code, message) = workspace.fail(arguments);
        assert_eq!(code, 2, "{expected}: {message}");
        assert!(message.contains(expected), "expected {expected}, found {message}");
        assert!(
            !workspace.path("runs").exists() && !workspace.path("reports").exists(),
            "{expected}: something was written"
        );
    };
    let bench = ["bench", "classification"];
    let place = "configs/classification/default.toml";
    expect(&CONFIG.replace("batch =", "bacth ="), &bench, &format!("{place}:9: train: `bacth`: expected the key "));
    expect(
        &CONFIG.replace("lr = 0.1", "lr = \"fast\""),
        &bench,
        &format!("{place}:13: optimizer: `lr`: expected a number"),
    );
    expect(
        &CONFIG.replace("name = \"wrs\"", "name = \"wrs\"\noptimizer = { lr = \"fast\" }"),
        &bench,
        &format!("{place}:23: optimizer: `lr`: expected a number"),
    );
    expect(
        CONFIG,
        &["bench", "classification", "--set", "optimizer.lr=fast"],
        "error: --set optimizer.lr: optimizer: ",
    );
    expect(&CONFIG.replace("\"wrs\"", "\"wsr\""), &bench, "did you mean `wrs`?");
    expect(&CONFIG.replace("mnist-12k", "mnist-21k"), &bench, "fashion-mnist-12k");
    expect(&CONFIG.replace("[train]", "[train"), &bench, "line 7");
    expect(&CONFIG.replace("rest_decay = 5e-4\n", ""), &bench, "missing field `rest_decay`");
    expect(CONFIG, &["bench", "clasification"], "did you mean `classification`?");
    expect(CONFIG, &["bench", "classification", "--config", "defalt"], "did you mean `default`?");
    expect(CONFIG, &["bench", "classification", "--config", "nowhere.toml"], "nowhere.toml");
    expect(CONFIG, &["bench", "classification", "--method", "wsr"], "did you mean `wrs`?");
    expect(CONFIG, &["bench", "classification", "--set", "optimiser.lr=1"], "did you mean `optimizer`?");
    expect(CONFIG, &["bench", "classification", "--set", "optimizer.lr"], "expected KEY=VALUE");
    expect(CONFIG, &["show", "abc"], "no run id begins with `abc`");
    expect(CONFIG, &["methods", "wsr"], "did you mean `wrs`?");
}

#[test]
fn methods_are_those_that_the_task_knows() {
    let workspace = Workspace::new(CONFIG);
    let all: Value = serde_json::from_str(&workspace.succeed(&["methods", "--json"])).unwrap();
    let named = |kind: &str, name: &str| all[kind].as_array().unwrap().iter().any(|info| info["name"] == name);
    assert!(named("methods", "weight-decay") && named("methods", "wrs") && named("optimizers", "sgd"), "{all}");
    let list = workspace.succeed(&["methods"]);
    assert!(list.starts_with("Methods\n  none ") && list.contains("\nOptimizers\n"), "{list}");
    assert!(workspace.succeed(&["methods", "sgd"]).contains("\nmomentum = 0.9\n"));
    assert!(workspace.succeed(&["methods", "--markdown"]).contains("\n### weight-decay\n"));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let workspace = Workspace::new(CONFIG);
    // A file where the folder of runs should be, which also root cannot write into.
    workspace.write("runs", "");
    let (code, message) = workspace.fail(&["bench", "classification", "--quick", "--method", "none"]);
    assert_eq!(code, 1);
    assert!(message.contains("/runs/") && message.matches("Not a directory").count() == 1, "{message}");
}

/// The importer has tests of its own; here it is a script that says what it was given.
#[cfg(unix)]
#[test]
fn import_hands_its_arguments_to_the_importer() {
    use std::os::unix::fs::PermissionsExt;
    let workspace = Workspace::new(CONFIG);
    workspace.write("bin/import", "#!/bin/sh\necho \"$@\"\nexit 3\n");
    std::fs::set_permissions(workspace.path("bin/import"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = |arguments: &[&str], binaries: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(arguments).current_dir(workspace.path("")).env("WRS_BENCH_BIN", workspace.path(binaries));
        command.output().unwrap()
    };
    let root = workspace.path("").canonicalize().unwrap();
    for arguments in [["import", "--help"].as_slice(), &["import", "pets", "../pets.zip", "--size", "64x64"]] {
        let output = run(arguments, "bin");
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.trim(), format!("{} --project {}", arguments[1..].join(" "), root.display()));
        assert_eq!(output.status.code(), Some(3));
    }
    let output = run(&["import"], "configs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("is set, but there is no "));
}

/// The task knows what it is given; here it is a script that says that.
#[cfg(unix)]
#[test]
fn eval_hands_its_arguments_to_the_task() {
    use std::os::unix::fs::PermissionsExt;
    let workspace = Workspace::new(CONFIG);
    workspace.write("bin/detection", "#!/bin/sh\necho \"$@\"\nexit 2\n");
    std::fs::set_permissions(workspace.path("bin/detection"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(arguments).current_dir(workspace.path("")).env("WRS_BENCH_BIN", workspace.path("bin"));
        let output = command.output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    };
    for behind in [["--help"].as_slice(), &["--annotations", "a.json", "--results", "../r.json", "--style", "voc"]] {
        let (said, code) = run(&[["eval", "detection"].as_slice(), behind].concat());
        assert_eq!((said.trim(), code), (format!("eval {}", behind.join(" ")).as_str(), Some(2)));
    }
    let (help, code) = run(&["eval", "--help"]);
    assert!(help.contains("Usage: cargo xtask eval <TASK> [ARGUMENTS]...") && code == Some(0), "{help}");
}
