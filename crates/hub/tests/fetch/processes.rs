//! The binary: killed, interrupted, started twice; its exit codes and what it says.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::loopback::Fault;
use crate::project::{Project, TEST, TRAIN, bytes};

/// Waits for what must happen soon.
fn wait_for(what: &str, happened: impl Fn() -> bool) {
    let begin = Instant::now();
    while !happened() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what} does not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

fn start(project: &Project) -> Child {
    project.command(&["fetch", "pets"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn finish(project: &Project) -> Output {
    let output = project.command(&["fetch", "pets"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    output
}

#[test]
fn killed_anywhere_and_started_again_it_goes_on_from_there() {
    const SIZE: usize = 3_000_000;
    let project = Project::with(&[(TRAIN, bytes(SIZE)), (TEST, bytes(10))], None);
    let kills = [1, 65_535, 65_537, 1_048_577, 2_999_999];
    let mut begin = 0;
    for kill in kills {
        project.hub.fault(TRAIN, Fault::Stall(kill - begin), 1);
        let mut child = start(&project);
        // All that was sent is written: nothing is held back in buffers.
        wait_for("the part", || length(&project.part(TRAIN)) == kill);
        child.kill().unwrap();
        child.wait().unwrap();
        project.assert_nothing_visible();
        begin = kill;
    }
    finish(&project);
    project.assert_complete();
    assert_eq!(project.hub.ranges(TRAIN), [&[0], &kills[..]].concat());
}

#[test]
fn killed_in_full_flow_it_goes_on_from_there() {
    const SIZE: u64 = 30_000_000;
    let project = Project::with(&[(TRAIN, bytes(SIZE as usize)), (TEST, bytes(10))], None).pin();
    let mut begins = vec![0];
    for kill in [0, 3_000_000, 10_000_000, 20_000_000] {
        let kept = length(&project.part(TRAIN)).max(kill);
        let mut child = start(&project);
        wait_for("the part", || length(&project.part(TRAIN)) > kept || project.local(TRAIN).exists());
        child.kill().unwrap();
        child.wait().unwrap();
        if length(&project.part(TRAIN)) == SIZE || project.local(TRAIN).exists() {
            break;
        }
        begins.push(length(&project.part(TRAIN)));
    }
    finish(&project);
    project.assert_complete();
    assert_eq!(project.hub.ranges(TRAIN), begins, "what was here is asked for again");
}

#[test]
fn an_interrupted_fetch_says_that_it_can_go_on() {
    for signal in ["-INT", "-TERM"] {
        let project = Project::new().pin();
        project.hub.fault(TRAIN, Fault::Stall(100_000), 1);
        let child = start(&project);
        wait_for("the part", || length(&project.part(TRAIN)) == 100_000);
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(75));
        assert!(text(&output.stderr).ends_with("interrupted; the same command goes on from what was fetched\n"));
        project.assert_nothing_visible();
        finish(&project);
        project.assert_complete();
        assert_eq!(project.hub.ranges(TRAIN), [0, 100_000]);
    }
}

#[test]
fn the_second_of_two_waits_and_finds_all_done() {
    let project = Project::new();
    project.hub.fault(TRAIN, Fault::Stall(100_000), 1);
    let first = start(&project);
    wait_for("the part", || length(&project.part(TRAIN)) == 100_000);
    let mut second = start(&project);
    let mut said = BufReader::new(second.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(said.next().unwrap(), "pets: another process makes it; waiting for that to end");
    let asked = project.hub.requests().len();
    project.hub.release();
    assert!(first.wait_with_output().unwrap().status.success());
    assert!(second.wait().unwrap().success());
    assert_eq!(said.last().unwrap(), "pets: all 3 files are in ./datasets/.cache/pets/default already");
    project.assert_complete();
    // The first may still have had files to ask for, but none twice.
    for request in project.hub.requests().into_iter().skip(asked) {
        assert_eq!(project.hub.ranges(&request.what).len(), 1, "{request:?}");
    }
}

#[test]
fn what_is_said_before_and_after_a_fetch() {
    let project = Project::new();
    let output = finish(&project);
    insta::assert_snapshot!("first_fetch", project.tidy(&text(&output.stderr)));
    assert_eq!(text(&output.stdout), "./datasets/.cache/pets/default\n");
    insta::assert_snapshot!("second_fetch", project.tidy(&text(&finish(&project).stderr)));
}

#[test]
fn mistakes_have_an_exit_code_of_their_own() {
    let project = Project::new();
    let manifest = project.read("datasets/pets.toml");
    project.write("datasets/zoo.toml", manifest.split("\n[hub]").next().unwrap());
    for (name, arguments, code) in [
        ("unknown_set", &["fetch", "pets", "petz"][..], 2),
        ("not_on_hub", &["fetch", "zoo"], 2),
        ("no_arguments", &["fetch"], 0),
        ("list", &["fetch", "--list"], 0),
    ] {
        let output = project.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}");
        let said = format!("{}---\n{}", text(&output.stdout), text(&output.stderr));
        insta::assert_snapshot!(name, project.tidy(&said));
    }
    assert!(project.hub.requests().is_empty());
    let timeout = project.command(&["fetch", "pets"]).env("HF_HUB_DOWNLOAD_TIMEOUT", "soon").output().unwrap();
    assert_eq!(timeout.status.code(), Some(2));
    project.hub.fault("revision", Fault::Status(404, None), 1);
    assert_eq!(project.command(&["fetch", "pets"]).output().unwrap().status.code(), Some(1));
}

#[test]
fn a_token_is_never_said() {
    let project = Project::with(&[(TRAIN, bytes(100)), (TEST, bytes(100))], Some("hf_right"));
    for (token, code) in [("hf_secret", 1), ("hf_right", 0)] {
        let output = project.command(&["fetch", "pets"]).env("HF_TOKEN", token).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!said.contains(token) && !said.contains("signature"), "{said}");
    }
}

#[test]
fn a_broken_manifest_does_not_hide_the_others() {
    let project = Project::new();
    project.write("datasets/broken.toml", "title = 7\n");
    let output = project.command(&["fetch", "--list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("list_with_a_broken_manifest", text(&output.stdout));
    assert!(text(&output.stderr).contains("broken.toml"));
}
