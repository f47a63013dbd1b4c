//! Every operation against finite differences, and against PyTorch's numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use candle_core::{DType, Device, Result, Tensor, Var};
use ops::{BatchNorm, Conv2d, MaxPool2d, Statistics};
use rand::RngExt;
use safetensors::SafeTensors;

/// Values in −1..1 that depend on `name` alone.
fn random(name: &str, dims: &[usize]) -> Tensor {
    let mut rng = random::stream(0, name, &[]);
    let values = (0..dims.iter().product()).map(|_| rng.random_range(-1.0f32..1.0)).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.contiguous().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Compares the derivative of `Σ output·u` (u fixed, random) in random directions of each input with
/// central differences.
fn check_gradient(name: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let output = f(&tracked).unwrap();
    let upstream = random(&format!("{name} upstream"), output.dims());
    let gradients = (&output * &upstream).unwrap().sum_all().unwrap().backward().unwrap();
    let objective = |inputs: &[Tensor]| -> f64 {
        let output = values(&f(inputs).unwrap());
        output.iter().zip(values(&upstream)).map(|(a, b)| f64::from(*a) * f64::from(b)).sum()
    };
    for (i, var) in vars.iter().enumerate() {
        let gradient = values(gradients.get(var).unwrap_or_else(|| panic!("{name}: input {i} has no gradient")));
        for trial in 0..4 {
            let direction = random(&format!("{name} direction {i} {trial}"), var.dims());
            let analytic: f64 =
                gradient.iter().zip(values(&direction)).map(|(a, b)| f64::from(*a) * f64::from(b)).sum();
            let h = 1e-2;
            let at = |h: f64| {
                let mut moved = inputs.to_vec();
                moved[i] = (&inputs[i] + (&direction * h).unwrap()).unwrap();
                objective(&moved)
            };
            // Richardson's extrapolation of central differences: the error is of fourth order in h.
            let central = |h: f64| (at(h) - at(-h)) / (2.0 * h);
            let numeric = (4.0 * central(h / 2.0) - central(h)) / 3.0;
            let scale = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt().max(1e-3);
            assert!(
                (analytic - numeric).abs() <= 2e-3 * scale,
                "{name}: input {i}, trial {trial}: gradient says {analytic}, differences say {numeric}"
            );
        }
    }
}

/// Distinct values at least 0.1 apart and 0.05 from 0, so that a small step crosses no kink.
fn spread(name: &str, dims: &[usize]) -> Tensor {
    let len: usize = dims.iter().product();
    let order = random::permutation(len, &mut random::stream(1, name, &[]));
    let values = order.into_iter().map(|i| 0.1 * (i as f32 - (len / 2) as f32) + 0.05).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

#[test]
fn finite_differences_of_conv2d() {
    for (name, geometry) in [
        ("plain", Conv2d::default()),
        ("strided, odd by even", Conv2d { stride: 2, padding: 1, ..Conv2d::default() }),
        ("dilated", Conv2d { padding: 2, dilation: 2, ..Conv2d::default() }),
        ("grouped", Conv2d { padding: 1, groups: 2, ..Conv2d::default() }),
    ] {
        let inputs = [random("x", &[2, 7, 6, 4]), random("w", &[6, 4 / geometry.groups, 3, 3])];
        check_gradient(name, &inputs, |i| ops::conv2d(&i[0], &i[1], geometry));
    }
    let pointwise = [random("x", &[2, 5, 4, 3]), random("w", &[5, 3, 1, 1])];
    check_gradient("1x1", &pointwise, |i| ops::conv2d(&i[0], &i[1], Conv2d::default()));
}

fn norm_of(weight: &Tensor, bias: &Tensor) -> BatchNorm {
    let c = weight.dims()[0];
    BatchNorm {
        weight: weight.clone(),
        bias: bias.clone(),
        running_mean: Var::from_vec((0..c).map(|i| i as f32 * 0.1).collect::<Vec<_>>(), c, &Device::Cpu).unwrap(),
        running_var: Var::from_vec((0..c).map(|i| 0.5 + i as f32 * 0.2).collect::<Vec<_>>(), c, &Device::Cpu).unwrap(),
        eps: 1e-5,
        momentum: 0.1,
    }
}

#[test]
fn finite_differences_of_batch_norm() {
    let inputs = [random("x", &[3, 5, 4, 6]), random("weight", &[6]), random("bias", &[6])];
    for statistics in [Statistics::Batch, Statistics::Running] {
        check_gradient("batch_norm", &inputs, |i| ops::batch_norm(&i[0], &norm_of(&i[1], &i[2]), statistics, false));
    }
    check_gradient("batch_norm of rows", &[random("x", &[9, 6]), inputs[1].clone(), inputs[2].clone()], |i| {
        ops::batch_norm(&i[0], &norm_of(&i[1], &i[2]), Statistics::Batch, false)
    });
}

#[test]
fn batch_norm_with_relu_is_relu_after_batch_norm() {
    let inputs: Vec<Var> = [random("x", &[3, 5, 4, 6]), random("weight", &[6]), random("bias", &[6])]
        .iter()
        .map(|t| Var::from_tensor(t).unwrap())
        .collect();
    for statistics in [Statistics::Batch, Statistics::Running] {
        let run = |fused: bool| {
            let norm = norm_of(&inputs[1], &inputs[2]);
            let y = ops::batch_norm(&inputs[0], &norm, statistics, fused).unwrap();
            let y = if fused { y } else { ops::relu(&y).unwrap() };
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let mut all = vec![values(&y)];
            all.extend(inputs.iter().map(|input| values(gradients.get(input).unwrap())));
            all
        };
        assert_eq!(run(true), run(false));
    }
}

#[test]
fn finite_differences_of_activations_pools_and_linear() {
    check_gradient("relu", &[spread("relu", &[3, 7])], |i| ops::relu(&i[0]));
    let (a, b) = (spread("a", &[2, 3, 4]), random("b", &[2, 3, 4]));
    let apart = (&a - &b).unwrap();
    check_gradient("add_relu", &[apart, b], |i| ops::add_relu(&i[0], &i[1]));
    for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0), (5, 2, 2)] {
        let geometry = MaxPool2d { kernel, stride, padding };
        check_gradient("max_pool2d", &[spread("pool", &[2, 7, 6, 3])], |i| ops::max_pool2d(&i[0], geometry));
    }
    check_gradient("global_avg_pool2d", &[random("x", &[2, 3, 5, 4])], |i| ops::global_avg_pool2d(&i[0]));
    let inputs = [random("x", &[5, 4]), random("w", &[3, 4]), random("b", &[3])];
    check_gradient("linear", &inputs, |i| ops::linear(&i[0], &i[1], &i[2]));
}

