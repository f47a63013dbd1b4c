//! Operations on maps: convolution, batch norm, activation, pooling.

use super::{
    assert_close, assert_same_bits, check_gradient, gradients_under, map, on_each, random, spread, tensor, values, var,
};
use candle_core::{DType, Device, Result, Tensor, Var};
use ops::{BatchNorm, Conv2d, FeatureMap, Kernels, MaxPool2d, Statistics};

const PLAIN: Conv2d = Conv2d { stride: 1, padding: 0, dilation: 1, groups: 1 };

fn norm_of(weight: &Tensor, bias: &Tensor) -> BatchNorm {
    let c = weight.dims()[0];
    BatchNorm {
        weight: weight.clone(),
        bias: bias.clone(),
        running_mean: var(&tensor((0..c).map(|i| i as f32 * 0.1).collect(), &[c])),
        running_var: var(&tensor((0..c).map(|i| 0.5 + i as f32 * 0.2).collect(), &[c])),
        eps: 1e-5,
        momentum: 0.1,
    }
}

/// `op` of a tensor's map, as a tensor.
fn through(x: &Tensor, op: impl FnOnce(&FeatureMap) -> Result<FeatureMap>) -> Result<Tensor> {
    op(&FeatureMap::from_tensor(x)?)?.to_tensor()
}

#[test]
fn finite_differences_of_conv2d() {
    for (name, outputs, geometry) in [
        ("plain", 6, PLAIN),
        ("strided, odd by even", 6, Conv2d { stride: 2, padding: 1, ..PLAIN }),
        ("dilated", 6, Conv2d { padding: 2, dilation: 2, ..PLAIN }),
        ("dilated and strided", 6, Conv2d { stride: 2, padding: 2, dilation: 2, ..PLAIN }),
        ("grouped", 6, Conv2d { padding: 1, groups: 2, ..PLAIN }),
        ("depthwise", 4, Conv2d { padding: 1, groups: 4, ..PLAIN }),
        ("depthwise, dilated and strided", 4, Conv2d { stride: 2, padding: 2, dilation: 2, groups: 4 }),
    ] {
        let inputs =
            [random("x", &[2, 7, 6, 4]), random("w", &[outputs, 4 / geometry.groups, 3, 3]), random("b", &[outputs])];
        check_gradient(name, &inputs[..2], |i| through(&i[0], |x| ops::conv2d(x, &i[1], None, geometry)));
        check_gradient(name, &inputs, |i| through(&i[0], |x| ops::conv2d(x, &i[1], Some(&i[2]), geometry)));
    }
    let pointwise = [random("x", &[2, 5, 4, 3]), random("w", &[5, 3, 1, 1])];
    check_gradient("1x1", &pointwise, |i| through(&i[0], |x| ops::conv2d(x, &i[1], None, PLAIN)));
}

#[test]
fn a_convolution_that_reads_only_padding_is_zero() {
    on_each(|kernels| {
        let (x, w) = (var(&random("x", &[1, 1, 5, 1])), var(&random("w", &[1, 1, 1, 2])));
        let geometry = Conv2d { stride: 2, padding: 1, dilation: 3, groups: 1 };
        let y = through(&x, |x| ops::conv2d(x, &w, None, geometry)).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(values(&y), [0.0; 4], "{kernels:?}");
        assert_eq!(values(gradients.get(&x).unwrap()), [0.0; 5], "{kernels:?}");
        assert_eq!(values(gradients.get(&w).unwrap()), [0.0; 2], "{kernels:?}");
    });
}

#[test]
fn finite_differences_of_batch_norm() {
    let parameters = [random("weight", &[6]), random("bias", &[6])];
    for dims in [[3, 5, 4, 6], [9, 1, 1, 6]] {
        let inputs = [random("x", &dims), parameters[0].clone(), parameters[1].clone()];
        for statistics in [Statistics::Batch, Statistics::Running] {
            check_gradient("batch_norm", &inputs, |i| {
                through(&i[0], |x| ops::batch_norm(x, &norm_of(&i[1], &i[2]), statistics, false))
            });
        }
    }
}

#[test]
fn finite_differences_of_conv_bn() {
    let geometry = Conv2d { stride: 2, padding: 1, ..PLAIN };
    let [x, w, residual] = [("x", [3, 7, 6, 4]), ("w", [5, 4, 3, 3]), ("r", [3, 4, 3, 5])].map(|(n, d)| random(n, &d));
    let inputs = [x, w, random("weight", &[5]), random("bias", &[5]), residual];
    for statistics in [Statistics::Batch, Statistics::Running] {
        check_gradient("conv_bn", &inputs, |i| {
            let (norm, residual) = (norm_of(&i[2], &i[3]), map(&i[4]));
            through(&i[0], |x| ops::conv_bn(x, &i[1], geometry, &norm, statistics, Some(&residual), false))
        });
    }
}

