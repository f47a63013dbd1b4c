//! Boxes, masks and points: what is read where all is well, what is said where not, and what is tolerated.

use std::sync::Arc;

use arrow_array::builder::{Float32Builder, Int64Builder, ListBuilder};
use arrow_array::{Array, ArrayRef, Int64Array, ListArray, RecordBatch, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::Field;
use data::{
    CrowdCounting, Detection, Error, Label, Mask, Object, Options, Point, Resize, Root, Segmentation, Set, Split, VOID,
};
use image::{GrayImage, ImageFormat, Rgb, RgbImage, RgbaImage};

use crate::project::{Project, columns, encode, images};

const DETECTION: &str = r#"title = "Boxes"
task = "detection"
licence = "MIT"
citation = "nobody"
home = "https://example.org"
classes = ["cat", "dog"]

[columns]
image = "image"
boxes = "objects.bbox"
form = "xywh"
category = "objects.category"

[splits]
train = "train"
validation = "dev"
test = "test"
"#;

fn manifest(task: &str, columns: &str) -> String {
    let head = DETECTION.replace("task = \"detection\"", &format!("task = \"{task}\""));
    let (before, rest) = head.split_once("[columns]").unwrap();
    let (_, splits) = rest.split_once("[splits]").unwrap();
    format!("{before}[columns]\nimage = \"image\"\n{columns}\n[splits]{splits}")
}

/// A set with the same rows in each split.
fn project(manifest: &str, rows: &RecordBatch) -> Project {
    let project = Project::bare(manifest);
    for split in ["train", "dev", "test"] {
        project.put(split, rows);
    }
    project
}

fn open<L: Label>(project: &Project) -> Result<Set<L>, Error> {
    Set::open(&project.root(), "pets", Options::default())
}

fn complaint<L: Label>(project: &Project) -> String {
    project.tidy(&open::<L>(project).unwrap_err())
}

/// Red images of 8×6 pixels (width × height).
fn photos(count: usize) -> ArrayRef {
    let file = encode(RgbImage::from_pixel(8, 6, Rgb([200, 10, 20])), ImageFormat::Png);
    images(vec![Some(&file); count])
}

fn number_lists<const N: usize>(rows: &[&[[f32; N]]]) -> ArrayRef {
    let mut lists = ListBuilder::new(ListBuilder::new(Float32Builder::new()));
    for row in rows {
        for item in *row {
            lists.values().values().append_slice(item);
            lists.values().append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn integer_lists(rows: &[&[i64]]) -> ArrayRef {
    let mut lists = ListBuilder::new(Int64Builder::new());
    for row in rows {
        lists.values().append_slice(row);
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn objects(boxes: &[&[[f32; 4]]], categories: &[&[i64]]) -> RecordBatch {
    let fields = vec![("bbox", number_lists(boxes)), ("category", integer_lists(categories))];
    let objects: ArrayRef = Arc::new(StructArray::try_from(fields).unwrap());
    columns([("image", photos(boxes.len())), ("objects", objects)])
}

#[test]
fn boxes_of_a_struct_of_lists() {
    let rows = objects(&[&[[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 8.0, 6.0]], &[]], &[&[1, 0], &[]]);
    let set: Detection = open(&project(DETECTION, &rows)).unwrap();
    let example = set.example(Split::Test, 0).unwrap();
    let object = |class, corners| Object { class, corners, ignore: false };
    assert_eq!(example.label, [object(1, [1.0, 2.0, 4.0, 6.0]), object(0, [0.0, 0.0, 8.0, 6.0])]);
    assert_eq!((example.image.height, example.image.width, example.image.channels), (6, 8, 3));
    assert_eq!(example.image.pixels[..3], [200, 10, 20]);
    assert_eq!(set.example(Split::Test, 1).unwrap().label, []);
    assert_eq!(set.warnings(), []);
}

#[test]
fn boxes_of_a_list_of_structs_with_crowds() {
    // As newer versions of the `datasets` library write them; made by hand from the parts of a list.
    let boxes = number_lists(&[&[[1.0, 1.0, 2.0, 2.0], [3.0, 3.0, 8.0, 6.0]]]);
    let boxes = boxes.as_any().downcast_ref::<ListArray>().unwrap().values().clone();
    let fields: Vec<(&str, ArrayRef)> = vec![
        ("bbox", boxes),
        ("category", Arc::new(Int64Array::from(vec![0, 1]))),
        ("iscrowd", Arc::new(Int64Array::from(vec![0, 1]))),
    ];
    let structs: ArrayRef = Arc::new(StructArray::try_from(fields).unwrap());
    let list = ListArray::new(
        Arc::new(Field::new("element", structs.data_type().clone(), true)),
        OffsetBuffer::from_lengths([2]),
        structs,
        None,
    );
    let rows = columns([("image", photos(1)), ("objects", Arc::new(list))]);
    let manifest = DETECTION.replace("form = \"xywh\"", "form = \"xyxy\"\ncrowd = \"objects.iscrowd\"");
    let set: Detection = open(&project(&manifest, &rows)).unwrap();
    let label = set.example(Split::Train, 0).unwrap().into_owned().label;
    assert_eq!(label.iter().map(|object| (object.class, object.ignore)).collect::<Vec<_>>(), [(0, false), (1, true)]);
    assert_eq!(label[1].corners, [3.0, 3.0, 8.0, 6.0]);
}

const TEST: &str = "~/datasets/pets/default/train/0000.parquet: row 0, column";

#[test]
fn wrong_boxes_are_named() {
    let good: [f32; 4] = [1.0, 1.0, 2.0, 2.0];
    for (wrong, categories, expected) in [
        (
            [1.0, 1.0, 0.0, 2.0],
            [0_i64, 1].as_slice(),
            "\"objects.bbox\": expected a box with an area, found 1, 1 to 1, 3 for object 1",
        ),
        (
            [4.0, 1.0, 9.0, 2.0],
            &[0, 1],
            "\"objects.bbox\": expected a box in an image of 8×6 pixels (width × height), found 4, 1 to 13, 3 for object 1",
        ),
        (
            [8.5, 1.0, 0.4, 2.0],
            &[0, 1],
            "\"objects.bbox\": expected a box with an area in the image, found 8.5, 1 to 8.9, 3 for object 1",
        ),
        (
            [f32::NAN, 1.0, 1.0, 2.0],
            &[0, 1],
            "\"objects.bbox\": expected a box with an area, found NaN, 1 to NaN, 3 for object 1",
        ),
        (good, &[0, 2], "\"objects.category\": expected a label from 0 to 1, found 2"),
        (good, &[0], "\"objects.category\": expected 2 items as in \"objects.bbox\", found 1"),
    ] {
        let many = [[good; 40].as_slice(), &[]].concat();
        let project = project(DETECTION, &objects(&[&[good, wrong], &many], &[categories, &[0; 40]]));
        assert_eq!(complaint::<Vec<Object>>(&project), format!("{TEST} {expected}"));
    }
    let boxes = number_lists::<3>(&[&[[1.0, 1.0, 2.0]]]);
    let fields = vec![("bbox", boxes), ("category", integer_lists(&[&[0]]))];
    let three: ArrayRef = Arc::new(StructArray::try_from(fields).unwrap());
    let project = project(DETECTION, &columns([("image", photos(1)), ("objects", three)]));
    let expected = "\"objects.bbox\": expected four numbers for object 0, found something else";
    assert_eq!(complaint::<Vec<Object>>(&project), format!("{TEST} {expected}"));
}

#[test]
fn sizes_that_no_image_can_have_are_refused() {
    let project = project(DETECTION, &objects(&[&[]], &[&[]]));
    for resize in [Resize::Cover([0, 0]), Resize::Exact([1 << 40; 2]), Resize::Shorter(0)] {
        let options = Options { examples: None, resize: Some(resize) };
        let error = Detection::open(&project.root(), "pets", options).unwrap_err().to_string();
        assert!(error.starts_with("expected sides of 1 to 65536 pixels to resize images to, found "), "{error}");
    }
    let options = Options { examples: None, resize: Some(Resize::Shorter(60_000)) };
    let error = project.tidy(&Detection::open(&project.root(), "pets", options).unwrap_err());
    let expected =
        "expected an image of at most 200000000 bytes after it was resized, found 60000×80000 pixels (height × width)";
    assert_eq!(error, format!("{TEST} \"image\": {expected}"));
}

#[test]
fn rounding_is_cut_off_without_a_word() {
    let rows = objects(&[&[[-0.4, 0.0, 9.0, 6.5]]], &[&[0]]);
    let set: Detection = open(&project(DETECTION, &rows)).unwrap();
    assert_eq!(set.example(Split::Test, 0).unwrap().label[0].corners, [0.0, 0.0, 8.0, 6.0]);
    assert_eq!(set.warnings(), []);
}

#[test]
fn the_form_of_boxes_is_checked() {
    let corners: [f32; 4] = [4.0, 3.0, 7.0, 5.0];
    assert_eq!(
        complaint::<Vec<Object>>(&project(DETECTION, &objects(&[&[corners; 3]], &[&[0; 3]]))),
        "data set \"pets\": expected boxes that are [left, top, width, height] in pixels, found that 3 of 3 make no sense so, and 0 as [left, top, right, bottom] in pixels, first in \
         ~/datasets/pets/default/train/0000.parquet: row 0, column \"objects.bbox\"\n  hint: say `form = \"xyxy\"` \
         in the manifest"
    );
    // A box without area does not hide the others, tolerated or not.
    let many = [[corners; 20].as_slice(), &[[4.0, 3.0, 4.0, 5.0]]].concat();
    let tolerant = format!("tolerate = [\"box\"]\n{DETECTION}");
    let hidden = complaint::<Vec<Object>>(&project(&tolerant, &objects(&[&many], &[&[0; 21]])));
    assert!(hidden.contains("21 of 21 make no sense so, and 1 as [left, top, right, bottom] in pixels"), "{hidden}");
    let sizes: [f32; 4] = [4.0, 3.0, 3.0, 2.0];
    let xyxy = DETECTION.replace("xywh", "xyxy");
    let complaint = complaint::<Vec<Object>>(&project(&xyxy, &objects(&[&[sizes; 2]], &[&[0; 2]])));
    assert!(
        complaint.contains("2 of 2 make no sense so, and 0 as [left, top, width, height] in pixels"),
        "{complaint}"
    );
}

#[test]
fn what_the_manifest_tolerates_is_counted() {
    let tolerant = format!("tolerate = [\"box\", \"image\"]\n{DETECTION}");
    let boxes: &[[f32; 4]] = &[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 0.0, 2.0], [6.0, 1.0, 9.0, 2.0]];
    let mut rows = objects(&[boxes, boxes], &[&[0, 0, 1], &[0, 0, 1]]);
    let photo = encode(RgbImage::from_pixel(8, 6, Rgb([200, 10, 20])), ImageFormat::Png);
    let broken = &photo[..photo.len() - 20];
    for (memory, damaged) in [(data::MEMORY, broken), (0, broken), (data::MEMORY, b"no image".as_slice())] {
        let files = images(vec![Some(&photo), Some(damaged)]);
        rows = columns([("image", files), ("objects", rows.column(1).clone())]);
        let project = project(&tolerant, &rows);
        let set: Detection = Set::open(&Root { memory, ..project.root() }, "pets", Options::default()).unwrap();
        assert_eq!(Split::ALL.map(|split| set.len(split)), [1, 1, 1]);
        let label = set.example(Split::Test, 0).unwrap().into_owned().label;
        assert_eq!(label.iter().map(|object| object.corners[2]).collect::<Vec<_>>(), [3.0, 8.0]);
        let warnings: Vec<String> = set.warnings().iter().map(ToString::to_string).collect();
        let boxes = if damaged.len() == 8 { 6 } else { 12 };
        let place = project.path("datasets/pets/default/train/0000.parquet");
        assert!(warnings[0].starts_with(&format!(
            "{boxes} boxes cut off at the border or left out, as the manifest tolerates; the first: {}: row 0, column \
             \"objects.bbox\": expected a box with an area, found 1, 1 to 1, 3 for object 1",
            place.display()
        )), "{warnings:?}");
        assert!(warnings[1].starts_with("3 images left out, as the manifest tolerates; the first: "), "{warnings:?}");
    }
}

#[test]
fn another_task_is_refused() {
    let project = project(DETECTION, &objects(&[&[]], &[&[]]));
    assert_eq!(
        complaint::<Vec<Point>>(&project),
        "data set \"pets\" is for detection, expected one for crowd-counting"
    );
}

fn masks(files: &[&[u8]]) -> RecordBatch {
    columns([("image", photos(files.len())), ("mask", images(files.iter().map(|file| Some(*file)).collect()))])
}

fn mask(pixel: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    encode(GrayImage::from_fn(8, 6, |x, y| image::Luma([pixel(x, y)])), ImageFormat::Png)
}

#[test]
fn masks_are_classes_and_void() {
    let plain = manifest("segmentation", "mask = \"mask\"\nvoid = [7]");
    let file = mask(|x, y| if x == 0 { 7 } else { (y % 2) as u8 });
    let set: Segmentation = open(&project(&plain, &masks(&[&file]))).unwrap();
    let label = set.example(Split::Test, 0).unwrap().into_owned().label;
    assert_eq!((label.height, label.width), (6, 8));
    assert_eq!(label.classes[..8], [VOID, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(label.classes[8..16], [VOID, 1, 1, 1, 1, 1, 1, 1]);

    let values = manifest("segmentation", "mask = \"mask\"\nvalues = [20, 10]\nvoid = [0]");
    let file = mask(|x, _| [0, 10, 20][(x % 3) as usize]);
    let set: Segmentation = open(&project(&values, &masks(&[&file]))).unwrap();
    assert_eq!(set.example(Split::Test, 0).unwrap().label.classes[..4], [VOID, 1, 0, VOID]);
}

#[test]
fn masks_may_be_colored() {
    let pixel = |x: u32, _: u32| Rgb([[0, 0, 0], [128, 0, 0], [224, 224, 192]][(x % 3) as usize]);
    let file = encode(RgbImage::from_fn(8, 6, pixel), ImageFormat::Png);
    let columns = "mask = \"mask\"\ncolours = [[0, 0, 0], [128, 0, 0]]\nvoid_colours = [[224, 224, 192]]";
    let set: Segmentation = open(&project(&manifest("segmentation", columns), &masks(&[&file]))).unwrap();
    assert_eq!(set.example(Split::Test, 0).unwrap().label.classes[..4], [0, 1, VOID, 0]);

    let plain = manifest("segmentation", "mask = \"mask\"\nvoid = [7]");
    let place = "~/datasets/pets/default/train/0000.parquet: row 0, column \"mask\":";
    let expected = "expected one of 2 classes, or void, found color [128, 0, 0] at row 0, column 1 of the mask";
    assert_eq!(complaint::<Mask>(&project(&plain, &masks(&[&file]))), format!("{place} {expected}"));
    let equal =
        encode(RgbImage::from_fn(8, 6, |x, _| Rgb([[0; 3], [1; 3], [7; 3]][(x % 3) as usize])), ImageFormat::Png);
    let set: Segmentation = open(&project(&plain, &masks(&[&equal]))).unwrap();
    assert_eq!(set.example(Split::Test, 0).unwrap().label.classes[..4], [0, 1, VOID, 0]);
}

#[test]
fn wrong_masks_are_named() {
    let plain = manifest("segmentation", "mask = \"mask\"\nvoid = [7]");
    let unknown = mask(|x, y| if (x, y) == (3, 2) { 2 } else { 0 });
    let colours = encode(RgbaImage::new(8, 6), ImageFormat::Png);
    let small = encode(GrayImage::new(8, 5), ImageFormat::Png);
    let rows = masks(&[&mask(|_, _| 0), &unknown]);
    let place = "~/datasets/pets/default/train/0000.parquet: row";
    for (rows, expected) in [
        (&rows, "1, column \"mask\": expected one of 2 classes, or void, found 2 at row 2, column 3 of the mask"),
        (
            &masks(&[&colours]),
            "0, column \"mask\": cannot decode the image (BYTES bytes): expected a PNG of at most 8 bits, gray, palette or RGB, found Rgba of 8 bits\n  hint: leave \
             out its transparency, for example `PIL.Image.open(FILE).convert(\"RGB\")`",
        ),
        (
            &masks(&[&small]),
            "0, column \"mask\": expected a mask of 6×8 pixels (height × width) as its image, found 5×8",
        ),
    ] {
        let expected = expected.replace("BYTES", &colours.len().to_string());
        assert_eq!(complaint::<Mask>(&project(&plain, rows)), format!("{place} {expected}"));
    }
    let set: Segmentation = open(&project(&format!("tolerate = [\"mask\"]\n{plain}"), &rows)).unwrap();
    assert_eq!(set.example(Split::Test, 1).unwrap().label.classes[2 * 8 + 3], VOID);
    assert_eq!(set.warnings()[0].count, 3);
}

const COUNTING: &str = "points = \"points\"\ncount = \"count\"";

fn counting() -> String {
    manifest("crowd-counting", COUNTING).replace("classes = [\"cat\", \"dog\"]\n", "")
}

fn points(rows: &[&[[f32; 2]]], counts: &[i64]) -> RecordBatch {
    let counts: ArrayRef = Arc::new(Int64Array::from(counts.to_vec()));
    columns([("image", photos(rows.len())), ("points", number_lists(rows)), ("count", counts)])
}

#[test]
fn a_byte_of_a_mask_has_one_meaning() {
    for (columns, expected) in [
        ("void = [1]", "`classes`: expected at most 1 classes, as 1 is void, found 2"),
        ("values = [1]", "`classes`: expected 1 classes, as `columns.values` has, found 2"),
        ("values = [1, 1]", "`columns.values`: expected one meaning of each, found 1 twice"),
        ("values = [3, 1]\nvoid = [3]", "`columns.values`: expected one meaning of each, found 3 twice"),
        ("void_colours = [[1, 1, 1]]", "`columns.void_colours` needs `columns.colours` beside it"),
    ] {
        let manifest = manifest("segmentation", &format!("mask = \"mask\"\n{columns}"));
        let error = data::Manifest::parse(&manifest).unwrap_err().to_string();
        assert_eq!(error.trim(), expected);
    }
}

#[test]
fn points_and_their_number() {
    let rows = points(&[&[[0.0, 5.5], [8.0, 6.0]], &[]], &[2, 0]);
    let set: CrowdCounting = open(&project(&counting(), &rows)).unwrap();
    let label = set.example(Split::Test, 0).unwrap().into_owned().label;
    // The border itself is the last place inside.
    assert_eq!(label, [[0.0, 5.5], [8.0_f32.next_down(), 6.0_f32.next_down()]]);
    assert!(set.example(Split::Test, 1).unwrap().label.is_empty() && set.classes().is_empty());

    let outside = points(&[&[[0.0, 9.5]]], &[1]);
    let expected = "expected a point in an image of 8×6 pixels (width × height), found 0, 9.5 for point 0";
    assert_eq!(complaint::<Vec<Point>>(&project(&counting(), &outside)), format!("{TEST} \"points\": {expected}"));
    let tolerant = format!("tolerate = [\"point\"]\n{}", counting());
    let set: CrowdCounting = open(&project(&tolerant, &outside)).unwrap();
    assert_eq!((set.warnings()[0].count, set.example(Split::Train, 0).unwrap().label.len()), (3, 0));

    let rows = points(&[&[[0.0, 5.5]]], &[2]);
    let expected = "expected 1, the number of points, found 2";
    assert_eq!(complaint::<Vec<Point>>(&project(&counting(), &rows)), format!("{TEST} \"count\": {expected}"));
}

#[test]
fn a_set_without_points_says_what_to_do() {
    let rows = columns([("image", photos(1))]);
    let complaint = complaint::<Vec<Point>>(&project(&counting(), &rows));
    assert!(
        complaint.contains("there are no points: expected a column \"points\", the columns are \"image\""),
        "{complaint}"
    );
    assert!(complaint.contains("`cargo xtask import`"), "{complaint}");
}

#[test]
fn examples_do_not_depend_on_the_memory() {
    let rows = objects(&[&[[1.0, 2.0, 3.0, 4.0]], &[], &[[0.0, 0.0, 8.0, 6.0]]], &[&[1], &[], &[0]]);
    let project = project(DETECTION, &rows);
    let options = Options { examples: Some(2), resize: Some(Resize::Exact([3, 4])) };
    let open = |memory| -> Detection { Set::open(&Root { memory, ..project.root() }, "pets", options).unwrap() };
    let whole = open(data::MEMORY);
    for memory in [0, 1, 30, 100, 200] {
        let set = open(memory);
        assert_eq!((set.mean(), set.std(), set.digest()), (whole.mean(), whole.std(), whole.digest()));
        for split in Split::ALL {
            assert_eq!(set.len(split), whole.len(split));
            for index in 0..set.len(split) {
                let example = set.example(split, index).unwrap();
                assert_eq!(example, whole.example(split, index).unwrap());
                assert_eq!([example.image.height, example.image.width], set.size(split, index));
            }
        }
    }
    assert_eq!((whole.len(Split::Train), whole.size(Split::Train, 0)), (2, [3, 4]));
}
