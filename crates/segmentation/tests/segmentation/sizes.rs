//! The task on images of any size.

use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray, StructArray};
use candle_core::Device;
use data::{Mask, Root, Split, VOID};
use files::write_atomic;
use parquet::arrow::ArrowWriter;
use regularize::Params;
use segmentation::{Batch, SemanticSegmentation};
use serde_json::json;
use std::sync::Arc;
use train::Task;

const MANIFEST: &str = r#"
title = "Stripes"
task = "segmentation"
licence = "MIT"
citation = "nobody"
home = "https://example.org"
classes = ["dark", "bright", "never"]

[columns]
image = "image"
mask = "mask"
void = [9]

[splits]
train = "train"
validation = "validation"
test = "test"
"#;

/// A gray image of vertical stripes of 8 pixels, as PNG, or its mask, whose columns below `void` are void.
fn png([height, width]: [usize; 2], is_mask: bool, void: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    let value = |column: usize| match (is_mask, column / 8 % 2) {
        (true, _) if column < void => 9,
        (true, stripe) => stripe as u8,
        (false, stripe) => 60 + 120 * stripe as u8,
    };
    let pixels: Vec<u8> = (0..height * width).map(|index| value(index % width)).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    file
}

fn files(files: &[Vec<u8>]) -> ArrayRef {
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(files));
    let path: ArrayRef = Arc::new(StringArray::new_null(files.len()));
    Arc::new(StructArray::try_from(vec![("bytes", bytes), ("path", path)]).unwrap())
}

/// A project with a set of images of `sizes`, the same in all splits, and as many void columns as `void` says of each.
fn project(sizes: &[[usize; 2]], void: &[usize]) -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    write_atomic(&folder.path().join("datasets/stripes.toml"), MANIFEST.as_bytes()).unwrap();
    let all = |is_mask: bool| {
        let void = void.iter().copied().chain(std::iter::repeat(0));
        files(&sizes.iter().zip(void).map(|(size, void)| png(*size, is_mask, void)).collect::<Vec<_>>())
    };
    let batch = RecordBatch::try_from_iter([("image", all(false)), ("mask", all(true))]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let parquet = writer.into_inner().unwrap();
    for split in ["train", "validation", "test"] {
        write_atomic(&folder.path().join(format!("datasets/stripes/default/{split}/0000.parquet")), &parquet).unwrap();
    }
    let root = Root { folder: folder.path().to_path_buf(), external: None, memory: data::MEMORY };
    (folder, root)
}

fn task(root: &Root, loss: serde_json::Value) -> SemanticSegmentation {
    let config = json!({
        "model": {"unet": {"width": 4, "levels": 2}},
        "size": [32, 48],
        "loss": loss,
        "augmentation": {"scale": {"image": [0.5, 2.0]}, "flip": true}
    });
    SemanticSegmentation::open(serde_json::from_value(config).unwrap(), root, "stripes").unwrap()
}

fn batch(task: &SemanticSegmentation, split: Split, indices: &[usize]) -> Batch {
    let example =
        |index: &usize| task.example(split, *index, &mut random::stream(0, "sizes", &[*index as u64])).unwrap();
    task.collate(indices.iter().map(example).collect(), &Device::Cpu).unwrap()
}

/// Smaller than the window in one direction or both, of its size, larger by a pixel, and much larger.
const SIZES: [[usize; 2]; 6] = [[8, 8], [100, 20], [32, 48], [33, 49], [130, 97], [40, 300]];

#[test]
fn images_of_any_size_are_predicted_at_their_own_resolution() {
    let (_folder, root) = project(&SIZES, &[]);
    let task = task(&root, json!({}));
    let model = task.model(&Params::new(0, &Device::Cpu)).unwrap();
    let whole = batch(&task, Split::Test, &[0, 1, 2, 3, 4, 5]);
    let masks = task.predict(&model, &whole).unwrap();
    for (mask, size) in masks.iter().zip(SIZES) {
        assert_eq!(([mask.height, mask.width], mask.classes.len()), (size, size[0] * size[1]));
        assert!(mask.classes.iter().all(|class| *class < 3));
    }
    // As in batches of one.
    let one = |index: usize| task.predict(&model, &batch(&task, Split::Test, &[index])).unwrap().remove(0);
    assert!((0..6).map(one).eq(masks));
    assert!(task.loss(&model, &whole).unwrap().to_scalar::<f32>().unwrap().is_finite());
    let training = batch(&task, Split::Train, &[0, 1, 2, 3, 4, 5]);
    assert!(task.loss(&model, &training).unwrap().to_scalar::<f32>().unwrap().is_finite());
    // Black beyond the image is void.
    let truth = task.perfect_prediction(&batch(&task, Split::Train, &[0])).unwrap();
    assert!(truth[0].classes.contains(&VOID));
}

