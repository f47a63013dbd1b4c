//! Boxes and points in another unit or form than their format has.

use data::{Columns, Detection, Split};
use import::Options;

use super::{assert_has, complaint, edited, tolerant_complaint, warnings};
use crate::crowd::shanghaitech;
use crate::detection::{coco, objects, voc, xml, yolo};
use crate::mat::PLAIN;
use crate::project::{Project, Release, integers};

const COCO: &str = "annotations/instances_train2017.json";

/// With other boxes: three, of images of 40×30 pixels.
fn boxed(boxes: [[f64; 4]; 3]) -> Release {
    let written = ["[1.0,2.0,3.5,4.0]", "[0.0,0.0,40.0,30.0]", "[10.25,20.0,5.0,6.0]"];
    let pairs = written.into_iter().zip(boxes);
    pairs.fold(coco(), |release, (from, to)| edited(release, COCO, from, &serde_json::json!(to).to_string()))
}

#[test]
fn coco_in_another_unit_or_form_is_refused() {
    for (boxes, other) in [
        ([[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.25, 0.5]], "[left, top, width, height] as parts of"),
        (
            [[5.0, 6.0, 25.0, 16.0], [20.0, 10.0, 40.0, 30.0], [30.0, 20.0, 36.0, 29.0]],
            "[left, top, right, bottom] in pixels",
        ),
        (
            [[20.0, 15.0, 38.0, 28.0], [35.0, 25.0, 10.0, 10.0], [30.0, 20.0, 20.0, 20.0]],
            "[middle x, middle y, width, height] in pixels",
        ),
    ] {
        let release = boxed(boxes);
        let text = tolerant_complaint(&release);
        assert_has(
            &text,
            &[
                COCO,
                "expected boxes that are [left, top, width, height] in pixels, found that ",
                " of 3 make no sense so, and 0 as ",
                other,
                "\n  hint: write the annotations anew",
            ],
        );
        assert_eq!(complaint(&release), text, "not one of the boxes is named, but the cause");
    }
}

#[test]
fn a_part_in_another_unit_is_counted() {
    let text = tolerant_complaint(&boxed([[5.0, 6.0, 7.0, 8.0], [0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.25, 0.5]]));
    assert_has(&text, &[COCO, "found that 2 of 3 make no sense so, but as [left, top, width, height] as parts of"]);
    let told = warnings(&boxed([[5.0, 6.0, 7.0, 8.0], [1.0, 2.0, 3.0, 4.0], [0.5, 0.5, 0.25, 0.5]]));
    let expected = "1 of 3 boxes of the train split are at the first 2 pixels of their image: are they meant as parts of its \
                    width and height?";
    assert!(told.iter().any(|warning| warning == expected), "{told:?}");
}

#[test]
fn a_box_without_area_is_no_box_wherever_it_is() {
    // 0.77 of 40 pixels is rounded to a smaller number.
    let text = complaint(&yolo().with("labels/train/a.txt", "0 0.77 0.5 0 0.1\n"));
    assert_has(&text, &["labels/train/a.txt: line 1: expected a box with area", "--tolerate box"]);
}

#[test]
fn voc_in_parts_of_the_image_is_refused() {
    let mut release = voc();
    for name in ["000001", "000002", "000004"] {
        let file = format!("VOCdevkit/VOC2007/Annotations/{name}.xml");
        release.put(file, xml(&[("cat", [0.1, 0.1, 0.5, 0.6], false), ("dog", [0.0, 0.0, 1.0, 1.0], false)]));
    }
    assert_has(
        &tolerant_complaint(&release),
        &["00000", "of 4 make no sense so, and 0 as ", "parts of the image's width and height"],
    );
}

