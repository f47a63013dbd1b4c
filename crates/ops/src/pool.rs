//! Pooling.

use crate::feature_map::FeatureMap;
use crate::values::elements;
use candle_core::{Result, Tensor, bail};
use std::ops::Range;
use std::sync::Arc;

/// Geometry of a max-pooling, the same in both directions; names as in `torch.nn.MaxPool2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool2d {
    /// Side of a window, 1 to 4096.
    pub kernel: usize,
    /// Pixels between neighboring windows, at least 1.
    pub stride: usize,
    /// Pixels of −∞ added on each side, at most half the kernel.
    pub padding: usize,
}

/// Geometry of an average-pooling, the same in both directions; names as in `torch.nn.AvgPool2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPool2d {
    /// Side of a window, 1 to 4096.
    pub kernel: usize,
    /// Pixels between neighboring windows, at least 1.
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
    let (dims, len, engine) = (windows.output(), elements(MAX, windows.output())?, x.engine);
    let (mut y, mut from) = (engine.allocate(len)?, engine.allocate(len)?);
    engine.max_pool(&windows, &x.values, &mut y, &mut from)?;
    let (gradient, values) = (x.gradient.clone(), x.values.len());
    FeatureMap::from_op(MAX, engine, &[&x.edge], dims, Arc::new(y), move |dy| {
        gradient.add(values, |dx, add| engine.max_pool_backward(&windows, &dy, &from, dx, add))
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
    let (dims, len, engine) = (windows.output(), elements(AVG, windows.output())?, x.engine);
    let mut y = engine.allocate(len)?;
    engine.avg_pool(&windows, &x.values, count_include_pad, &mut y)?;
    let (gradient, values) = (x.gradient.clone(), x.values.len());
    FeatureMap::from_op(AVG, engine, &[&x.edge], dims, Arc::new(y), move |dy| {
        gradient.add(values, |dx, add| engine.avg_pool_backward(&windows, &dy, count_include_pad, dx, add))
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
    let engine = x.engine;
    let mut y = engine.allocate(n * c)?;
    engine.global_avg_pool(&x.values, pixels, c, &mut y)?;
    let (gradient, len) = (x.gradient.clone(), x.values.len());
    x.edge.exit(GLOBAL, engine.take_values(y)?, (n, c), move |dy| {
        let dy = engine.upload(dy)?;
        gradient.add(len, |dx, add| engine.global_avg_pool_backward(&dy, pixels, c, dx, add))
    })
}

const MAX: &str = "max_pool2d";
const AVG: &str = "avg_pool2d";
const GLOBAL: &str = "global_avg_pool2d";

/// The windows of a pooling. Tap `ky · kernel + kx` of window `[oy, ox]` is pixel
/// `[oy · stride + ky − padding, ox · stride + kx − padding]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) n: usize,
    pub(crate) in_h: usize,
    pub(crate) in_w: usize,
    pub(crate) c: usize,
    pub(crate) out_h: usize,
    pub(crate) out_w: usize,
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
    pub(crate) fn output(&self) -> [usize; 4] {
        [self.n, self.out_h, self.out_w, self.c]
    }

    /// `[h', w']`.
    pub(crate) fn size(&self) -> [usize; 2] {
        [self.out_h, self.out_w]
    }

    pub(crate) fn row_in(&self) -> usize {
        self.in_w * self.c
    }

    pub(crate) fn row_out(&self) -> usize {
        self.out_w * self.c
    }

    /// The taps of a window that lie in the image: rows and columns, at least one of each, as padding is at
    /// most half a window.
    #[inline(always)]
    pub(crate) fn taps(&self, [oy, ox]: [usize; 2]) -> [Range<usize>; 2] {
        [(oy * self.stride, self.in_h), (ox * self.stride, self.in_w)]
            .map(|(start, side)| self.padding.saturating_sub(start)..self.kernel.min(side + self.padding - start))
    }

    /// The windows that read a pixel: rows and columns.
    #[inline(always)]
    pub(crate) fn readers(&self, [y, x]: [usize; 2]) -> [Range<usize>; 2] {
        [(y + self.padding, self.out_h), (x + self.padding, self.out_w)].map(|(last, windows)| {
            (last + 1).saturating_sub(self.kernel).div_ceil(self.stride)..windows.min(last / self.stride + 1)
        })
    }

    /// What each value of a window counts in its mean.
    #[inline(always)]
    pub(crate) fn share(&self, window: [usize; 2], count_include_pad: bool) -> f32 {
        let [rows, columns] = self.taps(window);
        let count = if count_include_pad { self.kernel * self.kernel } else { rows.len() * columns.len() };
        1.0 / count as f32
    }
}
