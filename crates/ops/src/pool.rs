//! Pooling.

use crate::candle;
use crate::columns::{load, save};
use crate::feature_map::{Body, FeatureMap};
use crate::graph::Gradient;
use crate::kernels::Kernels;
use crate::memory::Buffer;
use crate::values::{elements, recorded};
use candle_core::{Result, Tensor, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Geometry of a max-pooling, the same in both directions; names as in `torch.nn.MaxPool2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool2d {
    /// Side of a window, 1 to 4096.
    pub kernel: usize,
    /// Pixels between neighbouring windows, at least 1.
    pub stride: usize,
    /// Pixels of −∞ added on each side, at most half the kernel.
    pub padding: usize,
}

/// Geometry of an average-pooling, the same in both directions; names as in `torch.nn.AvgPool2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPool2d {
    /// Side of a window, 1 to 4096.
    pub kernel: usize,
    /// Pixels between neighbouring windows, at least 1.
    pub stride: usize,
    /// Pixels of 0 added on each side, at most half the kernel.
    pub padding: usize,
    /// Whether the mean counts the padding (torch's default), or the pixels of the image alone.
    pub count_include_pad: bool,
}

/// The largest value of each window: `x` `[n, h, w, c]` to `[n, h', w', c]`,
/// `h' = ⌊(h + 2·padding − kernel) / stride⌋ + 1`, as `torch.nn.functional.max_pool2d`.
///
/// The gradient goes to the first largest value of a window in row order; not-a-number is largest.
///
/// # Errors
///
/// Where x has no pixels, a window is larger than the padded input, or the geometry is not as [`MaxPool2d`]
/// says.
pub fn max_pool2d(x: &FeatureMap, geometry: MaxPool2d) -> Result<FeatureMap> {
    let MaxPool2d { kernel, stride, padding } = geometry;
    let windows = Windows::new(MAX, x.dims(), kernel, stride, padding)?;
    let (dims, len) = (windows.output(), elements(MAX, windows.output())?);
    let x = match x.body() {
        Body::Candle(x) => return Ok(FeatureMap::candle(dims, candle::max_pool2d(x, geometry, windows.size())?)),
        Body::Kernels(x) => x,
    };
    let kernels = x.kernels;
    let mut y = Buffer::arbitrary(len)?;
    // The tap that each value is from.
    let mut from = Buffer::arbitrary(len)?;
    if len > 0 {
        let rows = y.par_chunks_mut(windows.row_out()).zip(from.par_chunks_mut(windows.row_out()));
        rows.enumerate().for_each(|(row, (y, from))| kernels.run(Largest { windows, x: &x.values, row, y, from }));
    }
    x.then(MAX, dims, Arc::new(y), {
        let gradient = x.gradient.clone();
        move |dy| windows.add_gradient(kernels, &gradient, &dy, Rule::From(&from))
    })
}

/// The mean of each window: `x` `[n, h, w, c]` to `[n, h', w', c]`,
/// `h' = ⌊(h + 2·padding − kernel) / stride⌋ + 1`, as `torch.nn.functional.avg_pool2d`.
///
/// # Errors
///
/// Where x has no pixels, a window is larger than the padded input, or the geometry is not as [`AvgPool2d`]
/// says.
pub fn avg_pool2d(x: &FeatureMap, geometry: AvgPool2d) -> Result<FeatureMap> {
    let AvgPool2d { kernel, stride, padding, count_include_pad } = geometry;
    let windows = Windows::new(AVG, x.dims(), kernel, stride, padding)?;
    let (dims, len) = (windows.output(), elements(AVG, windows.output())?);
    let x = match x.body() {
        Body::Candle(x) => {
            let [out_h, out_w] = windows.size();
            let shares: Vec<f32> = (0..out_h * out_w)
                .map(|pixel| windows.share([pixel / out_w, pixel % out_w], count_include_pad))
                .collect();
            let shares = Tensor::from_vec(shares, (1, out_h, out_w, 1), x.device())?;
            return Ok(FeatureMap::candle(dims, candle::avg_pool2d(x, geometry, &shares)?));
        }
        Body::Kernels(x) => x,
    };
    let kernels = x.kernels;
    let mut y = Buffer::arbitrary(len)?;
    if len > 0 {
        y.par_chunks_mut(windows.row_out()).enumerate().for_each(|(row, y)| {
            kernels.run(Mean { windows, x: &x.values, row, y, count_include_pad });
        });
    }
    x.then(AVG, dims, Arc::new(y), {
        let gradient = x.gradient.clone();
        move |dy| windows.add_gradient(kernels, &gradient, &dy, Rule::Share { count_include_pad })
    })
}

/// The mean over all pixels: `[n, h, w, c]` to a tensor `[n, c]`.
///
/// # Errors
///
/// Where an image has no pixels.
pub fn global_avg_pool2d(x: &FeatureMap) -> Result<Tensor> {
    let [n, h, w, c] = x.dims();
    elements(GLOBAL, x.dims())?;
    let pixels = h * w;
    if pixels == 0 {
        bail!("{GLOBAL}: expected at least one pixel, found {:?}", x.dims());
    }
    let x = match x.body() {
        Body::Candle(x) => return recorded(x).reshape((n, pixels, c))?.mean(1),
        Body::Kernels(x) => x,
    };
    let kernels = x.kernels;
    let mut y = vec![0.0; n * c];
    if !y.is_empty() {
        y.par_chunks_mut(c).zip(x.values.par_chunks(pixels * c)).for_each(|(y, x)| {
            kernels.run(
                #[inline(always)]
                || {
                    for pixel in x.chunks_exact(c) {
                        for (sum, x) in y.iter_mut().zip(pixel) {
                            *sum += x;
                        }
                    }
                    for sum in y {
                        *sum /= pixels as f32;
                    }
                },
            );
        });
    }
    let (gradient, len) = (x.gradient.clone(), x.values.len());
    x.edge.exit(GLOBAL, y, (n, c), move |dy| {
        gradient.add(len, |dx, add| {
            if !dx.is_empty() {
                dx.par_chunks_mut(pixels * c).zip(dy.par_chunks(c)).for_each(|(dx, dy)| {
                    kernels.run(
                        #[inline(always)]
                        || {
                            for pixel in dx.chunks_exact_mut(c) {
                                for (dx, dy) in pixel.iter_mut().zip(dy) {
                                    let share = dy / pixels as f32;
                                    *dx = if add { *dx + share } else { share };
                                }
                            }
                        },
                    );
                });
            }
            Ok(())
        })
    })
}

const MAX: &str = "max_pool2d";
const AVG: &str = "avg_pool2d";
const GLOBAL: &str = "global_avg_pool2d";

/// The windows of a pooling. Tap `ky · kernel + kx` of window `[oy, ox]` is pixel
/// `[oy · stride + ky − padding, ox · stride + kx − padding]`.
#[derive(Clone, Copy)]
struct Windows {
    kernel: usize,
    stride: usize,
    padding: usize,
    n: usize,
    in_h: usize,
    in_w: usize,
    c: usize,
    out_h: usize,
    out_w: usize,
}

impl Windows {
    /// The largest side whose taps' numbers are all exact in `f32`.
    const MOST: usize = 4096;

    fn new(op: &str, x: [usize; 4], kernel: usize, stride: usize, padding: usize) -> Result<Self> {
        let [n, in_h, in_w, c] = x;
        if !(1..=Self::MOST).contains(&kernel) || stride == 0 || padding > kernel / 2 {
            bail!(
                "{op}: expected a kernel of 1 to {}, a stride of at least 1 and a padding of at most half the kernel, \
                 found kernel {kernel}, stride {stride}, padding {padding}",
                Self::MOST
            );
        }
        elements(op, x)?;
        if in_h == 0 || in_w == 0 {
            bail!("{op}: expected images of at least one pixel, found x {x:?}");
        }
        let size = |side: usize| (side + 2 * padding).checked_sub(kernel).map(|room| room / stride + 1);
        let (Some(out_h), Some(out_w)) = (size(in_h), size(in_w)) else {
            bail!("{op}: a window of kernel {kernel} is larger than x {x:?} with padding {padding}");
        };
        Ok(Self { kernel, stride, padding, n, in_h, in_w, c, out_h, out_w })
    }

    /// `[n, h', w', c]`.
    fn output(&self) -> [usize; 4] {
        [self.n, self.out_h, self.out_w, self.c]
    }

    /// `[h', w']`.
    fn size(&self) -> [usize; 2] {
        [self.out_h, self.out_w]
    }

    fn row_in(&self) -> usize {
        self.in_w * self.c
    }

    fn row_out(&self) -> usize {
        self.out_w * self.c
    }

    /// The taps of a window that lie in the image: rows and columns, at least one of each, as padding is at
    /// most half a window.
    #[inline(always)]
    fn taps(&self, [oy, ox]: [usize; 2]) -> [Range<usize>; 2] {
        [(oy * self.stride, self.in_h), (ox * self.stride, self.in_w)]
            .map(|(start, side)| self.padding.saturating_sub(start)..self.kernel.min(side + self.padding - start))
    }

    /// The windows that read a pixel: rows and columns.
    #[inline(always)]
    fn readers(&self, [y, x]: [usize; 2]) -> [Range<usize>; 2] {
        [(y + self.padding, self.out_h), (x + self.padding, self.out_w)].map(|(last, windows)| {
            (last + 1).saturating_sub(self.kernel).div_ceil(self.stride)..windows.min(last / self.stride + 1)
        })
    }

    /// What each value of a window counts in its mean.
    #[inline(always)]
    fn share(&self, window: [usize; 2], count_include_pad: bool) -> f32 {
        let [rows, columns] = self.taps(window);
        let count = if count_include_pad { self.kernel * self.kernel } else { rows.len() * columns.len() };
        1.0 / count as f32
    }

    /// Adds to the gradient of x what that of the windows, `dy`, gives it by `rule`.
    fn add_gradient(&self, kernels: Kernels, gradient: &Gradient, dy: &[f32], rule: Rule<'_>) -> Result<()> {
        gradient.add(self.n * self.in_h * self.row_in(), |dx, add| {
            if !dx.is_empty() {
                dx.par_chunks_mut(self.row_in()).enumerate().for_each(|(row, dx)| {
                    kernels.run(Spread { windows: *self, dy, rule, row, dx, add });
                });
            }
            Ok(())
        })
    }
}

/// One row of windows, counted over all images: the largest values, and the taps they are from.
struct Largest<'a> {
    windows: Windows,
    x: &'a [f32],
    row: usize,
    y: &'a mut [f32],
    from: &'a mut [f32],
}

