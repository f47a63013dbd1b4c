//! Annotations without images, images without annotations, and what is there twice.

use import::Options;

use super::{assert_has, complaint, edited, warnings};
use crate::crowd::shanghaitech;
use crate::detection::{coco, voc, xml, yolo};
use crate::images::{camvid, folders};
use crate::mat::PLAIN;
use crate::project::{Project, Release, gray_png, jpeg};

fn qnrf() -> Release {
    let mut release = Release::default();
    for (split, number) in [("Train", 1), ("Train", 2), ("Test", 3)] {
        release.put(format!("{split}/img_000{number}.jpg"), jpeg(40, 30, number));
        release.put(format!("{split}/img_000{number}_ann.mat"), PLAIN.ucf_qnrf(&[[9.0, 9.0]]));
    }
    release
}

/// Annotations beside the images, as Roboflow exports Pascal VOC.
fn voc_beside() -> Release {
    let mut release = Release::default();
    for split in ["train", "valid"] {
        for name in ["a", "b"] {
            release.put(format!("{split}/{name}.jpg"), jpeg(40, 30, 9));
            release.put(format!("{split}/{name}.xml"), xml(&[("cat", [2.0, 3.0, 20.0, 20.0], false)]));
        }
    }
    release
}

#[test]
fn an_annotation_without_its_image_is_an_error_in_every_layout() {
    for (release, image, annotation) in [
        (shanghaitech("", "ground-truth"), "train_data/images/IMG_2.jpg", "train_data/ground-truth/GT_IMG_2.mat"),
        (
            shanghaitech("part_A/", "ground_truth"),
            "part_A/train_data/images/IMG_2.jpg",
            "part_A/train_data/ground_truth/GT_IMG_2.mat",
        ),
        (qnrf(), "Train/img_0002.jpg", "Train/img_0002_ann.mat"),
        (yolo(), "images/train/a.jpg", "labels/train/a.txt"),
        (voc_beside(), "train/b.jpg", "train/b.xml"),
        (
            camvid()
                .without("CamVid/train.txt")
                .with("CamVid/train/y.png", jpeg(3, 2, 1))
                .with("CamVid/trainannot/y.png", gray_png(3, 2, &[0; 6])),
            "CamVid/train/y.png",
            "CamVid/trainannot/y.png",
        ),
    ] {
        let text = complaint(&release.without(image));
        assert_has(&text, &[annotation, "expected an image that the annotation belongs to, found none"]);
    }
    assert_has(
        &complaint(&coco().without("train2017/c.jpg")),
        &["train2017/c.jpg: expected a file as ", "(image 6), found none"],
    );
    assert_has(
        &complaint(&voc().without("VOCdevkit/VOC2007/JPEGImages/000002.jpg")),
        &["expected an image 000002.jpg as the lists say"],
    );
    // The file is there, but somewhere else or of another kind.
    let moved = coco().without("train2017/c.jpg").with("train2017/more/C.JPG", jpeg(40, 30, 3));
    assert_has(&complaint(&moved), &["hint: there is ~/release-set/train2017/more/C.JPG"]);
    let other = coco().without("train2017/c.jpg").with("train2017/c.png", jpeg(40, 30, 3));
    assert_has(&complaint(&other), &["hint: there is ~/release-set/train2017/c.png"]);
    // Or its name only looks the same.
    for (written, file) in [("k\u{e4}fer.jpg", "ka\u{308}fer.jpg"), ("my%20cat.jpg", "my cat.jpg")] {
        let alike = edited(coco().without("train2017/c.jpg"), "annotations/instances_train2017.json", "c.jpg", written)
            .with(&format!("train2017/{file}"), jpeg(40, 30, 3));
        let expected =
            format!("hint: there is ~/release-set/train2017/{file}, whose name is written in other characters");
        assert_has(&complaint(&alike), &[&expected]);
    }
    let deeper = voc()
        .without("VOCdevkit/VOC2007/JPEGImages/000002.jpg")
        .with("VOCdevkit/VOC2007/JPEGImages/more/000002.jpg", jpeg(40, 30, 3));
    assert_has(&complaint(&deeper), &["hint: there is ~/release-set/VOCdevkit/VOC2007/JPEGImages/more/000002.jpg"]);
}

#[test]
fn names_may_end_in_capitals() {
    let voc_file = "VOCdevkit/VOC2007/Annotations/000002.";
    for (release, file, capitals) in [
        (yolo(), "labels/train/a.txt".to_owned(), "labels/train/a.TXT".to_owned()),
        (
            shanghaitech("", "ground-truth"),
            "train_data/ground-truth/GT_IMG_1.mat".into(),
            "train_data/ground-truth/GT_IMG_1.MAT".into(),
        ),
        (qnrf(), "Train/img_0001_ann.mat".into(), "Train/img_0001_ann.Mat".into()),
        (voc(), format!("{voc_file}xml"), format!("{voc_file}XML")),
        (camvid(), "CamVid/trainannot/x_1.png".into(), "CamVid/trainannot/x_1.PNG".into()),
    ] {
        let plain = Project::new().import("set", &release, &Options::default()).unwrap().splits;
        let bytes = release.0[&file].clone();
        let release = release.without(&file).with(&capitals, bytes.clone());
        assert_eq!(Project::new().import("set", &release, &Options::default()).unwrap().splits, plain, "{capitals}");
        // Nor is one without an image passed over.
        let orphan =
            capitals.replace("a.TXT", "z.TXT").replace("IMG_1", "IMG_9").replace("0001", "0009").replace("x_1", "z_1");
        if orphan != capitals && !capitals.contains("VOC") {
            assert_has(
                &complaint(&release.with(&orphan, bytes)),
                &["expected an image that the annotation belongs to"],
            );
        }
    }
}

