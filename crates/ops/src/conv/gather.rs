//! The one sum behind a convolution and its input gradient.
//!
//! Every output value is a sum over taps and channels of a *source* map. The forward pass has one class of
//! outputs; the gradient of a strided convolution has one class per parity, each with its own taps.
//!
//! A work item is a block of pixels (some images, or some rows of one) and a range of output lanes. It
//! copies what it reads of the source into a zero-padded scratch that stays in the cache, then computes
//! register tiles of a few pixels by one or two vectors of output channels, with the weights packed in the
//! order in which the tile reads them. Items and the order of sums depend on shapes alone.
#![allow(unsafe_code, reason = "the register tile reads through pointers; bounds are argued at each block")]

use super::Affine;
use crate::kernels::{Kernels, mul_add};
use crate::memory::{Buffer, Scratch};
use crate::shared::SharedMut;
use candle_core::Result;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// A tap: where it reads in the padded source, and its index in the kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tap {
    pub(super) y: usize,
    pub(super) x: usize,
    pub(super) index: usize,
}

/// Outputs that share their taps: pixels `(y + a·spread, x + b·spread)` for `a < rows`, `b < columns` read
/// the padded source from `(a·step, b·step)` on.
#[derive(Debug, Clone)]
pub(super) struct Class {
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
    fn len(self) -> usize {
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
    pub(super) step: usize,
    pub(super) spread: usize,
    pub(super) classes: Vec<Class>,
    /// Distance in the weight of neighbouring target channels, source channels and taps of a group, and
    /// of groups.
    pub(super) weight_strides: WeightStrides,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct WeightStrides {
    pub(super) group: usize,
    pub(super) lane: usize,
    pub(super) depth: usize,
}

/// What happens to a finished sum.
#[derive(Clone, Copy)]
pub(super) enum Store<'a> {
    /// It is the result.
    Write,
    /// It is added to the target.
    Add,
    /// The result is an affine function of it.
    Affine(Affine<'a>),
}

/// Sees the index and the values of each block of pixels after it was written.
pub(crate) type Finish<'a> = dyn Fn(usize, &[f32]) + Sync + 'a;

/// Values of padded scratch that stay in a second-level cache.
const SCRATCH: usize = 1 << 18;

/// Work items wanted, so that many threads find work; more where they cost nothing.
const ITEMS: usize = 32;

/// Some images, or some rows of one image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) image: usize,
    pub(super) images: usize,
    pub(super) row: usize,
    pub(super) rows: usize,
}

/// A range of output channels of a group that one register tile is wide.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes {
    pub(super) start: usize,
    /// Channels; less than the vectors hold in the last one.
    pub(super) count: usize,
    pub(super) vectors: usize,
    /// Where its packed weights begin, in units of one tap and channel.
    offset: usize,
}

/// Splits `channels` into tiles two vectors wide, and a last one as wide as needed.
pub(super) fn lanes(channels: usize, width: usize) -> Vec<Lanes> {
    let mut all = Vec::new();
    let (mut start, mut offset) = (0, 0);
    while start < channels {
        let count = (channels - start).min(2 * width);
        let vectors = count.div_ceil(width);
        all.push(Lanes { start, count, vectors, offset });
        start += count;
        offset += vectors * width;
    }
    all
}

/// How weights are laid out for tiles: per group, class and tile, per tap and source channel, the values of
/// the tile's output channels, zeros where it has none.
struct Packing {
    width: usize,
    lanes: Vec<Lanes>,
    /// Where each class begins in its group.
    classes: Vec<usize>,
    /// Values of a group.
    group: usize,
}

/// One past the last tap in each direction; at least 1, as pixels without taps have a place in the source too.
fn extent(classes: &[Class]) -> (usize, usize) {
    let taps = || classes.iter().flat_map(|class| &class.taps);
    (taps().map(|tap| tap.y + 1).max().unwrap_or(1), taps().map(|tap| tap.x + 1).max().unwrap_or(1))
}

impl Gather {
    fn source_channels(&self) -> usize {
        self.source.c / self.groups
    }

