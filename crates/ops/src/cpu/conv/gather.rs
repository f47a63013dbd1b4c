//! The one sum behind a convolution and its input gradient.
//!
//! Every output value is a sum over taps and channels of a *source* map. The forward pass has one phase of
//! outputs; the gradient of a strided convolution has one phase per parity, each with its own taps.
//!
//! A work item is a block of pixels (some images, or some rows of one) and a range of output lanes. It
//! copies what it reads of the source into a zero-padded scratch that stays in the cache, then computes
//! register tiles of a few pixels by one or two vectors of output channels, with the weights packed in the
//! order in which the tile reads them. Items and the order of sums depend on shapes alone.
#![allow(unsafe_code, reason = "the register tile reads through pointers; bounds are argued at each block")]

use super::Affine;
pub(super) use super::blocks::{Block, Lanes, blocks, lanes, lanes_of};
use super::packing::PackTile;
pub(super) use super::tile::Store;
use super::tile::{Pixels, Tiles};
use crate::cpu::memory::{HostBuffer, Scratch};
use crate::cpu::shared::SharedMut;
use candle_core::Result;
use kernels::Kernels;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// A tap: where it reads in the padded source, and its index in the kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tap {
    pub(super) y: usize,
    pub(super) x: usize,
    pub(super) index: usize,
}

/// Outputs that share their taps: pixels `(y + a·target_stride, x + b·target_stride)` for `a < rows`, `b < columns` read
/// the padded source from `(a·source_stride, b·source_stride)` on.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    pub(super) y: usize,
    pub(super) x: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) taps: Vec<Tap>,
}

/// Height, width and channels of a map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map {
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) c: usize,
}

impl Map {
    pub(super) fn len(self) -> usize {
        self.h * self.w * self.c
    }
}

/// A sum over taps from a source map to a target map.
#[derive(Debug, Clone)]
pub(super) struct Gather {
    pub(super) images: usize,
    pub(super) source: Map,
    pub(super) target: Map,
    pub(super) groups: usize,
    /// Zeros above and left of the source.
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) source_stride: usize,
    pub(super) target_stride: usize,
    pub(super) phases: Vec<Phase>,
    /// Distance in the weight of neighboring target channels, source channels and taps of a group, and
    /// of groups.
    pub(super) weight_strides: WeightStrides,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct WeightStrides {
    pub(super) group: usize,
    pub(super) lane: usize,
    pub(super) depth: usize,
}

/// Sees the index and the values of each block of pixels after it was written.
pub(crate) type Finish<'a> = dyn Fn(usize, &[f32]) + Sync + 'a;

/// Work items wanted, so that many threads find work; more where they cost nothing.
const ITEMS: usize = 32;

/// How weights are laid out for tiles: per group, phase and tile, per tap and source channel, the values of
/// the tile's output channels, zeros where it has none.
struct Packing {
    width: usize,
    lanes: Vec<Lanes>,
    /// Where each phase begins in its group.
    phases: Vec<usize>,
    /// Values of a group.
    group: usize,
}

/// One past the last tap in each direction; at least 1, as pixels without taps have a place in the source too.
fn extent(phases: &[Phase]) -> (usize, usize) {
    let taps = || phases.iter().flat_map(|phase| &phase.taps);
    (taps().map(|tap| tap.y + 1).max().unwrap_or(1), taps().map(|tap| tap.x + 1).max().unwrap_or(1))
}

impl Gather {
    fn source_channels(&self) -> usize {
        self.source.c / self.groups
    }

    fn target_channels(&self) -> usize {
        self.target.c / self.groups
    }

    /// Rows and columns of the largest phase.
    fn positions(&self) -> (usize, usize) {
        (
            self.phases.iter().map(|phase| phase.rows).max().unwrap_or(0),
            self.phases.iter().map(|phase| phase.columns).max().unwrap_or(0),
        )
    }

