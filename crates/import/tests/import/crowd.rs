//! ShanghaiTech and UCF-QNRF.

use data::{Columns, PointColumns, TaskKind, Validation};
use import::Options;
use serde_json::json;

use crate::mat::{Form, PLAIN};
use crate::project::{Project, Release, images, integers, jpeg, names, nested};

pub(crate) fn shanghaitech(part: &str, truth: &str) -> Release {
    let mut release = Release::default();
    let compressed = Form { compressed: true, ..PLAIN };
    for (split, counts) in [("train_data", [2, 1].as_slice()), ("test_data", &[0])] {
        for (&count, number) in counts.iter().zip(1..) {
            let points: Vec<[f64; 2]> = (0..count).map(|point| [10.5 + f64::from(point), 3.25]).collect();
            release.put(format!("{part}{split}/images/IMG_{number}.jpg"), jpeg(40, 30, number));
            release.put(format!("{part}{split}/{truth}/GT_IMG_{number}.mat"), compressed.shanghaitech(&points));
        }
    }
    release
}

#[test]
fn shanghaitech_is_points_and_their_number() {
    let project = Project::new();
    let release = shanghaitech("part_B_final/", "ground_truth");
    let summary = project.import("crowd", &release, &Options::default()).unwrap();
    assert_eq!(summary.format, "shanghaitech-b");
    assert_eq!(summary.splits, [("train".to_owned(), 2, 3), ("test".to_owned(), 1, 0)]);
    assert_eq!(summary.warnings, [""; 0]);

    let rows = project.rows("crowd", "train");
    let expected = ["IMG_1.jpg", "IMG_2.jpg"]
        .map(|name| (release.0[&format!("part_B_final/train_data/images/{name}")].clone(), Some(name.to_owned())));
    assert_eq!(images(&rows, "image"), expected, "files stay as they are");
    let points = nested(rows.column_by_name("points").unwrap());
    assert_eq!(points, [vec![vec![10.5, 3.25], vec![11.5, 3.25]], vec![vec![10.5, 3.25]]]);
    assert_eq!(integers(&rows, "count"), [2, 1]);
    assert_eq!((integers(&rows, "orig_width"), integers(&rows, "orig_height")), (vec![40, 40], vec![30, 30]));
    assert_eq!(nested(project.rows("crowd", "test").column_by_name("points").unwrap()), [[[0.0; 0]; 0]]);

    let features = project.features("crowd", "train");
    assert_eq!(features["info"]["features"]["image"], json!({"_type": "Image"}));
    let manifest = project.read_manifest("crowd");
    assert_eq!(manifest.task(), TaskKind::CrowdCounting);
    assert!(matches!(manifest.columns, Columns::CrowdCounting(PointColumns { count: Some(_), .. })));
    assert!(matches!(manifest.splits.validation, Validation::Carved(_)));
}

#[test]
fn a_part_is_found_from_above_and_from_inside() {
    for (inside, truth, format) in [
        ("", "ground-truth", "shanghaitech"),
        ("part_A/", "ground-truth", "shanghaitech-a"),
        ("ShanghaiTech/part_A/", "ground_truth", "shanghaitech-a"),
    ] {
        let summary = Project::new().import("crowd", &shanghaitech(inside, truth), &Options::default()).unwrap();
        assert_eq!(summary.format, format);
    }
    let mut both = shanghaitech("part_A/", "ground-truth");
    both.0.extend(shanghaitech("part_B/", "ground-truth").0);
    let chosen = Options { format: Some("shanghaitech-b".to_owned()), ..Options::default() };
    assert_eq!(Project::new().import("crowd", &both, &chosen).unwrap().format, "shanghaitech-b");
}

#[test]
fn ucf_qnrf_is_read() {
    let project = Project::new();
    let mut release = Release::default();
    for (split, points) in [("Train", [[39.75, 29.75]].as_slice()), ("Test", &[])] {
        release.put(format!("UCF-QNRF_ECCV18/{split}/img_0001.jpg"), jpeg(40, 30, 7));
        release.put(format!("UCF-QNRF_ECCV18/{split}/img_0001_ann.mat"), PLAIN.ucf_qnrf(points));
    }
    let summary = project.import("qnrf", &release, &Options::default()).unwrap();
    assert_eq!((summary.format, summary.splits), ("ucf-qnrf", vec![("train".into(), 1, 1), ("test".into(), 1, 0)]));
    let rows = project.rows("qnrf", "train");
    assert_eq!(nested(rows.column_by_name("points").unwrap()), [[[39.75, 29.75]]]);
    assert_eq!(names(&rows), ["img_0001.jpg"]);
}
