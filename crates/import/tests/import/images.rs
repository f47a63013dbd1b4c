//! Masks, and classes of whole images.

use data::{Channels, Columns, MaskColumns, TaskKind};
use import::Options;
use serde_json::json;

use crate::project::{Project, Release, gray_png, gzip, images, integers, jpeg, names, picture};
use image::ImageFormat;

pub(crate) fn camvid() -> Release {
    let mut release = Release::default();
    for (split, mask) in [("train", [0, 1, 2, 10, 11, 0]), ("val", [3; 6]), ("test", [11; 6])] {
        release.put(format!("CamVid/{split}/x_1.png"), picture(3, 2, 5, ImageFormat::Png));
        release.put(format!("CamVid/{split}annot/x_1.png"), gray_png(3, 2, &mask));
        release.put(
            format!("CamVid/{split}.txt"),
            format!("/SegNet/CamVid/{split}/x_1.png /SegNet/CamVid/{split}annot/x_1.png\n"),
        );
    }
    release
}

#[test]
fn camvid_has_eleven_classes_and_the_rest() {
    let project = Project::new();
    let summary = project.import("camvid", &camvid(), &Options::default()).unwrap();
    assert_eq!(summary.format, "camvid");
    assert_eq!(summary.splits, ["train", "validation", "test"].map(|split| (split.to_owned(), 1, 0)));
    let rows = project.rows("camvid", "train");
    let file = |name: &str| vec![(camvid().0[name].clone(), Some("x_1.png".to_owned()))];
    assert_eq!(images(&rows, "image"), file("CamVid/train/x_1.png"));
    assert_eq!(images(&rows, "annotation"), file("CamVid/trainannot/x_1.png"));
    let manifest = project.read_manifest("camvid");
    assert_eq!(manifest.classes.len(), 11);
    assert!(matches!(manifest.columns, Columns::Segmentation(MaskColumns { ref void, .. }) if *void == [11]));
    let features = project.features("camvid", "test");
    assert_eq!(
        features,
        json!({"info": {"features": {"image": {"_type": "Image"}, "annotation": {"_type": "Image"}}}})
    );
}

pub(crate) fn folders() -> Release {
    let mut release = Release::default();
    for (name, value) in [("train/dog/1.jpg", 1), ("train/dog/0.JPG", 2), ("train/cat/2.jpg", 3), ("test/dog/x.jpg", 4)]
    {
        release.put(name, jpeg(8, 8, value));
    }
    release.with("train/cat/.DS_Store", "x").with("README.md", "pets")
}

#[test]
fn folders_are_classes() {
    let project = Project::new();
    let summary = project.import("pets", &folders(), &Options::default()).unwrap();
    assert_eq!(summary.format, "folders");
    assert_eq!(summary.splits, [("train".into(), 3, 0), ("test".into(), 1, 0)]);
    let rows = project.rows("pets", "train");
    assert_eq!(
        (names(&rows), integers(&rows, "label")),
        (vec!["2.jpg".into(), "0.JPG".into(), "1.jpg".into()], vec![0, 1, 1])
    );
    let manifest = project.read_manifest("pets");
    assert_eq!((manifest.task(), manifest.channels), (TaskKind::Classification, Some(Channels::Rgb)));
    assert_eq!(manifest.classes, ["cat", "dog"]);
    let label = &project.features("pets", "train")["info"]["features"]["label"];
    assert_eq!(*label, json!({"names": ["cat", "dog"], "_type": "ClassLabel"}));
}

#[test]
fn images_of_several_sizes_are_told() {
    let release = folders().with("train/cat/3.jpg", jpeg(9, 8, 1));
    let summary = Project::new().import("pets", &release, &Options::default()).unwrap();
    assert!(summary.warnings[0].contains("classification needs one"), "{summary}");
}

/// Records of CIFAR whose red plane counts up, green is the label, and blue is 7.
fn cifar(labels: &[&[u8]]) -> Vec<u8> {
    let planes = |label: u8| (0..1024).map(|at| (at % 251) as u8).chain([label; 1024]).chain([7; 1024]);
    labels.iter().flat_map(|labels| labels.iter().copied().chain(planes(labels[labels.len() - 1]))).collect()
}

#[test]
fn cifar_is_planes_after_labels() {
    let project = Project::new();
    let mut ten = Release::default();
    for batch in 1..=5 {
        ten.put(format!("cifar-10-batches-bin/data_batch_{batch}.bin"), cifar(&[&[batch % 2], &[1]]));
    }
    ten.put("cifar-10-batches-bin/test_batch.bin", cifar(&[&[0]]));
    ten.put("cifar-10-batches-bin/batches.meta.txt", "airplane\nautomobile\n\n");
    let summary = project.import("ten", &ten, &Options::default()).unwrap();
    assert_eq!((summary.format, summary.splits), ("cifar-10", vec![("train".into(), 10, 0), ("test".into(), 1, 0)]));
    let rows = project.rows("ten", "train");
    assert_eq!(integers(&rows, "label"), [1, 1, 0, 1, 1, 1, 0, 1, 1, 1]);
    let (file, name) = images(&rows, "image").swap_remove(2);
    let image = image::load_from_memory(&file).unwrap().into_rgb8();
    assert_eq!((image.dimensions(), image.get_pixel(4, 1).0, name), ((32, 32), [36, 0, 7], None));

    let mut hundred = Release::default();
    hundred.put("train.bin", cifar(&[&[9, 1], &[9, 0]]));
    hundred.put("test.bin", cifar(&[&[8, 1]]));
    hundred.put("fine_label_names.txt", "apple\nbee\n");
    let summary = project.import("hundred", &hundred, &Options::default()).unwrap();
    assert_eq!((summary.format, integers(&project.rows("hundred", "train"), "label")), ("cifar-100", vec![1, 0]));
    assert_eq!(project.read_manifest("hundred").channels, Some(Channels::Rgb));
}

pub(crate) fn idx(dims: &[u32], values: &[u8]) -> Vec<u8> {
    let header = [0, 0, 8, dims.len() as u8].into_iter().chain(dims.iter().flat_map(|length| length.to_be_bytes()));
    header.chain(values.iter().copied()).collect()
}

#[test]
fn idx_is_read_compressed_or_not() {
    let project = Project::new();
    let mut release = Release::default();
    release.put("train-images-idx3-ubyte.gz", gzip(&idx(&[3, 2, 2], &(0..12).collect::<Vec<_>>())));
    release.put("train-labels-idx1-ubyte.gz", gzip(&idx(&[3], &[2, 0, 1])));
    release.put("t10k-images.idx3-ubyte", idx(&[1, 2, 2], &[9; 4]));
    release.put("t10k-labels.idx1-ubyte", idx(&[1], &[1]));
    let summary = project.import("digits", &release, &Options::default()).unwrap();
    assert_eq!((summary.format, summary.splits), ("idx", vec![("train".into(), 3, 0), ("test".into(), 1, 0)]));
    let rows = project.rows("digits", "train");
    assert_eq!(integers(&rows, "label"), [2, 0, 1]);
    let image = image::load_from_memory(&images(&rows, "image")[1].0).unwrap();
    assert_eq!((image.color(), image.as_bytes()), (image::ColorType::L8, [4, 5, 6, 7].as_slice()));
    let manifest = project.read_manifest("digits");
    assert_eq!(
        (manifest.classes, manifest.channels),
        (["0", "1", "2"].map(str::to_owned).to_vec(), Some(Channels::Gray))
    );
}
