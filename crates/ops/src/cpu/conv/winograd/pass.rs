//! Forward pass and input's gradient: tiles of a source map become tiles of a target map.
#![allow(unsafe_code, reason = "tasks write parts of the target that are not contiguous")]

use super::filter::{DEPTH, Filter, Filters, Transform, chunks, filter_len};
use super::product::Product;
use super::tiles::{Grid, Layout, aligned};
use super::transform::{OUTPUTS, POINTS, input_tile, output_tile};
use super::vectors::{TileMut, TileRef};
use crate::cpu::conv::Affine;
use crate::cpu::conv::gather::{Block, Finish, Lanes, Map, lanes, lanes_of};
use crate::cpu::conv::tile::Store;
use crate::cpu::memory::Scratch;
use crate::cpu::shared::SharedMut;
use candle_core::Result;
use kernels::Kernels;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Work items wanted, so that many threads find work.
const ITEMS: usize = 4;

/// Values of all transformed filters, at most, that are kept while tiles are computed.
const FILTERS: usize = 1 << 22;

/// Tiles that are transformed and multiplied together: with the sums of a panel their values stay in the second-level
/// cache.
const TILES: usize = 32;

/// The same where there are so many filters that they are in no cache.
const TILES_OF_MANY: usize = 64;

/// A sum over nine taps from a source map to a target map.
pub(super) struct Pass {
    pub(super) images: usize,
    pub(super) source: Map,
    pub(super) target: Map,
    /// Zeros above and left of the source.
    pub(super) padding: usize,
    /// Distance in the source of neighbouring taps.
    pub(super) dilation: usize,
    pub(super) filter: Filter,
}

impl Pass {
    fn grid(&self) -> Grid {
        Grid::of(self.target, self.dilation)
    }

    /// The target's values in parts that lie side by side: what tasks compute where there is no dilation.
    pub(super) fn parts(&self) -> Vec<Block> {
        Grid::of(self.target, 1).blocks(self.images, self.batch())
    }

    /// Tiles that are computed together.
    fn batch(&self) -> usize {
        if self.has_many_filters() { TILES_OF_MANY } else { TILES }
    }

    fn has_many_filters(&self) -> bool {
        POINTS * self.source.c * self.target.c > FILTERS
    }

    /// Computes `target` from `source`; `finish` gets the index and the values of each of [`Pass::parts`].
    pub(super) fn run(
        &self,
        kernels: Kernels,
        source: &[f32],
        weight: &[f32],
        target: &mut [f32],
        store: Store<'_>,
        finish: Option<&Finish<'_>>,
    ) -> Result<()> {
        assert_eq!(source.len(), self.images * self.source.len(), "the source has another size");
        assert_eq!(target.len(), self.images * self.target.len(), "the target has another size");
        if let Store::Affine(Affine { scale, shift, residual, .. }) = store {
            assert!(scale.len() == self.target.c && shift.len() == self.target.c, "scales have another size");
            assert!(residual.is_none_or(|residual| residual.len() == target.len()), "the residual has another size");
        }
        if target.is_empty() {
            return Ok(());
        }
        let (grid, width) = (self.grid(), lanes_of(kernels));
        let blocks = grid.blocks(self.images, self.batch());
        let panels = lanes(self.target.c, width);
        // Filters that are many, for few tiles, are transformed just before they are used, while they are in the cache.
        let few = blocks.len() < ITEMS && self.has_many_filters();
        let filters = match few {
            true => None,
            false => Some(Filters::new(kernels, &self.filter, weight, self.source.c, &panels, width)?),
        };
        let splits = panels.len().min(ITEMS.div_ceil(blocks.len()));
        let items: Vec<(usize, &[Lanes])> = (0..blocks.len())
            .flat_map(|block| panels.chunks(panels.len().div_ceil(splits)).map(move |panels| (block, panels)))
            .collect();
        // Whether a task computes all values of a part, and sees them while they are in the cache.
        let whole = splits == 1 && self.dilation == 1;
        let shared = SharedMut::new(target);
        items
            .into_par_iter()
            .map_init(<[Scratch; 4]>::default, |[values, sums, taps, points], (index, panels)| {
                let block = blocks[index];
                let tiles = grid.tiles(&block).min(self.batch());
                let row = panels.iter().map(|panel| panel.vectors * width).max().unwrap_or(0);
                let depth = self.source.c.min(DEPTH);
                let layouts = [Layout::new(tiles, self.source.c), Layout::of_rows(tiles, row)];
                let values = aligned(values, layouts[0].len())?;
                let sums = aligned(sums, layouts[1].len())?;
                let filters = match &filters {
                    Some(filters) => Source::Filters(filters),
                    None => Source::Weight(
                        weight,
                        taps.get(9 * depth * row)?,
                        aligned(points, POINTS * filter_len(depth, row))?,
                    ),
                };
                let target = &shared;
                kernels.run(Item { pass: self, source, filters, target, store, block, panels, layouts, values, sums });
                if let (Some(finish), true) = (finish, whole) {
                    let range = self.range(&block);
                    // SAFETY: this item computes all channels of the block, so nobody else writes these values, and it
                    // is done with them; the range lies in the target.
                    finish(index, unsafe { std::slice::from_raw_parts(shared.at(range.start), range.len()) });
                }
                Ok(())
            })
            .collect::<Result<Vec<()>>>()?;
        if let Some(finish) = finish.filter(|_| !whole) {
            let target: &[f32] = target;
            self.parts().par_iter().enumerate().for_each(|(index, part)| finish(index, &target[self.range(part)]));
        }
        Ok(())
    }

