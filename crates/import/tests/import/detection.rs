//! Pascal VOC, COCO and YOLO.

use arrow_array::StructArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use data::{BoxColumns, BoxForm, Columns, Validation};
use import::Options;
use serde_json::json;

use crate::project::{Project, Release, integers, jpeg, names, nested};

/// For each row the boxes, classes and crowds of its objects.
pub(crate) type Row = (Vec<Vec<f32>>, Vec<i64>, Vec<bool>);

pub(crate) fn objects(project: &Project, name: &str, split: &str) -> Vec<Row> {
    let rows = project.rows(name, split);
    let objects = rows.column_by_name("objects").unwrap().as_struct();
    let boxes = nested(objects.column_by_name("bbox").unwrap());
    let category = objects.column_by_name("category").unwrap().as_list::<i32>();
    let crowd = objects.column_by_name("iscrowd").unwrap().as_list::<i32>();
    let row = |(index, boxes): (usize, Vec<Vec<f32>>)| {
        let classes = category.value(index).as_primitive::<Int64Type>().values().to_vec();
        let crowds = crowd.value(index).as_boolean().iter().map(Option::unwrap).collect();
        (boxes, classes, crowds)
    };
    boxes.into_iter().enumerate().map(row).collect()
}

fn areas(project: &Project, name: &str, split: &str, row: usize) -> Vec<f64> {
    let rows = project.rows(name, split);
    let objects = rows.column_by_name("objects").unwrap().as_struct().clone();
    let areas = objects.column_by_name("area").unwrap().as_list::<i32>().value(row);
    areas.as_primitive::<Float64Type>().values().to_vec()
}

/// An annotation of Pascal VOC for an image of 40×30 pixels.
pub(crate) fn xml(objects: &[(&str, [f64; 4], bool)]) -> String {
    let object = |(name, [left, top, right, bottom], difficult): &(&str, [f64; 4], bool)| {
        format!(
            "<object><name>{name}</name><part><name>head</name></part><difficult>{}</difficult><bndbox>\
             <xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>\n",
            u8::from(*difficult)
        )
    };
    let objects: String = objects.iter().map(object).collect();
    format!("<annotation>\n<size><width>40</width><height>30</height><depth>3</depth></size>\n{objects}</annotation>")
}

#[test]
fn many_attributes_cost_no_time() {
    let attributes: String = (0..200_000).map(|number| format!(" a{number}=''")).collect();
    let complaint = formats::voc::parse(&format!("<annotation{attributes}/>")).unwrap_err().to_string();
    assert_eq!(complaint, "expected XML of Pascal VOC, with at most 4096 attributes, found more");
}

pub(crate) fn voc() -> Release {
    let mut release = Release::default();
    let dog = ("dog", [1.0, 1.0, 40.0, 30.0], false);
    for (name, objects) in [
        ("000002", [dog, ("cat", [3.0, 4.0, 10.0, 14.0], true)].as_slice()),
        ("000001", &[("cat", [5.5, 6.0, 6.0, 7.5], false)]),
        ("000003", &[]),
        ("000004", &[dog]),
    ] {
        release.put(format!("VOCdevkit/VOC2007/JPEGImages/{name}.jpg"), jpeg(40, 30, 9));
        release.put(format!("VOCdevkit/VOC2007/Annotations/{name}.xml"), xml(objects));
    }
    for (list, text) in [
        ("train", "000002 \n000001\n"),
        ("val", "000003\n"),
        ("trainval", "000001\n000002\n000003\n"),
        ("test", "000004\n"),
    ] {
        release.put(format!("VOCdevkit/VOC2007/ImageSets/Main/{list}.txt"), text);
    }
    release.put("VOCdevkit/VOC2007/ImageSets/Main/cat_train.txt", "000001 1\n000002 -1\n");
    release
}

