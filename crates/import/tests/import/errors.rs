//! What is said about wrong releases, after which nothing is written.

use std::fmt::Write;

use data::Fault;
use image::ImageFormat;
use import::Options;

use crate::crowd::shanghaitech;
use crate::detection::{coco, objects, voc, xml, yolo};
use crate::images::{camvid, folders, idx};
use crate::mat::PLAIN;
use crate::project::{Project, Release, gray_png, jpeg, names, nested, picture};

const VOC: &str = "VOCdevkit/VOC2007";

/// Each release with its complaint, for one snapshot.
fn complaints(cases: impl IntoIterator<Item = (&'static str, Release)>) -> String {
    let mut text = String::new();
    for (case, release) in cases {
        let complaint = Project::new().complaint("set", &release, &Options::default());
        writeln!(text, "{case}:\n{complaint}\n").unwrap();
    }
    text
}

fn replaced(mut release: Release, file: &str, from: &str, to: &str) -> Release {
    let text = String::from_utf8(release.0[file].clone()).unwrap();
    assert!(text.contains(from), "{text}");
    release.put(file, text.replacen(from, to, 1));
    release
}

fn cut(mut release: Release, file: &str, length: usize) -> Release {
    release.0.get_mut(file).unwrap().truncate(length);
    release
}

#[test]
fn structures() {
    let mut both = shanghaitech("part_A/", "ground-truth");
    both.0.extend(shanghaitech("part_B/", "ground-truth").0);
    let years = Release(
        voc()
            .0
            .into_iter()
            .flat_map(|(name, bytes)| [(name.replace("2007", "2012"), bytes.clone()), (name, bytes)])
            .collect(),
    );
    let all = complaints([
        ("nothing", Release::default().with("README.md", "x")),
        ("two parts", both),
        ("two years", years),
        ("no test split", folders().without("test/dog/x.jpg")),
        ("two train splits", folders().with("train2017/dog/1.jpg", jpeg(8, 8, 1))),
        (
            "no validation list",
            voc().without(&format!("{VOC}/ImageSets/Main/val.txt")).without(&format!("{VOC}/Annotations/000004.xml")),
        ),
    ]);
    insta::assert_snapshot!(all);
}

#[test]
fn crowds() {
    let release = || shanghaitech("", "ground-truth");
    let truth = "train_data/ground-truth/GT_IMG_1.mat";
    let image = "train_data/images/IMG_1.jpg";
    let number = PLAIN.structure(
        "",
        &[("location", PLAIN.doubles("", &[1, 2], &[1.0, 2.0])), ("number", PLAIN.doubles("", &[1, 1], &[2.0]))],
    );
    let mut version = PLAIN.shanghaitech(&[]);
    version.splice(..10, *b"MATLAB 7.3");
    let all = complaints([
        ("no points file", release().without(truth)),
        ("no folder of points", release().without(truth).without("train_data/ground-truth/GT_IMG_2.mat")),
        ("another layout", release().with(truth, PLAIN.ucf_qnrf(&[[1.0, 2.0]]))),
        ("another number", release().with(truth, PLAIN.file(&[PLAIN.cell("image_info", &[number])]))),
        ("three columns", release().with(truth, PLAIN.file(&[PLAIN.doubles("annPoints", &[1, 3], &[1.0, 2.0, 3.0])]))),
        ("no variables", release().with(truth, PLAIN.file(&[]))),
        ("truncated", cut(release(), truth, 150)),
        ("a header", cut(release(), truth, 50)),
        ("no MAT file", release().with(truth, vec![b'x'; 200])),
        ("MATLAB 7.3", release().with(truth, version)),
        ("a point outside", release().with(truth, PLAIN.shanghaitech(&[[1.0, 1.0], [41.5, 3.0]]))),
        ("no number", release().with(truth, PLAIN.shanghaitech(&[[f64::NAN, 1.0]]))),
        ("no image", release().with(image, "GIF89a")),
        ("an image without its last pixels", cut(release(), image, 700)),
        ("half an image", cut(release().with(image, picture(40, 30, 1, ImageFormat::Png)), image, 100)),
    ]);
    insta::assert_snapshot!(all);
}

#[test]
fn masks() {
    let mask = "CamVid/valannot/x_1.png";
    let all = complaints([
        ("an unknown class", camvid().with(mask, gray_png(3, 2, &[0, 1, 2, 57, 4, 12]))),
        ("another size", camvid().with(mask, gray_png(2, 3, &[0; 6]))),
        ("colors", camvid().with(mask, picture(3, 2, 0, ImageFormat::Png))),
        ("no PNG", camvid().with(mask, jpeg(3, 2, 1))),
        ("half a PNG", cut(camvid(), mask, 60)),
        (
            "no mask",
            camvid()
                .without("CamVid/val.txt")
                .without(mask)
                .with("CamVid/valannot/x_0.png", gray_png(3, 2, &[0; 6]))
                .with("CamVid/val/x_0.png", gray_png(3, 2, &[0; 6])),
        ),
        ("no image", camvid().with("CamVid/valannot/y.png", gray_png(3, 2, &[0; 6]))),
        ("another list", camvid().with("CamVid/val.txt", "/x/val/x_2.png /x\n")),
    ]);
    insta::assert_snapshot!(all);
}

#[test]
fn boxes_of_voc() {
    let file = format!("{VOC}/Annotations/000002.xml");
    let with = |left: f64, right: f64| voc().with(&file, xml(&[("cat", [left, 1.0, right, 30.0], false)]));
    let edit = |from: &str, to: &str| replaced(voc(), &file, from, to);
    let entities = "<!DOCTYPE a [<!ENTITY b \"cat\">]><annotation><object><name>&b;</name></object></annotation>";
    let all = complaints([
        ("a box outside", with(3.0, 45.0)),
        ("a box without area", with(6.0, 5.0)),
        ("a box beside the image", with(50.0, 60.0)),
        ("another size", edit("<width>40", "<width>41")),
        ("no number", edit("<xmin>3", "<xmin>three")),
        ("no corner", edit("<ymax>30</ymax>", "")),
        ("no name", edit("<name>dog</name>", "")),
        ("neither easy nor difficult", edit("<difficult>1", "<difficult>2")),
        ("no XML", edit("</annotation>", "")),
        ("other XML", voc().with(&file, "<html/>")),
        ("entities", voc().with(&file, entities)),
        ("no annotation", voc().without(&file)),
        ("no image", voc().without(&format!("{VOC}/JPEGImages/000002.jpg"))),
        ("an image twice", voc().with(&format!("{VOC}/ImageSets/Main/train.txt"), "000001\n000001\n")),
        ("no UTF-8", voc().with(&file, b"<annotation>\xff".to_vec())),
    ]);
    insta::assert_snapshot!(all);
}

#[test]
fn boxes_of_coco_and_yolo() {
    let file = "annotations/instances_train2017.json";
    let edit = |from: &str, to: &str| replaced(coco(), file, from, to);
    let label = |text: &str| yolo().with("labels/train/a.txt", text);
    let all = complaints([
        ("no image", coco().without("train2017/c.jpg")),
        ("no images", coco().without("train2017/a.jpg").without("train2017/b.jpg").without("train2017/c.jpg")),
        ("a box outside", edit("[10.25,20.0,5.0,6.0]", "[10.25,20.0,5.0,16.0]")),
        ("a negative width", edit("[10.25,20.0,5.0,6.0]", "[10.25,20.0,-5.0,6.0]")),
        ("three numbers", edit("[10.25,20.0,5.0,6.0]", "[10.25,20.0,5.0]")),
        ("an unknown category", edit("\"category_id\":90", "\"category_id\":2")),
        ("an unknown image", edit("\"image_id\":5", "\"image_id\":50")),
        ("an id twice", edit("\"id\":101", "\"id\":100")),
        ("a strange crowd", edit("\"iscrowd\":1", "\"iscrowd\":7")),
        ("other categories", edit("toothbrush", "hair drier")),
        ("half a file", cut(coco(), file, 300)),
        ("an outline", label("1 0.1 0.1 0.2 0.2 0.3 0.3\n")),
        ("no number", label("0 0.1 0.1 0.2 0.2\n1 0.1 0.1 x 0.2\n")),
        ("an unknown class", label("2 0.1 0.1 0.2 0.2\n")),
        ("a box outside", label("0 0.5 0.5 0.2 0.2\n1 0.9 0.1 0.3 0.2\n")),
        ("a label without image", yolo().with("labels/train/z.txt", "")),
        ("no names", yolo().with("data.yaml", "nc: 2\n")),
        ("names as a text", yolo().with("data.yaml", "names: cat, dog\n")),
        ("an open bracket", yolo().with("data.yaml", "names: [cat, dog\n")),
        ("a gap", yolo().with("data.yaml", "names:\n  0: cat\n  2: dog\n")),
        ("no list of names", yolo().without("data.yaml")),
    ]);
    insta::assert_snapshot!(all);
}

#[test]
fn classes_of_images() {
    let mut cifar = Release::default().with("test.bin", vec![1; 3074]).with("fine_label_names.txt", "apple\nbee\n");
    cifar.put("train.bin", vec![1; 3074]);
    let mut digits = Release::default().with("train-labels-idx1-ubyte", idx(&[2], &[0, 1]));
    digits.put("train-images-idx3-ubyte", idx(&[2, 1, 2], &[0; 4]));
    digits.put("t10k-images-idx3-ubyte", idx(&[1, 1, 2], &[0; 2]));
    digits.put("t10k-labels-idx1-ubyte", idx(&[1], &[0]));
    let images = "train-images-idx3-ubyte";
    let all = complaints([
        ("a class of its own", folders().with("test/cow/1.jpg", jpeg(8, 8, 1))),
        ("half a record", cut(cifar.clone(), "train.bin", 3000)),
        ("an unknown label", cifar.clone().with("train.bin", vec![2; 3074])),
        ("no names", cifar.with("fine_label_names.txt", "apple\napple\n")),
        ("other dimensions", digits.clone().with(images, idx(&[4], &[0; 4]))),
        ("too few bytes", cut(digits.clone(), images, 19)),
        ("half a header", cut(digits.clone(), images, 9)),
        ("other labels", digits.clone().with(images, idx(&[1, 1, 2], &[0; 2]))),
        ("no labels", digits.clone().without("train-labels-idx1-ubyte")),
        ("no pixels", digits.clone().with(images, idx(&[2, 0, 2], &[]))),
        ("no gzip", digits.without(images).with("train-images-idx3-ubyte.gz", "\x1f\u{8}")),
    ]);
    insta::assert_snapshot!(all);
}

#[test]
fn a_manifest_must_agree() {
    let first = Project::new();
    first.import("pets", &folders(), &Options::default()).unwrap();
    let text = files::read_text(&first.path("datasets/pets.toml")).unwrap();
    let mut all = String::new();
    for (case, from, to) in [
        ("classes", "[\"cat\", \"dog\"]", "[\"cat\", \"god\"]"),
        ("more classes", "[\"cat\", \"dog\"]", "[\"cat\", \"dog\", \"cow\"]"),
        ("a column", "label = \"label\"", "label = \"fine_label\""),
        ("a split", "test = \"test\"", "test = \"eval\""),
        ("a task", "task = \"classification\"", "task = \"crowd-counting\"\n#"),
        ("a file", "[columns]", "[[files]]\npath = \"train/0001.parquet\"\n[columns]"),
        ("a digest", "[columns]", "[[files]]\npath = \"train/0000.parquet\"\nsha256 = \"00\"\n[columns]"),
    ] {
        assert!(text.contains(from), "{text}");
        let mut edited = text.replace(from, to);
        if case == "a task" {
            edited = edited.replace("label = \"label\"", "points = \"points\"").replace("classes", "# classes");
        }
        let project = Project::new();
        project.manifest("pets", &edited);
        let complaint = project.complaint("pets", &folders(), &Options::default());
        writeln!(all, "{case}:\n{}\n", without_digests(&complaint)).unwrap();
    }
    let project = Project::new();
    project.manifest("pets", &text);
    let options = Options { tolerate: vec![Fault::Image], ..Options::default() };
    writeln!(all, "tolerance:\n{}", project.complaint("pets", &folders(), &options)).unwrap();
    insta::assert_snapshot!(all);
}

#[test]
fn a_derived_set_is_not_imported() {
    let project = Project::new();
    let scenes = "title = \"Scenes\"\nlicence = \"MIT\"\ncitation = \"nobody\"\nhome = \"https://example.org\"\n[scenes]\n\
                  from = \"pets\"\nclasses = [{ name = \"animal\", of = [\"cat\"] }]\nsize = [64, 64]\nobjects = [1, 2]\n\
                  scale = [1.0, 1.0]\nseed = 0\nexamples = { train = 1, validation = 1, test = 1 }\n";
    project.manifest("scenes", scenes);
    let complaint = project.complaint("scenes", &folders(), &Options::default());
    assert!(complaint.contains("expected a set with files, found one that is made of \"pets\""), "{complaint}");
}

/// With an ellipsis in place of digests, which depend on the version of the encoders.
fn without_digests(text: &str) -> String {
    let is_digest = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let shown =
        |word: &str| if is_digest(word.trim_end()) { word.replace(word.trim_end(), "…") } else { word.to_owned() };
    text.split_inclusive(char::is_whitespace).map(shown).collect()
}

#[test]
fn names_and_places() {
    let project = Project::new();
    for name in ["", "..", "a/b", ".hidden", "ä", "-x"] {
        let error = project.import(name, &folders(), &Options::default()).unwrap_err().to_string();
        assert!(error.starts_with("expected a name of letters"), "{error}");
    }
    project.import("pets", &folders(), &Options::default()).unwrap();
    let written = std::fs::read(project.file("pets", "train")).unwrap();
    let other = folders().with("train/cat/2.jpg", jpeg(8, 8, 200));
    let error = project.import("pets", &other, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("exists in") && error.contains("hint: move it away"), "{error}");
    assert_eq!(std::fs::read(project.file("pets", "train")).unwrap(), written);

    files::create_folder(&project.path("disk/dogs/default")).unwrap();
    let root = data::Root { external: Some(project.path("disk")), ..project.root() };
    let error = import::import(&root, "dogs", &project.path("release-pets"), &Options::default()).unwrap_err();
    assert!(error.to_string().contains("disk/dogs/default"), "{error}");
}

#[test]
fn rows_are_written_in_groups_and_files() {
    let project = Project::new();
    let mut release = folders();
    for number in 0..250 {
        release.put(format!("train/dog/{number:04}.jpg"), jpeg(8, 8, number as u8));
    }
    project.import("one", &release, &Options::default()).unwrap();
    assert_eq!(groups(&project.file("one", "train")), [100, 100, 53]);

    let summary = project.import("many", &release, &Options { file_bytes: 1, ..Options::default() }).unwrap();
    assert_eq!(summary.splits[0].1, 253);
    let files =
        ["0000", "0001", "0002"].map(|file| project.file("many", "train").with_file_name(format!("{file}.parquet")));
    assert_eq!(files.map(|file| groups(&file)), [vec![100], vec![100], vec![53]]);
}

fn groups(file: &std::path::Path) -> Vec<i64> {
    let file = std::fs::File::open(file).unwrap();
    let builder = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    builder.metadata().row_groups().iter().map(parquet::file::metadata::RowGroupMetaData::num_rows).collect()
}

#[test]
fn the_same_release_gives_the_same_bytes() {
    let project = Project::new();
    for name in ["first", "second"] {
        project.import(name, &coco(), &Options::default()).unwrap();
    }
    for split in ["train", "validation"] {
        assert_eq!(
            std::fs::read(project.file("first", split)).unwrap(),
            std::fs::read(project.file("second", split)).unwrap()
        );
    }
}

#[test]
fn what_is_tolerated_is_left_out_counted_and_told() {
    let tolerate = |fault| Options { tolerate: vec![fault], ..Options::default() };
    let project = Project::new();

    let release = shanghaitech("", "ground-truth")
        .with("train_data/ground-truth/GT_IMG_1.mat", PLAIN.shanghaitech(&[[90.0, 3.0], [40.5, 3.0], [5.0, -2.0]]));
    let summary = project.import("crowd", &release, &tolerate(Fault::Point)).unwrap();
    assert_eq!(summary.splits[0], ("train".into(), 2, 2));
    assert!(summary.warnings[0].starts_with("2 points were left out; the first: "), "{summary}");
    assert!(summary.warnings[0].contains("GT_IMG_1.mat: point 1: expected a point inside"), "{summary}");
    // Less than a pixel outside is rounding, and moved to the border.
    let points = nested(project.rows("crowd", "train").column_by_name("points").unwrap());
    assert_eq!(points[0], [[40.0_f32.next_down(), 3.0]]);
    assert_eq!(project.read_manifest("crowd").tolerate, [Fault::Point]);

    let wild = xml(&[
        ("cat", [-9.0, 1.0, 20.0, 99.0], false),
        ("cat", [50.0, 1.0, 60.0, 9.0], false),
        ("dog", [9.0, 9.0, 8.0, 8.0], false),
    ]);
    let summary = project
        .import("voc", &voc().with(&format!("{VOC}/Annotations/000001.xml"), wild), &tolerate(Fault::Box))
        .unwrap();
    assert!(summary.warnings[0].starts_with("3 boxes were cut off or left out; the first: "), "{summary}");
    assert_eq!(objects(&project, "voc", "train")[0].0, [[0.0, 0.0, 20.0, 30.0]]);

    let summary = project
        .import(
            "camvid",
            &camvid().with("CamVid/trainannot/x_1.png", gray_png(3, 2, &[0, 99, 99, 1, 2, 3])),
            &tolerate(Fault::Mask),
        )
        .unwrap();
    assert!(summary.warnings[0].starts_with("2 pixels of masks are no class; the first: "), "{summary}");

    let broken = folders().with("train/dog/0.JPG", "no image");
    let summary = project.import("pets", &broken, &tolerate(Fault::Image)).unwrap();
    assert!(summary.warnings[0].starts_with("1 images were left out; the first: "), "{summary}");
    assert_eq!(names(&project.rows("pets", "train")), ["2.jpg", "1.jpg"]);
    let all = broken.with("test/dog/x.jpg", "no image either");
    assert!(project.complaint("all", &all, &tolerate(Fault::Image)).contains("expected an image in the test split"));
}