    fn target_channels(&self) -> usize {
        self.target.c / self.groups
    }

    /// Rows and columns of the largest class.
    fn positions(&self) -> (usize, usize) {
        (
            self.classes.iter().map(|class| class.rows).max().unwrap_or(0),
            self.classes.iter().map(|class| class.columns).max().unwrap_or(0),
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
        let width = kernels.lanes();
        let lanes = lanes(self.target_channels(), width);
        let padded = lanes.last().map_or(0, |last| last.offset + last.vectors * width);
        let mut group = 0;
        let mut start = |class: &Class| {
            let start = group;
            group += class.taps.len() * self.source_channels() * padded;
            start
        };
        let classes = self.classes.iter().map(&mut start).collect();
        Packing { width, lanes, classes, group }
    }

    /// What [`PackTile`] needs to know of one group, class and tile.
    fn pack_tile<'a>(
        &self,
        weight: &'a [f32],
        group: usize,
        class: &'a Class,
        tile: Lanes,
        width: usize,
        out: &'a mut [f32],
    ) -> PackTile<'a> {
        let strides = self.weight_strides;
        let base = group * strides.group + tile.start * strides.lane;
        let (depth, count, row) = (self.source_channels(), tile.count, tile.vectors * width);
        PackTile { weight, base, strides, taps: &class.taps, depth, count, row, out }
    }

    /// Packs all weights.
    fn pack(&self, kernels: Kernels, packing: &Packing, weight: &[f32]) -> Result<Buffer> {
        let mut values = Buffer::arbitrary(packing.group * self.groups)?;
        let mut tasks = Vec::new();
        let mut rest: &mut [f32] = &mut values;
        for group in 0..self.groups {
            for class in &self.classes {
                for tile in &packing.lanes {
                    let len = class.taps.len() * self.source_channels() * tile.vectors * packing.width;
                    let (out, behind) = rest.split_at_mut(len);
                    rest = behind;
                    tasks.push(self.pack_tile(weight, group, class, *tile, packing.width, out));
                }
            }
        }
        tasks.into_par_iter().for_each(|task| kernels.run(task));
        Ok(values)
    }

    /// Computes `target` from `source` and `weight`, which is laid out as `weight_strides` say.
    ///
    /// `finish` gets the index and the values of each block, most of them while they are in the cache; only
    /// for plans of one class.
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
        // A block's values: contiguous where there is one class, as in a forward pass.
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

    /// Rows and columns of the source that `rows` rows of the classes read.
    fn window_size(&self, rows: usize) -> (usize, usize) {
        let (taps_y, taps_x) = extent(&self.classes);
        let (_, columns) = self.positions();
        let reach = |positions: usize, taps: usize| positions.saturating_sub(1) * self.step + taps;
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
        let taps = self.classes.iter().map(|class| class.taps.len()).max().unwrap_or(0);
        taps * self.source_channels() * 2 * packing.width
    }

    /// The number of blocks that `finish` of [`Gather::run`] sees.
    pub(super) fn block_count(&self) -> usize {
        if self.images * self.target.len() == 0 { 0 } else { self.blocks().len() }
    }
}

/// Splits images, or rows where an image's scratch is large, evenly into blocks. `parts` is how many tasks
/// each block can be split into.
pub(super) fn blocks(images: usize, rows: usize, parts: usize, scratch: impl Fn(usize) -> usize) -> Vec<Block> {
    let image = scratch(rows).max(1);
    let mut all = Vec::new();
    if image <= SCRATCH && images >= 8 {
        let fit = (SCRATCH / image).clamp(1, images.div_ceil(4));
        let count = images.div_ceil(fit).next_multiple_of(4).min(images);
        let per_block = images.div_ceil(count);
        for image in (0..images).step_by(per_block) {
            all.push(Block { image, images: per_block.min(images - image), row: 0, rows });
        }
    } else {
        // Bands of rows; at least eight pieces for a few small images.
        let few = 8usize.div_ceil((images * parts).max(1));
        let wanted = image.div_ceil(SCRATCH).max(few).min(rows.max(1));
        let per_block = rows.div_ceil(wanted).max(1);
        for image in 0..images {
            for row in (0..rows).step_by(per_block) {
                all.push(Block { image, images: 1, row, rows: per_block.min(rows - row) });
            }
        }
    }
    all
}