#[test]
fn voc_counts_from_1_and_includes_the_last_pixel() {
    let project = Project::new();
    let summary = project.import("voc", &voc(), &Options::default()).unwrap();
    assert_eq!(summary.format, "voc");
    assert_eq!(summary.splits, [("train".into(), 2, 3), ("validation".into(), 1, 0), ("test".into(), 1, 1)]);
    assert_eq!(names(&project.rows("voc", "train")), ["000001.jpg", "000002.jpg"]);
    assert_eq!(
        objects(&project, "voc", "train"),
        [
            (vec![vec![4.5, 5.0, 1.5, 2.5]], vec![0], vec![false]),
            (vec![vec![0.0, 0.0, 40.0, 30.0], vec![2.0, 3.0, 8.0, 11.0]], vec![1, 0], vec![false, true]),
        ]
    );
    assert_eq!(objects(&project, "voc", "validation"), [(vec![], vec![], vec![])]);
    assert_eq!(areas(&project, "voc", "train", 1), [1200.0, 88.0]);
    assert_eq!(integers(&project.rows("voc", "test"), "width"), [40]);

    let manifest = project.read_manifest("voc");
    assert_eq!(manifest.classes, ["cat", "dog"]);
    assert_eq!(manifest.splits.validation, Validation::Folder("validation".to_owned()));
    let Columns::Detection(BoxColumns { boxes, form, category, crowd, .. }) = manifest.columns else {
        panic!("{manifest:?}")
    };
    assert_eq!((boxes.as_str(), form, category.as_str()), ("objects.bbox", BoxForm::Xywh, "objects.category"));
    assert_eq!(crowd.as_deref(), Some("objects.iscrowd"));
    let objects = &project.features("voc", "train")["info"]["features"]["objects"];
    assert_eq!(objects["feature"]["category"], json!({"names": ["cat", "dog"], "_type": "ClassLabel"}));
}

#[test]
fn voc_of_2012_has_no_annotations_of_its_test_images() {
    let project = Project::new();
    let release = voc().without("VOCdevkit/VOC2007/Annotations/000004.xml");
    let summary = project.import("voc", &release, &Options::default()).unwrap();
    assert_eq!(summary.splits, [("train".into(), 2, 3), ("validation".into(), 1, 0)]);
    let splits = project.read_manifest("voc").splits;
    assert_eq!(splits.test, "validation");
    assert!(matches!(splits.validation, Validation::Carved(_)));
}

#[test]
fn voc_without_train_and_val_has_trainval() {
    let release =
        voc().without("VOCdevkit/VOC2007/ImageSets/Main/train.txt").without("VOCdevkit/VOC2007/ImageSets/Main/val.txt");
    let summary = Project::new().import("voc", &release, &Options::default()).unwrap();
    assert_eq!(summary.splits, [("train".into(), 3, 3), ("test".into(), 1, 1)]);
}

#[test]
fn the_order_of_classes_is_the_manifests() {
    let project = Project::new();
    project.import("first", &voc(), &Options::default()).unwrap();
    let text = files::read_text(&project.path("datasets/first.toml")).unwrap();
    project.manifest("second", &text.replace("[\"cat\", \"dog\"]", "[\"dog\", \"bird\", \"cat\"]"));
    let summary = project.import("second", &voc(), &Options::default()).unwrap();
    assert_eq!(summary.manifest, None);
    assert_eq!(objects(&project, "second", "train")[1].1, [0, 2]);
}

pub(crate) fn coco() -> Release {
    let categories = json!([{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 3, "name": "car"}]);
    let annotation = |id: i64, image: i64, category: i64, bbox: [f64; 4], crowd: u8| {
        json!({"id": id, "image_id": image, "category_id": category, "bbox": bbox, "area": 12.5, "iscrowd": crowd,
               "segmentation": if crowd == 1 { json!({"counts": [1, 2], "size": [30, 40]}) } else { json!([[1.0, 2.0]]) }})
    };
    let image = |id: i64, name: &str| json!({"id": id, "file_name": name, "width": 40, "height": 30, "license": 2});
    let file = |images: Vec<serde_json::Value>, annotations: Vec<serde_json::Value>| {
        json!({"info": {"year": 2017}, "images": images, "annotations": annotations, "categories": categories})
            .to_string()
    };
    let train = file(
        vec![image(7, "b.jpg"), image(5, "a.jpg"), image(6, "c.jpg")],
        vec![
            annotation(100, 7, 90, [1.0, 2.0, 3.5, 4.0], 0),
            annotation(101, 5, 3, [0.0, 0.0, 40.0, 30.0], 1),
            annotation(99, 7, 1, [10.25, 20.0, 5.0, 6.0], 0),
        ],
    );
    let mut release = Release::default();
    release.put("annotations/instances_train2017.json", train);
    release.put("annotations/instances_val2017.json", file(vec![image(1, "v.jpg")], vec![]));
    release.put("annotations/captions_train2017.json", "{}");
    for name in ["train2017/a.jpg", "train2017/b.jpg", "train2017/c.jpg", "images/val2017/v.jpg"] {
        release.put(name, jpeg(40, 30, 3));
    }
    release
}

