//! The task on images of any size.

use super::somewhere;
use arrow_array::builder::{Float32Builder, ListBuilder};
use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray, StructArray};
use candle_core::Device;
use crowd_counting::{Batch, CrowdCounting, Map, Meter};
use data::{Point, Root, Split};
use files::write_atomic;
use parquet::arrow::ArrowWriter;
use record::Scores;
use regularize::Params;
use serde_json::{Value, json};
use std::sync::Arc;
use train::Task;

const MANIFEST: &str = r#"
title = "Stripes"
task = "crowd-counting"
licence = "MIT"
citation = "nobody"
home = "https://example.org"

[columns]
image = "image"
points = "points"

[splits]
train = "train"
validation = "validation"
test = "test"
"#;

/// A gray image of vertical stripes of 8 pixels, as PNG.
fn png([height, width]: [usize; 2]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels: Vec<u8> = (0..height * width).map(|index| 60 + 120 * (index % width / 8 % 2) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    file
}

/// A project with a set of images, the same in all splits.
fn project(images: &[([usize; 2], Vec<Point>)]) -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    write_atomic(&folder.path().join("datasets/stripes.toml"), MANIFEST.as_bytes()).unwrap();
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(images.iter().map(|(size, _)| png(*size))));
    let path: ArrayRef = Arc::new(StringArray::new_null(images.len()));
    let image: ArrayRef = Arc::new(StructArray::try_from(vec![("bytes", bytes), ("path", path)]).unwrap());
    let mut points = ListBuilder::new(ListBuilder::new(Float32Builder::new()));
    for (_, of_image) in images {
        of_image.iter().for_each(|point| points.values().append_value(point.map(Some)));
        points.append(true);
    }
    let points: ArrayRef = Arc::new(points.finish());
    let batch = RecordBatch::try_from_iter([("image", image), ("points", points)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let parquet = writer.into_inner().unwrap();
    for split in ["train", "validation", "test"] {
        write_atomic(&folder.path().join(format!("datasets/stripes/default/{split}/0000.parquet")), &parquet).unwrap();
    }
    let root = Root { folder: folder.path().to_path_buf(), external: None, memory: data::MEMORY };
    (folder, root)
}

fn task(root: &Root, change: impl FnOnce(&mut Value)) -> CrowdCounting {
    let mut config = json!({
        "model": {"csrnet": {"width": 2}},
        "size": [32, 48],
        "augmentation": {"scale": {"image": [0.5, 2.0]}, "flip": true}
    });
    change(&mut config);
    CrowdCounting::open(serde_json::from_value(config).unwrap(), root, "stripes").unwrap()
}

fn batch(task: &CrowdCounting, split: Split, indices: &[usize]) -> Batch {
    let example =
        |index: &usize| task.example(split, *index, &mut random::stream(0, "sizes", &[*index as u64])).unwrap();
    task.collate(indices.iter().map(example).collect(), &Device::Cpu).unwrap()
}

/// What is scored where `predict` says what is predicted of all test images.
fn scores(task: &CrowdCounting, images: usize, predict: impl Fn(&Batch) -> Vec<Map>) -> Scores {
    let batch = batch(task, Split::Test, &(0..images).collect::<Vec<_>>());
    let mut meter = Meter::default();
    task.observe(&predict(&batch), &batch, &mut meter).unwrap();
    task.scores(meter)
}

fn counts(maps: &[Map]) -> Vec<f64> {
    maps.iter().map(Map::sum).collect()
}

/// One pixel, smaller than a cell, smaller than the window in one direction or both, twice of its size, larger by a pixel, and
/// much larger.
const SIZES: [[usize; 2]; 8] = [[1, 1], [5, 7], [9, 20], [100, 20], [32, 48], [32, 48], [33, 49], [130, 297]];

/// In image `i` there are `3·i` people, and none in the sixth.
fn images() -> Vec<([usize; 2], Vec<Point>)> {
    SIZES.iter().enumerate().map(|(i, size)| (*size, somewhere(if i == 5 { 0 } else { 3 * i }, *size))).collect()
}

const ALL: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];
const PEOPLE: [f64; 8] = [0.0, 3.0, 6.0, 9.0, 12.0, 0.0, 18.0, 21.0];

