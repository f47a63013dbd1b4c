//! Convolution on the CPU.
//!
//! Computed directly, without unfolding the input (but where it is small): see [`gather`] for the forward pass and the
//! input's gradient, [`weight`] for the weight's gradient, [`depthwise`] for one channel a group, [`few_pixels`] for few
//! pixels and a large weight, [`winograd`] for most layers of 3×3 taps. Which of them computes follows from the shapes alone.

mod blocks;
mod depthwise;
pub(crate) mod few_pixels;
mod gather;
mod packing;
mod tile;
mod unpack;
mod weight;
pub(crate) mod winograd;

use super::elementwise::rectify;
use crate::conv::{Conv2d, ConvSizes};
use candle_core::Result;
use gather::{Finish, Gather, Map, Phase, Store, Tap, WeightStrides};
use kernels::Kernels;

/// What a layer does to each sum of a convolution: `sum·scale + shift` per channel, plus the residual, then
/// `max(·, 0)` if asked for.
#[derive(Clone, Copy)]
pub(crate) struct Affine<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) residual: Option<&'a [f32]>,
    pub(crate) relu: bool,
}

impl Affine<'_> {
    /// The result at `at`, which belongs to `channel`.
    #[inline(always)]
    fn apply(&self, sum: f32, channel: usize, at: usize) -> f32 {
        let value =
            sum * self.scale[channel] + self.shift[channel] + self.residual.map_or(0.0, |residual| residual[at]);
        if self.relu { rectify(value) } else { value }
    }
}

/// Ways to compute a convolution and its gradients.
enum Way {
    Depthwise,
    FewPixels,
    Winograd,
    Direct,
}

impl ConvSizes {
    /// Columns of the padded input.
    fn padded_w(&self) -> usize {
        self.in_w + 2 * self.geometry.padding
    }

    fn is_depthwise(&self) -> bool {
        self.geometry.groups > 1 && self.group_in() == 1 && self.group_out() == 1
    }

    /// What computes it.
    fn way(&self) -> Way {
        if self.is_depthwise() {
            Way::Depthwise
        } else if few_pixels::fits(self) {
            Way::FewPixels
        } else if winograd::fits(self) && winograd::pays(self) {
            Way::Winograd
        } else {
            Way::Direct
        }
    }

    /// How many blocks of pixels `finish` of [`ConvSizes::forward`] sees; none where it sees nothing.
    pub(crate) fn blocks(&self) -> Option<usize> {
        match self.way() {
            Way::Depthwise | Way::FewPixels => None,
            Way::Winograd => Some(winograd::block_count(self)),
            Way::Direct => Some(self.forward_plan().block_count()),
        }
    }

    /// Writes the convolution of `x` to `y`, with `affine` applied to each sum where it is given. `finish` gets the blocks of
    /// [`ConvSizes::blocks`].
    pub(crate) fn forward(
        &self,
        kernels: Kernels,
        x: &[f32],
        weight: &[f32],
        y: &mut [f32],
        affine: Option<Affine<'_>>,
        finish: Option<&Finish<'_>>,
    ) -> Result<()> {
        let store = affine.map_or(Store::Write, Store::Affine);
        match self.way() {
            Way::Depthwise => depthwise::forward(kernels, self, x, weight, y, affine),
            Way::FewPixels => few_pixels::forward(kernels, self, x, weight, y, affine)?,
            Way::Winograd => winograd::forward(kernels, self, x, weight, y, store, finish)?,
            Way::Direct => self.forward_plan().run(kernels, x, weight, y, store, finish)?,
        }
        Ok(())
    }

    /// Writes the gradient of the input to `dx`, or adds it.
    pub(crate) fn input_gradient(
        &self,
        kernels: Kernels,
        dy: &[f32],
        weight: &[f32],
        dx: &mut [f32],
        add: bool,
    ) -> Result<()> {
        let store = if add { Store::Add } else { Store::Write };
        match self.way() {
            Way::Depthwise => depthwise::input_gradient(kernels, self, dy, weight, dx, add),
            Way::FewPixels => few_pixels::input_gradient(kernels, self, dy, weight, dx, add)?,
            Way::Winograd => winograd::input_gradient(kernels, self, dy, weight, dx, store)?,
            Way::Direct => self.gradient_plan().run(kernels, dy, weight, dx, store, None)?,
        }
        Ok(())
    }

