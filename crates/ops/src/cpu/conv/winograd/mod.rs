//! Convolution with fewer products: Winograd's minimal filtering, F(4×4, 3×3).
//!
//! A tile of 4×4 outputs of a filter of 3×3 taps takes 36 products in place of 144 (Winograd 1980; Lavin and Gray, *Fast
//! algorithms for convolutional neural networks*, CVPR 2016): with the matrices of [`transform`],
//!
//! ```text
//! y  = Aᵀ [ Σ_in (G g Gᵀ) ⊙ (Bᵀ x B) ] A
//! dx: the same of dy, with the taps in reverse order and the channels' roles changed
//! dg = Gᵀ [ Σ_tiles (Bᵀ x B) ⊙ (A dy Aᵀ) ] G
//! ```
//!
//! At each of the 36 points the sum is a product of matrices. A task transforms some tiles, multiplies them while they are
//! in the cache and transforms what comes out back (Jia, Zlateski, Durand and Li, *Optimizing N-dimensional,
//! Winograd-based convolution for manycore CPUs*, PPoPP 2018). Vectors run over channels, and all sums are in an order that
//! follows from the shapes.
//!
//! A dilated convolution is a plain one of every `dilation`-th row and column, from each of the first ones on: its tiles are of
//! pixels that far apart.
//!
//! A pixel that is not finite spoils the outputs of its tiles, not only those that read it.

mod filter;
mod pass;
mod product;
mod tiles;
mod transform;
mod vectors;
mod weight;

use super::gather::{Finish, Tap};
use super::tile::Store;
use crate::conv::{Conv2d, ConvSizes};
use candle_core::Result;
use filter::Filter;
use kernels::Kernels;
use pass::Pass;
use tiles::Grid;
use transform::POINTS;
pub(super) use weight::weight_gradient;

/// Whether this module can compute `sizes`: nine taps, and pixels side by side.
pub(super) fn fits(sizes: &ConvSizes) -> bool {
    let Conv2d { stride, padding, dilation, groups } = sizes.geometry;
    [sizes.k_h, sizes.k_w] == [3, 3] && [stride, groups] == [1, 1] && padding <= 2 * dilation
}

/// What transforming a tile of a channel costs at each point, in products.
const TRANSFORM: u128 = 14;

/// What transforming a filter costs, in tiles of products.
const FILTER: u128 = 100;

/// Channels below which vectors would be mostly empty.
const CHANNELS: usize = 16;

/// Whether `sizes`, which fit, are computed faster so: by a tenth at least, counted in products.
pub(super) fn pays(sizes: &ConvSizes) -> bool {
    let grid = Grid::of(sizes.target(), sizes.geometry.dilation);
    let [n, tiles, pixels] = [sizes.n, grid.rows * grid.columns, sizes.out_h * sizes.out_w].map(|size| size as u128);
    let [inputs, outputs] = [sizes.in_c, sizes.out_c].map(|size| size as u128);
    let (direct, tiles) = (9 * n * pixels * inputs * outputs, n * tiles);
    let fewer = POINTS as u128 * ((tiles + FILTER) * inputs * outputs + tiles * TRANSFORM * (inputs + outputs));
    sizes.in_c.min(sizes.out_c) >= CHANNELS && 11 * fewer < 10 * direct
}

impl ConvSizes {
    fn winograd(&self, backward: bool) -> Pass {
        let Conv2d { padding, dilation, .. } = self.geometry;
        let (input, output) = (self.source(), self.target());
        let (inner, outer) = (9, self.in_c * 9);
        let tap = |at: usize| Tap { y: at / 3, x: at % 3, index: if backward { 8 - at } else { at } };
        let taps = std::array::from_fn(tap);
        if backward {
            let filter = Filter { taps, lane: inner, depth: outer };
            Pass { images: self.n, source: output, target: input, padding: 2 * dilation - padding, dilation, filter }
        } else {
            let filter = Filter { taps, lane: outer, depth: inner };
            Pass { images: self.n, source: input, target: output, padding, dilation, filter }
        }
    }
}

/// The number of blocks that `finish` of [`forward`] sees.
pub(super) fn block_count(sizes: &ConvSizes) -> usize {
    sizes.winograd(false).parts().len()
}

/// As [`ConvSizes::forward`].
pub(super) fn forward(
    kernels: Kernels,
    sizes: &ConvSizes,
    x: &[f32],
    weight: &[f32],
    y: &mut [f32],
    store: Store<'_>,
    finish: Option<&Finish<'_>>,
) -> Result<()> {
    sizes.winograd(false).run(kernels, x, weight, y, store, finish)
}

/// As [`ConvSizes::input_gradient`].
pub(super) fn input_gradient(
    kernels: Kernels,
    sizes: &ConvSizes,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
    store: Store<'_>,
) -> Result<()> {
    sizes.winograd(true).run(kernels, dy, weight, dx, store, None)
}

#[cfg(test)]
mod tests;