#[test]
fn finite_differences_of_cross_entropy() {
    check_gradient("cross_entropy", &[random("logits", &[6, 5])], |i| ops::cross_entropy(&i[0], &[0, 4, 2, 2, 1, 3]));
}

#[test]
fn strided_arguments_and_gradients_are_read_in_order() {
    // A transposed input, and a transposed gradient, must act as their contiguous copies do.
    let x = random("x", &[2, 6, 5, 4]);
    let turned = x.transpose(1, 2).unwrap().contiguous().unwrap();
    let w = Var::from_tensor(&random("w", &[3, 4, 3, 3])).unwrap();
    let upstream = random("u", &[2, 3, 4, 3]);
    let run = |x: &Tensor| {
        let y = ops::conv2d(x, &w, Conv2d::default()).unwrap().transpose(1, 2).unwrap().transpose(1, 3).unwrap();
        let gradients = (y * &upstream).unwrap().sum_all().unwrap().backward().unwrap();
        values(gradients.get(&w).unwrap())
    };
    assert_eq!(run(&x), run(&turned.transpose(1, 2).unwrap()));
}

/// `torch.nn.functional.max_pool2d` and `relu` on these inputs give these gradients; candle's own do not.
#[test]
fn gradients_that_candle_gets_wrong() {
    let x = Var::from_vec(vec![1f32, 2.0, 3.0, 4.0], (1, 2, 2, 1), &Device::Cpu).unwrap();
    let pooled = ops::max_pool2d(&x, MaxPool2d { kernel: 2, stride: 2, padding: 0 }).unwrap();
    let gradients = pooled.sum_all().unwrap().backward().unwrap();
    assert_eq!(values(gradients.get(&x).unwrap()), [0.0, 0.0, 0.0, 1.0]);

    let x = Var::from_vec(vec![0f32, -1.0, 1.0], 3, &Device::Cpu).unwrap();
    let gradients = ops::relu(&x).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(values(gradients.get(&x).unwrap()), [0.0, 0.0, 1.0]);
}