#[test]
fn finite_differences_of_activations_and_pools() {
    check_gradient("relu", &[spread("relu", &[2, 3, 7, 1])], |i| through(&i[0], ops::relu));
    let pair = [random("a", &[2, 3, 4, 2]), random("b", &[2, 3, 4, 2])];
    check_gradient("add", &pair, |i| through(&i[0], |a| ops::add(a, &map(&i[1]))));
    for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0), (5, 2, 2)] {
        let geometry = MaxPool2d { kernel, stride, padding };
        check_gradient("max_pool2d", &[spread("pool", &[2, 7, 6, 3])], |i| {
            through(&i[0], |x| ops::max_pool2d(x, geometry))
        });
    }
    check_gradient("global_avg_pool2d", &[random("x", &[2, 3, 5, 4])], |i| ops::global_avg_pool2d(&map(&i[0])));
}

/// A convolution with everything behind it, all of it tracked.
struct Layer {
    geometry: Conv2d,
    /// x, convolution's weight, norm's weight and bias, residual.
    inputs: [Var; 5],
}

impl Layer {
    fn new([n, h, w, c]: [usize; 4], [outputs, kernel]: [usize; 2], geometry: Conv2d) -> Self {
        let side = |side| (side + 2 * geometry.padding - geometry.dilation * (kernel - 1) - 1) / geometry.stride + 1;
        let dims: [&[usize]; 5] = [
            &[n, h, w, c],
            &[outputs, c / geometry.groups, kernel, kernel],
            &[outputs],
            &[outputs],
            &[n, side(h), side(w), outputs],
        ];
        Self { geometry, inputs: std::array::from_fn(|i| var(&random(&format!("layer {i}"), dims[i]))) }
    }

    /// Result, running statistics, and the gradients of all inputs.
    fn run(&self, fused: bool, statistics: Statistics, with_residual: bool, relu: bool) -> Vec<Tensor> {
        let [x, weight, gamma, beta, residual] = &self.inputs;
        let norm = norm_of(gamma, beta);
        let (x, residual) = (map(x), with_residual.then(|| map(residual)));
        let y = if fused {
            ops::conv_bn(&x, weight, self.geometry, &norm, statistics, residual.as_ref(), relu).unwrap()
        } else {
            let mut y = ops::conv2d(&x, weight, None, self.geometry).unwrap();
            y = ops::batch_norm(&y, &norm, statistics, relu && !with_residual).unwrap();
            match &residual {
                Some(residual) if relu => ops::relu(&ops::add(&y, residual).unwrap()).unwrap(),
                Some(residual) => ops::add(&y, residual).unwrap(),
                None => y,
            }
        };
        let y = y.to_tensor().unwrap();
        let gradients = gradients_under(&y, &random("upstream", y.dims()));
        let mut all = vec![y, norm.running_mean.as_tensor().clone(), norm.running_var.as_tensor().clone()];
        let inputs = &self.inputs[..if with_residual { 5 } else { 4 }];
        all.extend(inputs.iter().map(|input| gradients.get(input).expect("no gradient").clone()));
        all
    }
}

/// Odd sizes, such that vectors and blocks do not come out even.
fn layers() -> [Layer; 6] {
    [
        Layer::new([3, 7, 5, 5], [9, 3], Conv2d { padding: 1, ..PLAIN }),
        Layer::new([2, 9, 8, 17], [33, 3], Conv2d { stride: 2, padding: 1, ..PLAIN }),
        Layer::new([5, 6, 7, 19], [3, 1], PLAIN),
        Layer::new([3, 9, 7, 21], [21, 3], Conv2d { padding: 1, groups: 21, ..PLAIN }),
        Layer::new([2, 11, 9, 6], [10, 3], Conv2d { stride: 2, padding: 2, dilation: 2, groups: 2 }),
        Layer::new([19, 17, 15, 16], [24, 3], Conv2d { padding: 1, ..PLAIN }),
    ]
}

