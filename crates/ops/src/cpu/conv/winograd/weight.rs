//! The weight's gradient: at each point a sum over tiles.

use super::product::Product;
use super::tiles::{Grid, Layout, aligned};
use super::transform::{POINTS, filter_gradient_tile, input_tile, output_gradient_tile};
use super::vectors::{TileMut, TileRef};
use crate::conv::{Conv2d, ConvSizes};
use crate::cpu::conv::gather::{Block, Map};
use crate::cpu::conv::unpack::{LINE, Unpack};
use crate::cpu::memory::{HostBuffer, Scratch};
use crate::cpu::shared::SharedMut;
use candle_core::Result;
use kernels::Kernels;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Tiles that are summed in one chain.
const TILES: usize = 32;

/// Input channels of a work item, at most.
const CHANNELS: usize = 64;

/// Work items wanted, so that many threads find work.
const ITEMS: usize = 16;

/// Values of all partial sums, at most.
const PARTIAL: usize = 1 << 21;

/// As [`ConvSizes::weight_gradient`].
pub(in crate::cpu::conv) fn weight_gradient(
    kernels: Kernels,
    sizes: &ConvSizes,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    add: bool,
) -> Result<()> {
    if dw.is_empty() || x.is_empty() || dy.is_empty() {
        if !add {
            dw.fill(0.0);
        }
        return Ok(());
    }
    let plan = Plan::new(sizes);
    let items = plan.splits.len() * plan.chunks.len() * plan.lines;
    let mut partial = HostBuffer::arbitrary(plan.len() * items)?;
    partial
        .par_chunks_mut(plan.len())
        .enumerate()
        .map_init(<[Scratch; 3]>::default, |[input, output, sums], (item, out)| {
            let (line, rest) = (item % plan.lines, item / plan.lines);
            let (first, count) = plan.chunks[rest % plan.chunks.len()];
            let tiles = plan.splits[rest / plan.chunks.len()].clone();
            let [i, o] = [count, plan.row].map(|channels| Layout::new(TILES, channels));
            let s = Layout::of_rows(count, plan.row);
            let input = (i, aligned(input, i.len())?);
            let output = (o, aligned(output, o.len())?);
            let sums = (s, aligned(sums, s.len())?);
            kernels.run(Item { plan: &plan, x, dy, first, count, line, tiles, input, output, sums, out });
            Ok(())
        })
        .collect::<Result<Vec<()>>>()?;
    let tap = plan.chunk * plan.row;
    let unpack = Unpack { sizes, row: plan.row, tap, line: 0, target: SharedMut::new(dw), add };
    let apart = plan.chunks.len() * plan.lines;
    unpack.all(kernels, &plan.chunks, plan.lines, |chunk, line| {
        partial.chunks_exact(plan.len()).skip(chunk * plan.lines + line).step_by(apart).collect()
    });
    Ok(())
}

/// How the sum is split: over channels, and over tiles where there are not enough of those.
struct Plan {
    input: Map,
    output: Map,
    padding: usize,
    dilation: usize,
    images: usize,
    /// Input channels: first and count, the largest count.
    chunks: Vec<(usize, usize)>,
    chunk: usize,
    /// Lines of output channels, and values of one.
    lines: usize,
    row: usize,
    splits: Vec<Range<usize>>,
}

impl Plan {
    fn new(sizes: &ConvSizes) -> Self {
        let input = Map { h: sizes.in_h, w: sizes.in_w, c: sizes.in_c };
        let output = Map { h: sizes.out_h, w: sizes.out_w, c: sizes.out_c };
        let chunk = input.c.min(CHANNELS);
        let chunks: Vec<_> = (0..input.c).step_by(chunk).map(|first| (first, chunk.min(input.c - first))).collect();
        let (lines, row) = (output.c.div_ceil(LINE), output.c.min(LINE).next_multiple_of(16));
        let Conv2d { padding, dilation, .. } = sizes.geometry;
        let grid = Grid::of(output, dilation);
        let tiles = sizes.n * grid.rows * grid.columns;
        let batches = tiles.div_ceil(TILES);
        let wanted = ITEMS.div_ceil(chunks.len() * lines).min(1 + PARTIAL / sizes.weights());
        let step = batches.div_ceil(wanted.min(batches)) * TILES;
        let splits = (0..tiles).step_by(step).map(|first| first..tiles.min(first + step)).collect();
        Self { input, output, padding, dilation, images: sizes.n, chunks, chunk, lines, row, splits }
    }