#[test]
fn extreme_logits_stay_finite() {
    let logits = Var::from_vec(vec![1e30f32, -1e30, 0.0, -1e30, 1e30, 0.0], (2, 3), &Device::Cpu).unwrap();
    let loss = ops::cross_entropy(&logits, &[0, 1]).unwrap();
    assert_eq!(loss.to_scalar::<f32>().unwrap(), 0.0);
    let gradients = loss.backward().unwrap();
    assert_eq!(values(gradients.get(&logits).unwrap()), [0.0; 6]);
}

#[test]
fn not_a_number_is_never_hidden() {
    let x = Tensor::full(f32::NAN, (2, 2, 2, 1), &Device::Cpu).unwrap();
    let one = Tensor::ones(1, DType::F32, &Device::Cpu).unwrap();
    let pool = MaxPool2d { kernel: 2, stride: 2, padding: 0 };
    for y in [
        ops::relu(&x),
        ops::add_relu(&x, &x),
        ops::max_pool2d(&x, pool),
        ops::global_avg_pool2d(&x),
        ops::batch_norm(&x, &norm_of(&one, &one), Statistics::Batch, true),
        ops::cross_entropy(&x.reshape((2, 4)).unwrap(), &[0, 1]),
    ] {
        assert!(values(&y.unwrap()).iter().all(|v| v.is_nan()));
    }
}

#[test]
fn bad_arguments_are_named() {
    let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    let message = |result: Result<Tensor>| result.unwrap_err().to_string();
    let one = zeros(&[1]);
    let norm = norm_of(&one, &one);
    assert!(message(ops::batch_norm(&zeros(&[1, 1, 1, 1]), &norm, Statistics::Batch, false)).contains("more than one"));
    assert!(message(ops::batch_norm(&zeros(&[2, 2, 2, 3]), &norm, Statistics::Batch, false)).contains("3 channels"));
    assert!(message(ops::add_relu(&zeros(&[2, 3]), &zeros(&[3, 2]))).contains("[2, 3] and [3, 2]"));
    assert!(message(ops::linear(&zeros(&[2, 3]), &zeros(&[4, 2]), &zeros(&[4]))).contains("[4, 2]"));
    assert!(message(ops::cross_entropy(&zeros(&[2, 3]), &[0, 3])).contains("found 3 in row 1"));
    assert!(message(ops::cross_entropy(&zeros(&[2, 3]), &[0])).contains("1 targets"));
    let pool = MaxPool2d { kernel: 3, stride: 1, padding: 0 };
    assert!(message(ops::max_pool2d(&zeros(&[1, 2, 2, 1]), pool)).contains("larger than"));
    let double = Tensor::zeros((1, 2), DType::F64, &Device::Cpu).unwrap();
    assert!(message(ops::relu(&double)).contains("expected x of type f32"));
}

