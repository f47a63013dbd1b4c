//! Elementwise and spatial operations: against their definitions, finite differences and PyTorch's numbers,
//! with every set of kernels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use candle_core::{Device, Result, Tensor, Var};
use golden::Vectors;
use ops::{AvgPool2d, FeatureMap, Kernels, MaxPool2d, Resize};
use proptest::prelude::*;
use rand::RngExt;

const ALIGNED: Resize = Resize::Bilinear { align_corners: true };
const HALF_PIXEL: Resize = Resize::Bilinear { align_corners: false };

/// An operation on one map.
#[derive(Debug, Clone, Copy)]
enum Op {
    Relu,
    Relu6,
    LeakyRelu(f64),
    MaxPool2d(MaxPool2d),
    AvgPool2d(AvgPool2d),
    Resize([usize; 2], Resize),
    /// The map itself, three values more, and the map again.
    Concat,
}

impl Op {
    fn apply(self, x: &FeatureMap) -> Result<FeatureMap> {
        match self {
            Self::Relu => ops::relu(x),
            Self::Relu6 => ops::relu6(x),
            Self::LeakyRelu(slope) => ops::leaky_relu(x, slope),
            Self::MaxPool2d(geometry) => ops::max_pool2d(x, geometry),
            Self::AvgPool2d(geometry) => ops::avg_pool2d(x, geometry),
            Self::Resize(size, mode) => ops::resize(x, size, mode),
            Self::Concat => {
                let [n, h, w, _] = x.dims();
                ops::concat(&[x, &map(&tensor(&[n, h, w, 3], vec![2.0; n * h * w * 3])), x])
            }
        }
    }

    /// The result's `[h, w]`.
    fn size(self, [h, w]: [usize; 2]) -> [usize; 2] {
        let pooled = |kernel, stride, padding| [h, w].map(|side| (side + 2 * padding - kernel) / stride + 1);
        match self {
            Self::MaxPool2d(MaxPool2d { kernel, stride, padding })
            | Self::AvgPool2d(AvgPool2d { kernel, stride, padding, .. }) => pooled(kernel, stride, padding),
            Self::Resize(size, _) => size,
            _ => [h, w],
        }
    }

    /// Pixels that pixel `[oy, ox]` of the result is made of, with their weights (for one channel `x`).
    fn terms(self, x: &[f32], [h, w]: [usize; 2], [oy, ox]: [usize; 2]) -> Vec<(usize, f32)> {
        let here = oy * w + ox;
        let window = |kernel: usize, stride: usize, padding: usize| {
            let pixels = (0..kernel * kernel).map(move |tap| {
                ((oy * stride + tap / kernel).wrapping_sub(padding), (ox * stride + tap % kernel).wrapping_sub(padding))
            });
            pixels.filter(|(y, x)| *y < h && *x < w).map(|(y, x)| y * w + x).collect::<Vec<_>>()
        };
        match self {
            Self::Relu => vec![(here, if x[here] > 0.0 { 1.0 } else { 0.0 })],
            Self::LeakyRelu(slope) => vec![(here, if x[here] > 0.0 { 1.0 } else { slope as f32 })],
            // Not linear behind 6: see `naive`.
            Self::Relu6 => vec![(here, if x[here] > 0.0 && x[here] < 6.0 { 1.0 } else { 0.0 })],
            Self::MaxPool2d(MaxPool2d { kernel, stride, padding }) => {
                let window = window(kernel, stride, padding);
                let largest = window.iter().fold(f32::NEG_INFINITY, |largest, at| largest.max(x[*at]));
                vec![(window.into_iter().find(|at| x[*at] == largest).unwrap(), 1.0)]
            }
            Self::AvgPool2d(AvgPool2d { kernel, stride, padding, count_include_pad }) => {
                let window = window(kernel, stride, padding);
                let count = if count_include_pad { kernel * kernel } else { window.len() };
                window.into_iter().map(|at| (at, 1.0 / count as f32)).collect()
            }
            Self::Resize([out_h, out_w], mode) => {
                let axis = |i: usize, input: usize, output: usize| -> Vec<(usize, f32)> {
                    // In f64: nearest sizes are powers of two here, so that both round to the same pixel.
                    let (i, last, ratio) = (i as f64, (input - 1) as f64, input as f64 / output as f64);
                    let point = match mode {
                        Resize::Nearest => (i * ratio).floor(),
                        HALF_PIXEL => ((i + 0.5) * ratio - 0.5).clamp(0.0, last),
                        _ => i * last / (output - 1).max(1) as f64,
                    };
                    (0..input).map(|at| (at, (1.0 - (at as f64 - point).abs()).max(0.0) as f32)).collect()
                };
                let (rows, columns) = (axis(oy, h, out_h), axis(ox, w, out_w));
                rows.iter().flat_map(|(y, a)| columns.iter().map(move |(x, b)| (y * w + x, a * b))).collect()
            }
            Self::Concat => unreachable!("see `naive`"),
        }
    }

