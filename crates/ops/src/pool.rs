//! Pooling.

use crate::values::{check, gradient, output, values, with_values};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

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
/// `h' = (h + 2·padding − kernel) / stride + 1`, as `torch.nn.functional.max_pool2d`.
///
/// The gradient goes to the first largest value of a window in row order; not-a-number is largest.
///
/// # Errors
///
/// Where a window is larger than the padded input, or the geometry is not as [`MaxPool2d`] says.
pub fn max_pool2d(x: &Tensor, geometry: MaxPool2d) -> Result<Tensor> {
    check(MAX, "x", x, "[n, h, w, c]", 4)?;
    Windows::new(x.dims(), geometry)?;
    x.apply_op1(MaxPool(geometry))
}

/// The mean over all pixels: `[n, h, w, c]` to `[n, c]`.
///
/// # Errors
///
/// Where an image has no pixels.
pub fn global_avg_pool2d(x: &Tensor) -> Result<Tensor> {
    check(AVG, "x", x, "[n, h, w, c]", 4)?;
    if x.dims()[1] * x.dims()[2] == 0 {
        bail!("{AVG}: expected at least one pixel, found x {:?}", x.dims());
    }
    x.apply_op1(GlobalAvgPool)
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
    fn new(x: &[usize], geometry: MaxPool2d) -> Result<Self> {
        let &[n, in_h, in_w, c] = x else {
            bail!("{MAX}: expected x [n, h, w, c], found {x:?}");
        };
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

    /// Where in an image the largest value of each window lies, `[h', w', c]`.
    fn largest(&self, x: &[f32]) -> Vec<u32> {
        let MaxPool2d { kernel, stride, padding } = self.geometry;
        let mut at = vec![u32::MAX; self.image_out()];
        for (pixel, at) in at.chunks_exact_mut(self.c.max(1)).enumerate() {
            let (top, left) = (pixel / self.out_w * stride, pixel % self.out_w * stride);
            for row in top.max(padding)..(top + kernel).min(self.in_h + padding) {
                for column in left.max(padding)..(left + kernel).min(self.in_w + padding) {
                    let start = ((row - padding) * self.in_w + column - padding) * self.c;
                    for (c, at) in at.iter_mut().enumerate() {
                        let value = x[start + c];
                        // A window always holds a pixel, as padding is at most half of it.
                        if *at == u32::MAX || value > x[*at as usize] || (value.is_nan() && !x[*at as usize].is_nan()) {
                            *at = (start + c) as u32;
                        }
                    }
                }
            }
        }
        at
    }
}

struct MaxPool(MaxPool2d);

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        MAX
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let windows = Windows::new(layout.dims(), self.0)?;
        let x = values(MAX, storage, layout)?;
        let mut y = vec![0.0; windows.n * windows.image_out()];
        if !y.is_empty() {
            y.par_chunks_mut(windows.image_out()).zip(x.par_chunks(windows.image_in())).for_each(|(y, x)| {
                for (y, at) in y.iter_mut().zip(windows.largest(x)) {
                    *y = x[at as usize];
                }
            });
        }
        Ok(output(y, (windows.n, windows.out_h, windows.out_w, windows.c)))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let windows = Windows::new(x.dims(), self.0)?;
        let mut dx = vec![0.0; x.elem_count()];
        if !dx.is_empty() && windows.image_out() > 0 {
            with_values(MAX, x, |x| {
                with_values(MAX, dy, |dy| {
                    let images = dx.par_chunks_mut(windows.image_in()).zip(x.par_chunks(windows.image_in()));
                    images.zip(dy.par_chunks(windows.image_out())).for_each(|((dx, x), dy)| {
                        for (dy, at) in dy.iter().zip(windows.largest(x)) {
                            dx[at as usize] += dy;
                        }
                    });
                })
            })??;
        }
        Ok(Some(gradient(dx, x)?))
    }
}

struct GlobalAvgPool;

impl CustomOp1 for GlobalAvgPool {
    fn name(&self) -> &'static str {
        AVG
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, pixels, c) = (layout.dims()[0], layout.dims()[1] * layout.dims()[2], layout.dims()[3]);
        let x = values(AVG, storage, layout)?;
        let mut y = vec![0.0; n * c];
        if !y.is_empty() {
            y.par_chunks_mut(c).zip(x.par_chunks(pixels * c)).for_each(|(y, x)| {
                for pixel in x.chunks_exact(c) {
                    for (sum, x) in y.iter_mut().zip(pixel) {
                        *sum += x;
                    }
                }
                for sum in y {
                    *sum /= pixels as f32;
                }
            });
        }
        Ok(output(y, (n, c)))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (pixels, c) = (x.dims()[1] * x.dims()[2], x.dims()[3]);
        let mut dx = vec![0.0; x.elem_count()];
        if !dx.is_empty() {
            with_values(AVG, dy, |dy| {
                dx.par_chunks_mut(pixels * c).zip(dy.par_chunks(c)).for_each(|(dx, dy)| {
                    for pixel in dx.chunks_exact_mut(c) {
                        for (dx, dy) in pixel.iter_mut().zip(dy) {
                            *dx = dy / pixels as f32;
                        }
                    }
                });
            })?;
        }
        Ok(Some(gradient(dx, x)?))
    }
}
