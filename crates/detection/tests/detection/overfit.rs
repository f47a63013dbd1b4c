//! Training to the end on a few images.

use candle_core::Device;
use data::{Root, Split};
use detection::ObjectDetection;
use regularize::{Adam, Method, Optimizer, Params, Wrs};
use serde_json::json;
use train::Task;

/// Trains on the first eight images of `dataset`, without augmentation, and scores them.
fn overfit(root: &Root, dataset: &str, size: [usize; 2], steps: usize) -> record::Scores {
    let config = json!({
        "model": {"depth": 10, "width": 16, "stride": 4, "levels": 3, "channels": 32, "convs": 1},
        "size": size,
        "augmentation": {"scale": {"fit": [1.0, 1.0]}},
        "examples": 8
    });
    let task = ObjectDetection::open(serde_json::from_value(config).unwrap(), root, dataset).unwrap();
    let examples =
        (0..8).map(|index| task.example(Split::Train, index, &mut random::stream(0, "overfit", &[])).unwrap());
    let batch = task.collate(examples.collect(), &Device::Cpu).unwrap();
    let params = Params::new(0, &Device::Cpu);
    let model = task.model(&params).unwrap();
    let mut optimizer = Optimizer::new(&params.with_method(Method::Wrs(Wrs::default())), Adam::default(), 0.0).unwrap();
    for step in 0..steps {
        let lr = 0.01 * (1.0 - step as f64 / steps as f64);
        let loss = task.loss(&model, &batch).unwrap();
        optimizer.step(&ops::backward(&loss).unwrap(), lr).unwrap();
    }
    let prediction = ops::no_grad(|| task.predict(&model, &batch)).unwrap();
    let mut meter = Default::default();
    task.observe(&prediction, &batch, &mut meter).unwrap();
    task.scores(meter)
}

#[test]
fn eight_scenes_are_learned_by_heart() {
    let root = train::conformance::workspace_root(env!("CARGO_MANIFEST_DIR"));
    let scores = overfit(&root, "fashion-scenes", [96, 96], 150);
    assert!(scores["AP50"] >= 0.95, "{scores:?}");
}

#[test]
fn eight_images_of_blood_cells_are_learned_by_heart() {
    let root = train::conformance::workspace_root(env!("CARGO_MANIFEST_DIR"));
    if data::Dataset::find(&root, "bccd").is_err() {
        eprintln!("skipped: there is no data set bccd in $WRS_BENCH_DATA");
        return;
    }
    let scores = overfit(&root, "bccd", [240, 320], 120);
    assert!(scores["AP50"] >= 0.95, "{scores:?}");
}
