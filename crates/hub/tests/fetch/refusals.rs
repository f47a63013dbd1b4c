//! What cannot be fetched: the message says why and what to do, and nothing that is not right is seen.

use std::time::{Duration, Instant};

use files::Part;
use hub::{Error, Settings, Token};

use crate::loopback::Fault;
use crate::project::{Project, TEST, TRAIN, bytes};

/// The message of a fetch that fails; `mistake` says whether it is the user's to correct.
fn refusal(project: &Project, settings: &Settings, mistake: bool) -> String {
    let error = project.fetch_with(settings).unwrap_err();
    assert_eq!(error.is_mistake(), mistake, "{error}");
    project.assert_nothing_visible();
    project.tidy(&error.to_string())
}

#[test]
fn faults_that_do_not_pass_are_explained() {
    for (name, fault, parts) in [
        ("wrong_bytes", Fault::WrongBytes, 0),
        ("cut_at_once", Fault::Cut(0), 0),
        ("unavailable", Fault::Status(503, None), 0),
        ("busy", Fault::Status(429, Some("0".into())), 0),
        ("teapot", Fault::Status(418, None), 0),
        ("no_file", Fault::Status(404, None), 0),
        ("closed", Fault::Close, 0),
        ("unauthorized", Fault::Status(401, None), 0),
    ] {
        let project = Project::new().pin();
        project.hub.fault(TRAIN, fault, u32::MAX);
        insta::assert_snapshot!(name, refusal(&project, &project.settings(), false));
        assert_eq!(project.downloads().iter().filter(|file| file.contains("train-0")).count(), parts, "{name}");
    }
}

#[test]
fn what_makes_no_sense_to_ask_again_is_not_asked_again() {
    for status in [401, 403, 404, 410, 418] {
        let project = Project::new().pin();
        project.hub.fault(TRAIN, Fault::Status(status, None), u32::MAX);
        refusal(&project, &project.settings(), false);
        let asked =
            project.hub.requests().iter().filter(|r| r.what == TRAIN && !r.target.starts_with("/bytes/")).count();
        assert_eq!(asked, 1, "{status}");
    }
}

#[test]
fn one_file_that_fails_ends_the_wait_of_the_others() {
    let project = Project::new().pin();
    project.hub.fault(TRAIN, Fault::Status(404, None), 1);
    project.hub.fault(TEST, Fault::Status(429, Some("300".into())), 1);
    let begin = Instant::now();
    assert!(refusal(&project, &project.settings(), false).contains("404 Not Found"));
    assert!(begin.elapsed() < Duration::from_secs(200));
}

#[test]
fn a_file_that_stays_incomplete_keeps_its_part() {
    let project = Project::new().pin();
    project.hub.fault(TRAIN, Fault::Cut(100_000), 1);
    project.hub.fault(TRAIN, Fault::Close, u32::MAX);
    insta::assert_snapshot!("gave_up", refusal(&project, &project.settings(), false));
    assert_eq!(std::fs::read(project.part(TRAIN)).unwrap(), project.bytes(TRAIN)[..100_000]);
    assert_eq!(project.hub.ranges(TRAIN).len(), 6);
}

#[test]
fn nobody_at_the_address_is_said_after_some_attempts() {
    let project = Project::new().pin();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let message = refusal(&project, &Settings { endpoint, ..project.settings() }, false);
    assert!(message.contains("gave up after 6 attempts") && message.contains("onnection refused"), "{message}");
}

#[test]
fn gated_sets_say_what_to_do() {
    let project = Project::with(&[(TRAIN, bytes(100)), (TEST, bytes(100))], Some("hf_right"));
    insta::assert_snapshot!("gated_without_token", refusal(&project, &project.settings(), false));
    let token = Some(Token::new("hf_wrong", "HF_TOKEN").unwrap());
    let message = refusal(&project, &Settings { token: token.clone(), ..project.settings() }, false);
    assert!(!message.contains("hf_wrong"));
    insta::assert_snapshot!("gated_with_token", message);
    let project = project.pin();
    // With the other file here, it is this one that is refused.
    Part::open(&project.local(TEST)).unwrap().append(project.bytes(TEST)).unwrap();
    let message = refusal(&project, &Settings { token, ..project.settings() }, false);
    insta::assert_snapshot!("gated_file_with_token", message);
}

