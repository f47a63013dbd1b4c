//! Reference numbers: of PyTorch for networks and losses (tools/make_segmentation_golden.py), of NumPy for the metric
//! (tools/make_golden.py).

use super::{tensor, values};
use candle_core::{Device, Tensor, Var};
use ops::{FeatureMap, Kernels, Statistics};
use regularize::{Params, Role};
use safetensors::SafeTensors;
use segmentation::{Confusion, Loss, LossConfig, ModelConfig, Segmenter};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The file `name`: of `$WRS_BENCH_GOLDEN` where it has the file, else the committed copy.
fn read(name: &str) -> Vec<u8> {
    let other = std::env::var_os("WRS_BENCH_GOLDEN").map(|folder| Path::new(&folder).join(name));
    let path = other.filter(|path| path.exists()).unwrap_or_else(|| Path::new("tests/golden").join(name));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn cases(bytes: &[u8]) -> BTreeMap<String, Value> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let cases = metadata.metadata().clone().unwrap();
    cases.into_iter().map(|(case, settings)| (case, serde_json::from_str(&settings).unwrap())).collect()
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Tensor {
    let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let all = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    tensor(view.shape(), all)
}

/// Within `share` of the largest value.
fn assert_close(what: &str, found: &Tensor, expected: &Tensor, share: f32) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let expected = values(expected);
    let scale = expected.iter().fold(1e-6f32, |most, value| most.max(value.abs()));
    for (i, (found, expected)) in values(found).iter().zip(&expected).enumerate() {
        let close = (found - expected).abs() <= share * scale;
        assert!(close, "{what}: value {i}: found {found}, torch has {expected}, the largest is {scale}");
    }
}

#[test]
fn golden_networks_equal_torch() {
    let bytes = read("networks.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let cases = cases(&bytes);
    let cases = cases.iter().filter(|(case, _)| !case.starts_with("ohem"));
    let mut networks = 0;
    for ((case, settings), kernels) in
        cases.flat_map(|case| [Kernels::available().next().unwrap(), Kernels::Portable].map(|k| (case, k)))
    {
        networks += 1;
        let config: ModelConfig = serde_json::from_value(settings.clone()).unwrap();
        let params = Params::new(0, &Device::Cpu);
        let network = Segmenter::new(&params, 3, 5, &config).unwrap();
        for parameter in params.all() {
            parameter.var.set(&floats(&file, &format!("{case}/start/{}", parameter.name))).unwrap();
        }
        kernels
            .scope(|| {
                let images = floats(&file, &format!("{case}/images"));
                let logits = network.forward(&images, Statistics::Batch).unwrap();
                let what = |part: &str| format!("{case} on {kernels:?}: {part}");
                let expected = |part: &str| floats(&file, &format!("{case}/{part}"));
                assert_close(&what("logits"), &logits.to_tensor().unwrap(), &expected("logits"), 1e-4);
                let targets = file.tensor(&format!("{case}/targets")).unwrap();
                let loss = Loss::new(LossConfig::default(), None).of(&logits, targets.data()).unwrap();
                assert_close(&what("loss"), &loss.reshape(1).unwrap(), &expected("loss"), 1e-6);
                let gradients = ops::backward(&loss).unwrap();
                for parameter in params.all() {
                    let name = &parameter.name;
                    if matches!(parameter.role, Role::Buffer) {
                        assert_close(&what(name), &parameter.var, &expected(&format!("after/{name}")), 1e-4);
                    } else {
                        let gradient = gradients.get(&parameter.var).unwrap();
                        // Batch norm after batch norm over a few pixels: rounding grows on the way back.
                        assert_close(&what(name), gradient, &expected(&format!("gradient/{name}")), 2e-3);
                    }
                }
                let evaluated = network.forward(&images, Statistics::Running).unwrap().to_tensor().unwrap();
                assert_close(&what("evaluated"), &evaluated, &expected("evaluated"), 1e-4);
            })
            .unwrap();
    }
    assert_eq!(networks, 8);
}

#[test]
fn golden_hard_pixels_are_selected_as_by_hrnet() {
    let bytes = read("networks.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut found = 0;
    for (case, settings) in cases(&bytes).iter().filter(|(case, _)| case.starts_with("ohem")) {
        found += 1;
        let config =
            LossConfig { ohem: serde_json::from_value(settings["ohem"].clone()).unwrap(), ..LossConfig::default() };
        let loss = Loss::new(config, serde_json::from_value(settings["weight"].clone()).unwrap());
        let logits = Var::from_tensor(&floats(&file, &format!("{case}/logits"))).unwrap();
        let targets = file.tensor(&format!("{case}/targets")).unwrap();
        let value = loss.of(&FeatureMap::from_tensor(&logits).unwrap(), targets.data()).unwrap();
        assert_close(case, &value.reshape(1).unwrap(), &floats(&file, &format!("{case}/loss")), 1e-6);
        let gradients = ops::backward(&value).unwrap();
        let expected = floats(&file, &format!("{case}/gradient"));
        assert_close(case, gradients.get(&logits).unwrap(), &expected, 1e-5);
    }
    assert_eq!(found, 5);
}

#[test]
fn golden_masks_have_the_numbers_of_the_reference() {
    let bytes = read("segmentation.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let metrics = &cases(&bytes)["metrics"];
    let [labels, predictions] = ["labels", "predictions"].map(|name| file.tensor(name).unwrap().data().to_vec());
    let ignore = metrics["ignore_index"].as_u64().unwrap() as u8;
    assert_eq!(ignore, data::VOID);
    let classes = metrics["classes"].as_u64().unwrap() as usize;
    let mut confusion = Confusion::default();
    // Image by image.
    let pixels = labels.len() / file.tensor("labels").unwrap().shape()[0];
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
