//! Pooling.

use crate::candle;
use crate::feature_map::{Body, FeatureMap};
use crate::memory::Buffer;
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use std::sync::Arc;

/// Geometry of a max-pooling, the same in both directions; names as in `torch.nn.MaxPool2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool2d {
    /// Side of a window, at least 1.
    pub kernel: usize,
    /// Pixels between neighbouring windows, at least 1.
    pub stride: usize,
    /// Pixels of −∞ added on each side, at most half the kernel.
    pub padding: usize,
}

/// The largest value of each window: `x` `[n, h, w, c]` to `[n, h', w', c]`,
/// `h' = ⌊(h + 2·padding − kernel) / stride⌋ + 1`, as `torch.nn.functional.max_pool2d`.
///
/// The gradient goes to the first largest value of a window in row order; not-a-number is largest.
///
/// # Errors
///
/// Where a window is larger than the padded input, or the geometry is not as [`MaxPool2d`] says.
pub fn max_pool2d(x: &FeatureMap, geometry: MaxPool2d) -> Result<FeatureMap> {
    let windows = Windows::new(x.dims(), geometry)?;
    let dims = [windows.n, windows.out_h, windows.out_w, windows.c];
    let x = match x.body() {
        Body::Candle(x) => {
            return Ok(FeatureMap::candle(dims, candle::max_pool2d(x, geometry, [windows.out_h, windows.out_w])?));
        }
        Body::Kernels(x) => x,
    };
    let kernels = x.kernels;
    let mut y = Buffer::arbitrary(windows.n * windows.image_out())?;
    let mut largest = vec![0u32; y.len()];
    if !y.is_empty() {
        let images = y.par_chunks_mut(windows.image_out()).zip(largest.par_chunks_mut(windows.image_out()));
        images.zip(x.values.par_chunks(windows.image_in())).for_each(|((y, at), x)| {
            kernels.run(|| windows.largest(x, y, at));
        });
    }
    x.then(MAX, dims, Arc::new(y), {
        let (gradient, len) = (x.gradient.clone(), x.values.len());
        move |dy| {
            gradient.add(len, |dx, add| {
                if !add {
                    dx.fill(0.0);
                }
                if !dx.is_empty() && !dy.is_empty() {
                    let images = dy.par_chunks(windows.image_out()).zip(largest.par_chunks(windows.image_out()));
                    dx.par_chunks_mut(windows.image_in()).zip(images).for_each(|(dx, (dy, at))| {
                        for (dy, at) in dy.iter().zip(at) {
                            dx[*at as usize] += dy;
                        }
                    });
                }
                Ok(())
            })
        }
    })
}

/// The mean over all pixels: `[n, h, w, c]` to a tensor `[n, c]`.
///
/// # Errors
///
/// Where an image has no pixels.
pub fn global_avg_pool2d(x: &FeatureMap) -> Result<Tensor> {
    let [n, h, w, c] = x.dims();
    let pixels = h * w;
    if pixels == 0 {
        bail!("{AVG}: expected at least one pixel, found {:?}", x.dims());
    }
    let x = match x.body() {
        Body::Candle(x) => return x.reshape((n, pixels, c))?.mean(1),
        Body::Kernels(x) => x,
    };
    let kernels = x.kernels;
    let mut y = vec![0.0; n * c];
    if !y.is_empty() {
        y.par_chunks_mut(c).zip(x.values.par_chunks(pixels * c)).for_each(|(y, x)| {
            kernels.run(|| {
                for pixel in x.chunks_exact(c) {
                    for (sum, x) in y.iter_mut().zip(pixel) {
                        *sum += x;
                    }
                }
                for sum in y {
                    *sum /= pixels as f32;
                }
            });
        });
    }
    let (gradient, len) = (x.gradient.clone(), x.values.len());
    x.edge.exit(AVG, y, (n, c), move |dy| {
        gradient.add(len, |dx, add| {
            if !dx.is_empty() {
                dx.par_chunks_mut(pixels * c).zip(dy.par_chunks(c)).for_each(|(dx, dy)| {
                    kernels.run(|| {
                        for pixel in dx.chunks_exact_mut(c) {
                            for (dx, dy) in pixel.iter_mut().zip(dy) {
                                let share = dy / pixels as f32;
                                *dx = if add { *dx + share } else { share };
                            }
                        }
                    });
                });
            }
            Ok(())
        })
    })
}

const MAX: &str = "max_pool2d";
const AVG: &str = "global_avg_pool2d";

#[derive(Clone, Copy)]
struct Windows {
    geometry: MaxPool2d,
    n: usize,
    in_h: usize,
    in_w: usize,
    c: usize,
    out_h: usize,
    out_w: usize,
}

impl Windows {
    fn new(x: [usize; 4], geometry: MaxPool2d) -> Result<Self> {
        let [n, in_h, in_w, c] = x;
        let MaxPool2d { kernel, stride, padding } = geometry;
        if kernel == 0 || stride == 0 || 2 * padding > kernel {
            bail!(
                "{MAX}: kernel and stride must be at least 1 and padding at most half the kernel, found {geometry:?}"
            );
        }
        let size = |side: usize| (side + 2 * padding).checked_sub(kernel).map(|room| room / stride + 1);
        let (Some(out_h), Some(out_w)) = (size(in_h), size(in_w)) else {
            bail!("{MAX}: the window of {geometry:?} is larger than x {x:?}");
        };
        Ok(Self { geometry, n, in_h, in_w, c, out_h, out_w })
    }

    fn image_in(&self) -> usize {
        self.in_h * self.in_w * self.c
    }

    fn image_out(&self) -> usize {
        self.out_h * self.out_w * self.c
    }

    /// The largest value of each window of an image, and where in the image it lies, `[h', w', c]`.
    #[inline(always)]
    fn largest(&self, x: &[f32], y: &mut [f32], at: &mut [u32]) {
        let MaxPool2d { kernel, stride, padding } = self.geometry;
        let c = self.c;
        for (pixel, (y, at)) in y.chunks_exact_mut(c).zip(at.chunks_exact_mut(c)).enumerate() {
            let (top, left) = (pixel / self.out_w * stride, pixel % self.out_w * stride);
            let mut first = true;
            // A window always holds a pixel, as padding is at most half of it.
            for row in top.max(padding)..(top + kernel).min(self.in_h + padding) {
                for column in left.max(padding)..(left + kernel).min(self.in_w + padding) {
                    let start = ((row - padding) * self.in_w + column - padding) * c;
                    for (i, ((y, at), x)) in y.iter_mut().zip(at.iter_mut()).zip(&x[start..start + c]).enumerate() {
                        let larger = first || *x > *y || (x.is_nan() && !y.is_nan());
                        *y = if larger { *x } else { *y };
                        *at = if larger { (start + i) as u32 } else { *at };
                    }
                    first = false;
                }
            }
        }
    }
}
