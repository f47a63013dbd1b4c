//! Losses, and the linear layer before them.

use super::{assert_close, assert_same_bits, check_gradient, gradients_under, on_each, random, tensor, values, var};
use candle_core::{DType, Device, Result, Tensor, Var};
use ops::{CrossEntropy, FocalLoss, Kernels};

fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    ops::cross_entropy(logits, targets, &CrossEntropy::default())
}

fn scalar(t: &Tensor) -> f32 {
    t.to_scalar().unwrap()
}

#[test]
fn finite_differences_of_linear() {
    let inputs = [random("x", &[5, 4]), random("w", &[3, 4]), random("b", &[3])];
    check_gradient("linear", &inputs, |i| ops::linear(&i[0], &i[1], Some(&i[2])));
    check_gradient("linear without bias", &inputs[..2], |i| ops::linear(&i[0], &i[1], None));
    // Split over columns.
    let wide = [random("x", &[1, 600]), random("w", &[700, 600]), random("b", &[700])];
    check_gradient("wide linear", &wide, |i| ops::linear(&i[0], &i[1], Some(&i[2])));
}

#[test]
fn finite_differences_of_losses() {
    let logits = [random("logits", &[6, 5])];
    check_gradient("cross_entropy", &logits, |i| cross_entropy(&i[0], &[0, 4, 2, 2, 1, 3]));
    let options =
        CrossEntropy { ignore_index: Some(255), label_smoothing: 0.2, weight: Some(vec![1.0, 0.5, 0.0, 2.0, 3.0]) };
    check_gradient("cross_entropy, all options", &logits, |i| {
        ops::cross_entropy(&i[0], &[0, 255, 2, 4, 255, 3], &options)
    });
    check_gradient("dice", &logits, |i| ops::dice_loss(&i[0], &[0, 255, 2, 4, 255, 2], Some(255)));
    let (logits, half) = (random("logits", &[4, 3, 2]), random("targets", &[4, 3, 2]));
    let soft = half.affine(0.5, 0.5).unwrap();
    check_gradient("bce", std::slice::from_ref(&logits), |i| ops::binary_cross_entropy_with_logits(&i[0], &soft));
    for targets in [half.ge(0f64).unwrap().to_dtype(DType::F32).unwrap(), soft.clone()] {
        for (alpha, gamma) in [(Some(0.25), 2.0), (None, 0.0), (None, 0.5), (Some(0.7), 3.0)] {
            check_gradient("focal", std::slice::from_ref(&logits), |i| {
                ops::sigmoid_focal_loss(&i[0], &targets, FocalLoss { alpha, gamma })
            });
        }
    }
}

#[test]
fn finite_differences_of_distances() {
    // Off the kinks: at 0, and where the smooth loss goes on as a line, whose second derivative jumps.
    let target = random("target", &[4, 3, 2]);
    let apart = random("apart", &[4, 3, 2]);
    let far = apart.ge(0f64).unwrap().to_dtype(DType::F32).unwrap().affine(1.5, 0.0).unwrap();
    let input = [(&target + (apart.sign().unwrap() * 0.3 + far).unwrap()).unwrap()];
    check_gradient("mse", &input, |i| ops::mse_loss(&i[0], &target));
    check_gradient("l1", &input, |i| ops::l1_loss(&i[0], &target));
    for beta in [1.0, 0.5, 4.0, 0.0] {
        check_gradient("smooth l1", &input, |i| ops::smooth_l1_loss(&i[0], &target, beta));
    }
}

#[test]
fn distances_at_their_kinks_are_torchs() {
    // torch 2.13: F.l1_loss, F.smooth_l1_loss(beta=0.5), F.smooth_l1_loss(beta=0) and their gradients.
    on_each(|kernels| {
        let x = var(&tensor(vec![1.0, 1.5, 0.5, 1.25, -3.0], &[5]));
        let t = tensor(vec![1.0; 5], &[5]);
        for (loss, expected, slopes) in [
            (ops::l1_loss(&x, &t), 1.05, [0.0, 0.2, -0.2, 0.2, -0.2]),
            (ops::smooth_l1_loss(&x, &t, 0.5), 0.8625, [0.0, 0.2, -0.2, 0.1, -0.2]),
            (ops::smooth_l1_loss(&x, &t, 0.0), 1.05, [0.0, 0.2, -0.2, 0.2, -0.2]),
            (ops::mse_loss(&x, &t), 3.3125, [0.0, 0.2, -0.2, 0.1, -1.6]),
        ] {
            let loss = loss.unwrap();
            assert!((scalar(&loss) - expected).abs() < 1e-6, "{kernels:?}: {loss}");
            let gradients = loss.backward().unwrap();
            assert_close("gradient", gradients.get(&x).unwrap(), &tensor(slopes.to_vec(), &[5]));
        }
    });
}