#[test]
fn images_of_any_size_are_counted_as_they_are() {
    let (_folder, root) = project(&images());
    for (model, stride) in [
        (json!({"csrnet": {"width": 2}}), 8),
        (json!({"mcnn": {"width": 8}}), 4),
        (json!({"resnet": {"depth": 10, "width": 2, "output_stride": 16, "channels": 4}}), 16),
    ] {
        let task = task(&root, |config| config["model"] = model);
        let model = task.model(&Params::new(0, &Device::Cpu)).unwrap();
        let whole = batch(&task, Split::Test, &ALL);
        let maps = task.predict(&model, &whole).unwrap();
        assert_eq!(maps.len(), SIZES.len());
        for (map, size) in maps.iter().zip(SIZES) {
            assert_eq!([map.height, map.width], size.map(|side| side.div_ceil(stride)));
            assert_eq!(map.values.len(), map.height * map.width);
            assert!(map.values.iter().all(|value| value.is_finite()), "{map:?}");
        }
        // As in batches of one.
        let one = |index: &usize| task.predict(&model, &batch(&task, Split::Test, &[*index])).unwrap().remove(0);
        assert!(ALL.iter().map(one).eq(maps.iter().cloned()));
        let truth = task.perfect_prediction(&whole).unwrap();
        assert_eq!(counts(&truth), PEOPLE);
        assert!(truth.iter().zip(&maps).all(|(truth, map)| (truth.height, truth.width) == (map.height, map.width)));
        for index in ALL {
            let alone = batch(&task, Split::Test, &[index]);
            for prediction in [task.perfect_prediction(&alone).unwrap(), task.predict(&model, &alone).unwrap()] {
                assert!(
                    task.picture(Split::Test, index, &mut random::stream(0, "", &[]), &prediction)
                        .unwrap()
                        .png()
                        .is_ok()
                );
            }
        }
    }
}

#[test]
fn training_sees_windows_of_one_size() {
    let (_folder, root) = project(&images());
    for loss in [
        json!({"density": {}}),
        json!({"density": {"spread": {"adaptive": {}}}}),
        json!({"bayesian": {}}),
        json!({"distribution-matching": {}}),
    ] {
        let task = task(&root, |config| config["loss"] = loss.clone());
        let params = Params::new(0, &Device::Cpu);
        let model = task.model(&params).unwrap();
        let windows = batch(&task, Split::Train, &ALL);
        let truth = task.perfect_prediction(&windows).unwrap();
        assert!(truth.iter().all(|map| (map.height, map.width) == (4, 6)), "{truth:?}");
        // Of images that are smaller than the window at any scale, nobody is lost.
        assert_eq!(counts(&truth[..2]), PEOPLE[..2]);
        let value = task.loss(&model, &windows).unwrap();
        assert!(value.to_scalar::<f32>().unwrap().is_finite(), "{loss}");
        let gradients = ops::backward(&value).unwrap();
        for parameter in params.trainable() {
            let gradient = super::values(gradients.get(&parameter.var).unwrap());
            assert!(gradient.iter().all(|slope| slope.is_finite()), "{loss}: {}", parameter.name);
        }
    }
}

#[test]
fn the_longest_side_is_limited_and_points_follow() {
    let points = vec![[0.0, 0.0], [50.0, 10.0], [99.9, 39.9]];
    let (_folder, root) = project(&[([40, 100], points), ([20, 30], vec![[29.0, 19.0]])]);
    let task = task(&root, |config| config["longest"] = json!(50));
    let truth = task.perfect_prediction(&batch(&task, Split::Test, &[0, 1])).unwrap();
    // 20×50 pixels, with the points at 0, 0 and 25, 5 and 49.95, 19.95.
    let mut values = vec![0.0; 21];
    [0, 3, 20].iter().for_each(|cell| values[*cell] = 1.0);
    assert_eq!(truth[0], Map { height: 3, width: 7, values });
    assert_eq!((truth[1].height, truth[1].width, truth[1].values[11]), (3, 4, 1.0));
    let model = task.model(&Params::new(0, &Device::Cpu)).unwrap();
    let maps = task.predict(&model, &batch(&task, Split::Test, &[0])).unwrap();
    assert_eq!((maps[0].height, maps[0].width), (3, 7));
    assert!(task.picture(Split::Test, 0, &mut random::stream(0, "", &[]), &maps).is_ok());
}