    /// The blocks of pixels that are computed together.
    fn blocks(&self) -> Vec<Block> {
        let (rows, _) = self.positions();
        // Enough to know how finely channels could be split: the widest vectors' tiles.
        let tiles = if self.groups == 1 { self.target_channels().div_ceil(32) } else { 1 };
        blocks(self.images, rows, tiles, |rows| {
            let (height, width) = self.window_size(rows);
            height * width * self.source_channels()
        })
    }

    fn packing(&self, kernels: Kernels) -> Packing {
        let width = lanes_of(kernels);
        let lanes = lanes(self.target_channels(), width);
        let padded = lanes.last().map_or(0, |last| last.offset + last.vectors * width);
        let mut group = 0;
        let mut start = |phase: &Phase| {
            let start = group;
            group += phase.taps.len() * self.source_channels() * padded;
            start
        };
        let phases = self.phases.iter().map(&mut start).collect();
        Packing { width, lanes, phases, group }
    }

    /// What [`PackTile`] needs to know of one group, phase and tile.
    fn pack_tile<'a>(
        &self,
        weight: &'a [f32],
        group: usize,
        phase: &'a Phase,
        tile: Lanes,
        width: usize,
        out: &'a mut [f32],
    ) -> PackTile<'a> {
        let strides = self.weight_strides;
        let base = group * strides.group + tile.start * strides.lane;
        let (depth, count, row) = (self.source_channels(), tile.count, tile.vectors * width);
        PackTile { weight, base, strides, taps: &phase.taps, depth, count, row, out }
    }

    /// Packs all weights.
    fn pack(&self, kernels: Kernels, packing: &Packing, weight: &[f32]) -> Result<HostBuffer> {
        let mut values = HostBuffer::arbitrary(packing.group * self.groups)?;
        let mut tasks = Vec::new();
        let mut rest: &mut [f32] = &mut values;
        for group in 0..self.groups {
            for phase in &self.phases {
                for tile in &packing.lanes {
                    let len = phase.taps.len() * self.source_channels() * tile.vectors * packing.width;
                    let (out, behind) = rest.split_at_mut(len);
                    rest = behind;
                    tasks.push(self.pack_tile(weight, group, phase, *tile, packing.width, out));
                }
            }
        }
        tasks.into_par_iter().for_each(|task| kernels.run(task));
        Ok(values)
    }

    /// Computes `target` from `source` and `weight`, which is laid out as `weight_strides` say.
    ///
    /// `finish` gets the index and the values of each block, most of them while they are in the cache; only
    /// for plans of one phase.
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
        let packing = self.packing(kernels);
        let blocks = self.blocks();
        // A single block packs each tile's weights just before it reads them, while they are in the cache.
        let packed = match blocks.len() {
            1 => None,
            _ => Some(self.pack(kernels, &packing, weight)?),
        };
        let splits = match self.groups {
            1 => packing.lanes.len().min(ITEMS.div_ceil(blocks.len())),
            _ => 1,
        };
        let per_split = packing.lanes.len().div_ceil(splits);
        let items: Vec<(usize, &[Lanes])> = (0..blocks.len())
            .flat_map(|block| packing.lanes.chunks(per_split).map(move |lanes| (block, lanes)))
            .collect();
        let shared = SharedMut::new(target);
        // A block's values: contiguous where there is one phase, as in a forward pass.
        let row = self.target.w * self.target.c;
        let range = |block: &Block| {
            let start = block.image * self.target.len() + block.row * row;
            start..start + ((block.images - 1) * self.target.h + block.rows) * row
        };
        items
            .into_par_iter()
            .map_init(<[Scratch; 2]>::default, |[window, weights], (index, lanes)| {
                let block = blocks[index];
                let window = window.get(self.window_len(block))?;
                let weights = match &packed {
                    Some(packed) => Weights::Packed(packed),
                    None => Weights::Raw(weight, weights.get(self.largest_tile(&packing))?),
                };
                let packing = &packing;
                kernels.run(Item {
                    gather: self,
                    source,
                    packing,
                    weights,
                    target: &shared,
                    store,
                    block,
                    lanes,
                    window,
                });
                if let (Some(finish), 1) = (finish, splits) {
                    let range = range(&block);
                    // SAFETY: this item computes all channels of the block, so nobody else writes these
                    // values, and it is done with them; the range lies in the target.
                    finish(index, unsafe { std::slice::from_raw_parts(shared.at(range.start), range.len()) });
                }
                Ok(())
            })
            .collect::<Result<Vec<()>>>()?;
        if let Some(finish) = finish.filter(|_| splits > 1) {
            let target: &[f32] = target;
            blocks.par_iter().enumerate().for_each(|(index, block)| finish(index, &target[range(block)]));
        }
        Ok(())
    }

    /// Rows and columns of the source that `rows` rows of the phases read.
    fn window_size(&self, rows: usize) -> (usize, usize) {
        let (taps_y, taps_x) = extent(&self.phases);
        let (_, columns) = self.positions();
        let reach = |positions: usize, taps: usize| positions.saturating_sub(1) * self.source_stride + taps;
        (reach(rows, taps_y), reach(columns, taps_x))
    }

    /// Whether all reads fall into the source, so that no padded copy is needed.
    fn is_direct(&self) -> bool {
        let (rows, _) = self.positions();
        let (height, width) = self.window_size(rows);
        self.top == 0 && self.left == 0 && height <= self.source.h && width <= self.source.w
    }

    /// Values of the padded copy of a block.
    fn window_len(&self, block: Block) -> usize {
        let (height, width) = self.window_size(block.rows);
        if self.is_direct() { 0 } else { block.images * height * width * self.source_channels() }
    }

    /// Packed weights of the largest tile.
    fn largest_tile(&self, packing: &Packing) -> usize {
        let taps = self.phases.iter().map(|phase| phase.taps.len()).max().unwrap_or(0);
        taps * self.source_channels() * 2 * packing.width
    }

    /// The number of blocks that `finish` of [`Gather::run`] sees.
    pub(super) fn block_count(&self) -> usize {
        if self.images * self.target.len() == 0 { 0 } else { self.blocks().len() }
    }
}