    /// Writes the gradient of the weight to `dw`, or adds it.
    pub(crate) fn weight_gradient(
        &self,
        kernels: Kernels,
        x: &[f32],
        dy: &[f32],
        dw: &mut [f32],
        add: bool,
    ) -> Result<()> {
        match self.way() {
            Way::Depthwise => depthwise::weight_gradient(kernels, self, x, dy, dw, add),
            Way::FewPixels => few_pixels::weight_gradient(kernels, self, x, dy, dw, add)?,
            Way::Winograd => winograd::weight_gradient(kernels, self, x, dy, dw, add)?,
            Way::Direct => weight::weight_gradient(kernels, self, x, dy, dw, add)?,
        }
        Ok(())
    }

    fn source(&self) -> Map {
        Map { h: self.in_h, w: self.in_w, c: self.in_c }
    }

    fn target(&self) -> Map {
        Map { h: self.out_h, w: self.out_w, c: self.out_c }
    }

    fn forward_plan(&self) -> Gather {
        let Conv2d { stride, padding, dilation, groups } = self.geometry;
        let taps = (0..self.k_h * self.k_w).map(|index| {
            let (y, x) = (index / self.k_w * dilation, index % self.k_w * dilation);
            Tap { y, x, index }
        });
        let taps_len = self.k_h * self.k_w;
        Gather {
            images: self.n,
            source: self.source(),
            target: self.target(),
            groups,
            top: padding,
            left: padding,
            source_stride: stride,
            target_stride: 1,
            phases: vec![Phase { y: 0, x: 0, rows: self.out_h, columns: self.out_w, taps: taps.collect() }],
            weight_strides: WeightStrides {
                group: self.group_out() * self.group_in() * taps_len,
                lane: self.group_in() * taps_len,
                depth: taps_len,
            },
        }
    }

    /// Input pixel `(y, x)` was read by output pixel `o` through tap `k` where
    /// `o·stride + k·dilation − padding = y`: for each parity of `y` modulo the stride some taps, at fixed
    /// distances of outputs.
    fn gradient_plan(&self) -> Gather {
        let Conv2d { stride, padding, dilation, groups } = self.geometry;
        // The taps of a parity: index, and the output that the first pixel of the parity goes to.
        let taps = |parity: usize, kernel: usize| -> Vec<(usize, isize)> {
            let mut taps: Vec<_> = (0..kernel)
                .filter_map(|k| {
                    let distance = (parity + padding) as isize - (k * dilation) as isize;
                    (distance.rem_euclid(stride as isize) == 0).then(|| (k, distance.div_euclid(stride as isize)))
                })
                .collect();
            taps.sort_by_key(|(_, output)| *output);
            taps
        };
        let rows: Vec<_> = (0..stride.min(self.in_h)).map(|parity| taps(parity, self.k_h)).collect();
        let columns: Vec<_> = (0..stride.min(self.in_w)).map(|parity| taps(parity, self.k_w)).collect();
        let before =
            |all: &[Vec<(usize, isize)>]| all.iter().flatten().map(|(_, output)| -output).max().unwrap_or(0).max(0);
        let (top, left) = (before(&rows), before(&columns));
        let mut phases = Vec::new();
        for (y, rows) in rows.iter().enumerate() {
            for (x, columns) in columns.iter().enumerate() {
                let taps = rows.iter().flat_map(|(ky, oy)| {
                    columns.iter().map(move |(kx, ox)| Tap {
                        y: (oy + top) as usize,
                        x: (ox + left) as usize,
                        index: ky * self.k_w + kx,
                    })
                });
                phases.push(Phase {
                    y,
                    x,
                    rows: (self.in_h - y).div_ceil(stride),
                    columns: (self.in_w - x).div_ceil(stride),
                    taps: taps.collect(),
                });
            }
        }
        let taps_len = self.k_h * self.k_w;
        Gather {
            images: self.n,
            source: self.target(),
            target: self.source(),
            groups,
            top: top as usize,
            left: left as usize,
            source_stride: 1,
            target_stride: stride,
            phases,
            weight_strides: WeightStrides {
                group: self.group_out() * self.group_in() * taps_len,
                lane: taps_len,
                depth: self.group_in() * taps_len,
            },
        }
    }
}