#[test]
fn conv_bn_is_its_parts() {
    on_each(|kernels| {
        for layer in layers() {
            for statistics in [Statistics::Batch, Statistics::Running] {
                for (residual, relu) in [(false, false), (false, true), (true, false), (true, true)] {
                    let fused = layer.run(true, statistics, residual, relu);
                    let parts = layer.run(false, statistics, residual, relu);
                    for (i, (fused, part)) in fused.iter().zip(&parts).enumerate() {
                        let geometry = layer.geometry;
                        let what = format!(
                            "{kernels:?}, {geometry:?}, {statistics:?}, residual {residual}, relu {relu}: result {i}"
                        );
                        assert_close(&what, fused, part);
                    }
                }
            }
        }
    });
}

#[test]
fn evaluation_without_gradients_is_evaluation() {
    on_each(|kernels| {
        for layer in layers() {
            let [x, weight, gamma, beta, residual] = &layer.inputs;
            let norm = norm_of(gamma, beta);
            for (residual, relu) in [(None, false), (None, true), (Some(map(residual)), true)] {
                let run = || {
                    let residual = residual.as_ref();
                    let y = ops::conv_bn(&map(x), weight, layer.geometry, &norm, Statistics::Running, residual, relu);
                    y.unwrap().to_tensor().unwrap()
                };
                assert_close(&format!("{kernels:?}, {:?}", layer.geometry), &ops::no_grad(run), &run());
            }
        }
    });
}

#[test]
fn threads_do_not_change_bits() {
    for kernels in Kernels::available().filter(|kernels| *kernels != Kernels::Candle) {
        for layer in layers() {
            let run = || kernels.scope(|| layer.run(true, Statistics::Batch, true, true)).unwrap();
            assert_same_bits(&format!("{kernels:?}, {:?}", layer.geometry), run);
        }
        let [x, weight, bias] =
            [random("x", &[9, 11, 10, 16]), random("w", &[8, 16, 3, 3]), random("b", &[8])].map(|t| var(&t));
        assert_same_bits(kernels.name(), || {
            let inside = || {
                let y = ops::conv2d(&map(&x), &weight, Some(&bias), Conv2d { padding: 1, ..PLAIN }).unwrap();
                let y = ops::batch_norm(&y, &norm_of(&bias, &bias), Statistics::Batch, true).unwrap();
                let y = ops::max_pool2d(&y, MaxPool2d { kernel: 3, stride: 2, padding: 1 }).unwrap();
                let y = ops::global_avg_pool2d(&y).unwrap();
                let gradients = gradients_under(&y, &random("upstream", y.dims()));
                let mut all = vec![y];
                all.extend([&x, &weight, &bias].map(|input| gradients.get(input).unwrap().clone()));
                all
            };
            kernels.scope(inside).unwrap()
        });
    }
}

#[test]
fn a_map_used_several_times_collects_all_gradients() {
    type Op = fn(&FeatureMap, &Tensor) -> Result<FeatureMap>;
    let start = random("x", &[2, 6, 5, 4]);
    let uses: [Op; 7] = [
        |x, _| ops::relu(x),
        |x, w| ops::conv2d(x, w, None, Conv2d { padding: 1, ..PLAIN }),
        |x, _| ops::conv2d(x, &random("d", &[4, 1, 3, 3]), None, Conv2d { padding: 1, groups: 4, ..PLAIN }),
        |x, _| ops::max_pool2d(x, MaxPool2d { kernel: 3, stride: 1, padding: 1 }),
        |x, _| ops::batch_norm(x, &norm_of(&random("g", &[4]), &random("h", &[4])), Statistics::Batch, false),
        |x, w| {
            let norm = norm_of(&random("g", &[4]), &random("h", &[4]));
            ops::conv_bn(x, w, Conv2d { padding: 1, ..PLAIN }, &norm, Statistics::Batch, Some(x), true)
        },
        |x, _| ops::add(x, x),
    ];
    let upstream = random("upstream", start.dims());
    on_each(|kernels| {
        let (x, w) = (var(&start), var(&random("w", &[4, 4, 3, 3])));
        let gradients_of = |uses: &[Op]| {
            let inner = ops::add(&map(&x), &map(&x)).unwrap();
            let mut sum = inner.clone();
            for used in uses {
                sum = ops::add(&sum, &used(&inner, &w).unwrap()).unwrap();
            }
            let gradients = gradients_under(&sum.to_tensor().unwrap(), &upstream);
            let zeros = || w.zeros_like().unwrap();
            (gradients.get(&x).unwrap().clone(), gradients.get(&w).cloned().unwrap_or_else(zeros))
        };
        let [mut dx, mut dw] = [x.zeros_like().unwrap(), w.zeros_like().unwrap()];
        for used in &uses {
            let (dx_alone, dw_alone) = gradients_of(&[*used]);
            dx = (dx + dx_alone).unwrap();
            dw = (dw + dw_alone).unwrap();
        }
        // Each run alone has the sum's first term, 2·upstream, once.
        dx = (dx - (&upstream * (2.0 * (uses.len() - 1) as f64)).unwrap()).unwrap();
        let (dx_together, dw_together) = gradients_of(&uses);
        assert_close(&format!("dx on {kernels:?}"), &dx_together, &dx);
        assert_close(&format!("dw on {kernels:?}"), &dw_together, &dw);
    });
}