impl WithSimd for Largest<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { windows, x, row, y, from } = self;
        let Windows { kernel, stride, padding, in_h, in_w, c, out_h, out_w, .. } = windows;
        let (image, oy) = (row / out_h, row % out_h);
        for ox in 0..out_w {
            let [rows, columns] = windows.taps([oy, ox]);
            for start in (0..c).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(c - start);
                let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
                let mut taken = simd.splat_f32s((rows.start * kernel + columns.start) as f32);
                for ky in rows.clone() {
                    let line = (image * in_h + oy * stride + ky - padding) * in_w;
                    for kx in columns.clone() {
                        let pixel = line + ox * stride + kx - padding;
                        let value = load(simd, x, pixel * c + start, count);
                        let number = simd.equal_f32s(value, value);
                        let larger = simd.or_m32s(simd.less_than_f32s(largest, value), simd.not_m32s(number));
                        largest = simd.select_f32s(larger, value, largest);
                        taken = simd.select_f32s(larger, simd.splat_f32s((ky * kernel + kx) as f32), taken);
                    }
                }
                save(simd, y, ox * c + start, count, largest);
                save(simd, from, ox * c + start, count, taken);
            }
        }
    }
}

/// One row of windows, counted over all images: the means.
struct Mean<'a> {
    windows: Windows,
    x: &'a [f32],
    row: usize,
    y: &'a mut [f32],
    count_include_pad: bool,
}