    /// The result, and the input's gradient under `dy`, by definition.
    fn naive(self, dims: [usize; 4], x: &[f32], dy: &[f32]) -> [Vec<f32>; 2] {
        let [n, h, w, c] = dims;
        let [out_h, out_w] = self.size([h, w]);
        let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
        if let Self::Concat = self {
            for (pixel, y) in y.chunks_exact_mut(2 * c + 3).enumerate() {
                let (x, dy) = (&x[pixel * c..][..c], &dy[pixel * (2 * c + 3)..]);
                y.copy_from_slice(&[x, &[2.0; 3], x].concat());
                (0..c).for_each(|i| dx[pixel * c + i] = dy[i] + dy[c + 3 + i]);
            }
            return [y, dx];
        }
        for (image, channel) in (0..n).flat_map(|image| (0..c).map(move |channel| (image, channel))) {
            let plane: Vec<f32> = (0..h * w).map(|pixel| x[(image * h * w + pixel) * c + channel]).collect();
            for pixel in 0..out_h * out_w {
                let at = (image * out_h * out_w + pixel) * c + channel;
                for (from, weight) in self.terms(&plane, [h, w], [pixel / out_w, pixel % out_w]) {
                    y[at] += weight * plane[from];
                    dx[(image * h * w + from) * c + channel] += weight * dy[at];
                }
                if matches!(self, Self::Relu6) && plane[pixel] >= 6.0 {
                    y[at] = 6.0;
                }
            }
        }
        [y, dx]
    }
}

fn tensor(dims: &[usize], values: Vec<f32>) -> Tensor {
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn map(x: &Tensor) -> FeatureMap {
    FeatureMap::from_tensor(x).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

/// Values in −1..1 that depend on `name` alone.
fn random(name: &str, dims: &[usize]) -> Tensor {
    let mut rng = random::stream(0, name, &[]);
    tensor(dims, (0..dims.iter().product()).map(|_| rng.random_range(-1.0f32..1.0)).collect())
}

/// Distinct values 0.1 apart, none near 0 and 6, so that a small step crosses no kink.
fn spread(dims: &[usize]) -> Tensor {
    let len: usize = dims.iter().product();
    let order = random::permutation(len, &mut random::stream(1, "spread", &[]));
    tensor(dims, order.into_iter().map(|i| 0.1 * (i as f32 - (len / 2) as f32) + 0.05).collect())
}

/// The output of `f` and the gradient of `Σ output·upstream`.
fn differentiate(x: &Tensor, upstream: &[f32], f: impl Fn(&Tensor) -> Result<Tensor>) -> [Vec<f32>; 2] {
    let x = Var::from_tensor(x).unwrap();
    let y = f(&x).unwrap();
    let upstream = tensor(y.dims(), upstream.to_vec());
    let gradients = (&y * upstream).unwrap().sum_all().unwrap().backward().unwrap();
    let dx = gradients.get(&x).map_or_else(|| vec![0.0; x.elem_count()], values);
    [values(&y), dx]
}

fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1f32, |most, value| most.max(value.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 1e-5 * scale, "{what}: value {i}: found {found}, expected {expected}");
    }
}