/// Copies the weights of one tile into the order of its reads: for each tap and channel, `row` lanes.
struct PackTile<'a> {
    weight: &'a [f32],
    base: usize,
    strides: WeightStrides,
    taps: &'a [Tap],
    depth: usize,
    count: usize,
    row: usize,
    out: &'a mut [f32],
}

impl WithSimd for PackTile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        /// Channels that are copied at a time.
        const CHANNELS: usize = 16;
        let Self { weight, base, strides, taps, depth, count, row, out } = self;
        if count < row {
            out.fill(0.0);
        }
        let mut panel = Vec::new();
        for first in (0..depth).step_by(CHANNELS) {
            let channels = CHANNELS.min(depth - first);
            // Lanes that lie far apart fall on the same lines of the cache; side by side they do not.
            let (values, lane) = if strides.lane > strides.depth {
                let len = channels * strides.depth;
                panel.resize(count * (len + 1), 0.0);
                for (lane, panel) in panel.chunks_exact_mut(len + 1).enumerate() {
                    panel[..len].copy_from_slice(&weight[base + lane * strides.lane + first * strides.depth..][..len]);
                }
                (&panel[..], len + 1)
            } else {
                (&weight[base + first * strides.depth..], strides.lane)
            };
            for d in 0..channels {
                for (tap, out) in taps.iter().zip(out.chunks_exact_mut(depth * row)) {
                    let out = &mut out[(first + d) * row..][..count];
                    let values = &values[d * strides.depth + tap.index..];
                    for (out, value) in out.iter_mut().zip(values.iter().step_by(lane)) {
                        *out = *value;
                    }
                }
            }
        }
    }
}

