//! Reference numbers of PyTorch, made by tools/make_golden.py and tools/make_loss_golden.py.

use super::{assert_close, gradients_under, map, on_each, values, var};
use candle_core::{DType, Device, Tensor, Var};
use ops::{BatchNorm, Conv2d, CrossEntropy, FocalLoss, Statistics};
use safetensors::SafeTensors;
use std::collections::BTreeMap;

/// The vectors in the file `name`: of `$WRS_BENCH_GOLDEN` where it has the file, else the committed copy.
fn golden(name: &str) -> Vec<u8> {
    let other = std::env::var_os("WRS_BENCH_GOLDEN").map(|folder| std::path::Path::new(&folder).join(name));
    let path = other.filter(|path| path.exists()).unwrap_or_else(|| std::path::Path::new("tests/golden").join(name));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The cases of a file by name, with their settings.
fn cases(bytes: &[u8]) -> BTreeMap<String, serde_json::Value> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let cases = metadata.metadata().clone().unwrap();
    cases.into_iter().map(|(case, settings)| (case, serde_json::from_str(&settings).unwrap())).collect()
}

fn tensor(file: &SafeTensors, name: &str) -> Tensor {
    let view = file.tensor(name).unwrap();
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let t = super::tensor(values, view.shape());
    // Torch's images are [n, c, h, w].
    let is_weight = name.ends_with("/w") || name.ends_with("/dw");
    if t.rank() == 4 && !is_weight { t.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap() } else { t }
}

#[test]
fn convolutions() {
    let bytes = golden("layers.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let cases = cases(&bytes);
    assert!(cases.len() >= 8, "found {} convolutions", cases.len());
    on_each(|kernels| {
        for (case, settings) in &cases {
            let get = |key: &str| settings[key].as_u64().unwrap() as usize;
            let (stride, padding) = (get("stride"), get("padding"));
            let geometry = Conv2d { stride, padding, dilation: get("dilation"), groups: get("groups") };
            let named = |part: &str| tensor(&file, &format!("{case}/{part}"));
            let (x, w) = (var(&named("x")), var(&named("w")));
            let y = ops::conv2d(&map(&x), &w, None, geometry).unwrap().to_tensor().unwrap();
            assert_close(&format!("{case} y on {kernels:?}"), &y, &named("y"));
            let gradients = gradients_under(&y, &named("upstream"));
            assert_close(&format!("{case} dx on {kernels:?}"), gradients.get(&x).unwrap(), &named("dx"));
            assert_close(&format!("{case} dw on {kernels:?}"), gradients.get(&w).unwrap(), &named("dw"));
        }
    });
}

#[test]
fn batch_norm_and_its_running_statistics() {
    let bytes = golden("layers.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    on_each(|kernels| {
        let (gamma, beta) = (var(&tensor(&file, "bn/gamma")), var(&tensor(&file, "bn/beta")));
        let channels = gamma.dims()[0];
        let norm = BatchNorm {
            weight: gamma.as_tensor().clone(),
            bias: beta.as_tensor().clone(),
            running_mean: Var::zeros(channels, DType::F32, &Device::Cpu).unwrap(),
            running_var: Var::ones(channels, DType::F32, &Device::Cpu).unwrap(),
            eps: 1e-5,
            momentum: 0.1,
        };
        let run =
            |x: &Tensor, statistics| ops::batch_norm(&map(x), &norm, statistics, false).unwrap().to_tensor().unwrap();
        for step in 0..3 {
            let is = |part: &str, found: &Tensor| {
                assert_close(&format!("{part} on {kernels:?}"), found, &tensor(&file, &format!("bn/{step}/{part}")));
            };
            let x = var(&tensor(&file, &format!("bn/{step}/x")));
            let y = run(&x, Statistics::Batch);
            is("y", &y);
            let gradients = gradients_under(&y, &tensor(&file, &format!("bn/{step}/upstream")));
            is("dx", gradients.get(&x).unwrap());
            is("dgamma", gradients.get(&gamma).unwrap());
            is("dbeta", gradients.get(&beta).unwrap());
            is("running_mean", &norm.running_mean);
            is("running_var", &norm.running_var);
        }
        let y = run(&tensor(&file, "bn/2/x"), Statistics::Running);
        assert_close(&format!("eval y on {kernels:?}"), &y, &tensor(&file, "bn/eval/y"));
    });
}

/// Relative to each value, not to the largest: terms of easy examples are small and must be right too.
fn assert_close_each(what: &str, found: &Tensor, expected: &Tensor) {
    for (i, (f, e)) in values(found).iter().zip(values(expected)).enumerate() {
        assert!((f - e).abs() <= 1e-5 * e.abs() + 1e-7, "{what}: value {i}: found {f}, torch has {e}");
    }
}

#[test]
fn losses() {
    let bytes = golden("losses.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let cases = cases(&bytes);
    let of = |loss: &str| cases.keys().filter(|case| case.starts_with(loss)).count();
    assert!(of("cross_entropy") >= 12 && of("bce") >= 2 && of("focal") >= 4 && of("giou") == 1 && of("dice") == 2);
    on_each(|kernels| {
        for (case, settings) in &cases {
            let named = |part: &str| tensor(&file, &format!("{case}/{part}"));
            let (logits, targets) = (var(&named("logits")), named("targets"));
            let loss = match case.split('/').next().unwrap() {
                "cross_entropy" => {
                    let weight = settings["weight"].as_array();
                    let options = CrossEntropy {
                        ignore_index: settings["ignore_index"].as_u64().map(|index| index as u32),
                        label_smoothing: settings["label_smoothing"].as_f64().unwrap(),
                        weight: weight.map(|all| all.iter().map(|w| w.as_f64().unwrap() as f32).collect()),
                    };
                    let targets: Vec<u32> = values(&targets).into_iter().map(|target| target as u32).collect();
                    ops::cross_entropy(&logits, &targets, &options)
                }
                "bce" => ops::binary_cross_entropy_with_logits(&logits, &targets),
                "focal" => {
                    let focal =
                        FocalLoss { alpha: settings["alpha"].as_f64(), gamma: settings["gamma"].as_f64().unwrap() };
                    ops::sigmoid_focal_loss(&logits, &targets, focal)
                }
                "dice" => {
                    let targets: Vec<u32> = values(&targets).into_iter().map(|target| target as u32).collect();
                    let ignore = settings["ignore_index"].as_u64().map(|index| index as u32);
                    ops::dice_loss(&logits, &targets, ignore)
                }
                "giou" => ops::generalized_box_iou_loss(&logits, &targets).and_then(|losses| losses.sum_all()),
                other => panic!("unknown loss {other}"),
            };
            let loss = loss.unwrap();
            assert_close_each(&format!("{case} on {kernels:?}"), &loss, &named("loss"));
            let gradients = (loss * 2.0).unwrap().backward().unwrap();
            let gradient = gradients.get(&logits).unwrap();
            assert_close_each(&format!("{case} gradient on {kernels:?}"), gradient, &named("gradient"));
        }
    });
}
