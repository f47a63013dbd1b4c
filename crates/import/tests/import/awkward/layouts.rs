//! Structures of other programs, and nearly those that are known.

use import::Options;
use serde_json::json;

use super::{assert_has, complaint, warnings};
use crate::detection::{coco, objects, voc, xml, yolo};
use crate::images::folders;
use crate::project::{Project, Release, integers, jpeg};

/// Annotations beside the images, as Roboflow exports COCO.
fn roboflow_coco() -> Release {
    let mut release = Release::default();
    for split in ["train", "valid", "test"] {
        let file = json!({
            "images": [{"id": 0, "file_name": "a.jpg", "width": 40, "height": 30}],
            "annotations": [{"id": 0, "image_id": 0, "category_id": 1, "bbox": [1, 2, 10, 10], "iscrowd": 0}],
            "categories": [{"id": 0, "name": "pets", "supercategory": "none"}, {"id": 1, "name": "cat"}],
        });
        release.put(format!("{split}/_annotations.coco.json"), file.to_string());
        release.put(format!("{split}/a.jpg"), jpeg(40, 30, 3));
    }
    release
}

fn roboflow_yolo() -> Release {
    let mut release =
        Release::default().with("data.yaml", "train: ../train/images\nval: ../valid/images\n\nnc: 1\nnames: ['cat']\n");
    for split in ["train", "valid", "test"] {
        release.put(format!("{split}/images/a.jpg"), jpeg(40, 30, 3));
        release.put(format!("{split}/labels/a.txt"), "0 0.5 0.5 0.5 0.5\n");
    }
    release
}

/// Images, labels and classes in one folder, as labelImg saves them.
fn label_img() -> Release {
    let mut release = Release::default();
    for split in ["train", "val"] {
        release.put(format!("{split}/a.jpg"), jpeg(40, 30, 3));
        release.put(format!("{split}/a.txt"), "1 0.5 0.5 0.5 0.5\n");
        release.put(format!("{split}/classes.txt"), "cat\ndog\n");
    }
    release
}

fn voc_beside() -> Release {
    let mut release = Release::default();
    for split in ["train", "valid", "test"] {
        release.put(format!("{split}/a.jpg"), jpeg(40, 30, 3));
        release.put(format!("{split}/a.xml"), xml(&[("cat", [11.0, 8.0, 30.0, 22.0], false)]));
    }
    release
}

#[test]
fn exports_of_labeling_programs_are_read() {
    for (release, format, boxes) in [
        (roboflow_coco(), "coco", [1.0, 2.0, 10.0, 10.0]),
        (roboflow_yolo(), "yolo", [10.0, 7.5, 20.0, 15.0]),
        (label_img(), "yolo", [10.0, 7.5, 20.0, 15.0]),
        (voc_beside(), "voc", [10.0, 7.0, 20.0, 15.0]),
    ] {
        let project = Project::new();
        let summary = project.import("set", &release, &Options::default()).unwrap();
        assert_eq!((summary.format, summary.splits[0].clone()), (format, ("train".into(), 1, 1)));
        assert_eq!(objects(&project, "set", "validation")[0].0, [boxes], "{format}");
    }
    let told = warnings(&roboflow_coco());
    assert!(told.contains(&"no training image has an object of \"pets\"".to_owned()), "{told:?}");
    let inner =
        Release(roboflow_yolo().0.into_iter().map(|(name, bytes)| (format!("pets/v1/{name}"), bytes)).collect());
    assert_eq!(Project::new().import("set", &inner, &Options::default()).unwrap().format, "yolo");
}

#[test]
fn lists_of_classes_are_found_where_programs_put_them() {
    for file in ["classes.txt", "labels/classes.txt", "labels/train/classes.txt"] {
        let release = yolo().without("data.yaml").with(file, "cat\nhot dog\n");
        let project = Project::new();
        project.import("yolo", &release, &Options::default()).unwrap();
        assert_eq!(project.read_manifest("yolo").classes, ["cat", "hot dog"], "{file}");
    }
    let named = yolo().without("data.yaml").with("pets.yml", "names: [cat, dog]\n");
    Project::new().import("yolo", &named, &Options::default()).unwrap();
    let differ = label_img().with("val/classes.txt", "dog\ncat\n");
    assert_has(&complaint(&differ), &["val/classes.txt: expected the classes of ", "train/classes.txt, found others"]);
    let several = yolo().without("data.yaml").with("a.yaml", "names: [cat]\n").with("b.yaml", "names: [dog]\n");
    assert_has(&complaint(&several), &["expected `data.yaml` or `classes.txt`", "found a.yaml, b.yaml"]);
    let count = yolo().with("data.yaml", "nc: 3\nnames: [cat, dog]\n");
    assert_has(&complaint(&count), &["data.yaml: line 1: expected `nc` of the 2 names, found 3"]);
}