#[test]
fn finite_differences_of_boxes() {
    // Far from each other's sides, where the slope jumps: overlapping, inside, around, apart in one direction or both.
    let boxes = [0.0, 0.0, 2.0, 2.0, 0.5, 0.5, 1.0, 1.5, -1.0, -1.0, 4.0, 5.0, 6.0, 0.0, 7.0, 1.0, 6.0, 6.0, 7.0, 8.0];
    let targets = [1.0, 0.7, 3.0, 3.0, 0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 2.0, 2.0, 1.0, -1.0, 3.0, 3.0, 1.0, 1.0, 3.0, 3.0];
    let targets = tensor(targets.to_vec(), &[5, 4]);
    check_gradient("giou", &[tensor(boxes.to_vec(), &[5, 4])], |i| ops::generalized_box_iou_loss(&i[0], &targets));
}

#[test]
fn boxes_without_area_have_a_finite_loss() {
    on_each(|kernels| {
        let boxes = var(&tensor(vec![1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 2.0, 2.0, 3.0, 3.0, 3.0, 5.0], &[3, 4]));
        let targets = tensor(vec![1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 5.0], &[3, 4]);
        let losses = ops::generalized_box_iou_loss(&boxes, &targets).unwrap();
        let gradients = losses.sum_all().unwrap().backward().unwrap();
        let gradient = values(gradients.get(&boxes).unwrap());
        let finite = values(&losses).into_iter().chain(gradient).all(f32::is_finite);
        assert!(finite, "{kernels:?}");
        let empty = Tensor::zeros((0, 4), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(ops::generalized_box_iou_loss(&empty, &empty).unwrap().dims(), [0]);
        let message = ops::generalized_box_iou_loss(&boxes, &empty).unwrap_err().to_string();
        assert!(message.contains("found [3, 4] and [0, 4]"), "{message}");
    });
}

#[test]
fn extreme_logits_stay_finite() {
    on_each(|kernels| {
        let logits = var(&tensor(vec![1e30, -1e30, 0.0, -1e30, 1e30, 0.0], &[2, 3]));
        let loss = cross_entropy(&logits, &[0, 1]).unwrap();
        assert_eq!(scalar(&loss), 0.0, "{kernels:?}");
        assert_eq!(values(loss.backward().unwrap().get(&logits).unwrap()), [0.0; 6], "{kernels:?}");

        // Right and wrong, both ways; far out, and where exp is just a number still.
        for x in [1e4, 90.0] {
            let logits = var(&tensor(vec![x, -x, x, -x], &[4]));
            let targets = tensor(vec![1.0, 0.0, 0.0, 1.0], &[4]);
            let loss = ops::binary_cross_entropy_with_logits(&logits, &targets).unwrap();
            assert_eq!(scalar(&loss), x / 2.0, "{kernels:?}");
            let gradients = loss.backward().unwrap();
            assert_close("bce gradient", gradients.get(&logits).unwrap(), &tensor(vec![0.0, 0.0, 0.25, -0.25], &[4]));
            for gamma in [0.0, 0.5, 1.0, 2.0, 3.0] {
                let focal = FocalLoss { alpha: Some(0.25), gamma };
                let loss = ops::sigmoid_focal_loss(&logits, &targets, focal).unwrap();
                assert_eq!(scalar(&loss), x, "{kernels:?}, gamma {gamma}");
                let gradients = loss.backward().unwrap();
                let expected = tensor(vec![0.0, 0.0, 0.75, -0.25], &[4]);
                assert_close("focal gradient", gradients.get(&logits).unwrap(), &expected);
            }
        }
    });
}

#[test]
fn a_batch_without_labels_has_loss_and_gradient_zero() {
    on_each(|kernels| {
        // The rows that do not count may hold anything.
        let logits = var(&tensor(vec![f32::NAN, 1.0, f32::INFINITY, 0.0, 1.0, 2.0], &[2, 3]));
        let options = CrossEntropy { ignore_index: Some(7), label_smoothing: 0.1, weight: Some(vec![1.0, 0.0, 1.0]) };
        let loss = ops::cross_entropy(&logits, &[7, 7], &options).unwrap();
        assert_eq!(scalar(&loss), 0.0, "{kernels:?}");
        assert_eq!(values(loss.backward().unwrap().get(&logits).unwrap()), [0.0; 6], "{kernels:?}");
        // Labeled, but of weight 0.
        let loss = ops::cross_entropy(&logits, &[7, 1], &options).unwrap();
        assert_eq!(scalar(&loss), 0.0, "{kernels:?}");
        assert_eq!(values(loss.backward().unwrap().get(&logits).unwrap()), [0.0; 6], "{kernels:?}");
        let dice = ops::dice_loss(&logits, &[7, 7], Some(7)).unwrap();
        assert_eq!(scalar(&dice), 0.0, "{kernels:?}");
        assert_eq!(values(dice.backward().unwrap().get(&logits).unwrap()), [0.0; 6], "{kernels:?}");
        // An ignored row next to one that counts.
        let plain = CrossEntropy { ignore_index: Some(7), ..CrossEntropy::default() };
        let loss = ops::cross_entropy(&logits, &[7, 1], &plain).unwrap();
        let softmax = [0.090_030_57, 0.244_728_48 - 1.0, 0.665_240_94];
        assert!((scalar(&loss) - 1.407_606).abs() < 1e-6, "{kernels:?}");
        let gradients = loss.backward().unwrap();
        let [a, b, c] = softmax;
        assert_close("gradient", gradients.get(&logits).unwrap(), &tensor(vec![0.0, 0.0, 0.0, a, b, c], &[2, 3]));
        // Of one row, the Dice coefficient is 2p / (p + 1).
        let (dice, p) = (ops::dice_loss(&logits, &[7, 1], Some(7)).unwrap(), softmax[1] + 1.0);
        assert!((scalar(&dice) - (1.0 - 2.0 * p / (p + 1.0))).abs() < 1e-6, "{kernels:?}");
        assert_eq!(values(dice.backward().unwrap().get(&logits).unwrap())[..3], [0.0; 3], "{kernels:?}");
    });
}

#[test]
fn empty_tensors_have_results() {
    let zeros = |dims: &[usize]| Var::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    on_each(|kernels| {
        for dims in [[0, 3], [0, 0]] {
            let logits = zeros(&dims);
            for loss in [
                cross_entropy(&logits, &[]),
                ops::binary_cross_entropy_with_logits(&logits, &logits),
                ops::sigmoid_focal_loss(&logits, &logits, FocalLoss::default()),
                ops::dice_loss(&logits, &[], None),
                ops::mse_loss(&logits, &logits),
                ops::l1_loss(&logits, &logits),
                ops::smooth_l1_loss(&logits, &logits, 1.0),
            ] {
                let loss = loss.unwrap();
                assert_eq!(scalar(&loss), 0.0, "{kernels:?}");
                loss.backward().unwrap();
            }
        }
        let message = cross_entropy(&zeros(&[1, 0]), &[0]).unwrap_err().to_string();
        assert!(message.contains("below 0"), "{message}");
        for (n, inputs, outputs) in [(0, 3, 2), (2, 0, 3), (2, 3, 0), (0, 0, 0)] {
            let (x, weight, bias) = (zeros(&[n, inputs]), zeros(&[outputs, inputs]), var(&random("b", &[outputs])));
            let y = ops::linear(&x, &weight, Some(&bias)).unwrap();
            assert_eq!(y.dims(), [n, outputs], "{kernels:?}");
            assert_eq!(values(&y), values(&bias).repeat(n), "{kernels:?}");
            let gradients = y.sum_all().unwrap().backward().unwrap();
            if let Some(gradient) = gradients.get(&bias) {
                assert_eq!(values(gradient), vec![n as f32; outputs], "{kernels:?}");
            }
        }
    });
}

#[test]
fn not_a_number_is_never_hidden() {
    on_each(|kernels| {
        let mut x = vec![0.5; 40];
        x[21] = f32::NAN;
        let x = var(&tensor(x, &[2, 20]));
        let soft = tensor(vec![0.25; 40], &[2, 20]);
        for (name, y) in [
            ("cross_entropy", cross_entropy(&x, &[0, 19])),
            ("bce", ops::binary_cross_entropy_with_logits(&x, &soft)),
            ("bce targets", ops::binary_cross_entropy_with_logits(&soft, &x)),
            ("focal", ops::sigmoid_focal_loss(&x, &soft, FocalLoss { alpha: None, gamma: 0.0 })),
            ("dice", ops::dice_loss(&x, &[0, 19], None)),
            ("mse", ops::mse_loss(&x, &soft)),
            ("l1 target", ops::l1_loss(&soft, &x)),
            ("smooth l1", ops::smooth_l1_loss(&x, &soft, 1.0)),
            ("linear", ops::linear(&x, &soft, None)),
        ] {
            let y = y.unwrap();
            assert!(values(&y).iter().any(|v| v.is_nan()), "{name} on {kernels:?}");
            let gradients = y.sum_all().unwrap().backward().unwrap();
            if let Some(gradient) = gradients.get(&x).filter(|_| name != "linear") {
                assert!(values(gradient)[21].is_nan(), "gradient of {name} on {kernels:?}");
            }
        }
    });
}

/// Sizes of many tasks, on which the kernels and candle's own operations must agree.
#[test]
fn large_losses_are_the_same_on_every_path_and_number_of_threads() {
    let (rows, classes) = (3001, 21);
    let logits = var(&(random("logits", &[rows, classes]) * 8.0).unwrap());
    let labels: Vec<u32> = (0..rows as u32).map(|i| if i % 5 == 0 { 255 } else { i * 7 % classes as u32 }).collect();
    let hits = random("hits", &[rows, classes]).gt(0.5).unwrap().to_dtype(DType::F32).unwrap();
    let options = CrossEntropy {
        ignore_index: Some(255),
        label_smoothing: 0.1,
        weight: Some((0..classes).map(|class| 0.5 + class as f32).collect()),
    };
    let run = |kernels: Kernels| {
        let losses = || {
            [
                ops::cross_entropy(&logits, &labels, &options),
                ops::binary_cross_entropy_with_logits(&logits, &hits),
                ops::sigmoid_focal_loss(&logits, &hits, FocalLoss::default()),
                ops::sigmoid_focal_loss(&logits, &hits, FocalLoss { alpha: None, gamma: 1.5 }),
                ops::dice_loss(&logits, &labels, Some(255)),
                ops::mse_loss(&logits, &hits),
                ops::l1_loss(&logits, &hits),
                ops::smooth_l1_loss(&logits, &hits, 2.0),
            ]
        };
        let both = |loss: Result<Tensor>| {
            let loss = loss.unwrap();
            let gradients = loss.backward().unwrap();
            // The same scale for all, so that the tolerance means something for a mean's gradient.
            let gradient = gradients.get(&logits).unwrap();
            let largest = values(gradient).into_iter().fold(0f32, |m, v| m.max(v.abs()));
            [loss, (gradient / f64::from(largest)).unwrap()]
        };
        kernels.scope(losses).unwrap().into_iter().flat_map(both).collect::<Vec<_>>()
    };
    let expected = run(Kernels::Candle);
    for kernels in Kernels::available().filter(|kernels| *kernels != Kernels::Candle) {
        for (i, (found, expected)) in run(kernels).iter().zip(&expected).enumerate() {
            assert_close(&format!("result {i} on {kernels:?}"), found, expected);
        }
        assert_same_bits(kernels.name(), || run(kernels));
    }
}

#[test]
fn linear_is_the_same_on_every_path_and_number_of_threads() {
    for (n, inputs, outputs) in [(1, 700, 901), (300, 129, 65), (40, 513, 10)] {
        let [x, w] = [("x", [n, inputs]), ("w", [outputs, inputs])].map(|(name, dims)| var(&random(name, &dims)));
        let (b, upstream) = (var(&random("b", &[outputs])), random("u", &[n, outputs]));
        let run = |kernels: Kernels| {
            let y = kernels.scope(|| ops::linear(&x, &w, Some(&b))).unwrap().unwrap();
            let gradients = gradients_under(&y, &upstream);
            let mut all = vec![y];
            all.extend([&x, &w, &b].map(|input| gradients.get(input).unwrap().clone()));
            all
        };
        let best = Kernels::available().next().unwrap();
        for (found, expected) in run(best).iter().zip(run(Kernels::Candle)) {
            assert_close(&format!("{n}x{inputs}x{outputs}"), found, &expected);
        }
        assert_same_bits("linear", || run(best));
    }
}

#[test]
fn strided_arguments_are_read_in_order() {
    let (logits, targets) = (random("logits", &[3, 4]), random("targets", &[4, 3]).abs().unwrap());
    let turned = targets.t().unwrap();
    on_each(|_| {
        let loss = |x: &Tensor, t: &Tensor| scalar(&ops::binary_cross_entropy_with_logits(x, t).unwrap());
        assert_eq!(loss(&logits, &turned), loss(&logits, &turned.contiguous().unwrap()));
        let y = |w: &Tensor| ops::linear(&logits, w, None).unwrap();
        assert_close("linear", &y(&turned), &y(&turned.contiguous().unwrap()));
    });
}

#[test]
fn no_grad_and_second_backward_passes() {
    on_each(|kernels| {
        let (x, w) = (var(&random("x", &[3, 4])), var(&random("w", &[4, 4])));
        let run = || {
            let y = ops::linear(&x, &w, None).unwrap();
            let bce = ops::binary_cross_entropy_with_logits(&y, &x).unwrap();
            (cross_entropy(&y, &[1, 2, 3]).unwrap() + bce).unwrap()
        };
        let untracked = ops::no_grad(run);
        assert!(untracked.backward().unwrap().get(&w).is_none(), "{kernels:?}");
        let tracked = run();
        assert_eq!(scalar(&tracked), scalar(&untracked));
        assert!(tracked.backward().unwrap().get(&w).is_some());
        if kernels != Kernels::Candle {
            let message = tracked.backward().unwrap_err().to_string();
            assert!(message.contains("taken already"), "{message}");
        }
    });
}

#[test]
fn bad_arguments_are_named() {
    let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    let says = |result: Result<Tensor>, expected: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    on_each(|_| {
        let x = zeros(&[2, 3]);
        says(
            ops::linear(&x, &zeros(&[4, 2]), None),
            "linear: expected x [n, in] and weight [out, in], found [2, 3] and [4, 2]",
        );
        says(ops::linear(&x, &zeros(&[4, 3]), Some(&zeros(&[3]))), "[4, 3] and [3]");
        says(ops::linear(&zeros(&[3]), &zeros(&[4, 3]), None), "expected x of shape [n, in], found [3]");
        says(cross_entropy(&x, &[0, 3]), "found 3 in row 1");
        says(cross_entropy(&x, &[0]), "[2, 3] and 1 targets");
        says(cross_entropy(&zeros(&[3]), &[0]), "cross_entropy: expected logits of shape [rows, classes], found [3]");
        let plain = CrossEntropy::default();
        for (options, expected) in [
            (CrossEntropy { label_smoothing: 1.5, ..plain.clone() }, "found 1.5"),
            (CrossEntropy { label_smoothing: f64::NAN, ..plain.clone() }, "found NaN"),
            (CrossEntropy { weight: Some(vec![1.0; 2]), ..plain.clone() }, "each of 3 classes, found 2"),
            (CrossEntropy { weight: Some(vec![1.0, -2.0, 1.0]), ..plain.clone() }, "found -2 for class 1"),
        ] {
            says(ops::cross_entropy(&x, &[0, 1], &options), expected);
        }
        says(
            ops::dice_loss(&x, &[0, 3], None),
            "dice_loss: expected targets below 3, the number of classes; found 3 in row 1",
        );
        says(ops::dice_loss(&x, &[0], None), "dice_loss: expected a target a row, found logits [2, 3] and 1 targets");
        let shapes = "one shape, found [2, 3] and [3, 2]";
        says(ops::binary_cross_entropy_with_logits(&x, &zeros(&[3, 2])), shapes);
        says(
            ops::mse_loss(&x, &zeros(&[3, 2])),
            "mse_loss: expected input and target of one shape, found [2, 3] and [3, 2]",
        );
        says(ops::smooth_l1_loss(&x, &x, -0.5), "smooth_l1_loss: expected a finite beta of at least 0, found -0.5");
        says(ops::smooth_l1_loss(&x, &x, f64::NAN), "found NaN");
        says(ops::sigmoid_focal_loss(&x, &zeros(&[3, 2]), FocalLoss::default()), shapes);
        says(ops::sigmoid_focal_loss(&x, &x, FocalLoss { alpha: Some(2.0), gamma: 2.0 }), "alpha: Some(2.0)");
        says(ops::sigmoid_focal_loss(&x, &x, FocalLoss { alpha: None, gamma: -1.0 }), "gamma: -1.0");
        says(ops::binary_cross_entropy_with_logits(&x, &x.to_dtype(DType::F64).unwrap()), "targets of type f32");
    });
}