#[test]
fn a_second_backward_pass_is_an_error() {
    on_each(|kernels| {
        let layer = &layers()[0];
        let [x, weight, gamma, beta, _] = &layer.inputs;
        let y = ops::conv_bn(&map(x), weight, layer.geometry, &norm_of(gamma, beta), Statistics::Batch, None, true);
        let y = ops::max_pool2d(&y.unwrap(), MaxPool2d { kernel: 2, stride: 2, padding: 0 }).unwrap();
        let loss = ops::global_avg_pool2d(&y).unwrap().sum_all().unwrap();
        let first = loss.backward().unwrap();
        match loss.backward() {
            Ok(second) => {
                assert_eq!(kernels, Kernels::Candle);
                assert_eq!(values(first.get(x).unwrap()), values(second.get(x).unwrap()));
            }
            Err(error) => assert!(error.to_string().contains("taken already"), "{error}"),
        }
    });
}

#[test]
fn strided_arguments_and_gradients_are_read_in_order() {
    // A transposed input, and a transposed gradient, must act as their contiguous copies do.
    let x = random("x", &[2, 6, 5, 4]);
    let turned = x.transpose(1, 2).unwrap().contiguous().unwrap();
    let w = var(&random("w", &[3, 4, 3, 3]));
    let upstream = random("u", &[2, 3, 4, 3]);
    on_each(|_| {
        let run = |x: &Tensor| {
            let y = through(x, |x| ops::conv2d(x, &w, None, PLAIN)).unwrap();
            let y = y.transpose(1, 2).unwrap().transpose(1, 3).unwrap();
            values(gradients_under(&y, &upstream).get(&w).unwrap())
        };
        assert_eq!(run(&x), run(&turned.transpose(1, 2).unwrap()));
        let channels_first = x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        let there = FeatureMap::from_nchw(&channels_first).unwrap();
        assert_eq!(values(&there.to_tensor().unwrap()), values(&x));
        assert_eq!(values(&there.to_nchw().unwrap()), values(&channels_first));
    });
}

/// `torch.nn.functional.max_pool2d` and `relu` on these inputs give these gradients; candle's own do not.
#[test]
fn gradients_at_kinks_are_those_of_torch() {
    on_each(|kernels| {
        let gradient = |x: Vec<f32>, dims: &[usize], op: &dyn Fn(&FeatureMap) -> Result<FeatureMap>| {
            let x = var(&tensor(x, dims));
            let y = through(&x, op).unwrap();
            values(y.sum_all().unwrap().backward().unwrap().get(&x).unwrap())
        };
        let pool =
            |kernel, padding| move |x: &FeatureMap| ops::max_pool2d(x, MaxPool2d { kernel, stride: kernel, padding });
        let two = gradient(vec![1.0, 2.0, 3.0, 4.0], &[1, 2, 2, 1], &pool(2, 0));
        assert_eq!(two, [0.0, 0.0, 0.0, 1.0], "{kernels:?}");
        // Of equal values the first; padding never wins, not even over negative values.
        let ties = gradient(vec![5.0, 5.0, 5.0, 5.0], &[1, 2, 2, 1], &pool(2, 0));
        assert_eq!(ties, [1.0, 0.0, 0.0, 0.0], "{kernels:?}");
        let padded = gradient(vec![-5.0, -6.0, -7.0, -4.0], &[1, 2, 2, 1], &pool(2, 1));
        assert_eq!(padded, [1.0; 4], "{kernels:?}");
        let relu = gradient(vec![0.0, -0.0, -1.0, 1.0], &[1, 1, 1, 4], &ops::relu);
        assert_eq!(relu, [0.0, 0.0, 0.0, 1.0], "{kernels:?}");
    });
}