/// Where a tile of pixels reads and writes: offsets of its first pixel.
#[derive(Clone, Copy)]
struct Pixels {
    source: usize,
    target: usize,
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
    /// Distance of neighbouring pixels, rows and images.
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
                let start =
                    (block.image * gather.source.h + block.row * gather.step) * gather.source.w * gather.source.c;
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
            for (class, class_at) in gather.classes.iter().zip(&packing.classes) {
                let rows = block.rows.min(class.rows.saturating_sub(block.row));
                if rows == 0 || class.columns == 0 || (class.taps.is_empty() && matches!(store, Store::Add)) {
                    continue;
                }
                // Pixels in fours, and what is left of each row.
                full.clear();
                tails.clear();
                let tail = class.columns % 4;
                for image in 0..block.images {
                    for a in 0..rows {
                        let source = image * window.image + a * gather.step * window.row;
                        let y = class.y + (block.row + a) * gather.spread;
                        let target = (block.image + image) * gather.target.len()
                            + (y * gather.target.w + class.x) * gather.target.c
                            + first_channel;
                        let at = |b: usize| Pixels {
                            source: source + b * gather.step * window.pixel,
                            target: target + b * gather.spread * gather.target.c,
                        };
                        full.extend((0..class.columns - tail).step_by(4).map(at));
                        if tail > 0 {
                            tails.push(at(class.columns - tail));
                        }
                    }
                }
                // Taps side by side in the source are one run.
                runs.clear();
                for tap in &class.taps {
                    let at = tap.y * window.row + tap.x * window.pixel;
                    match runs.last_mut() {
                        Some((start, len)) if *start + *len == at => *len += depth,
                        _ => runs.push((at, depth)),
                    }
                }
                for tile in lanes {
                    let len = class.taps.len() * depth * tile.vectors * packing.width;
                    let weights = match &mut weights {
                        Weights::Packed(packed) => {
                            let at = group * packing.group + class_at + class.taps.len() * depth * tile.offset;
                            &packed[at..at + len]
                        }
                        Weights::Raw(weight, scratch) => {
                            let out = &mut scratch[..len];
                            gather.pack_tile(weight, group, class, *tile, packing.width, out).with_simd(simd);
                            out
                        }
                    };
                    let tiles = Tiles {
                        window: window.values,
                        step: gather.step * window.pixel,
                        runs: &runs,
                        weights,
                        target,
                        spread: gather.spread * gather.target.c,
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
                let from = (block.row * self.step + y).wrapping_sub(self.top);
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

/// Everything that the tiles of one class and one range of channels share.
struct Tiles<'a> {
    window: &'a [f32],
    /// Distance in the window of neighbouring output pixels.
    step: usize,
    /// Runs of values that a pixel reads: start and length.
    runs: &'a [(usize, usize)],
    weights: &'a [f32],
    target: &'a SharedMut<'a>,
    /// Distance in the target of neighbouring output pixels of the class.
    spread: usize,
    /// First output channel of the tile, for scales.
    channel: usize,
    /// First output channel of the tile in its group: added to the pixels' targets.
    lane: usize,
    count: usize,
    store: Store<'a>,
}

impl Tiles<'_> {
    /// Computes all pixels: fours in groups of `G`, then rows' tails.
    #[inline(always)]
    fn rows<S: Simd, const V: usize, const G: usize>(&self, simd: S, full: &[Pixels], tails: &[Pixels], tail: usize) {
        // The furthest value that a tile reads, and what its weights hold: the bounds of `tile`.
        let reach = self.runs.iter().map(|(start, len)| start + len).max().unwrap_or(0);
        let depth: usize = self.runs.iter().map(|(_, len)| len).sum();
        assert!(depth * V * S::F32_LANES <= self.weights.len(), "weights shorter than their taps");
        assert!(self.count <= V * S::F32_LANES, "more channels than lanes");
        for (pixels, size) in [(full, 4), (tails, tail)] {
            if let Some(last) = pixels.iter().map(|pixels| pixels.source).max() {
                let end = last + (size - 1) * self.step + reach;
                assert!(end <= self.window.len(), "a tap outside the window");
                let target = pixels.iter().map(|pixels| pixels.target).max().unwrap_or(0);
                let end = target + self.lane + (size - 1) * self.spread + self.count;
                assert!(end <= self.target.len(), "a pixel outside the target");
            }
        }
        // SAFETY: the assertions above bound every read of the window and of the weights and every write
        // by the largest offsets among the pixels, as `tile` asks for. The writes of an item (its
        // pixels, its channels) are disjoint from those of all other items.
        unsafe {
            self.groups::<S, V, G, 4>(simd, full);
            match tail {
                1 => self.groups::<S, V, G, 1>(simd, tails),
                2 => self.groups::<S, V, G, 2>(simd, tails),
                3 => self.groups::<S, V, G, 3>(simd, tails),
                _ => {}
            }
        }
    }

    /// # Safety
    ///
    /// As [`Tiles::tile`], for all of `pixels`.
    #[inline(always)]
    unsafe fn groups<S: Simd, const V: usize, const G: usize, const P: usize>(&self, simd: S, pixels: &[Pixels]) {
        let (groups, rest) = pixels.as_chunks::<G>();
        for group in groups {
            // SAFETY: as the caller promises.
            unsafe { self.tile::<S, V, G, P>(simd, group) }
        }
        for pixels in rest {
            // SAFETY: as the caller promises.
            unsafe { self.tile::<S, V, 1, P>(simd, &[*pixels]) }
        }
    }

    /// Computes `G` times `P` neighbouring pixels, `V` vectors of channels each.
    ///
    /// # Safety
    ///
    /// For each of the `P` pixels from `source` on, `step` apart, all `runs` lie in the window; the
    /// weights hold `V` vectors for each value of the runs; for each of the `P` pixels from
    /// `target + lane` on, `spread` apart, `count` values lie in the target (and in the residual, which
    /// has its length), and nobody else reads or writes them meanwhile; `channel + count` is at most the
    /// number of scales.
    #[allow(clippy::needless_range_loop, reason = "indices of registers, unrolled")]
    #[inline(always)]
    unsafe fn tile<S: Simd, const V: usize, const G: usize, const P: usize>(&self, simd: S, pixels: &[Pixels; G]) {
        let lanes = S::F32_LANES;
        let mut sums = [[[simd.splat_f32s(0.0); V]; P]; G];
        let mut weights = self.weights.as_ptr();
        let step = self.step;
        for (start, len) in self.runs {
            // SAFETY: offsets of pixels and runs are in the window, see above; weights advance by `V`
            // vectors for each value and end where the last run ends.
            unsafe {
                let mut from: [*const f32; G] = pixels.map(|pixels| self.window.as_ptr().add(pixels.source + start));
                for _ in 0..*len {
                    let mut weight = [simd.splat_f32s(0.0); V];
                    for (v, weight) in weight.iter_mut().enumerate() {
                        *weight = weights.add(v * lanes).cast::<S::f32s>().read_unaligned();
                    }
                    for g in 0..G {
                        for p in 0..P {
                            let x = simd.splat_f32s(*from[g].add(p * step));
                            for v in 0..V {
                                sums[g][p][v] = mul_add(simd, x, weight[v], sums[g][p][v]);
                            }
                        }
                        from[g] = from[g].add(1);
                    }
                    weights = weights.add(V * lanes);
                }
            }
        }
        // From here on the sums are read through pointers: a copy, so that the loop above keeps its own in
        // registers.
        let mut done = sums;
        for g in 0..G {
            for p in 0..P {
                for v in 0..V {
                    done[g][p][v] = sums[g][p][v];
                }
            }
        }
        for (pixels, sums) in pixels.iter().zip(&done) {
            for (p, sums) in sums.iter().enumerate() {
                let at = pixels.target + self.lane + p * self.spread;
                for (v, sum) in sums.iter().enumerate() {
                    let count = self.count.saturating_sub(v * lanes).min(lanes);
                    // SAFETY: `count` values from here on are in the target and ours, see above.
                    unsafe { self.store(simd, *sum, at + v * lanes, self.channel + v * lanes, count) }
                }
            }
        }
    }

    /// Finishes one vector of sums.
    ///
    /// # Safety
    ///
    /// `count` values from `at` on lie in the target (and in the residual) and are nobody else's.
    #[inline(always)]
    unsafe fn store<S: Simd>(&self, simd: S, sum: S::f32s, at: usize, channel: usize, count: usize) {
        let target = self.target.at_mut(at);
        // SAFETY: `load` and `save` touch `count` values; `channel + count` is at most the number of
        // channels, which the scales have.
        unsafe {
            let value = match self.store {
                Store::Write => sum,
                Store::Add => simd.add_f32s(load(simd, target, count), sum),
                Store::Affine(Affine { scale, shift, residual, relu }) => {
                    let scale = load(simd, scale.as_ptr().add(channel), count);
                    let shift = load(simd, shift.as_ptr().add(channel), count);
                    let mut value = mul_add(simd, sum, scale, shift);
                    if let Some(residual) = residual {
                        value = simd.add_f32s(value, load(simd, residual.as_ptr().add(at), count));
                    }
                    if relu {
                        let zero = simd.splat_f32s(0.0);
                        // Not `max`: not-a-number must stay visible.
                        value = simd.select_f32s(simd.less_than_f32s(value, zero), zero, value);
                    }
                    value
                }
            };
            if count == S::F32_LANES {
                target.cast::<S::f32s>().write_unaligned(value);
            } else {
                std::ptr::copy_nonoverlapping((&raw const value).cast::<f32>(), target, count);
            }
        }
    }
}

/// A vector of `count` values from `from` on, zeros behind them.
///
/// # Safety
///
/// `count` values from `from` on can be read.
#[inline(always)]
unsafe fn load<S: Simd>(simd: S, from: *const f32, count: usize) -> S::f32s {
    // SAFETY: as the caller promises; a vector is plain values.
    unsafe {
        if count == S::F32_LANES {
            from.cast::<S::f32s>().read_unaligned()
        } else {
            let mut vector = simd.splat_f32s(0.0);
            std::ptr::copy_nonoverlapping(from, (&raw mut vector).cast::<f32>(), count);
            vector
        }
    }
}
