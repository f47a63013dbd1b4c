//! Imports that were killed, and two at once.

use std::io::Write;
use std::thread;

use files::{NewFolder, hold};
use import::{Options, import};

use crate::images::folders;
use crate::project::Project;

#[test]
fn what_a_killed_import_left_is_removed_by_the_next() {
    let project = Project::new();
    let above = project.path("datasets/.cache/pets");
    let mut folder = NewFolder::begin(&above.join("default")).unwrap();
    folder.file("train/0000.parquet").unwrap().write_all(b"half a file").unwrap();
    // As where the process ends without a chance to clean up.
    std::mem::forget(folder);
    assert_eq!(std::fs::read_dir(&above).unwrap().count(), 1);
    project.import("pets", &folders(), &Options::default()).unwrap();
    let mut left: Vec<_> = std::fs::read_dir(&above).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".lock", "default"]);
}

#[test]
fn the_second_of_two_imports_waits_and_finds_the_set() {
    let project = Project::new();
    let release = project.folder("release", &folders());
    let above = project.path("datasets/.cache/pets");
    let held = hold(&above, || ()).unwrap();
    let root = project.root();
    let second = thread::spawn(move || import(&root, "pets", &release, &Options::default()));
    // What the first one makes, whether the second waits already or not.
    let mut folder = NewFolder::begin(&above.join("default")).unwrap();
    folder.file("train/0000.parquet").unwrap().write_all(b"x").unwrap();
    folder.publish().unwrap();
    drop(held);
    let error = second.join().unwrap().unwrap_err().to_string();
    assert!(error.contains("data set \"pets\" exists in "), "{error}");
}