/// Where the network sees the same around a pixel, it says the same, whichever window the pixel is in: the stripes repeat
/// every 16 pixels, and the network sees less than a window's margin.
#[test]
fn windows_leave_no_seams() {
    let (_folder, root) = project(&[[100, 304]], &[]);
    let config = json!({
        "model": {"unet": {"width": 4, "levels": 2}},
        "size": [32, 48],
        "tile": [64, 112]
    });
    let task = SemanticSegmentation::open(serde_json::from_value(config).unwrap(), &root, "stripes").unwrap();
    let model = task.model(&Params::new(3, &Device::Cpu)).unwrap();
    let Mask { height, width, classes } = task.predict(&model, &batch(&task, Split::Test, &[0])).unwrap().remove(0);
    // Away from the image's border.
    let inner = 14;
    for row in inner..height - inner {
        for column in inner..width - inner - 16 {
            let [one, next] = [column, column + 16].map(|column| classes[row * width + column]);
            assert_eq!(one, next, "row {row}, column {column}");
            assert_eq!(one, classes[inner * width + column], "row {row}, column {column}");
        }
    }
    assert!(classes.iter().any(|class| *class != classes[0]), "the network tells stripes apart");
}

#[test]
fn void_masks_and_absent_classes_change_nothing_else() {
    let (_folder, root) = project(&[[40, 60], [32, 48], [32, 48]], &[20, 48]);
    for loss in [json!({}), json!({"median_frequency": 0.5, "dice": 1.0, "ohem": {}})] {
        let task = task(&root, loss);
        let params = Params::new(0, &Device::Cpu);
        let model = task.model(&params).unwrap();
        let void = batch(&task, Split::Test, &[1]);
        let loss = task.loss(&model, &void).unwrap();
        assert_eq!(loss.to_scalar::<f32>().unwrap(), 0.0);
        let gradients = ops::backward(&loss).unwrap();
        for parameter in params.trainable() {
            let length = gradients.get(&parameter.var).unwrap().abs().unwrap().sum_all().unwrap();
            assert_eq!(length.to_scalar::<f32>().unwrap(), 0.0, "{}", parameter.name);
        }
        let with = |indices: &[usize]| {
            let batch = batch(&task, Split::Test, indices);
            let mut meter = Default::default();
            task.observe(&task.predict(&model, &batch).unwrap(), &batch, &mut meter).unwrap();
            task.scores(meter)
        };
        assert_eq!(with(&[0, 1, 2]), with(&[0, 2]));
        let truth = batch(&task, Split::Test, &[0, 1, 2]);
        let labeled: usize = task
            .perfect_prediction(&truth)
            .unwrap()
            .iter()
            .flat_map(|mask| &mask.classes)
            .filter(|c| **c != VOID)
            .count();
        assert_eq!(labeled, 40 * 40 + 32 * 48);
        let mut meter = Default::default();
        task.observe(&task.perfect_prediction(&truth).unwrap(), &truth, &mut meter).unwrap();
        let scores = task.scores(meter);
        assert_eq!((scores["mean_iou"], scores.get("iou/never")), (1.0, None));
        assert!(
            task.picture(Split::Test, 1, &mut random::stream(0, "", &[]), &task.predict(&model, &void).unwrap())
                .is_ok()
        );
    }
}

#[test]
fn a_split_without_a_labeled_pixel_is_an_error() {
    let (_folder, root) = project(&[[32, 48]], &[48]);
    let task = task(&root, json!({}));
    let model = task.model(&Params::new(0, &Device::Cpu)).unwrap();
    let error = train::evaluate(&task, &model, Split::Test, 1, 1, &Device::Cpu).unwrap_err().to_string();
    let expected = "expected a score `mean_iou` of the test split, found none: nothing in its 1 examples can be judged";
    assert_eq!(error, expected);
}

/// Training takes 2 windows of 32×48 pixels a step; the largest image has 130×97.
#[test]
fn evaluation_holds_no_more_pixels_than_training() {
    let (_folder, root) = project(&SIZES, &[]);
    let task = task(&root, json!({}));
    assert_eq!([1, 2, 16, 100].map(|batch| task.evaluation_batch(batch)), [1, 1, 1, 12]);
    let (_folder, root) = project(&[[10, 10]], &[]);
    assert_eq!(self::task(&root, json!({})).evaluation_batch(4), 4);
}

#[test]
fn one_window_has_no_statistics_for_a_deeplab() {
    let (_folder, root) = project(&[[32, 48]], &[]);
    let config = json!({"model": {"deeplab": {"depth": 10, "width": 2, "channels": 4}}, "size": [32, 48]});
    let task = SemanticSegmentation::open(serde_json::from_value(config).unwrap(), &root, "stripes").unwrap();
    let model = task.model(&Params::new(0, &Device::Cpu)).unwrap();
    let error = task.loss(&model, &batch(&task, Split::Train, &[0])).unwrap_err().to_string();
    assert!(error.contains("expected `train.batch` of at least 2, found 1"), "{error}");
}
