//! Any shape that fits, whether it pays or not: against the definition in `f64`, and the same bits on all kernels.

use super::*;
use crate::cpu::conv::Affine;
use proptest::prelude::*;
use std::sync::Mutex;

/// Values in −1..1 of no regularity.
fn values(len: usize, seed: usize) -> Vec<f32> {
    let mut state = 88_172_645_463_325_252 ^ (seed as u64) << 32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Output and gradients by definition.
fn naive(s: &ConvSizes, x: &[f32], w: &[f32], dy: &[f32]) -> [Vec<f64>; 3] {
    let [mut y, mut dx, mut dw] = [dy, x, w].map(|values| vec![0f64; values.len()]);
    let all = (0..dy.len()).flat_map(|at| (0..9).map(move |tap| (at, tap)));
    for (at_y, tap) in all {
        let (pixel, o) = (at_y / s.out_c, at_y % s.out_c);
        let (row, column) = (pixel / s.out_w, pixel % s.out_w);
        let (image, row) = (row / s.out_h, row % s.out_h);
        let Conv2d { padding, dilation, .. } = s.geometry;
        let [from_y, from_x] =
            [row + tap / 3 * dilation, column + tap % 3 * dilation].map(|from| from.wrapping_sub(padding));
        if from_y >= s.in_h || from_x >= s.in_w {
            continue;
        }
        for i in 0..s.in_c {
            let at_x = ((image * s.in_h + from_y) * s.in_w + from_x) * s.in_c + i;
            let at_w = (o * s.in_c + i) * 9 + tap;
            let [x, w, dy] = [x[at_x], w[at_w], dy[at_y]].map(f64::from);
            y[at_y] += x * w;
            dx[at_x] += dy * w;
            dw[at_w] += x * dy;
        }
    }
    [y, dx, dw]
}

struct Case {
    sizes: ConvSizes,
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
}

fn sizes(x: [usize; 4], out_c: usize, padding: usize, dilation: usize) -> ConvSizes {
    ConvSizes::new("test", x, &[out_c, x[3], 3, 3], Conv2d { padding, dilation, ..Conv2d::default() }).unwrap()
}

impl Case {
    fn new(x: [usize; 4], out_c: usize, padding: usize) -> Self {
        Self::dilated(x, out_c, padding, 1)
    }

    fn dilated(x: [usize; 4], out_c: usize, padding: usize, dilation: usize) -> Self {
        let sizes = sizes(x, out_c, padding, dilation);
        assert!(fits(&sizes));
        let [x, w, dy] = [(sizes.n * sizes.image_in(), 1), (sizes.weights(), 2), (sizes.n * sizes.image_out(), 3)]
            .map(|(len, seed)| values(len, seed));
        Self { sizes, x, w, dy }
    }

    /// Output, and both gradients, written.
    fn run(&self, kernels: Kernels) -> [Vec<f32>; 3] {
        let Self { sizes, x, w, dy } = self;
        let [mut y, mut dx, mut dw] = [dy, x, w].map(|values| vec![f32::NAN; values.len()]);
        forward(kernels, sizes, x, w, &mut y, Store::Write, None).unwrap();
        input_gradient(kernels, sizes, dy, w, &mut dx, Store::Write).unwrap();
        weight_gradient(kernels, sizes, x, dy, &mut dw, false).unwrap();
        [y, dx, dw]
    }

    /// Near the definition. A rounding is one of a tile's largest products, however small a result is, and roundings add up as
    /// random numbers do: what is tolerated is a share of the root of the sum of the products' squares.
    fn check_against_the_definition(&self) {
        let expected = naive(&self.sizes, &self.x, &self.w, &self.dy);
        let [x, w, dy] =
            [&self.x, &self.w, &self.dy].map(|values| values.iter().map(|value| value * value).collect::<Vec<_>>());
        let squares = naive(&self.sizes, &x, &w, &dy);
        let found = self.run(Kernels::current().unwrap());
        for (at, what) in ["y", "dx", "dw"].iter().enumerate() {
            let (found, expected) = (&found[at], &expected[at]);
            let scale = squares[at].iter().copied().fold(0f64, f64::max).sqrt();
            for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                let error = (f64::from(*found) - expected).abs();
                assert!(
                    error <= 3e-5 * scale,
                    "{:?}: {what}: value {at}: found {found}, expected {expected}",
                    self.sizes
                );
            }
        }
    }

    /// All kernels, one to three threads.
    fn check_bits(&self) {
        let bits = |kernels, threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let results = pool.install(|| self.run(kernels));
            results.map(|values| values.into_iter().map(f32::to_bits).collect::<Vec<_>>())
        };
        let expected = bits(Kernels::Portable, 1);
        for kernels in Kernels::available().filter(|kernels| *kernels != Kernels::Candle) {
            for threads in 1..=3 {
                assert!(bits(kernels, threads) == expected, "{:?}: {kernels:?}, {threads} threads", self.sizes);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_shape_is_right((h, w) in (1usize..15, 1usize..15), n in 1usize..6, padding in 0usize..3,
                          (inputs, outputs) in (1usize..70, 1usize..70)) {
        prop_assume!(h + 2 * padding >= 3 && w + 2 * padding >= 3);
        let case = Case::new([n, h, w, inputs], outputs, padding);
        case.check_against_the_definition();
        case.check_bits();
    }

    #[test]
    fn any_dilation_is_right((h, w) in (1usize..30, 1usize..30), n in 1usize..4, dilation in 2usize..8,
                             padding in 0usize..15, (inputs, outputs) in (1usize..40, 1usize..40)) {
        let room = 2 * dilation + 1;
        prop_assume!(padding < room && h + 2 * padding >= room && w + 2 * padding >= room);
        let case = Case::dilated([n, h, w, inputs], outputs, padding, dilation);
        case.check_against_the_definition();
        case.check_bits();
    }
}

#[test]
fn a_dilation_beyond_the_image_is_right() {
    for (side, dilation) in [(1, 1 << 20), (3, 5), (2, 2)] {
        let case = Case::dilated([2, side, side, 17], 5, dilation, dilation);
        case.check_against_the_definition();
        case.check_bits();
    }
}

#[test]
#[cfg(not(miri))] // takes too long there
fn wide_images_many_channels_and_many_images_are_right() {
    for (x, outputs) in [([1, 9, 270, 3], 5), ([2, 3, 5, 300], 140), ([70, 5, 3, 17], 33), ([1, 40, 36, 2], 3)] {
        let case = Case::new(x, outputs, 1);
        case.check_against_the_definition();
        case.check_bits();
    }
}

#[test]
#[cfg(not(miri))] // takes too long there
fn filters_are_the_same_whenever_they_are_transformed() {
    // Many filters for few tiles: transformed by each task. With more images: once.
    let few = Case::new([1, 4, 4, 400], 300, 1);
    let images = 64 * 5;
    let many = Case {
        x: few.x.repeat(images),
        dy: few.dy.repeat(images),
        w: few.w.clone(),
        ..Case::new([images, 4, 4, 400], 300, 1)
    };
    let kernels = Kernels::current().unwrap();
    let forward = |case: &Case| {
        let mut y = vec![f32::NAN; case.dy.len()];
        super::forward(kernels, &case.sizes, &case.x, &case.w, &mut y, Store::Write, None).unwrap();
        y
    };
    assert!(forward(&few).repeat(images) == forward(&many));
}

#[test]
fn results_are_added_and_mapped() {
    let case = Case::new([3, 6, 5, 7], 19, 1);
    let Case { sizes, x, w, dy } = &case;
    let kernels = Kernels::current().unwrap();
    let [y, dx, dw] = case.run(kernels);
    let plus = |values: &[f32]| values.iter().map(|value| 0.5 + value).collect::<Vec<_>>();
    let [mut sum_x, mut sum_w] = [vec![0.5; dx.len()], vec![0.5; dw.len()]];
    input_gradient(kernels, sizes, dy, w, &mut sum_x, Store::Add).unwrap();
    weight_gradient(kernels, sizes, x, dy, &mut sum_w, true).unwrap();
    assert_eq!((sum_x, sum_w), (plus(&dx), plus(&dw)));
    let (scale, shift, residual) = (values(19, 4), values(19, 5), values(y.len(), 6));
    let affine = Affine { scale: &scale, shift: &shift, residual: Some(&residual), relu: true };
    let mut mapped = vec![f32::NAN; y.len()];
    forward(kernels, sizes, x, w, &mut mapped, Store::Affine(affine), None).unwrap();
    for (at, (mapped, y)) in mapped.iter().zip(&y).enumerate() {
        assert_eq!(*mapped, (y.mul_add(scale[at % 19], shift[at % 19]) + residual[at]).max(0.0), "value {at}");
    }
}

#[test]
fn finish_sees_each_value_once() {
    for (x, dilation) in [([9, 20, 3, 2], 1), ([2, 50, 33, 2], 1), ([70, 4, 4, 40], 1), ([3, 20, 33, 2], 2)] {
        let case = Case::dilated(x, 6, dilation, dilation);
        let Case { sizes, x, w, dy } = &case;
        let seen = Mutex::new(vec![Vec::new(); block_count(sizes)]);
        let finish = |index: usize, values: &[f32]| seen.lock().unwrap()[index].extend_from_slice(values);
        let mut y = vec![f32::NAN; dy.len()];
        forward(Kernels::current().unwrap(), sizes, x, w, &mut y, Store::Write, Some(&finish)).unwrap();
        assert_eq!(seen.into_inner().unwrap().concat(), y);
    }
}

#[test]
fn what_pays_follows_from_the_shapes() {
    let pays_at = |n, side, channels: [usize; 2], dilation| {
        pays(&sizes([n, side, side, channels[0]], channels[1], dilation, dilation))
    };
    let pays = |n, side, channels| pays_at(n, side, channels, 1);
    // Layers of ResNets at their batch sizes.
    for (n, side, channels) in [(128, 32, 16), (128, 8, 64), (64, 32, 64), (64, 8, 256), (64, 4, 512)] {
        assert!(pays(n, side, [channels, channels]), "{n} images of {side}², {channels} channels");
    }
    // First layers, tiles that are mostly empty, and few tiles for many filters.
    for (n, side, channels) in [(64, 32, [3, 64]), (64, 2, [512, 512]), (4, 8, [256, 256])] {
        assert!(!pays(n, side, channels), "{n} images of {side}², {channels:?} channels");
    }
    // Dilated stages and back ends pay; not rates so large that each of the interleaved maps is mostly padding.
    assert!(pays_at(8, 30, [128, 128], 2) && pays_at(8, 30, [256, 256], 4));
    assert!(!pays_at(8, 23, [256, 64], 12));
}