#[test]
fn yolo_in_another_unit_or_form_is_refused() {
    let with = |a: &str, c: &str| yolo().with("labels/train/a.txt", a).with("labels/val/c.txt", c);
    let pixels = with("0 20 15 10 8\n1 10 10 20 20\n", "0 20 15 10 8\n");
    assert_has(
        &tolerant_complaint(&pixels),
        &["labels/train/a.txt: expected boxes that are [middle x, middle y, width, height] as parts", "in pixels\n"],
    );
    let corners = with("0 0.5 0.5 0.9 0.9\n1 0.7 0.1 0.95 0.3\n0 0.1 0.6 0.3 0.9\n", "0 0.5 0.5 0.9 0.9\n");
    assert_has(&tolerant_complaint(&corners), &["labels/train/a.txt", "and 0 as [left, top, right, bottom] as parts"]);
}

#[test]
fn points_in_another_unit_or_order_are_refused() {
    let with = |points: &[[f64; 2]]| {
        let mut release = shanghaitech("", "ground-truth");
        for number in [1, 2] {
            release.put(format!("train_data/ground-truth/GT_IMG_{number}.mat"), PLAIN.shanghaitech(points));
        }
        release
    };
    let parts = with(&[[0.25, 0.5], [0.1, 0.9]]);
    assert_has(
        &tolerant_complaint(&parts),
        &["GT_IMG_1.mat: expected points that are [x, y] in pixels", "4 of 4", "parts of the image's"],
    );
    let swapped = with(&[[25.0, 39.0], [2.0, 35.5]]);
    assert_has(&tolerant_complaint(&swapped), &["GT_IMG_1.mat", "[y, x] in pixels"]);
}

/// An annotation of each image of [`voc`] with a box of the whole image.
fn whole(corners: [f64; 4]) -> Release {
    let mut release = voc();
    for name in ["000001", "000002", "000003", "000004"] {
        release.put(format!("VOCdevkit/VOC2007/Annotations/{name}.xml"), xml(&[("cat", corners, false)]));
    }
    release
}

#[test]
fn voc_that_counts_from_0_needs_a_decision() {
    let included = whole([0.0, 0.0, 39.0, 29.0]);
    let text = complaint(&included);
    assert_has(
        &text,
        &[
            "000001.xml: object 1: ",
            "found xmin 0, ymin 0, xmax 39, ymax 29",
            "4 boxes of the release",
            "`--first-pixel 0`",
            "`--first-pixel 1`",
        ],
    );
    let import = |release: &Release, first_pixel| {
        let project = Project::new();
        let options = Options { first_pixel: Some(first_pixel), ..Options::default() };
        let summary = project.import("voc", release, &options).unwrap();
        let boxes = objects(&project, "voc", "test")[0].0[0].clone();
        let text = files::read_text(&project.path("datasets/voc.toml")).unwrap();
        assert!(text.contains(&format!("boxes count pixels from {first_pixel}")), "{text}");
        (boxes, summary.warnings.join("\n"))
    };
    let (boxes, told) = import(&included, 0);
    assert_eq!(boxes, [0.0, 0.0, 40.0, 30.0]);
    assert!(told.contains("end with their xmax"), "{told}");
    assert_eq!(import(&included, 1).0, [0.0, 0.0, 39.0, 29.0]);
    let (boxes, told) = import(&whole([0.0, 0.0, 40.0, 30.0]), 0);
    assert_eq!(boxes, [0.0, 0.0, 40.0, 30.0]);
    assert!(told.contains("end before their xmax"), "{told}");
    // As CVAT writes them: no number is that of a pixel.
    assert_has(&complaint(&whole([0.4, 0.6, 39.2, 29.1])), &["found xmin 0.4, ymin 0.6", "4 boxes of the release"]);
    let (boxes, told) = import(&whole([0.5, 0.25, 38.5, 29.0]), 0);
    assert_eq!(boxes, [0.5, 0.25, 38.0, 28.75]);
    assert!(told.contains("end before their xmax"), "{told}");
    // What begins at 1 needs no decision, and other formats know none.
    let options = Options { first_pixel: Some(0), ..Options::default() };
    assert_has(&Project::new().complaint("set", &coco(), &options), &["for `--first-pixel`, found coco"]);
    Project::new().import("voc", &whole([1.0, 1.0, 40.0, 30.0]), &Options::default()).unwrap();
}