#[test]
fn labels_that_are_no_boxes_are_named() {
    let label = |text: &str| complaint(&yolo().with("labels/train/a.txt", text));
    assert_has(&label("0 0.1 0.1 0.2 0.2 0.9\n"), &["5 numbers after the class: a fifth is the score of a detection"]);
    assert_has(&label("0 0.1 0.1 0.2 0.2 0.3 0.3\n"), &["6 numbers after the class: an outline"]);
    assert_has(
        &label("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n"),
        &["8 numbers after the class: the corners of a turned box"],
    );
    let whole = yolo().with("labels/train/a.txt", "1.0 0.5 0.5 0.5 0.2\n0.0 0.1 0.1 0.2 0.2\n");
    let project = Project::new();
    project.import("yolo", &whole, &Options::default()).unwrap();
    assert_eq!(objects(&project, "yolo", "train")[0].1, [1, 0]);
}

#[test]
fn splits_have_the_names_that_people_give_them() {
    let mut release = Release::default();
    for split in ["Training", "Testing"] {
        for class in ["cat", "dog"] {
            release.put(format!("{split}/{class}/1.jpg"), jpeg(8, 8, 3));
        }
    }
    let summary = Project::new().import("set", &release, &Options::default()).unwrap();
    assert_eq!(summary.splits, [("train".to_owned(), 2, 0), ("test".to_owned(), 2, 0)]);
    let files = voc().with("VOCdevkit/VOC2007/ImageSets/Main/train.txt", "000002.jpg\n000001.jpg\n");
    assert_has(&complaint(&files), &["hint: lists name images without the ends of their names"]);
}

/// Classes in folders of groups.
fn nested() -> Release {
    let mut release = Release::default();
    for split in ["train", "test"] {
        for class in ["animal/cat", "animal/dog", "vehicle/car"] {
            release.put(format!("{split}/{class}/1.jpg"), jpeg(8, 8, 3));
        }
    }
    release
}

#[test]
fn folders_in_folders_are_classes_only_where_that_is_said() {
    assert_has(
        &complaint(&nested()),
        &["the structure of folders and of nested-folders", "classes <group>/<class>", "choose with `--format`"],
    );
    for (format, classes) in [
        ("folders", ["animal", "vehicle"].as_slice()),
        ("nested-folders", &["animal/cat", "animal/dog", "vehicle/car"]),
    ] {
        let project = Project::new();
        let options = Options { format: Some(format.to_owned()), ..Options::default() };
        let summary = project.import("set", &nested(), &options).unwrap();
        assert_eq!(
            (project.read_manifest("set").classes, summary.splits[0].1),
            (classes.iter().map(ToString::to_string).collect(), 3)
        );
        let deeper = summary
            .warnings
            .iter()
            .any(|warning| warning.starts_with("3 images are in folders in the folder of their class"));
        assert_eq!(deeper, format == "folders", "{summary}");
    }
    // One group alone has no other meaning.
    let project = Project::new();
    let mut animals = nested();
    animals.0.retain(|file, _| file.contains("animal"));
    assert_eq!(project.import("animals", &animals, &Options::default()).unwrap().format, "nested-folders");
    assert_eq!(project.read_manifest("animals").classes, ["animal/cat", "animal/dog"]);
    // A folder in a class that has images of its own, or one in each class, has images of the class.
    let project = Project::new();
    let deeper = folders().with("train/dog/more/3.jpg", jpeg(8, 8, 1));
    project.import("deeper", &deeper, &Options::default()).unwrap();
    assert_eq!(integers(&project.rows("deeper", "train"), "label"), [0, 1, 1, 1]);
    let mut tiny = Release::default();
    for name in ["train/n01/images/a.jpg", "train/n02/images/b.jpg", "val/n01/images/c.jpg", "val/n02/images/d.jpg"] {
        tiny.put(name, jpeg(8, 8, 1));
    }
    project.import("tiny", &tiny, &Options::default()).unwrap();
    assert_eq!(project.read_manifest("tiny").classes, ["n01", "n02"]);
}

#[test]
fn a_class_without_an_image_is_named() {
    let junk = folders().with("train/zebra/Thumbs.db", "x").with("test/zebra/1.jpg", jpeg(8, 8, 1));
    assert_has(&complaint(&junk), &["nearly folders: train/zebra has no image, but Thumbs.db"]);
    let project = Project::new();
    let release = project.folder("release", &folders());
    files::create_folder(&release.join("train/zebra/more")).unwrap();
    let error = import::import(&project.root(), "set", &release, &Options::default()).unwrap_err().to_string();
    assert_has(&error, &["nearly folders: train/zebra has no file"]);
    let told = warnings(&folders().with("train/cat/notes.txt", "x").with("train/dog/Thumbs.db", "x"));
    assert!(
        told.contains(&"1 files are no images by their names; the first: ~/release-set/train/cat/notes.txt".to_owned()),
        "{told:?}"
    );
    assert!(told.contains(&"~/release-set/test has no image of cat".to_owned()), "{told:?}");
}