#[test]
fn not_a_number_is_never_hidden() {
    on_each(|kernels| {
        let mut x = vec![0.5; 32];
        x[13] = f32::NAN;
        let x = map(&tensor(x, &[2, 4, 4, 1]));
        let ones = |dims: &[usize]| Tensor::ones(dims, DType::F32, &Device::Cpu).unwrap();
        let (one, w) = (ones(&[1]), ones(&[1, 1, 3, 3]));
        let geometry = Conv2d { padding: 1, ..PLAIN };
        let norm = || norm_of(&one, &one);
        let pool = MaxPool2d { kernel: 2, stride: 2, padding: 0 };
        let avg = ops::global_avg_pool2d(&x).unwrap();
        assert!(values(&avg)[0].is_nan(), "global_avg_pool2d on {kernels:?}");
        for (name, y) in [
            ("relu", ops::relu(&x)),
            ("add", ops::add(&x, &x)),
            ("max_pool2d", ops::max_pool2d(&x, pool)),
            ("conv2d", ops::conv2d(&x, &w, None, geometry)),
            ("batch_norm", ops::batch_norm(&x, &norm(), Statistics::Batch, true)),
            ("frozen batch_norm", ops::batch_norm(&x, &norm(), Statistics::Running, true)),
            ("conv_bn", ops::conv_bn(&x, &w, geometry, &norm(), Statistics::Batch, Some(&x), true)),
            (
                "evaluated conv_bn",
                ops::no_grad(|| ops::conv_bn(&x, &w, geometry, &norm(), Statistics::Running, None, true)),
            ),
        ] {
            let y = y.unwrap().to_tensor().unwrap();
            assert!(values(&y).iter().any(|v| v.is_nan()), "{name} on {kernels:?}");
        }
    });
}

#[test]
fn empty_maps_have_results_or_errors() {
    let zeros = |dims: &[usize]| Var::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    on_each(|kernels| {
        for [n, h, w, c] in [[0, 4, 4, 3], [2, 0, 4, 3], [2, 4, 0, 3], [2, 4, 4, 0], [0, 0, 0, 0]] {
            let x = zeros(&[n, h, w, c]);
            let (weight, parameter, wide) = (zeros(&[5, c, 3, 3]), zeros(&[c]), zeros(&[5]));
            let geometry = Conv2d { padding: 1, ..PLAIN };
            let pool = MaxPool2d { kernel: 3, stride: 2, padding: 1 };
            for (name, y) in [
                ("relu", ops::relu(&map(&x))),
                ("add", ops::add(&map(&x), &map(&x))),
                ("max_pool2d", ops::max_pool2d(&map(&x), pool)),
                ("conv2d", ops::conv2d(&map(&x), &weight, Some(&wide), geometry)),
                (
                    "depthwise",
                    ops::conv2d(&map(&x), &zeros(&[c, 1, 3, 3]), None, Conv2d { groups: c.max(1), ..geometry }),
                ),
                ("batch_norm", ops::batch_norm(&map(&x), &norm_of(&parameter, &parameter), Statistics::Running, true)),
                ("batch_norm", ops::batch_norm(&map(&x), &norm_of(&parameter, &parameter), Statistics::Batch, true)),
                (
                    "conv_bn",
                    ops::conv_bn(&map(&x), &weight, geometry, &norm_of(&wide, &wide), Statistics::Batch, None, true),
                ),
            ] {
                let Ok(y) = y else { continue };
                let what = format!("{name} of {:?} on {kernels:?}", [n, h, w, c]);
                let y = y.to_tensor().unwrap_or_else(|e| panic!("{what}: {e}"));
                let gradients = y.sqr().unwrap().sum_all().unwrap().backward();
                let gradients = gradients.unwrap_or_else(|e| panic!("{what}: {e}"));
                if let Some(gradient) = gradients.get(&x) {
                    assert_eq!(gradient.dims(), x.dims(), "{what}");
                }
            }
            let average = ops::global_avg_pool2d(&map(&x));
            assert_eq!(average.is_err(), h * w == 0, "{kernels:?}");
        }
    });
}