fn any_op() -> impl Strategy<Value = Op> {
    let side = prop_oneof![1usize..14, Just(16), Just(32)];
    let window = (1usize..6, 1usize..5).prop_flat_map(|(kernel, stride)| (Just(kernel), Just(stride), 0..=kernel / 2));
    prop_oneof![
        Just(Op::Relu),
        Just(Op::Relu6),
        prop_oneof![Just(0.0), Just(0.25), Just(-0.5)].prop_map(Op::LeakyRelu),
        window.clone().prop_map(|(kernel, stride, padding)| Op::MaxPool2d(MaxPool2d { kernel, stride, padding })),
        (window, any::<bool>()).prop_map(|((kernel, stride, padding), count_include_pad)| {
            Op::AvgPool2d(AvgPool2d { kernel, stride, padding, count_include_pad })
        }),
        ([side.clone(), side], any::<bool>())
            .prop_map(|(size, align_corners)| { Op::Resize(size, Resize::Bilinear { align_corners }) }),
        [0u32..6, 0u32..6].prop_map(|size| Op::Resize(size.map(|log| 1 << log), Resize::Nearest)),
        Just(Op::Concat),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Small integers meet ties and kinks. The operation is applied twice to one map, which is also read itself:
    /// gradients are written once and added twice, to what each comes first.
    #[test]
    fn operations_equal_their_definition(n in 0usize..4, [h, w] in [1usize..12, 1usize..12], c in 0usize..20, op in any_op()) {
        if let Op::MaxPool2d(MaxPool2d { kernel, padding, .. }) | Op::AvgPool2d(AvgPool2d { kernel, padding, .. }) = op {
            prop_assume!(h.min(w) + 2 * padding >= kernel);
        }
        let dims = [n, h, w, c];
        let integers = |len, by| (0..len).map(|i| ((i * by) % 19) as f32 - 9.0).collect::<Vec<_>>();
        let xs = integers(n * h * w * c, 7);
        let [out_h, out_w] = op.size([h, w]);
        let out_c = if matches!(op, Op::Concat) { 2 * c + 3 } else { c };
        let (dys, direct) = (integers(n * out_h * out_w * out_c, 5), integers(xs.len(), 3));
        let [y, mut dx] = op.naive(dims, &xs, &dys);
        dx.iter_mut().zip(&direct).for_each(|(dx, direct)| *dx = 2.0 * *dx + direct);
        for kernels in Kernels::available() {
            kernels.scope(|| {
                let x = Var::from_tensor(&tensor(&dims, xs.clone())).unwrap();
                let map = map(&x);
                let [one, two] = [op.apply(&map).unwrap(), op.apply(&map).unwrap()];
                assert_eq!(one.dims(), [n, out_h, out_w, out_c]);
                assert_close(&format!("{kernels:?} {op:?} y"), &values(&one.to_tensor().unwrap()), &y);
                let dot = |map: &FeatureMap, by: &[f32]| {
                    (map.to_tensor().unwrap() * tensor(&map.dims(), by.to_vec())).unwrap().sum_all().unwrap()
                };
                let sum = ops::add(&one, &two).unwrap();
                let gradients = (dot(&sum, &dys) + dot(&map, &direct)).unwrap().backward().unwrap();
                let found = gradients.get(&x).map_or_else(Vec::new, values);
                assert_close(&format!("{kernels:?} {op:?} dx"), &found, &dx);
            }).unwrap();
        }
    }
}

#[test]
fn finite_differences() {
    let operations = [
        Op::Relu,
        Op::Relu6,
        Op::LeakyRelu(0.1),
        Op::Concat,
        Op::MaxPool2d(MaxPool2d { kernel: 3, stride: 2, padding: 1 }),
        Op::AvgPool2d(AvgPool2d { kernel: 3, stride: 2, padding: 1, count_include_pad: false }),
        Op::Resize([11, 4], Resize::Nearest),
        Op::Resize([11, 4], HALF_PIXEL),
        Op::Resize([11, 4], ALIGNED),
    ];
    let x = spread(&[2, 7, 6, 3]);
    for kernels in Kernels::available() {
        for op in operations {
            kernels
                .scope(|| {
                    let y = op.apply(&map(&x)).unwrap().to_tensor().unwrap();
                    let upstream = values(&random("upstream", y.dims()));
                    let [_, gradient] = differentiate(&x, &upstream, |x| op.apply(&map(x))?.to_tensor());
                    let direction = random("direction", x.dims());
                    let at = |step: f64| -> f64 {
                        let moved = (&x + (&direction * step).unwrap()).unwrap();
                        let y = values(&op.apply(&map(&moved)).unwrap().to_tensor().unwrap());
                        y.iter().zip(&upstream).map(|(y, u)| f64::from(*y) * f64::from(*u)).sum()
                    };
                    let numeric = (at(0.02) - at(-0.02)) / 0.04;
                    let analytic: f64 =
                        gradient.iter().zip(values(&direction)).map(|(g, d)| f64::from(*g) * f64::from(d)).sum();
                    assert!(
                        (analytic - numeric).abs() < 2e-3,
                        "{kernels:?} {op:?}: gradient says {analytic}, differences say {numeric}"
                    );
                })
                .unwrap();
        }
    }
}

/// Reference numbers of PyTorch, made by tools/make_resize_golden.py.
#[test]
fn golden_resizes() {
    let vectors = Vectors::open(env!("CARGO_MANIFEST_DIR"), "resize.safetensors");
    assert!(vectors.cases("").count() >= 29);
    for (case, settings) in vectors.cases("") {
        let mode = match settings["mode"].as_str().unwrap() {
            "nearest" => Resize::Nearest,
            "half_pixel" => HALF_PIXEL,
            "corners" => ALIGNED,
            other => panic!("{case}: unknown mode {other}"),
        };
        let [x, y, upstream] = ["x", "y", "upstream"].map(|part| vectors.floats(&format!("{case}/{part}")));
        // Torch's images are [n, c, h, w]: the maps and their gradients are strided.
        let size = [y.0[2], y.0[3]];
        let resize = |x: &Tensor| ops::resize(&FeatureMap::from_nchw(x)?, size, mode)?.to_nchw();
        for kernels in Kernels::available() {
            let [found, dx] = kernels.scope(|| differentiate(&tensor(&x.0, x.1.clone()), &upstream.1, resize)).unwrap();
            vectors.assert_close(&format!("{kernels:?}"), &format!("{case}/y"), &found);
            vectors.assert_close(&format!("{kernels:?}"), &format!("{case}/dx"), &dx);
        }
    }
}

/// Every operation on two maps of 1 and 5 images: the same bits with 1, 2 and 3 threads.
#[test]
fn threads_do_not_change_bits() {
    let everything = |x: &Tensor| {
        let x = &map(x);
        let pooled = ops::max_pool2d(x, MaxPool2d { kernel: 3, stride: 2, padding: 1 })?;
        let mean = ops::avg_pool2d(x, AvgPool2d { kernel: 3, stride: 2, padding: 1, count_include_pad: false })?;
        let wide = ops::concat(&[&ops::relu6(&pooled)?, &ops::leaky_relu(&mean, 0.1)?, &pooled])?;
        let resized = ops::resize(&wide, [45, 70], HALF_PIXEL)?;
        ops::add(&resized, &ops::resize(&ops::relu(&wide)?, [45, 70], Resize::Nearest)?)?.to_tensor()
    };
    for n in [1, 5] {
        let x = random("x", &[n, 61, 50, 7]);
        let upstream = values(&random("upstream", &[n, 45, 70, 21]));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| differentiate(&x, &upstream, everything))
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3), "{n} images");
    }
}