#[test]
fn a_mask_of_another_name_or_kind_is_named() {
    let mask = "CamVid/valannot/x_1.png";
    for near in ["x_1_L.png", "x_1.tif"] {
        let release = camvid().without(mask).with(&format!("CamVid/valannot/{near}"), gray_png(3, 2, &[0; 6]));
        assert_has(
            &complaint(&release),
            &["expected a mask ", &format!("hint: there is {near}, which has to be x_1.png")],
        );
    }
}

#[test]
fn images_that_are_not_read_are_counted() {
    for (release, image) in [
        (coco(), "train2017/extra.jpg"),
        (coco(), "train2017/more/extra.webp"),
        (voc(), "VOCdevkit/VOC2007/JPEGImages/extra.jpg"),
        (voc_beside(), "train/extra.jpg"),
        (folders(), "train/extra.jpg"),
        (folders(), "unlabeled/extra.tif"),
        (yolo(), "images/test/extra.jpg"),
    ] {
        let told = warnings(&release.with(image, jpeg(40, 30, 1)));
        let expected = format!("1 image files are in no split, and not read; the first: ~/release-set/{image}");
        assert!(told.contains(&expected), "{told:?}");
    }
    let told = warnings(&voc().with("VOCdevkit/VOC2007/Annotations/000009.xml", "<annotation/>"));
    assert!(
        told.iter().any(|told| told.starts_with("1 annotations are in no list") && told.ends_with("000009.xml")),
        "{told:?}"
    );
    let told = warnings(&yolo());
    let expected =
        "1 images have no label file, and count as ones without objects; the first: ~/release-set/images/train/b.jpg";
    assert!(told.contains(&expected.to_owned()), "{told:?}");
    assert!(warnings(&qnrf()).is_empty());
}

#[test]
fn images_in_folders_are_read_where_annotations_follow_them() {
    let release =
        yolo().with("images/train/more/d.jpg", jpeg(40, 30, 1)).with("labels/train/more/d.txt", "0 0.5 0.5 0.5 0.5\n");
    let summary = Project::new().import("yolo", &release, &Options::default()).unwrap();
    assert_eq!(summary.splits[0], ("train".into(), 3, 3));
    let release = shanghaitech("", "ground-truth").with("train_data/images/more/IMG_9.jpg", jpeg(40, 30, 1));
    assert_has(
        &complaint(&release),
        &["images/more/IMG_9.jpg: expected its annotation ", "ground-truth/more/GT_IMG_9.mat, found none"],
    );
}

#[test]
fn two_images_of_one_annotation_are_an_error() {
    for (release, image, place) in [
        (yolo(), "images/train/a.png", "images/train: "),
        (shanghaitech("", "ground-truth"), "train_data/images/IMG_1.png", "train_data/images: "),
        (qnrf(), "Train/img_0001.webp", "Train: "),
        (voc(), "VOCdevkit/VOC2007/JPEGImages/000001.png", "JPEGImages: "),
        (voc_beside(), "train/a.png", "train: "),
        (camvid(), "CamVid/train/x_1.jpg", "CamVid/train: "),
    ] {
        let text = complaint(&release.with(image, jpeg(40, 30, 1)));
        assert_has(&text, &[place, "expected one image for each annotation, found "]);
    }
    // Classes have no annotations: these are two images.
    let summary =
        Project::new().import("pets", &folders().with("train/dog/1.png", jpeg(8, 8, 7)), &Options::default()).unwrap();
    assert_eq!(summary.splits[0].1, 4);
}

#[test]
fn an_image_that_is_listed_twice_is_an_error() {
    let file = "annotations/instances_train2017.json";
    for name in ["a.jpg", "./a.jpg"] {
        let text = complaint(&edited(coco(), file, "\"b.jpg\"", &format!("\"{name}\"")));
        assert_has(
            &text,
            &[
                "train2017/a.jpg: expected each image once, found it as image 7 of the train split and image 5 of the train split",
                "hint: leave only one",
            ],
        );
    }
    let lists = voc().with("VOCdevkit/VOC2007/ImageSets/Main/val.txt", "000003\n000001\n");
    assert_has(
        &complaint(&lists),
        &["000001.jpg: expected each image once", "of the train split and image 0 of the validation split"],
    );
}