    /// Values of a partial sum, `[tap, in, out]`.
    fn len(&self) -> usize {
        9 * self.chunk * self.row
    }
}

/// Some input and output channels, and some tiles.
struct Item<'a> {
    plan: &'a Plan,
    x: &'a [f32],
    dy: &'a [f32],
    /// Input channels.
    first: usize,
    count: usize,
    /// The line of output channels.
    line: usize,
    tiles: Range<usize>,
    /// Tiles of both maps at the points, and their products' sums, `[point, in, out]`.
    input: (Layout, &'a mut [f32]),
    output: (Layout, &'a mut [f32]),
    sums: (Layout, &'a mut [f32]),
    out: &'a mut [f32],
}

impl WithSimd for Item<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for first in self.tiles.clone().step_by(TILES) {
            let tiles = first..self.tiles.end.min(first + TILES);
            self.transform(simd, tiles.clone());
            self.multiply(simd, tiles.len(), first > self.tiles.start);
        }
        self.finish(simd);
    }
}

impl Item<'_> {
    /// Brings tiles of both maps to the points.
    #[inline(always)]
    fn transform<S: Simd>(&mut self, simd: S, tiles: Range<usize>) {
        let Plan { input, output, padding, dilation, row, images, .. } = *self.plan;
        let grid = Grid::of(output, dilation);
        let all = Block { image: 0, images, row: 0, rows: grid.rows };
        for (at, tile) in tiles.enumerate() {
            let place = grid.place(&all, tile);
            for channel in (0..self.count).step_by(S::F32_LANES) {
                let (from, room) = (self.first + channel, &mut None);
                let source = TileRef::of_map(simd, self.x, input, place, padding, from, room);
                input_tile(simd, &source, self.input.0.target(self.input.1, at, channel));
            }
            let first = self.line * LINE;
            for channel in (0..row.min(output.c - first)).step_by(S::F32_LANES) {
                let (from, room) = (first + channel, &mut None);
                let source = TileRef::of_map(simd, self.dy, output, place, 0, from, room);
                output_gradient_tile(simd, &source, self.output.0.target(self.output.1, at, channel));
            }
        }
    }

    /// Sums over tiles at each point.
    #[inline(always)]
    fn multiply<S: Simd>(&mut self, simd: S, tiles: usize, add: bool) {
        let [i, o, s] = [self.input.0, self.output.0, self.sums.0];
        for point in 0..POINTS {
            for lane in (0..s.row).step_by(2 * S::F32_LANES) {
                Product {
                    a: &self.input.1[point * i.point..][..i.point],
                    rows: self.count,
                    row_stride: 1,
                    terms: tiles,
                    term_stride: i.row,
                    b: &self.output.1[point * o.point + lane..],
                    b_stride: o.row,
                    out: &mut self.sums.1[point * s.point + lane..],
                    out_stride: s.row,
                    add,
                }
                .run(simd, (s.row - lane).div_ceil(S::F32_LANES).min(2));
            }
        }
    }

    /// Brings the sums to the taps.
    #[inline(always)]
    fn finish<S: Simd>(&mut self, simd: S) {
        let (row, tap) = (self.plan.row, self.plan.chunk * self.plan.row);
        for channel in 0..self.count {
            for lane in (0..row).step_by(S::F32_LANES) {
                let to = TileMut::new(self.out, channel * row + lane, 3 * tap, tap);
                filter_gradient_tile(simd, &self.sums.0.source(self.sums.1, channel, lane), to);
            }
        }
    }
}