#[test]
fn bad_arguments_are_named() {
    let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    let says = |result: Result<FeatureMap>, expected: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    on_each(|_| {
        let one = zeros(&[1]);
        let norm = norm_of(&one, &one);
        let (x, w) = (map(&zeros(&[2, 4, 4, 1])), zeros(&[1, 1, 3, 3]));
        says(ops::batch_norm(&map(&zeros(&[1, 1, 1, 1])), &norm, Statistics::Batch, false), "more than one");
        says(ops::batch_norm(&map(&zeros(&[2, 2, 2, 3])), &norm, Statistics::Batch, false), "3 channels");
        says(ops::conv2d(&x, &w, Some(&zeros(&[2])), PLAIN), "1 outputs, bias has shape [2]");
        says(ops::conv_bn(&x, &w, PLAIN, &norm, Statistics::Batch, Some(&x), true), "[2, 2, 2, 1], found [2, 4, 4, 1]");
        says(ops::add(&x, &map(&zeros(&[2, 4, 4, 2]))), "[2, 4, 4, 1] and [2, 4, 4, 2]");
        says(ops::max_pool2d(&x, MaxPool2d { kernel: 5, stride: 1, padding: 0 }), "larger than");
        let double = Tensor::zeros((1, 2, 2, 1), DType::F64, &Device::Cpu).unwrap();
        says(FeatureMap::from_tensor(&double), "expected x of type f32");
    });
    let other = |kernels: Kernels| kernels.scope(|| map(&zeros(&[1, 2, 2, 1]))).unwrap();
    says(ops::add(&other(Kernels::Portable), &other(Kernels::Candle)), "one set of kernels");
}

#[test]
fn an_empty_batch_through_a_large_weight_has_a_result() {
    on_each(|kernels| {
        let zeros = |dims: &[usize]| Var::zeros(dims, DType::F32, &Device::Cpu).unwrap();
        let (x, weight) = (zeros(&[0, 4, 4, 128]), zeros(&[160, 128, 3, 3]));
        let y = ops::conv2d(&map(&x), &weight, None, Conv2d { padding: 1, ..PLAIN }).unwrap();
        assert_eq!(y.dims(), [0, 4, 4, 160]);
        let y = y.to_tensor().unwrap();
        y.sum_all().unwrap().backward().unwrap_or_else(|e| panic!("{kernels:?}: {e}"));
    });
}

#[test]
fn images_without_pixels_are_refused_whatever_the_padding() {
    let zeros = |dims: &[usize]| Var::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    for groups in [1, 4] {
        let geometry = Conv2d { padding: 1, groups, ..PLAIN };
        let error = ops::conv2d(&map(&zeros(&[1, 0, 4, 4])), &zeros(&[4, 4 / groups, 1, 1]), None, geometry);
        assert!(error.unwrap_err().to_string().contains("[1, 0, 4, 4]"));
    }
}

#[test]
fn strides_past_the_image_read_its_beginning() {
    on_each(|kernels| {
        let x = var(&random("far", &[2, 3, 3, 2]));
        let weight = random("far weight", &[3, 2, 2, 2]);
        let run =
            |stride| ops::conv2d(&map(&x), &weight, None, Conv2d { stride, ..PLAIN }).unwrap().to_tensor().unwrap();
        let gradient = |y: &Tensor| values(y.sum_all().unwrap().backward().unwrap().get(&x).unwrap());
        let (near, far) = (run(3), run(usize::MAX));
        assert_eq!((values(&near), gradient(&near)), (values(&far), gradient(&far)), "{kernels:?}");
    });
}

/// What is made under `no_grad` is a constant, also where it is made of something that is none.
#[test]
fn no_grad_cuts_the_graph_of_maps_from_outside() {
    on_each(|kernels| {
        let x = var(&random("outside", &[1, 4, 4, 2]));
        let outside = map(&x);
        let weight = random("outside weight", &[2, 2, 1, 1]);
        let parameter = random("outside parameter", &[2]);
        let norm = norm_of(&parameter, &parameter);
        let inside = ops::no_grad(|| {
            [
                ops::relu(&outside),
                ops::add(&outside, &outside),
                ops::concat(&[&outside]),
                ops::resize(&outside, [4, 4], ops::Resize::Nearest),
                ops::conv2d(&outside, &weight, None, PLAIN),
                ops::conv_bn(&outside, &weight, PLAIN, &norm, Statistics::Batch, Some(&outside), true),
            ]
        });
        for (index, y) in inside.into_iter().enumerate() {
            let loss = y.unwrap().to_tensor().unwrap().sum_all().unwrap();
            assert!(loss.backward().unwrap().get(&x).is_none(), "{kernels:?}: operation {index}");
        }
        let loss = ops::no_grad(|| ops::global_avg_pool2d(&outside)).unwrap().sum_all().unwrap();
        assert!(loss.backward().unwrap().get(&x).is_none(), "{kernels:?}: mean");
    });
}
