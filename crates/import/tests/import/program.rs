//! The program, as the runner starts it.

use std::process::{Command, Output};

use crate::images::folders;
use crate::project::Project;

fn run(project: &Project, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_import"));
    command.args(arguments).arg("--project").arg(project.path("")).env_remove("WRS_BENCH_DATA").output().unwrap()
}

#[test]
fn a_summary_goes_to_standard_output() {
    let project = Project::new();
    let release = project.folder("release", &folders()).display().to_string();
    let output = run(&project, &["pets", &release, "--shorter", "4"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap().replace(&project.path("").display().to_string(), "~/");
    assert_eq!(
        text,
        "folders: ~/datasets/.cache/pets/default\n  train: 3 images\n  test: 1 images\n\
         warning: ~/release/test has no image of cat\n\
         wrote ~/datasets/pets.toml; edit what is unknown\n"
    );
    let again = run(&project, &["pets", &release]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).starts_with("error: data set \"pets\" exists in "));
}

#[test]
fn wrong_arguments_are_explained() {
    let project = Project::new();
    for (arguments, expected) in [
        (["x", "y", "--size", "640"].as_slice(), "expected WxH such as 640x480, each from 1 to 16384"),
        (&["x", "y", "--size", "0x9"], "expected WxH such as 640x480"),
        (&["x", "y", "--shorter", "0"], "0 is not in 1..=16384"),
        (&["x", "y", "--shorter", "9", "--longer", "9"], "cannot be used with"),
        (&["x", "y", "--format", "voc2007"], "[possible values: shanghaitech-a, "),
        (&["x", "y", "--tolerate", "boxes"], "expected image, box, mask or point"),
    ] {
        let output = run(&project, arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && text.contains(expected), "{text}");
    }
}