#[test]
fn not_a_number_is_never_hidden() {
    let pool = MaxPool2d { kernel: 2, stride: 2, padding: 0 };
    let mean = AvgPool2d { kernel: 2, stride: 2, padding: 0, count_include_pad: true };
    for kernels in Kernels::available() {
        for place in 0..4 {
            let mut image = vec![f32::INFINITY, -1.0, 7.0, 2.0];
            image[place] = f32::NAN;
            let x = kernels.scope(|| map(&tensor(&[1, 2, 2, 1], image))).unwrap();
            for op in [Op::Relu, Op::Relu6, Op::LeakyRelu(0.0), Op::MaxPool2d(pool), Op::AvgPool2d(mean)] {
                let y = values(&op.apply(&x).unwrap().to_tensor().unwrap());
                let at = if y.len() == 1 { 0 } else { place };
                assert!(y[at].is_nan(), "{kernels:?} {op:?}: {y:?}");
            }
        }
    }
}

#[test]
fn bad_arguments_are_named() {
    let message = |result: Result<FeatureMap>| result.unwrap_err().to_string();
    for kernels in Kernels::available() {
        let zeros = |dims: [usize; 4]| {
            let x = Tensor::zeros(&dims, candle_core::DType::F32, &Device::Cpu).unwrap();
            kernels.scope(|| map(&x)).unwrap()
        };
        let (x, flat) = (zeros([1, 4, 4, 2]), zeros([2, 0, 3, 2]));
        let found = |result, parts: &[&str]| {
            let message = message(result);
            assert!(parts.iter().all(|part| message.contains(part)), "{kernels:?}: {message}");
        };
        found(ops::concat(&[]), &["concat", "at least one map"]);
        found(ops::concat(&[&x, &zeros([1, 4, 3, 2])]), &["concat", "[1, 4, 4, 2]", "[1, 4, 3, 2]"]);
        found(ops::add(&x, &zeros([1, 4, 4, 1])), &["add", "[1, 4, 4, 2]", "[1, 4, 4, 1]"]);
        for mode in [Resize::Nearest, HALF_PIXEL, ALIGNED] {
            found(ops::resize(&x, [0, 4], mode), &["resize", "[1, 4, 4, 2]", "[0, 4]"]);
            found(ops::resize(&flat, [2, 2], mode), &["resize", "[2, 0, 3, 2]"]);
            for x in [&x, &zeros([0, 4, 4, 2])] {
                found(ops::resize(x, [usize::MAX / 2, 4], mode), &["resize", "larger than any memory"]);
            }
        }
        for (kernel, stride, padding) in [(0, 1, 0), (2, 0, 0), (3, 1, 2), (usize::MAX, 1, usize::MAX / 2)] {
            let mean = AvgPool2d { kernel, stride, padding, count_include_pad: true };
            found(ops::max_pool2d(&x, MaxPool2d { kernel, stride, padding }), &["max_pool2d: expected a kernel"]);
            found(ops::avg_pool2d(&x, mean), &["avg_pool2d: expected a kernel"]);
        }
        let (pool, halo) =
            (MaxPool2d { kernel: 5, stride: 1, padding: 0 }, MaxPool2d { kernel: 2, stride: 1, padding: 1 });
        found(ops::max_pool2d(&x, pool), &["max_pool2d", "larger than", "[1, 4, 4, 2]"]);
        found(ops::max_pool2d(&flat, halo), &["max_pool2d", "at least one pixel", "[2, 0, 3, 2]"]);
        if kernels != Kernels::Candle {
            let other = Kernels::Candle.scope(|| map(&random("other", &[1, 4, 4, 2]))).unwrap();
            found(ops::concat(&[&x, &other]), &["concat", "one set of kernels"]);
        }
    }
    let x = Kernels::Portable.scope(|| map(&random("x", &[1, 1, 1, 1]))).unwrap();
    assert!(message(ops::resize(&x, [1 << 40, 1 << 16], HALF_PIXEL)).contains("no memory"));
}