#[test]
fn coco_is_read_with_its_crowds_and_its_gaps_of_ids() {
    let project = Project::new();
    let summary = project.import("coco", &coco(), &Options::default()).unwrap();
    assert_eq!(summary.format, "coco");
    assert_eq!(summary.splits, [("train".into(), 3, 3), ("validation".into(), 1, 0)]);
    let rows = project.rows("coco", "train");
    assert_eq!(
        (names(&rows), integers(&rows, "image_id")),
        (vec!["a.jpg".into(), "b.jpg".into(), "c.jpg".into()], vec![5, 7, 6])
    );
    assert_eq!(
        objects(&project, "coco", "train"),
        [
            (vec![vec![0.0, 0.0, 40.0, 30.0]], vec![1], vec![true]),
            (vec![vec![1.0, 2.0, 3.5, 4.0], vec![10.25, 20.0, 5.0, 6.0]], vec![2, 0], vec![false, false]),
            (vec![], vec![], vec![]),
        ]
    );
    assert_eq!(areas(&project, "coco", "train", 1), [12.5, 12.5]);
    for column in ["image", "objects"] {
        let nullable = |column: &StructArray| column.fields().iter().all(|field| field.is_nullable());
        assert!(nullable(rows.column_by_name(column).unwrap().as_struct()), "{column}: as `datasets` declares them");
    }
}

pub(crate) fn yolo() -> Release {
    let mut release = Release::default();
    for (image, label) in [
        ("train/a", "1 0.5 0.5 0.5 0.2\n\n0 0.1 0.1 0.2 0.2\n"),
        ("train/b", ""),
        ("val/c", "1 0.500000 0.500000 1.000000 1.000000\n"),
    ] {
        release.put(format!("images/{image}.jpg"), jpeg(40, 30, 3));
        if !label.is_empty() {
            release.put(format!("labels/{image}.txt"), label);
        }
    }
    release
        .with("data.yaml", "path: ../data # here\ntrain: images/train\nnc: 2\nnames:\n  0: cat # a\n  1: 'hot dog'\n")
}

#[test]
fn yolo_boxes_are_parts_of_the_image() {
    let project = Project::new();
    let summary = project.import("yolo", &yolo(), &Options::default()).unwrap();
    assert_eq!(summary.format, "yolo");
    assert_eq!(summary.splits, [("train".into(), 2, 2), ("validation".into(), 1, 1)]);
    assert_eq!(
        objects(&project, "yolo", "train"),
        [
            (vec![vec![10.0, 12.0, 20.0, 6.0], vec![0.0, 0.0, 8.0, 6.0]], vec![1, 0], vec![false, false]),
            (vec![], vec![], vec![]),
        ]
    );
    assert_eq!(objects(&project, "yolo", "validation")[0].0, [[0.0, 0.0, 40.0, 30.0]]);
    assert_eq!(project.read_manifest("yolo").classes, ["cat", "hot dog"]);
}

#[test]
fn names_are_read_from_every_usual_form() {
    let expected = ["cat", "hot dog", "it's: 3"];
    for yaml in [
        "names: [cat, 'hot dog', \"it's: 3\"]\n",
        "nc: 3\nnames: [\n  'cat',\n  'hot dog', # no cat\n  \"it's: 3\",\n]\nroboflow:\n  names: x\n",
        "names:\n- cat\n- hot dog\n- \"it's: 3\"\nval: images/val\n",
        "names:\n  0: cat\n  1: hot dog\n\n  2: \"it's: 3\"\n",
        "names: {0: cat, 1: hot dog, 2: \"it's: 3\"}",
        "names: ['cat', \"hot\\x20dog\", 'it''s: 3']\n",
    ] {
        assert_eq!(formats::yolo::parse_yaml(yaml).unwrap(), expected, "{yaml}");
    }
    let escaped = r#"names: ["\u732B", "K\xE4fer", "\U0001F431", "a \"b\" # \\, ]"] # no name"#;
    assert_eq!(formats::yolo::parse_yaml(escaped).unwrap(), ["猫", "Käfer", "🐱", "a \"b\" # \\, ]"]);
    for yaml in ["names:\n- name: cat\n", "names:\n- cat:\n", "names: [\"\\a\"]", "names: [\"\\ud83d\"]"] {
        let complaint = formats::yolo::parse_yaml(yaml).unwrap_err().to_string();
        assert!(complaint.contains("expected a plain name"), "{yaml}: {complaint}");
    }
}
