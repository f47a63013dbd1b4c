//! One arithmetic: every set of kernels gives the same bits, with any number of threads.

use super::{gradients_under, map, random, tensor, values, var};
use candle_core::{Result, Tensor, Var};
use ops::{AvgPool2d, BatchNorm, Conv2d, CrossEntropy, FocalLoss, Kernels, MaxPool2d, Resize, Statistics};
use proptest::prelude::*;

/// Asserts that `run` gives the same bits on all sets of this machine, with one to three threads.
fn assert_equal_bits(what: &str, run: impl Fn() -> Result<Vec<Tensor>> + Sync) {
    let bits = |kernels: Kernels, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let tensors = pool.install(|| kernels.scope(&run)).unwrap().unwrap();
        tensors.iter().map(|t| values(t).into_iter().map(f32::to_bits).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let expected = bits(Kernels::Portable, 1);
    for kernels in Kernels::available().filter(|kernels| *kernels != Kernels::Candle) {
        for threads in 1..=3 {
            for (index, (found, expected)) in bits(kernels, threads).iter().zip(&expected).enumerate() {
                let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
                assert_eq!(differs, None, "{what}: result {index} on {kernels:?} with {threads} threads");
            }
        }
    }
}

/// `result` and the gradients of `inputs` under random ones of the result.
fn with_gradients(result: &Tensor, inputs: &[&Var]) -> Result<Vec<Tensor>> {
    let gradients = gradients_under(result, &random("upstream", result.dims()));
    let zeros = |input: &Var| input.zeros_like();
    let mut all = vec![result.clone()];
    for input in inputs {
        all.push(gradients.get(input).cloned().map_or_else(|| zeros(input), Ok)?);
    }
    Ok(all)
}

/// A convolution with bias, and with batch norm and a residual in training and evaluation.
fn convolution(x_dims: [usize; 4], w_dims: [usize; 4], geometry: Conv2d) {
    let channels = w_dims[0];
    let run = || {
        let [x, w] = [random("x", &x_dims), random("w", &w_dims)].map(|t| var(&t));
        let [gamma, beta] = [random("gamma", &[channels]), random("beta", &[channels])].map(|t| var(&t));
        let norm = BatchNorm {
            weight: gamma.as_tensor().clone(),
            bias: beta.as_tensor().clone(),
            running_mean: var(&random("mean", &[channels])),
            running_var: var(&random("var", &[channels]).sqr()?),
            eps: 1e-5,
            momentum: 0.1,
        };
        let y = ops::conv2d(&map(&x), &w, Some(&beta), geometry)?;
        let mut all = with_gradients(&y.to_tensor()?, &[&x, &w, &beta])?;
        let rows: usize = y.dims()[..3].iter().product();
        for statistics in [Statistics::Batch, Statistics::Running] {
            if rows < 2 && statistics == Statistics::Batch {
                continue;
            }
            let residual = map(&random("residual", &y.dims()));
            let y = ops::conv_bn(&map(&x), &w, geometry, &norm, statistics, Some(&residual), true)?;
            all.extend(with_gradients(&y.to_tensor()?, &[&x, &w, &gamma, &beta])?);
        }
        all.extend([norm.running_mean.as_tensor().clone(), norm.running_var.as_tensor().clone()]);
        let fused = ops::no_grad(|| ops::conv_bn(&map(&x), &w, geometry, &norm, Statistics::Running, None, true))?;
        all.push(fused.to_tensor()?);
        Ok(all)
    };
    assert_equal_bits(&format!("x {x_dims:?}, weight {w_dims:?}, {geometry:?}"), run);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn convolutions((h, w) in (1usize..14, 1usize..14), n in 1usize..10, (kh, kw) in (1usize..4, 1usize..4),
                    stride in 1usize..4, padding in 0usize..4, dilation in 1usize..3,
                    groups in 1usize..4, (inputs, outputs) in (1usize..37, 1usize..70), depthwise in any::<bool>()) {
        prop_assume!(h + 2 * padding > dilation * (kh - 1) && w + 2 * padding > dilation * (kw - 1));
        let (groups, inputs, outputs) = if depthwise { (inputs, 1, 1) } else { (groups, inputs, outputs) };
        let geometry = Conv2d { stride, padding, dilation, groups };
        convolution([n, h, w, inputs * groups], [outputs * groups, inputs, kh, kw], geometry);
    }

    #[test]
    fn losses(rows in 1usize..400, classes in 1usize..40, smoothing in 0f64..0.3) {
        let labels: Vec<u32> = (0..rows).map(|row| if row % 5 == 4 { 255 } else { (row * 7 % classes) as u32 }).collect();
        assert_equal_bits(&format!("losses of {rows}x{classes}"), || {
            let logits = var(&(random("logits", &[rows, classes]) * 20.0)?);
            let soft = random("soft", &[rows, classes]).abs()?;
            let options =
                CrossEntropy { ignore_index: Some(255), label_smoothing: smoothing, ..CrossEntropy::default() };
            let mut all = Vec::new();
            for loss in [
                ops::cross_entropy(&logits, &labels, &options)?,
                ops::binary_cross_entropy_with_logits(&logits, &soft)?,
                ops::sigmoid_focal_loss(&logits, &soft, FocalLoss::default())?,
                ops::sigmoid_focal_loss(&logits, &soft, FocalLoss { alpha: None, gamma: 1.5 })?,
                ops::dice_loss(&logits, &labels, Some(255))?,
                ops::mse_loss(&logits, &soft)?,
                ops::l1_loss(&logits, &soft)?,
                ops::smooth_l1_loss(&logits, &soft, 0.7)?,
            ] {
                all.extend(with_gradients(&loss, &[&logits])?);
            }
            Ok(all)
        });
    }

    #[test]
    fn linear_layers(n in 1usize..150, inputs in 1usize..700, outputs in 1usize..90) {
        assert_equal_bits(&format!("linear {n}x{inputs}x{outputs}"), || {
            let [x, w] = [random("x", &[n, inputs]), random("w", &[outputs, inputs])].map(|t| var(&t));
            let b = var(&random("b", &[outputs]));
            with_gradients(&ops::linear(&x, &w, Some(&b))?, &[&x, &w, &b])
        });
    }

    #[test]
    fn other_layers(n in 1usize..5, (h, w) in (2usize..14, 2usize..14), c in 1usize..40, size in [1usize..20, 1usize..20]) {
        assert_equal_bits(&format!("layers of {n}x{h}x{w}x{c}"), || {
            let x = var(&random("x", &[n, h, w, c]));
            let [gamma, beta] = [random("gamma", &[c]), random("beta", &[c])].map(|t| var(&t));
            let [running_mean, running_var] = [random("mean", &[c]), random("var", &[c]).abs()?].map(|t| var(&t));
            let [weight, bias] = [&gamma, &beta].map(|t| t.as_tensor().clone());
            let norm = BatchNorm { weight, bias, running_mean, running_var, eps: 1e-5, momentum: 0.1 };
            let map = ops::leaky_relu(&map(&x), 0.1)?;
            let map = ops::batch_norm(&map, &norm, Statistics::Batch, true)?;
            let pooled = ops::max_pool2d(&map, MaxPool2d { kernel: 2, stride: 1, padding: 1 })?;
            let mean = AvgPool2d { kernel: 2, stride: 2, padding: 0, count_include_pad: false };
            let mean = ops::resize(&ops::avg_pool2d(&map, mean)?, size, Resize::Bilinear { align_corners: false })?;
            let both = ops::concat(&[&ops::resize(&pooled, size, Resize::Nearest)?, &mean, &mean])?;
            with_gradients(&ops::global_avg_pool2d(&ops::relu6(&both)?)?, &[&x, &gamma, &beta])
        });
    }
}

#[test]
fn deep_layers_of_few_pixels() {
    // A large weight read in its own order, and one of an odd number of values.
    for (side, inputs, outputs) in [(4, 160, 130), (3, 151, 129), (1, 600, 240)] {
        convolution([2, side, side, inputs], [outputs, inputs, 3, 3], Conv2d { padding: 1, ..Conv2d::default() });
    }
}

#[test]
fn layers_of_three_by_three_taps() {
    // Large enough that fewer products pay: odd maps, one and several blocks, channels that fill no vector.
    for (n, (h, w), inputs, outputs) in [(40, (13, 10), 19, 37), (12, (31, 22), 16, 48), (200, (4, 4), 33, 70)] {
        convolution([n, h, w, inputs], [outputs, inputs, 3, 3], Conv2d { padding: 1, ..Conv2d::default() });
    }
}

#[test]
fn values_of_all_sizes() {
    // Sums that cancel, subnormal products and infinities are rounded alike.
    let exponents = |seed: usize| {
        let of = |i: usize| ((i * 37 + seed) % 61) as i32 - 30;
        tensor(
            (0..4 * 9 * 7 * 5).map(|i| (1.0 + i as f32 / 2000.0) * libm::ldexpf(1.0, 5 * of(i))).collect(),
            &[4, 9, 7, 5],
        )
    };
    assert_equal_bits("values of all sizes", || {
        let [x, w] = [exponents(0), exponents(11).reshape((28, 5, 3, 3))?].map(|t| var(&t));
        let y = ops::conv2d(&map(&x), &w, None, Conv2d { padding: 1, ..Conv2d::default() })?;
        with_gradients(&y.to_tensor()?, &[&x, &w])
    });
}
