//! Faults that pass: the files end up right, and little is asked for twice.

use std::time::{Duration, SystemTime};

use files::Part;

use crate::loopback::Fault;
use crate::project::{Project, TEST, TRAIN, bytes};

#[test]
fn whatever_happens_once_the_files_are_right() {
    let status = |status| Fault::Status(status, Some("0".to_owned()));
    for (fault, ranges) in [
        (Fault::Cut(123_456), vec![0, 123_456]),
        (Fault::Cut(0), vec![0, 0]),
        (Fault::Stall(1000), vec![0, 1000]),
        (Fault::Close, vec![0, 0]),
        (Fault::WrongBytes, vec![0, 0]),
        (Fault::WrongLength(-1000), vec![0, 299_000]),
        (Fault::WrongLength(1000), vec![0]),
        (status(408), vec![0, 0]),
        (status(429), vec![0, 0]),
        (status(500), vec![0, 0]),
        (status(503), vec![0, 0]),
        (Fault::Status(502, None), vec![0, 0]),
    ] {
        let project = Project::new().pin();
        project.hub.fault(TRAIN, fault.clone(), 1);
        let mut settings = project.settings();
        if let Fault::Stall(_) = fault {
            settings.timeout = Duration::from_secs(2);
        }
        project.fetch_with(&settings).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        project.assert_complete();
        assert_eq!(project.hub.ranges(TRAIN), ranges, "{fault:?}");
    }
}

#[test]
fn whatever_happens_to_a_file_that_is_resumed_it_is_right() {
    for (fault, ranges) in [
        (Fault::IgnoreRange, vec![0, 100_000]),
        (Fault::WrongRange, vec![0, 100_000, 0]),
        (Fault::WrongBytes, vec![0, 100_000, 0]),
        (Fault::Cut(50_000), vec![0, 100_000, 150_000]),
        (Fault::Status(416, None), vec![0, 100_000, 0]),
        (Fault::Close, vec![0, 100_000, 100_000]),
    ] {
        let project = Project::new().pin();
        project.hub.fault(TRAIN, Fault::Cut(100_000), 1);
        project.hub.fault(TRAIN, fault.clone(), 1);
        project.fetch().unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        project.assert_complete();
        assert_eq!(project.hub.ranges(TRAIN), ranges, "{fault:?}");
    }
}

#[test]
fn a_body_can_be_cut_at_every_byte() {
    const LENGTH: usize = 400;
    let names: Vec<String> = (0..=LENGTH).map(|cut| format!("data/train-{cut:03}.parquet")).collect();
    let mut files: Vec<_> = names.iter().map(|name| (name.as_str(), bytes(LENGTH))).collect();
    files.push((TEST, bytes(1)));
    let project = Project::with(&files, None).pin();
    for (cut, name) in names.iter().enumerate() {
        project.hub.fault(name, Fault::Cut(cut as u64), 1);
    }
    project.fetch().unwrap();
    project.assert_complete();
    for (cut, name) in names.iter().enumerate() {
        let expected = if cut == LENGTH { vec![0] } else { vec![0, cut as u64] };
        assert_eq!(project.hub.ranges(name), expected, "{cut}");
    }
}

#[test]
fn a_body_that_is_cut_again_and_again_still_arrives() {
    let project = Project::new().pin();
    project.hub.fault(TRAIN, Fault::Cut(65_537), u32::MAX);
    project.fetch().unwrap();
    project.assert_complete();
    assert_eq!(project.hub.ranges(TRAIN), [0, 65_537, 131_074, 196_611, 262_148]);
}

#[test]
fn parts_of_an_earlier_fetch_are_used_where_they_are_right() {
    let right = bytes(300_000);
    let wrong = vec![7; 300_001];
    for (part, ranges) in [
        (&right[..299_999], vec![299_999]),
        (&right[..], vec![]),
        (&wrong[..299_999], vec![299_999, 0]),
        (&wrong[..300_000], vec![0]),
        (&wrong[..], vec![0]),
        (&[], vec![0]),
    ] {
        let project = Project::new().pin();
        Part::open(&project.local(TRAIN)).unwrap().append(part).unwrap();
        project.fetch().unwrap();
        project.assert_complete();
        assert_eq!(project.hub.ranges(TRAIN), ranges, "a part of {} bytes", part.len());
    }
}

#[test]
fn a_part_whose_digest_nobody_knows_is_not_used() {
    // Text is small, so the hub has no sha256 of it.
    let files = [(TRAIN, bytes(100)), ("data/test-0.json", bytes(100))];
    let project = Project::with(&files, None);
    project.change("data/test-*.parquet", "data/test-*.json");
    Part::open(&project.local("data/test-0.json")).unwrap().append(&[7; 50]).unwrap();
    project.fetch().unwrap();
    project.assert_complete();
    let bodies = project.hub.requests().into_iter().filter(|r| r.what == "data/test-0.json" && r.method == "GET");
    assert_eq!(bodies.map(|request| request.from).collect::<Vec<_>>(), [None]);
}

#[test]
fn questions_to_the_hub_are_asked_again() {
    for what in ["revision", "tree", TRAIN] {
        for fault in [Fault::Close, Fault::Status(429, Some("0".to_owned())), Fault::Status(503, None)] {
            let project = Project::new();
            project.hub.fault(what, fault.clone(), 2);
            project.fetch().unwrap_or_else(|error| panic!("{what}, {fault:?}: {error}"));
            project.assert_complete();
        }
    }
}

#[test]
fn a_server_that_asks_for_patience_gets_it() {
    let project = Project::new().pin();
    project.hub.fault(TRAIN, Fault::Status(429, Some("1".to_owned())), 1);
    project.fetch().unwrap();
    project.assert_complete();
    let requests = project.hub.requests();
    let times: Vec<_> = requests.iter().filter(|r| r.what == TRAIN).map(|request| request.at).collect();
    // Each attempt asks the hub, and then where it sends us.
    assert_eq!(times.len(), 4);
    assert!(times[2] - times[1] >= Duration::from_secs(1), "waited {:?}", times[2] - times[1]);

    let project = Project::new().pin();
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    project.hub.fault(TRAIN, Fault::Status(503, Some(date.clone())), 1);
    project.fetch().unwrap();
    project.assert_complete();
    assert!(SystemTime::now() >= httpdate::parse_http_date(&date).unwrap());
}