    /// The target's values of a part.
    fn range(&self, part: &Block) -> std::ops::Range<usize> {
        let row = self.target.w * self.target.c;
        let first = part.row * OUTPUTS;
        let last = (first + part.rows * OUTPUTS).min(self.target.h);
        let start = part.image * self.target.len();
        start + first * row..start + (part.images - 1) * self.target.len() + last * row
    }
}

/// Where filters at the points come from.
enum Source<'a> {
    Filters(&'a Filters),
    /// The weight, and scratch for its taps and for the points of a panel and a chunk.
    Weight(&'a [f32], &'a mut [f32], &'a mut [f32]),
}

struct Item<'a> {
    pass: &'a Pass,
    source: &'a [f32],
    filters: Source<'a>,
    target: &'a SharedMut<'a>,
    store: Store<'a>,
    block: Block,
    panels: &'a [Lanes],
    /// Of the values, and of the sums.
    layouts: [Layout; 2],
    /// The source's tiles at the points.
    values: &'a mut [f32],
    /// A panel of the target's tiles at the points.
    sums: &'a mut [f32],
}

impl WithSimd for Item<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let tiles = self.pass.grid().tiles(&self.block);
        let batch = self.pass.batch();
        for first in (0..tiles).step_by(batch) {
            let count = batch.min(tiles - first);
            self.transform(simd, first, count);
            for panel in self.panels {
                self.multiply(simd, panel, count);
                self.finish(simd, panel, first, count);
            }
        }
    }
}

impl Item<'_> {
    /// Brings tiles of the source to the points.
    #[inline(always)]
    fn transform<S: Simd>(&mut self, simd: S, first: usize, count: usize) {
        let Pass { source: map, padding, .. } = *self.pass;
        let grid = self.pass.grid();
        for tile in 0..count {
            let place = grid.place(&self.block, first + tile);
            for channel in (0..map.c).step_by(S::F32_LANES) {
                let room = &mut None;
                let source = TileRef::of_map(simd, self.source, map, place, padding, channel, room);
                input_tile(simd, &source, self.layouts[0].target(self.values, tile, channel));
            }
        }
    }

    /// Sums over the source's channels at each point.
    #[inline(always)]
    fn multiply<S: Simd>(&mut self, simd: S, panel: &Lanes, count: usize) {
        let row = panel.vectors * S::F32_LANES;
        let [from, to] = self.layouts;
        for chunk in chunks(self.pass.source.c) {
            let (taps_len, len) = (9 * chunk.len() * row, filter_len(chunk.len(), row));
            let filters = match &mut self.filters {
                Source::Filters(filters) => filters.get(panel, &chunk),
                Source::Weight(weight, taps, points) => {
                    let (taps, out) = (&mut taps[..taps_len], &mut points[..POINTS * len]);
                    let (filter, panel, chunk) = (&self.pass.filter, *panel, chunk.clone());
                    Transform { filter, weight, panel, chunk, row, taps, out }.with_simd(simd);
                    &points[..POINTS * len]
                }
            };
            for point in 0..POINTS {
                Product {
                    a: &self.values[point * from.point + chunk.start..],
                    rows: count,
                    row_stride: from.row,
                    terms: chunk.len(),
                    term_stride: 1,
                    b: &filters[point * len..][..len],
                    b_stride: row,
                    out: &mut self.sums[point * to.point..][..to.point],
                    out_stride: to.row,
                    add: chunk.start > 0,
                }
                .run(simd, panel.vectors);
            }
        }
    }

    /// Writes the target's tiles.
    #[inline(always)]
    fn finish<S: Simd>(&mut self, simd: S, panel: &Lanes, first: usize, count: usize) {
        let Map { h, w, c } = self.pass.target;
        let grid = self.pass.grid();
        for tile in 0..count {
            let place = grid.place(&self.block, first + tile);
            let step = place.step;
            let [rows, columns] =
                [h - place.y, w - place.x].map(|left| if left > 3 * step { OUTPUTS } else { left.div_ceil(step) });
            for lane in (0..panel.count).step_by(S::F32_LANES) {
                let mut pixels = [[simd.splat_f32s(0.0); OUTPUTS]; OUTPUTS];
                output_tile(simd, &self.layouts[1].source(self.sums, tile, lane), TileMut::of_tile(&mut pixels));
                let channel = panel.start + lane;
                let lanes = S::F32_LANES.min(panel.count - lane);
                for (y, row) in pixels[..rows].iter().enumerate() {
                    let first = ((place.image * h + place.y + y * step) * w + place.x) * c + channel;
                    for (x, pixel) in row[..columns].iter().enumerate() {
                        let at = first + x * step * c;
                        debug_assert!(at + lanes <= self.target.len(), "a pixel outside the target");
                        // SAFETY: the pixel lies in the target, whose size `Pass::run` has checked, and so do `lanes`
                        // channels from `channel` on; an item has its pixels and panels for itself. Scales and the
                        // residual have been checked there, too.
                        unsafe { self.store.put(simd, self.target, *pixel, at, channel, lanes) }
                    }
                }
            }
        }
    }
}