/// Where tiles get their weights from.
enum Weights<'a> {
    /// All of them, packed.
    Packed(&'a [f32]),
    /// As they are, to be packed a tile at a time into the scratch.
    Raw(&'a [f32], &'a mut [f32]),
}

struct Item<'a> {
    gather: &'a Gather,
    source: &'a [f32],
    packing: &'a Packing,
    weights: Weights<'a>,
    target: &'a SharedMut<'a>,
    store: Store<'a>,
    block: Block,
    lanes: &'a [Lanes],
    /// Scratch for the padded copy of the source, empty where none is needed.
    window: &'a mut [f32],
}

/// The source of a block: what tiles read.
struct Window<'a> {
    values: &'a [f32],
    /// Distance of neighboring pixels, rows and images.
    pixel: usize,
    row: usize,
    image: usize,
}

impl WithSimd for Item<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { gather, source, packing, mut weights, target, store, block, lanes, window: scratch } = self;
        let (height, width) = gather.window_size(block.rows);
        let depth = gather.source_channels();
        let mut full = Vec::new();
        let mut tails = Vec::new();
        let mut runs = Vec::new();
        for group in 0..gather.groups {
            let window = if gather.is_direct() {
                let start = (block.image * gather.source.h + block.row * gather.source_stride)
                    * gather.source.w
                    * gather.source.c;
                Window {
                    values: &source[start + group * depth..],
                    pixel: gather.source.c,
                    row: gather.source.w * gather.source.c,
                    image: gather.source.len(),
                }
            } else {
                gather.fill(source, block, group, height, width, scratch);
                Window { values: scratch, pixel: depth, row: width * depth, image: height * width * depth }
            };
            let first_channel = group * gather.target_channels();
            for (phase, phase_at) in gather.phases.iter().zip(&packing.phases) {
                let rows = block.rows.min(phase.rows.saturating_sub(block.row));
                if rows == 0 || phase.columns == 0 || (phase.taps.is_empty() && matches!(store, Store::Add)) {
                    continue;
                }
                // Pixels in fours, and what is left of each row.
                full.clear();
                tails.clear();
                let tail = phase.columns % 4;
                for image in 0..block.images {
                    for a in 0..rows {
                        let source = image * window.image + a * gather.source_stride * window.row;
                        let y = phase.y + (block.row + a) * gather.target_stride;
                        let target = (block.image + image) * gather.target.len()
                            + (y * gather.target.w + phase.x) * gather.target.c
                            + first_channel;
                        let at = |b: usize| Pixels {
                            source: source + b * gather.source_stride * window.pixel,
                            target: target + b * gather.target_stride * gather.target.c,
                        };
                        full.extend((0..phase.columns - tail).step_by(4).map(at));
                        if tail > 0 {
                            tails.push(at(phase.columns - tail));
                        }
                    }
                }
                // Taps side by side in the source are one run.
                runs.clear();
                for tap in &phase.taps {
                    let at = tap.y * window.row + tap.x * window.pixel;
                    match runs.last_mut() {
                        Some((start, len)) if *start + *len == at => *len += depth,
                        _ => runs.push((at, depth)),
                    }
                }
                for tile in lanes {
                    let len = phase.taps.len() * depth * tile.vectors * packing.width;
                    let weights = match &mut weights {
                        Weights::Packed(packed) => {
                            let at = group * packing.group + phase_at + phase.taps.len() * depth * tile.offset;
                            &packed[at..at + len]
                        }
                        Weights::Raw(weight, scratch) => {
                            let out = &mut scratch[..len];
                            gather.pack_tile(weight, group, phase, *tile, packing.width, out).with_simd(simd);
                            out
                        }
                    };
                    let tiles = Tiles {
                        window: window.values,
                        source_stride: gather.source_stride * window.pixel,
                        runs: &runs,
                        weights,
                        target,
                        target_stride: gather.target_stride * gather.target.c,
                        channel: first_channel + tile.start,
                        lane: tile.start,
                        count: tile.count,
                        store,
                    };
                    match (tile.vectors, S::REGISTER_COUNT >= 32) {
                        (1, true) => tiles.rows::<S, 1, 4>(simd, &full, &tails, tail),
                        (1, false) => tiles.rows::<S, 1, 2>(simd, &full, &tails, tail),
                        (_, true) => tiles.rows::<S, 2, 3>(simd, &full, &tails, tail),
                        (_, false) => tiles.rows::<S, 2, 1>(simd, &full, &tails, tail),
                    }
                }
            }
        }
    }
}