#[test]
fn coco_as_other_programs_write_it() {
    let project = Project::new();
    project.import("plain", &coco(), &Options::default()).unwrap();
    for (number, (from, to)) in [
        ("\"id\":5", "\"id\":5.0"),
        ("\"image_id\":7", "\"image_id\":7.0"),
        ("\"iscrowd\":0", "\"iscrowd\":false"),
        ("\"iscrowd\":1", "\"iscrowd\":true"),
        ("\"width\":40", "\"width\":40.0"),
        ("a.jpg", "./a.jpg"),
        ("\"height\":30,", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("other-{number}");
        project.import(&name, &edited(coco(), COCO, from, to), &Options::default()).unwrap();
        let [plain, other] = ["plain", &name].map(|name| std::fs::read(project.file(name, "train")).unwrap());
        assert_eq!(plain, other, "{to}");
    }
}

#[test]
fn what_is_wrong_in_coco_has_its_key_and_plain_words() {
    for (from, to, expected) in [
        ("\"image_id\":7", "\"image_id\":\"7\"", "annotations[0].image_id (line 1, column "),
        ("\"image_id\":7", "\"image_id\":\"7\"", "expected a whole number, found the text \"7\""),
        ("[10.25,20.0,5.0,6.0]", "[10.25,20.0,5.0]", "annotations[2].bbox (line 1, column "),
        ("[10.25,20.0,5.0,6.0]", "[10.25,20.0,5.0]", "expected 4 numbers: left, top, width and height, found 3"),
        ("\"categories\"", "\"classes\"", "expected the key `categories`, found none"),
        (
            "\"image_id\":5",
            "\"image_id\":50",
            "annotations[1] (id 101).image_id: expected the id of an image in the file, found 50",
        ),
    ] {
        assert_has(&complaint(&edited(coco(), COCO, from, to)), &[COCO, expected]);
    }
    let val = "annotations/instances_val2017.json";
    let text = complaint(&edited(coco(), val, "toothbrush", "hair drier"));
    assert_has(&text, &[val, "id 90 is \"toothbrush\" there, found \"hair drier\""]);
    let fewer = edited(coco(), val, "{\"id\":3,\"name\":\"car\"}", "{\"id\":4,\"name\":\"car\"}");
    assert_has(&complaint(&fewer), &["id 3 is \"car\" there, found no category"]);
}

#[test]
fn an_imported_set_of_boxes_is_read_back() {
    let project = Project::new();
    project.import("coco", &coco(), &Options::default()).unwrap();
    project.carve_half("coco");
    let set = Detection::open(&project.root(), "coco", data::Options::default()).unwrap();
    assert!(matches!(set.manifest().stored().unwrap().columns, Columns::Detection(_)));
    assert_eq!(set.len(Split::Test), 1);
    assert_eq!(integers(&project.rows("coco", "train"), "width"), [40; 3]);
}

#[test]
fn boxes_that_are_there_twice_are_counted() {
    let line = "0 0.5 0.5 0.5 0.5\n";
    let told = warnings(&yolo().with("labels/val/c.txt", [line, line, "1 0.5 0.5 0.5 0.5\n"].concat()));
    let expected =
        "1 boxes of the validation split are twice in their image; the first: ~/release-set/labels/val/c.txt: line 2";
    assert!(told.iter().any(|warning| warning == expected), "{told:?}");
}

#[test]
fn where_most_boxes_are_outside_none_is_cut_off() {
    for boxes in [
        [[20.0, 20.0, 50.0, 50.0], [10.0, 10.0, 80.0, 80.0], [50.0, 50.0, 40.0, 45.0]],
        [[250.0, 300.0, 500.0, 400.0], [100.0, 100.0, 800.0, 300.0], [0.0, 0.0, 999.0, 999.0]],
    ] {
        let release = boxed(boxes);
        let text = complaint(&release);
        assert_has(&text, &[" of the train split are outside or have no area", "percent or thousandths"]);
        assert!(!text.contains("tolerate"), "{text}");
    }
}
