//! Reference numbers of PyTorch, made by tools/make_layer_golden.py and tools/make_loss_golden.py.

use super::{gradients_under, map, on_each, values, var};
use candle_core::{DType, Device, Tensor, Var};
use golden::Vectors;
use ops::{BatchNorm, Conv2d, CrossEntropy, FocalLoss, Kernels, Statistics};

fn open(name: &str) -> Vectors {
    Vectors::open(env!("CARGO_MANIFEST_DIR"), name)
}

fn tensor(vectors: &Vectors, name: &str) -> Tensor {
    let (dims, all) = vectors.floats(name);
    super::tensor(all, &dims)
}

/// An image of torch's, `[n, c, h, w]`.
fn image(vectors: &Vectors, name: &str) -> Tensor {
    tensor(vectors, name).permute((0, 2, 3, 1)).unwrap().contiguous().unwrap()
}

/// An image of ours, `[n, h, w, c]`, as torch's.
fn nchw(x: &Tensor) -> Tensor {
    x.permute((0, 3, 1, 2)).unwrap()
}

/// How much farther than the rule says a result may be, as a share of its largest value: candle's own operations, of which
/// many make one of ours, round more often.
fn share(kernels: Kernels) -> f64 {
    if kernels == Kernels::Candle { 6e-6 } else { 0.0 }
}

#[test]
fn golden_convolutions() {
    let vectors = open("layers.safetensors");
    assert!(vectors.cases("conv").count() >= 10);
    on_each(|kernels| {
        let close = |name: &str, found: &Tensor| {
            // Convolutions that are computed with fewer products round up to 2.5 times as much on average, see docs/benchmarks.md.
            let share: f64 = if name.starts_with("conv/wide") { 1.5e-6 } else { 0.0 };
            vectors.assert_near(&format!("{kernels:?}"), name, &values(found), share.max(self::share(kernels)));
        };
        for (case, settings) in vectors.cases("conv") {
            let get = |key: &str| settings[key].as_u64().unwrap() as usize;
            let (stride, padding) = (get("stride"), get("padding"));
            let geometry = Conv2d { stride, padding, dilation: get("dilation"), groups: get("groups") };
            let named = |part: &str| format!("{case}/{part}");
            let (x, w) = (var(&image(&vectors, &named("x"))), var(&tensor(&vectors, &named("w"))));
            let y = ops::conv2d(&map(&x), &w, None, geometry).unwrap().to_tensor().unwrap();
            close(&named("y"), &nchw(&y));
            let gradients = gradients_under(&y, &image(&vectors, &named("upstream")));
            close(&named("dx"), &nchw(gradients.get(&x).unwrap()));
            close(&named("dw"), gradients.get(&w).unwrap());
        }
    });
}

#[test]
fn golden_batch_norm_and_its_running_statistics() {
    let vectors = open("layers.safetensors");
    on_each(|kernels| {
        let close = |name: &str, found: &Tensor| {
            vectors.assert_near(&format!("{kernels:?}"), name, &values(found), share(kernels));
        };
        let (gamma, beta) = (var(&tensor(&vectors, "bn/gamma")), var(&tensor(&vectors, "bn/beta")));
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
            let named = |part: &str| format!("bn/{step}/{part}");
            let x = var(&image(&vectors, &named("x")));
            let y = run(&x, Statistics::Batch);
            close(&named("y"), &nchw(&y));
            let gradients = gradients_under(&y, &image(&vectors, &named("upstream")));
            close(&named("dx"), &nchw(gradients.get(&x).unwrap()));
            close(&named("dgamma"), gradients.get(&gamma).unwrap());
            close(&named("dbeta"), gradients.get(&beta).unwrap());
            close(&named("running_mean"), &norm.running_mean);
            close(&named("running_var"), &norm.running_var);
        }
        close("bn/eval/y", &nchw(&run(&image(&vectors, "bn/2/x"), Statistics::Running)));
    });
}

/// Relative to each value, not to the largest: terms of easy examples are small and must be right too.
fn assert_close_each(vectors: &Vectors, by: &str, name: &str, found: &Tensor) {
    for (i, (f, e)) in values(found).iter().zip(vectors.floats(name).1).enumerate() {
        assert!((f - e).abs() <= 1e-5 * e.abs() + 1e-7, "{by}: {name}: value {i}: found {f}, expected {e}");
    }
}

#[test]
fn golden_losses() {
    let vectors = open("losses.safetensors");
    let of = |loss: &str| vectors.cases(loss).count();
    assert!(of("cross_entropy") >= 12 && of("bce") >= 2 && of("focal") >= 4 && of("giou") == 1 && of("dice") == 2);
    assert!(of("mse") == 1 && of("l1") == 1 && of("smooth_l1") >= 3);
    on_each(|kernels| {
        let by = &format!("{kernels:?}");
        for (case, settings) in vectors.cases("") {
            let named = |part: &str| tensor(&vectors, &format!("{case}/{part}"));
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
                "mse" => ops::mse_loss(&logits, &targets),
                "l1" => ops::l1_loss(&logits, &targets),
                "smooth_l1" => ops::smooth_l1_loss(&logits, &targets, settings["beta"].as_f64().unwrap()),
                "giou" => ops::generalized_box_iou_loss(&logits, &targets).and_then(|losses| losses.sum_all()),
                other => panic!("unknown loss {other}"),
            };
            let loss = loss.unwrap();
            let gradients = (&loss * 2.0).unwrap().backward().unwrap();
            for (part, found) in [("loss", &loss), ("gradient", gradients.get(&logits).unwrap())] {
                vectors.assert_near(by, &format!("{case}/{part}"), &values(found), share(kernels));
                assert_close_each(&vectors, by, &format!("{case}/{part}"), found);
            }
        }
    });
}
