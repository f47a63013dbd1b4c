//! Reference numbers: of PyTorch for networks and their loss (tools/make_segmentation_golden.py), of NumPy for the metric
//! (tools/make_metric_golden.py).

use super::{tensor, values};
use candle_core::{Device, Tensor, Var};
use golden::Vectors;
use ops::{FeatureMap, Kernels, Statistics};
use regularize::{Params, Role};
use segmentation::{Confusion, Loss, LossConfig, ModelConfig, Segmenter};
use serde_json::Value;

fn open(name: &str) -> Vectors {
    Vectors::open(env!("CARGO_MANIFEST_DIR"), name)
}

fn floats(vectors: &Vectors, name: &str) -> Tensor {
    let (dims, all) = vectors.floats(name);
    tensor(&dims, all)
}

#[test]
fn golden_networks_equal_torch() {
    let vectors = open("networks.safetensors");
    let mut networks = 0;
    let cases = vectors.cases("").filter(|(case, _)| !case.starts_with("ohem"));
    for ((case, settings), kernels) in
        cases.flat_map(|case| [Kernels::available().next().unwrap(), Kernels::Portable].map(|k| (case, k)))
    {
        networks += 1;
        let config: ModelConfig = serde_json::from_value(settings.clone()).unwrap();
        let params = Params::new(0, &Device::Cpu);
        let network = Segmenter::new(&params, 3, 5, &config).unwrap();
        for parameter in params.all() {
            parameter.var.set(&floats(&vectors, &format!("{case}/start/{}", parameter.name))).unwrap();
        }
        let close = |part: &str, found: &Tensor| {
            vectors.assert_close(&format!("{kernels:?}"), &format!("{case}/{part}"), &values(found));
        };
        kernels
            .scope(|| {
                let images = floats(&vectors, &format!("{case}/images"));
                let logits = network.forward(&images, Statistics::Batch).unwrap();
                close("logits", &logits.to_tensor().unwrap());
                let (_, targets) = vectors.bytes(&format!("{case}/targets"));
                let loss = Loss::new(LossConfig::default(), None).of(&logits, &targets).unwrap();
                close("loss", &loss);
                let gradients = ops::backward(&loss).unwrap();
                for parameter in params.all() {
                    let name = &parameter.name;
                    if matches!(parameter.role, Role::Buffer) {
                        close(&format!("after/{name}"), &parameter.var);
                    } else {
                        close(&format!("gradient/{name}"), gradients.get(&parameter.var).unwrap());
                    }
                }
                let evaluated = network.forward(&images, Statistics::Running).unwrap();
                close("evaluated", &evaluated.to_tensor().unwrap());
            })
            .unwrap();
    }
    assert_eq!(networks, 8);
}

#[test]
fn golden_hard_pixels_are_selected_as_by_hrnet() {
    let vectors = open("networks.safetensors");
    let mut found = 0;
    for (case, settings) in vectors.cases("ohem") {
        found += 1;
        let config =
            LossConfig { ohem: serde_json::from_value(settings["ohem"].clone()).unwrap(), ..LossConfig::default() };
        let loss = Loss::new(config, serde_json::from_value(settings["weight"].clone()).unwrap());
        let logits = Var::from_tensor(&floats(&vectors, &format!("{case}/logits"))).unwrap();
        let (_, targets) = vectors.bytes(&format!("{case}/targets"));
        let value = loss.of(&FeatureMap::from_tensor(&logits).unwrap(), &targets).unwrap();
        vectors.assert_close("ours", &format!("{case}/loss"), &values(&value));
        let gradients = ops::backward(&value).unwrap();
        vectors.assert_close("ours", &format!("{case}/gradient"), &values(gradients.get(&logits).unwrap()));
    }
    assert_eq!(found, 5);
}

#[test]
fn golden_masks_have_the_numbers_of_the_reference() {
    let vectors = open("segmentation.safetensors");
    let (_, metrics) = vectors.cases("metrics").next().unwrap();
    let [(shape, labels), (_, predictions)] = ["labels", "predictions"].map(|name| vectors.bytes(name));
    let ignore = metrics["ignore_index"].as_u64().unwrap() as u8;
    assert_eq!(ignore, data::VOID);
    let classes = metrics["classes"].as_u64().unwrap() as usize;
    let mut confusion = Confusion::default();
    // Image by image.
    let pixels = labels.len() / shape[0];
    for (truth, predicted) in labels.chunks(pixels).zip(predictions.chunks(pixels)) {
        confusion.observe(truth, predicted);
    }
    for (truth, row) in metrics["confusion"].as_array().unwrap().iter().enumerate() {
        for (predicted, count) in row.as_array().unwrap().iter().enumerate() {
            assert_eq!(Some(confusion.count(truth as u8, predicted as u8)), count.as_u64());
        }
    }
    let summary = confusion.summary(classes);
    let close = |name: &str, found: Option<f64>, expected: &Value| {
        let equal = match (found, expected.as_f64()) {
            (Some(found), Some(expected)) => (found - expected).abs() < 1e-12,
            (found, expected) => found == expected,
        };
        assert!(equal, "{name}: found {found:?}, expected {expected}");
    };
    close("pixel accuracy", summary.pixel_accuracy, &metrics["pixel_accuracy"]);
    close("mean IoU", summary.mean_iou, &metrics["mean_iou_over_classes_with_union"]);
    close("mean accuracy", summary.mean_accuracy, &metrics["mean_accuracy_over_labelled_classes"]);
    close("frequency-weighted IoU", summary.frequency_weighted_iou, &metrics["frequency_weighted_iou"]);
    for (class, expected) in metrics["iou_per_class"].as_array().unwrap().iter().enumerate() {
        close(&format!("IoU of class {class}"), summary.iou_per_class[class], expected);
    }
}