impl WithSimd for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { windows, x, row, y, count_include_pad } = self;
        let Windows { stride, padding, in_h, in_w, c, out_h, out_w, .. } = windows;
        let (image, oy) = (row / out_h, row % out_h);
        for ox in 0..out_w {
            let [rows, columns] = windows.taps([oy, ox]);
            let share = simd.splat_f32s(windows.share([oy, ox], count_include_pad));
            for start in (0..c).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(c - start);
                let mut sum = simd.splat_f32s(0.0);
                for ky in rows.clone() {
                    let line = (image * in_h + oy * stride + ky - padding) * in_w;
                    for kx in columns.clone() {
                        let pixel = line + ox * stride + kx - padding;
                        sum = simd.add_f32s(sum, load(simd, x, pixel * c + start, count));
                    }
                }
                save(simd, y, ox * c + start, count, simd.mul_f32s(sum, share));
            }
        }
    }
}

/// What of a window's gradient goes to a pixel.
#[derive(Clone, Copy)]
enum Rule<'a> {
    /// All of it where the window's value is from that tap.
    From(&'a [f32]),
    /// Its share of the mean.
    Share { count_include_pad: bool },
}

/// One row of pixels, counted over all images: the gradients of all windows that read them.
struct Spread<'a> {
    windows: Windows,
    dy: &'a [f32],
    rule: Rule<'a>,
    row: usize,
    dx: &'a mut [f32],
    add: bool,
}

impl WithSimd for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { windows, dy, rule, row, dx, add } = self;
        let Windows { kernel, stride, padding, in_h, in_w, c, out_h, out_w, .. } = windows;
        let (image, y) = (row / in_h, row % in_h);
        let zero = simd.splat_f32s(0.0);
        for x in 0..in_w {
            let [rows, columns] = windows.readers([y, x]);
            for start in (0..c).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(c - start);
                let mut sum = if add { load(simd, dx, x * c + start, count) } else { zero };
                for oy in rows.clone() {
                    for ox in columns.clone() {
                        let at = ((image * out_h + oy) * out_w + ox) * c + start;
                        let d = load(simd, dy, at, count);
                        sum = match rule {
                            Rule::From(from) => {
                                let tap = (y + padding - oy * stride) * kernel + x + padding - ox * stride;
                                let here = simd.equal_f32s(load(simd, from, at, count), simd.splat_f32s(tap as f32));
                                simd.add_f32s(sum, simd.select_f32s(here, d, zero))
                            }
                            Rule::Share { count_include_pad } => {
                                let share = simd.splat_f32s(windows.share([oy, ox], count_include_pad));
                                simd.add_f32s(sum, simd.mul_f32s(d, share))
                            }
                        };
                    }
                }
                save(simd, dx, x * c + start, count, sum);
            }
        }
    }
}