#[test]
fn the_nearest_structure_is_named_with_what_does_not_fit() {
    let files =
        |names: &[&str]| names.iter().fold(Release::default(), |release, name| release.with(name, jpeg(40, 30, 1)));
    for (release, expected) in [
        (
            files(&["cat/1.jpg", "dog/1.jpg"]),
            "nearly folders: cat, dog are folders of images, but in no split: make folders train and test",
        ),
        (files(&["images/a.jpg", "labels/a.txt"]), "nearly yolo: images and labels have no folders train and val"),
        (
            files(&["train/a.jpg", "train/a.txt", "val/b.jpg"]),
            "nearly yolo: train has labels beside its images, but there is no classes.txt",
        ),
        (files(&["Annotations/a.xml", "JPEGImages/a.jpg"]), "nearly voc: Annotations is there, but not ImageSets/Main"),
        (
            files(&["annotations/train.json", "images/a.jpg"]),
            "nearly coco: annotations/train.json has another name or place",
        ),
        (
            files(&["train_data/IMG_1.jpg", "test_data/IMG_1.jpg"]),
            "nearly shanghaitech: train_data has no folder `images`",
        ),
        (files(&["data_batch_1", "batches.meta"]), "nearly cifar-10: data_batch_1 is of the version for Python"),
        (files(&["train", "test", "meta"]), "nearly cifar-100: train is of the version for Python"),
        (files(&["pets.zip"]), "nearly what is in pets.zip: give the archive in place of the folder, or unpack it"),
        (files(&["a/img_1_ann.mat", "b/img_1.jpg"]), "nearly ucf-qnrf: a/img_1_ann.mat is not in a folder `Train`"),
        (
            files(&["train/cat/1.jpg", "val/cat/1.jpg"]),
            "nearly folders: expected a folder for each of at least 2 classes in train, found train/cat alone",
        ),
        (
            files(&["train/images/1.png", "train/masks/1.png", "val/images/1.png"]),
            "nearly camvid: train/images and train/masks look like",
        ),
        (
            files(&["train/gtFine/a/1.png", "train/leftImg8bit/a/2.png", "val/gtFine/a/3.png"]),
            "nearly folders: train/leftImg8bit and train/gtFine",
        ),
        (files(&["images/train/1.png", "masks/train/1.png"]), "nearly camvid: images and masks look like images and"),
        (files(&["JPEGImages/1.jpg", "SegmentationClass/1.png"]), "nearly camvid: JPEGImages and SegmentationClass"),
        (files(&["train/1.jpg", "train/1_mask.png", "val/2.jpg"]), "nearly camvid: train/1_mask.png looks like a mask"),
        (
            files(&["train/1.jpg", "train/_classes.csv", "val/2.jpg"]),
            "nearly folders: 1 images are in train, but in no folder of a class; lists such as _classes.csv are not read",
        ),
        (
            files(&["train/images/1.jpg", "train/annotations/1.xml", "val/images/2.jpg"]),
            "nearly voc: train/annotations/1.xml is not right in train, beside its image",
        ),
        (
            files(&["2007/train/a/1.jpg", "2007/train/b/1.jpg", "2012/train/a/1.jpg", "2012/train/b/1.jpg"]),
            "nearly what is in 2007, 2012: give one folder of these",
        ),
    ] {
        assert_has(&complaint(&release), &["the structure of no known release", expected]);
    }
    // Classes may well be called so, where the others are no images.
    let faces = files(&["train/mask/1.jpg", "train/no_mask/1.jpg", "test/mask/1.jpg", "test/no_mask/1.jpg"]);
    assert_eq!(Project::new().import("faces", &faces, &Options::default()).unwrap().format, "folders");
    // Of a structure that is asked for, what does not fit is said, and of no other.
    let options = Options { format: Some("folders".to_owned()), ..Options::default() };
    let text = Project::new().complaint("set", &coco().with("train/cat/1.jpg", jpeg(8, 8, 1)), &options);
    assert!(text.contains("nearly folders: ") && !text.contains("nearly coco"), "{text}");
}

#[test]
fn what_a_split_lacks_is_said() {
    let yolo = || yolo().without("labels/val/c.txt");
    for (release, expected) in [
        (yolo(), vec!["expected a train and a validation or test split, found train alone", "images/val is there"]),
        (
            Release::default().with("annotations/instances_default.json", "{}").with("images/a.jpg", jpeg(40, 30, 1)),
            vec!["expected splits that are called train, val and test, found default"],
        ),
        (
            folders().without("test/dog/x.jpg").with("test/1.jpg", jpeg(8, 8, 1)),
            vec![
                "/test: expected images in folders of their classes, found that 1 images are in none",
                "hint: leave out",
            ],
        ),
    ] {
        assert_has(&complaint(&release), &expected);
    }
}

#[test]
fn classes_of_two_lists_are_held_against_each_other() {
    let told = warnings(&yolo().with("classes.txt", "hot dog\ncat\n"));
    assert!(
        told.iter().any(|warning| warning.contains("classes.txt has other classes, or in another order")),
        "{told:?}"
    );
    assert_eq!(warnings(&yolo().with("classes.txt", "cat\nhot dog\n")), warnings(&yolo()));
}