impl Gather {
    /// Copies the rows that a block reads, zeros outside the image.
    #[inline(always)]
    fn fill(&self, source: &[f32], block: Block, group: usize, height: usize, width: usize, scratch: &mut [f32]) {
        let depth = self.source_channels();
        let Map { h, w, c } = self.source;
        let left = self.left.min(width);
        let inside = w.min(width - left);
        for image in 0..block.images {
            let source = &source[(block.image + image) * self.source.len()..][..self.source.len()];
            for y in 0..height {
                let row = &mut scratch[(image * height + y) * width * depth..][..width * depth];
                // Above the image the subtraction wraps to a number larger than any height.
                let from = (block.row * self.source_stride + y).wrapping_sub(self.top);
                if from >= h {
                    row.fill(0.0);
                    continue;
                }
                let (before, rest) = row.split_at_mut(left * depth);
                let (middle, behind) = rest.split_at_mut(inside * depth);
                before.fill(0.0);
                behind.fill(0.0);
                let source = &source[from * w * c..][..w * c];
                if depth == c {
                    middle.copy_from_slice(&source[..middle.len()]);
                } else {
                    for (pixel, source) in middle.chunks_exact_mut(depth).zip(source.chunks_exact(c)) {
                        pixel.copy_from_slice(&source[group * depth..][..depth]);
                    }
                }
            }
        }
    }
}
