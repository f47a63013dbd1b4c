//! Tasks and methods that `new` writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A project with nothing in it that a new task or method needs to know of.
struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        project.write("Cargo.lock", "[[package]]\nname = \"serde_json\"\n");
        project.write("datasets/pets.toml", "");
        project.write("configs/classification/cifar10.toml", "");
        for file in ["src/method/list.rs", "METHODS.md"] {
            let file = format!("crates/regularize/{file}");
            project.write(&file, &std::fs::read_to_string(here.join(&file)).unwrap());
        }
        project
    }

    fn write(&self, name: &str, text: &str) {
        files::write_atomic(&self.0.path().join(name), text.as_bytes()).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).current_dir(self.0.path()).output().unwrap()
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
}

/// Files with their text.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = entries.map(|path| match path.is_dir() {
        true => files(&path),
        false => BTreeMap::from([(path.clone(), std::fs::read_to_string(path).unwrap())]),
    });
    texts.flatten().collect()
}

/// The files that are not in `before`, relative to the project; all of `before` are as they were.
fn added(project: &Project, before: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let after = files(project.0.path());
    assert!(before.iter().all(|(path, text)| after.get(path) == Some(text)));
    let new = after.keys().filter(|path| !before.contains_key(*path));
    new.map(|path| path.strip_prefix(project.0.path()).unwrap().display().to_string()).collect()
}

#[test]
fn a_new_task_is_a_crate_a_configuration_and_a_data_set() {
    let project = Project::new();
    let before = files(project.0.path());
    let written = project.succeed(&["new", "task", "key-points"]);
    let mut written: Vec<&str> = written.lines().collect();
    written.sort_unstable();
    assert_eq!(added(&project, &before), written);
    for place in ["crates/key-points/", "configs/key-points/default.toml", "datasets/key-points.toml"] {
        assert!(written.iter().any(|path| path.starts_with(place)), "{written:?}");
    }
    let all = written.iter().map(|path| project.read(path)).collect::<String>();
    assert!(all.contains("pub struct KeyPoints") && all.contains("key_points::KeyPoints"));
    assert!(!all.to_lowercase().replace(['-', '_'], "").contains("exampletask"));

    let after = files(project.0.path());
    let (code, message) = project.fail(&["new", "task", "key-points"]);
    assert!(code == 2 && message.contains("the task exists"), "{message}");
    assert!(added(&project, &after).is_empty());
}

#[test]
fn a_new_task_goes_on_where_it_was_interrupted_and_overwrites_nothing() {
    let whole = Project::new();
    whole.succeed(&["new", "task", "key-points"]);
    let manifest = whole.read("datasets/key-points.toml");
    let half = Project::new();
    half.write("datasets/key-points.toml", &manifest);
    let written = half.succeed(&["new", "task", "key-points"]);
    assert!(!written.contains("datasets/") && written.contains("configs/key-points/default.toml"), "{written}");
    let relative = |project: &Project| added(project, &BTreeMap::new());
    assert_eq!(relative(&half), relative(&whole));

    for other in ["datasets/key-points.toml", "configs/key-points/mine.toml", "crates/key-points/notes"] {
        let project = Project::new();
        project.write(other, "mine");
        let before = files(project.0.path());
        let (code, message) = project.fail(&["new", "task", "key-points"]);
        assert!(code == 2 && message.contains("expected nothing at "), "{message}");
        assert!(added(&project, &before).is_empty());
    }
}

#[test]
fn names_that_are_taken_or_no_names_are_refused() {
    let project = Project::new();
    let before = files(project.0.path());
    let expect = |kind: &str, name: &str, expected: &str| {
        let (code, message) = project.fail(&["new", kind, name]);
        assert!(code == 2 && message.contains(expected), "{kind} {name}: {message}");
        assert!(added(&project, &before).is_empty());
    };
    expect("task", "Key-Points", "such as pose-estimation; found `Key-Points`");
    expect("task", "test", "which Rust or cargo reserves");
    expect("task", "meter", "it uses a `Meter` already; choose another, such as my-meter");
    expect("task", "serde-json", "Cargo.lock has a package `serde_json`");
    expect("task", "pets", "expected nothing at datasets/pets.toml");
    expect("task", "classification", "expected nothing at configs/classification");
    expect("task", "classification-cifar10", "the report of a configuration of classification is called so");
    expect("method", "../wrs", "found `../wrs`");
    expect("method", "wrs", "list.rs has it");
    expect("method", "sgd", "it uses a `Sgd` already");
    expect("method", "adamw", "METHODS.md has it");
    expect("method", "settings", "list.rs has it");
}

#[test]
fn a_new_method_is_a_file_an_entry_and_a_part_of_the_page() {
    let project = Project::new();
    let [list, page] = ["src/method/list.rs", "METHODS.md"].map(|file| format!("crates/regularize/{file}"));
    let before = [&list, &page].map(|file| project.read(file));
    let file = "crates/regularize/src/method/list/gentle_pull.rs";
    assert_eq!(project.succeed(&["new", "method", "gentle-pull"]), format!("{file}\n{page}\n{list}\n"));
    assert!(project.read(file).contains("const NAME: &str = \"gentle-pull\";"));
    let new_lines = |file: &str, before: &str| {
        let after = project.read(file);
        let mut old = before.lines().peekable();
        let new: Vec<String> = after.lines().filter(|line| old.next_if_eq(line).is_none()).map(str::to_owned).collect();
        assert!(old.next().is_none(), "a line of {file} is gone");
        new
    };
    assert_eq!(new_lines(&list, &before[0]), ["mod gentle_pull;", "    gentle_pull::INFO,"]);
    assert!(new_lines(&page, &before[1]).contains(&"### gentle-pull".to_owned()));
    project.succeed(&["new", "method", "another"]);
    let (code, message) = project.fail(&["new", "method", "gentle-pull"]);
    assert!(code == 2 && message.contains("list.rs has it"), "{message}");

    project.write(&list, &before[0].replace("adds entries above", ""));
    let (code, message) = project.fail(&["new", "method", "third"]);
    assert!(code == 2 && message.contains("expected the line") && message.contains("put it back"), "{message}");
    assert!(!project.0.path().join("crates/regularize/src/method/list/third.rs").exists());
}
