//! Convolution with one input and one output channel a group: each channel with its own taps.
//!
//! There is nothing to sum over channels, so vectors run over channels. An image a task.

use super::Affine;
use crate::conv::ConvSizes;
use kernels::Kernels;
use rayon::prelude::*;

/// The weight, `[c, 1, kh, kw]`, as `[kh·kw, c]`.
fn by_tap(sizes: &ConvSizes, weight: &[f32]) -> Vec<f32> {
    let taps = sizes.k_h * sizes.k_w;
    (0..taps).flat_map(|tap| (0..sizes.in_c).map(move |c| weight[c * taps + tap])).collect()
}

/// Calls `each` with tap, input offset and output offset (both within an image) of all pairs of pixels.
#[inline(always)]
fn for_each_pair(sizes: &ConvSizes, mut each: impl FnMut(usize, usize, usize)) {
    let crate::conv::Conv2d { stride, padding, dilation, .. } = sizes.geometry;
    for oy in 0..sizes.out_h {
        for ky in 0..sizes.k_h {
            // Above the image the subtraction wraps to a number larger than any height.
            let y = (oy * stride + ky * dilation).wrapping_sub(padding);
            if y >= sizes.in_h {
                continue;
            }
            for ox in 0..sizes.out_w {
                for kx in 0..sizes.k_w {
                    let x = (ox * stride + kx * dilation).wrapping_sub(padding);
                    if x < sizes.in_w {
                        each(
                            ky * sizes.k_w + kx,
                            (y * sizes.in_w + x) * sizes.in_c,
                            (oy * sizes.out_w + ox) * sizes.in_c,
                        );
                    }
                }
            }
        }
    }
}

pub(super) fn forward(
    kernels: Kernels,
    sizes: &ConvSizes,
    x: &[f32],
    weight: &[f32],
    y: &mut [f32],
    affine: Option<Affine<'_>>,
) {
    if y.is_empty() {
        return;
    }
    let (weight, c) = (by_tap(sizes, weight), sizes.in_c);
    let len = sizes.image_out();
    y.par_chunks_mut(len).zip(x.par_chunks(sizes.image_in().max(1))).enumerate().for_each(|(image, (y, x))| {
        kernels.run(
            #[inline(always)]
            || {
                y.fill(0.0);
                for_each_pair(sizes, |tap, from, to| {
                    for ((y, x), w) in y[to..to + c].iter_mut().zip(&x[from..from + c]).zip(&weight[tap * c..][..c]) {
                        *y += x * w;
                    }
                });
                if let Some(affine) = affine {
                    for (i, y) in y.iter_mut().enumerate() {
                        *y = affine.apply(*y, i % c, image * len + i);
                    }
                }
            },
        );
    });
}

pub(super) fn input_gradient(
    kernels: Kernels,
    sizes: &ConvSizes,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
    add: bool,
) {
    if !add {
        dx.fill(0.0);
    }
    if dx.is_empty() || dy.is_empty() {
        return;
    }
    let (weight, c) = (by_tap(sizes, weight), sizes.in_c);
    dx.par_chunks_mut(sizes.image_in()).zip(dy.par_chunks(sizes.image_out())).for_each(|(dx, dy)| {
        kernels.run(
            #[inline(always)]
            || {
                for_each_pair(sizes, |tap, to, from| {
                    for ((dx, dy), w) in dx[to..to + c].iter_mut().zip(&dy[from..from + c]).zip(&weight[tap * c..][..c])
                    {
                        *dx += dy * w;
                    }
                });
            },
        );
    });
}

/// Sums an image at a time, then over images in their order.
pub(super) fn weight_gradient(kernels: Kernels, sizes: &ConvSizes, x: &[f32], dy: &[f32], dw: &mut [f32], add: bool) {
    if !add {
        dw.fill(0.0);
    }
    if x.is_empty() || dy.is_empty() {
        return;
    }
    let (taps, c) = (sizes.k_h * sizes.k_w, sizes.in_c);
    let images: Vec<Vec<f32>> = x
        .par_chunks(sizes.image_in())
        .zip(dy.par_chunks(sizes.image_out()))
        .map(|(x, dy)| {
            let mut sum = vec![0.0; taps * c];
            kernels.run(
                #[inline(always)]
                || {
                    for_each_pair(sizes, |tap, x_at, dy_at| {
                        let pixels = x[x_at..x_at + c].iter().zip(&dy[dy_at..dy_at + c]);
                        for (sum, (x, dy)) in sum[tap * c..][..c].iter_mut().zip(pixels) {
                            *sum += x * dy;
                        }
                    });
                },
            );
            sum
        })
        .collect();
    for image in &images {
        for (channel, dw) in dw.chunks_exact_mut(taps).enumerate() {
            for (tap, dw) in dw.iter_mut().enumerate() {
                *dw += image[tap * c + channel];
            }
        }
    }
}