/// Same bits with 1, 2 and 3 threads.
#[test]
fn threads_do_not_change_bits() {
    let x = Var::from_tensor(&random("x", &[9, 11, 10, 16])).unwrap();
    let w = Var::from_tensor(&random("w", &[8, 16, 3, 3])).unwrap();
    let (gamma, beta) = (Var::from_tensor(&random("g", &[8])).unwrap(), Var::from_tensor(&random("b", &[8])).unwrap());
    let run = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let norm = norm_of(&gamma, &beta);
            let y = ops::conv2d(&x, &w, Conv2d { padding: 1, ..Conv2d::default() }).unwrap();
            let y = ops::batch_norm(&y, &norm, Statistics::Batch, true).unwrap();
            let y = ops::max_pool2d(&y, MaxPool2d { kernel: 3, stride: 2, padding: 1 }).unwrap();
            let loss = ops::cross_entropy(&ops::global_avg_pool2d(&y).unwrap(), &[0, 1, 2, 3, 4, 5, 6, 7, 0]).unwrap();
            let gradients = loss.backward().unwrap();
            let mut all = vec![values(&loss), values(&norm.running_var)];
            all.extend([&x, &w, &gamma, &beta].map(|v| values(gradients.get(v).unwrap())));
            all
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

// Reference numbers of PyTorch, made by tools/make_golden.py.

/// The vectors of `name`: those in `$WRS_BENCH_GOLDEN` where it is set, else the committed copy.
fn golden(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("WRS_BENCH_GOLDEN").map_or("tests/golden".into(), std::path::PathBuf::from);
    let path = folder.join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn tensor(file: &SafeTensors, name: &str) -> Tensor {
    let view = file.tensor(name).unwrap();
    let values: Vec<f32> = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let t = Tensor::from_vec(values, view.shape(), &Device::Cpu).unwrap();
    // Torch's images are [n, c, h, w].
    let is_weight = name.ends_with("/w") || name.ends_with("/dw");
    if t.rank() == 4 && !is_weight { t.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap() } else { t }
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let (found, expected) = (values(found), values(expected));
    let scale = expected.iter().fold(1f32, |m, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        assert!((f - e).abs() <= 1e-5 * scale, "{what}: value {i}: found {f}, torch has {e}");
    }
}

#[test]
fn golden_convolutions() {
    let bytes = golden("layers.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let cases = metadata.metadata().clone().unwrap();
    let mut seen = 0;
    for (case, settings) in cases.iter().collect::<std::collections::BTreeMap<_, _>>() {
        let s: serde_json::Value = serde_json::from_str(settings).unwrap();
        let get = |key: &str| s[key].as_u64().unwrap() as usize;
        let geometry =
            Conv2d { stride: get("stride"), padding: get("padding"), dilation: get("dilation"), groups: get("groups") };
        let named = |part: &str| tensor(&file, &format!("{case}/{part}"));
        let (x, w) = (Var::from_tensor(&named("x")).unwrap(), Var::from_tensor(&named("w")).unwrap());
        let y = ops::conv2d(&x, &w, geometry).unwrap();
        assert_close(&format!("{case} y"), &y, &named("y"));
        let gradients = (y * named("upstream")).unwrap().sum_all().unwrap().backward().unwrap();
        assert_close(&format!("{case} dx"), gradients.get(&x).unwrap(), &named("dx"));
        assert_close(&format!("{case} dw"), gradients.get(&w).unwrap(), &named("dw"));
        seen += 1;
    }
    assert!(seen >= 8, "found {seen} convolutions");
}

#[test]
fn golden_batch_norm() {
    let bytes = golden("layers.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let var = |name: &str| Var::from_tensor(&tensor(&file, name)).unwrap();
    let (gamma, beta) = (var("bn/gamma"), var("bn/beta"));
    let channels = gamma.dims()[0];
    let norm = BatchNorm {
        weight: gamma.as_tensor().clone(),
        bias: beta.as_tensor().clone(),
        running_mean: Var::zeros(channels, DType::F32, &Device::Cpu).unwrap(),
        running_var: Var::ones(channels, DType::F32, &Device::Cpu).unwrap(),
        eps: 1e-5,
        momentum: 0.1,
    };
    for step in 0..3 {
        let named = |part: &str| tensor(&file, &format!("bn/{step}/{part}"));
        let x = Var::from_tensor(&named("x")).unwrap();
        let y = ops::batch_norm(&x, &norm, Statistics::Batch, false).unwrap();
        assert_close("y", &y, &named("y"));
        let gradients = (y * named("upstream")).unwrap().sum_all().unwrap().backward().unwrap();
        assert_close("dx", gradients.get(&x).unwrap(), &named("dx"));
        assert_close("dgamma", gradients.get(&gamma).unwrap(), &named("dgamma"));
        assert_close("dbeta", gradients.get(&beta).unwrap(), &named("dbeta"));
        assert_close("running_mean", &norm.running_mean, &named("running_mean"));
        assert_close("running_var", &norm.running_var, &named("running_var"));
    }
    let y = ops::batch_norm(&tensor(&file, "bn/2/x"), &norm, Statistics::Running, false).unwrap();
    assert_close("eval y", &y, &tensor(&file, "bn/eval/y"));
}