#[test]
fn what_the_hub_does_not_have_is_named() {
    let project = Project::new();
    project.change("revision = \"main\"", "revision = \"refs/convert/parquet\"");
    insta::assert_snapshot!("no_revision", refusal(&project, &project.settings(), false));
    project.change("owner/pets", "owner/pest");
    insta::assert_snapshot!("no_repository_without_token", refusal(&project, &project.settings(), false));
    let token = Some(Token::new("hf_any", "HF_TOKEN").unwrap());
    let settings = Settings { token, ..project.settings() };
    insta::assert_snapshot!("no_repository_with_token", refusal(&project, &settings, false));
}

#[test]
fn manifests_that_do_not_fit_the_hub_are_explained() {
    let named = |path: &str, source: &str| format!("\n[[files]]\npath = {path:?}\nsource = {source:?}\n");
    let twice = named("train/a.parquet", TRAIN) + &named("train/A.parquet", TRAIN);
    for (name, from, to) in [
        ("no_match", "data/train*.parquet", "data/training-*.parquet"),
        ("collision", "\ntest = \"data/test-*.parquet\"\n", &format!("\ntest = \"data/test-*.parquet\"\n{twice}")),
        (
            "not_listed",
            "\ntest = \"data/test-*.parquet\"\n",
            &format!("\ntest = \"data/test-*.parquet\"\n{}", named("train/a.parquet", "data/train-a.parquet")),
        ),
    ] {
        let project = Project::new();
        project.change(from, to);
        insta::assert_snapshot!(name, refusal(&project, &project.settings(), true));
    }
    let files = [("a/train-0.parquet", bytes(1)), ("b/train-0.parquet", bytes(1)), (TEST, bytes(1))];
    let project = Project::with(&files, None);
    project.change("data/train*.parquet", "*/train*.parquet");
    insta::assert_snapshot!("collision_of_a_pattern", refusal(&project, &project.settings(), true));
}

#[test]
fn no_path_leaves_the_folder() {
    let file = |path: &str, source: &str| {
        let pinned = format!("size = 1000\nsha256 = \"{}\"", "0".repeat(64));
        format!("\ntest = \"data/test-*.parquet\"\n\n[[files]]\npath = {path:?}\nsource = {source:?}\n{pinned}\n")
    };
    let test = "\ntest = \"data/test-*.parquet\"\n";
    for (from, to, key) in [
        (test, file("../evil.parquet", TEST), "files.path"),
        (test, file("/evil.parquet", TEST), "files.path"),
        (test, file("train//evil.parquet", TRAIN), "files.path"),
        (test, file("train\\evil.parquet", TEST), "files.path"),
        ("owner/pets", "../pets".to_owned(), "hub.repository"),
        ("owner/pets", "owner/pets/tree".to_owned(), "hub.repository"),
        ("owner/pets", "owner/pets?x".to_owned(), "hub.repository"),
        ("\"main\"", "\"../main\"".to_owned(), "hub.revision"),
        ("data/train*.parquet", "../*".to_owned(), "hub.files.train"),
    ] {
        let project = Project::new();
        project.change(from, &to);
        let error = project.fetch().unwrap_err();
        assert!(matches!(&error, Error::Value { key: found, .. } if found == key), "{to}: {error}");
        assert!(project.hub.requests().is_empty());
    }
    let project = Project::new();
    project.change(test, &file("test/a.parquet", "../../api/evil"));
    let message = project.fetch().unwrap_err().to_string();
    assert!(message.contains("`files`: \"test/a.parquet\" is not \"data/test-*.parquet\" of `hub.files`"), "{message}");
    assert!(project.hub.requests().is_empty());
    // What the hub lists is not to be trusted either.
    let project = Project::with(&[("data/train-..\\evil.parquet", bytes(10)), (TEST, bytes(10))], None);
    insta::assert_snapshot!("evil_hub", refusal(&project, &project.settings(), true));
}

#[test]
fn a_disk_that_is_too_full_is_noticed_before() {
    let project = Project::new().pin();
    project.change("size = 300000", "size = 4000000000000000000");
    let message = refusal(&project, &project.settings(), false);
    let (said, hint) = message.split_once("its disk has ").unwrap();
    assert_eq!(said, "~/datasets/.cache/pets/default needs 4.00 EB more, with some to spare, and ");
    assert!(hint.contains("free some space"), "{hint}");
    assert!(project.hub.requests().is_empty());
}

#[test]
fn a_lock_of_another_size_is_noticed() {
    let project = Project::new();
    project.change(
        "\ntest = \"data/test-*.parquet\"\n",
        &format!(
            "\ntest = \"data/test-*.parquet\"\n\n[[files]]\npath = \"test/a.parquet\"\nsource = {TEST:?}\nsize = 7\n"
        ),
    );
    insta::assert_snapshot!("another_size", refusal(&project, &project.settings(), true));
}