/// Training takes 2 windows of 32×48 pixels a step; the largest image has 130×297.
#[test]
fn evaluation_holds_no_more_pixels_than_training() {
    let (_folder, root) = project(&images());
    assert_eq!([1, 2, 16, 100].map(|batch| task(&root, |_| ()).evaluation_batch(batch)), [1, 1, 1, 3]);
    let (_folder, root) = project(&[([10, 10], vec![[5.0, 5.0]])]);
    assert_eq!(task(&root, |_| ()).evaluation_batch(4), 4);
}

#[test]
fn guesses_are_scored_beside_the_network() {
    let (_folder, root) = project(&images());
    let task = task(&root, |_| ());
    let perfect = scores(&task, 8, |batch| task.perfect_prediction(batch).unwrap());
    for name in ["mae", "rmse", "nae", "bias", "game0", "game1", "game2", "game3"] {
        assert_eq!(perfect[name], 0.0, "{name}");
    }
    // Training has the same images: 69 people in 8, of which half have at most 6, the other half at least 9.
    let guess = |guess: f64| PEOPLE.iter().map(|truth| (truth - guess).abs()).sum::<f64>() / 8.0;
    assert_eq!(perfect[&format!("{}training mean", record::BASELINE)], guess(69.0 / 8.0));
    assert_eq!(perfect[&format!("{}training median", record::BASELINE)], guess(7.5));
    // Nobody is found.
    let nobody = |batch: &Batch| -> Vec<Map> {
        let truth = task.perfect_prediction(batch).unwrap();
        truth.into_iter().map(|map| Map { values: vec![0.0; map.values.len()], ..map }).collect()
    };
    let nobody = scores(&task, 8, nobody);
    assert_eq!((nobody["mae"], nobody["bias"], nobody["nae"]), (69.0 / 8.0, -69.0 / 8.0, 1.0));
    assert!([0, 1, 2, 3].map(|level| nobody[&format!("game{level}")]).iter().all(|game| *game == 69.0 / 8.0));
}

#[test]
fn a_set_without_people_has_scores() {
    let (_folder, root) = project(&[([32, 48], vec![]), ([40, 30], vec![])]);
    for loss in [json!({"density": {}}), json!({"bayesian": {}}), json!({"distribution-matching": {}})] {
        let task = task(&root, |config| config["loss"] = loss);
        let model = task.model(&Params::new(0, &Device::Cpu)).unwrap();
        let loss = task.loss(&model, &batch(&task, Split::Train, &[0, 1])).unwrap();
        assert!(loss.to_scalar::<f32>().unwrap().is_finite());
        let scores = train::evaluate(&task, &model, Split::Test, 2, 1, &Device::Cpu).unwrap();
        assert!(scores["mae"].is_finite() && !scores.contains_key("nae"), "{scores:?}");
        assert_eq!(scores[&format!("{}training mean", record::BASELINE)], 0.0);
    }
}

/// Of squared errors, a map may have a little less than nobody in a cell; it is as dark there as without.
#[test]
fn fewer_than_nobody_are_drawn_as_nobody() {
    let (_folder, root) = project(&images());
    let task = task(&root, |_| ());
    let picture = |least: f64| {
        let map =
            Map { height: 4, width: 6, values: (0..24).map(|cell| if cell == 9 { 2.0 } else { least }).collect() };
        task.picture(Split::Test, 4, &mut random::stream(0, "", &[]), &vec![map]).unwrap()
    };
    assert!(picture(-1e-3) == picture(0.0));
}

#[test]
fn a_map_of_another_size_is_an_error() {
    let (_folder, root) = project(&images());
    let task = task(&root, |_| ());
    let maps = task.perfect_prediction(&batch(&task, Split::Test, &[3])).unwrap();
    let error = task.observe(&maps, &batch(&task, Split::Test, &[4]), &mut Meter::default()).unwrap_err().to_string();
    assert_eq!(error, "expected a map of 4×6 cells as the image has, found 13×3");
}
