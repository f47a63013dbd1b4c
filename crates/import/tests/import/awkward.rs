//! Files as people really have them: read right, or an error that names cause, place and remedy.
//!
//! Each test makes its files: a release of the usual kind, and in it what is awkward.

mod boxes;
mod encodings;
mod images;
mod layouts;
mod left;
mod missing;

use data::Fault;
use import::Options;

use crate::project::{Project, Release};

/// The complaint about a release.
fn complaint(release: &Release) -> String {
    Project::new().complaint("set", release, &Options::default())
}

/// The complaint about a release, whatever is tolerated.
fn tolerant_complaint(release: &Release) -> String {
    let tolerate = vec![Fault::Image, Fault::Box, Fault::Mask, Fault::Point];
    Project::new().complaint("set", release, &Options { tolerate, ..Options::default() })
}

/// What is said about a release that is imported.
fn warnings(release: &Release) -> Vec<String> {
    let project = Project::new();
    let warnings = project.import("set", release, &Options::default()).unwrap().warnings;
    warnings.into_iter().map(|warning| warning.replace(&project.path("").display().to_string(), "~/")).collect()
}

/// That `text` has each of the parts.
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "expected {part:?} in\n{text}");
    }
}

fn edited(release: Release, file: &str, from: &str, to: &str) -> Release {
    let text = String::from_utf8(release.0[file].clone()).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    release.with(file, text.replace(from, to))
}
