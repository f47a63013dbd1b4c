//! The gradient of a convolution's weight.
//!
//! `dw[tap, in, out] = Σ_pixels x[pixel + tap, in] · dy[pixel, out]`: a tile of a few input channels by one
//! or two vectors of output channels is summed in registers over a block of pixels. Both maps are copied
//! into panels that a tile reads in order. Blocks of pixels go to a fixed number of partial sums, which
//! are added up in their order, so the result depends on shapes alone.
#![allow(unsafe_code, reason = "the register tile reads through pointers; bounds are argued at each block")]

use super::blocks::{Block, Lanes, blocks, lanes, lanes_of};
use super::unpack::{LINE, Unpack};
use crate::conv::ConvSizes;
use crate::cpu::memory::{HostBuffer, Scratch};
use crate::cpu::mul_add::mul_add;
use crate::cpu::shared::SharedMut;
use candle_core::Result;
use kernels::Kernels;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Pixels that a tile sums in one go: their panels stay in the first-level cache.
const PIXELS: usize = 256;

/// Input channels of a work item, at most: it copies them once and the outputs once.
const CHANNELS: usize = 64;

/// Work items wanted, so that many threads find work.
const ITEMS: usize = 16;

/// Values of all partial sums, at most.
const PARTIAL: usize = 1 << 21;

/// Adds the weight's gradient, `[out, in / groups, kh, kw]`, to `dw`, or writes it.
pub(super) fn weight_gradient(
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
    let inputs = sizes.group_in();
    let chunk = inputs.min(CHANNELS);
    let chunks: Vec<(usize, usize)> = (0..sizes.geometry.groups)
        .flat_map(|group| {
            (0..inputs).step_by(chunk).map(move |first| (group * inputs + first, chunk.min(inputs - first)))
        })
        .collect();
    let reach =
        |rows: usize| (rows.saturating_sub(1)) * sizes.geometry.stride + (sizes.k_h - 1) * sizes.geometry.dilation + 1;
    let row = sizes.padded_w() * chunk + sizes.out_w * sizes.group_out();
    let blocks = blocks(sizes.n, sizes.out_h, chunks.len(), |rows| reach(rows) * row);
    let wanted = ITEMS.div_ceil(chunks.len()).min(1 + PARTIAL / dw.len());
    let per_split = blocks.len().div_ceil(wanted.min(blocks.len()));
    let splits: Vec<&[Block]> = blocks.chunks(per_split).collect();
    let outputs = Outputs::new(kernels, sizes.group_out());
    let len = chunk * sizes.k_h * sizes.k_w * outputs.padded;
    let (row, tap) = (outputs.padded, chunk * outputs.padded);
    let unpack = Unpack { sizes, row, tap, line: LINE, target: SharedMut::new(dw), add };
    let sum = |panels: &mut Panels, (first, count): (usize, usize), split: &[Block], sum: &mut [f32]| {
        for (index, block) in split.iter().enumerate() {
            let fresh = index == 0;
            let panel = Panel { sizes, outputs: &outputs, first, count, block: *block, fresh, x, dy };
            panel.sum(kernels, panels, sum)?;
        }
        Ok(())
    };
    let lines = sizes.group_out().div_ceil(LINE);
    if splits.len() == 1 {
        // Nothing to add up: a task brings its sums to their place while they are in the cache.
        chunks
            .into_par_iter()
            .map_init(<(Panels, Scratch)>::default, |(panels, partial), chunk| {
                let partial = partial.get(len)?;
                sum(panels, chunk, splits[0], partial)?;
                for line in 0..lines {
                    // SAFETY: a task has the input channels of its chunk for itself.
                    unsafe { unpack.line(kernels, &[partial], chunk, line) }
                }
                Ok(())
            })
            .collect::<Result<Vec<()>>>()?;
        return Ok(());
    }
    let mut partial = HostBuffer::arbitrary(len * chunks.len() * splits.len())?;
    partial
        .par_chunks_mut(len)
        .zip((0..splits.len() * chunks.len()).into_par_iter())
        .map_init(Panels::default, |panels, (partial, item)| {
            sum(panels, chunks[item % chunks.len()], splits[item / chunks.len()], partial)
        })
        .collect::<Result<Vec<()>>>()?;
    let count = chunks.len();
    unpack.all(kernels, &chunks, lines, |chunk, _| partial.chunks_exact(len).skip(chunk).step_by(count).collect());
    Ok(())
}

/// The output channels of a group in tiles of one or two vectors.
struct Outputs {
    tiles: Vec<Lanes>,
    /// Values of a vector.
    width: usize,
    /// Channels, rounded up to whole vectors.
    padded: usize,
}

impl Outputs {
    fn new(kernels: Kernels, channels: usize) -> Self {
        let width = lanes_of(kernels);
        Self { tiles: lanes(channels, width), width, padded: channels.next_multiple_of(width) }
    }
}

/// Scratch of a thread.
#[derive(Default)]
struct Panels {
    x: Scratch,
    dy: Scratch,
}

/// A block of pixels and a range of input channels.
struct Panel<'a> {
    sizes: &'a ConvSizes,
    outputs: &'a Outputs,
    /// First input channel, of all.
    first: usize,
    count: usize,
    block: Block,
    /// Whether the sum is yet to be begun.
    fresh: bool,
    x: &'a [f32],
    dy: &'a [f32],
}

impl Panel<'_> {
    fn sum(&self, kernels: Kernels, panels: &mut Panels, sum: &mut [f32]) -> Result<()> {
        let sizes = self.sizes;
        let height = (self.block.rows - 1) * sizes.geometry.stride + (sizes.k_h - 1) * sizes.geometry.dilation + 1;
        let pixels = self.block.images * self.block.rows * sizes.out_w;
        let x = panels.x.get(self.block.images * height * sizes.padded_w() * self.count)?;
        let dy = panels.dy.get(pixels * self.outputs.padded)?;
        kernels.run(Work { panel: self, height, pixels, x, dy, sum });
        Ok(())
    }
}

struct Work<'a> {
    panel: &'a Panel<'a>,
    /// Rows of the padded input that the block reads.
    height: usize,
    /// Output pixels of the block.
    pixels: usize,
    x: &'a mut [f32],
    dy: &'a mut [f32],
    sum: &'a mut [f32],
}

/// A run of output pixels: where it begins in the panels of the input and of the gradient.
#[derive(Clone, Copy)]
struct Segment {
    x: usize,
    dy: usize,
}

impl WithSimd for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { panel, height, pixels, x, dy, sum } = self;
        let Panel { sizes, outputs, first, count, block, .. } = *panel;
        let width = sizes.padded_w();
        // A panel holds so many input channels of a pixel side by side as a tile has.
        let widest = if outputs.tiles.iter().all(|tile| tile.vectors == 1) { 16 } else { 8 };
        let widest = if S::REGISTER_COUNT >= 32 { widest } else { 4 };
        let channels = input_tiles(count, widest);
        let image = height * width;
        for &(offset, size) in &channels {
            let x = &mut x[offset * block.images * image..][..size * block.images * image];
            panel.copy_input(first + offset, size, height, x);
        }
        panel.copy_gradient(pixels, dy);
        let crate::conv::Conv2d { stride, dilation, .. } = sizes.geometry;
        // Rows in groups of about `PIXELS` pixels.
        let rows = block.images * block.rows;
        let per_group = (PIXELS / sizes.out_w).max(1);
        let mut segments = Vec::with_capacity(per_group);
        for start in (0..rows).step_by(per_group) {
            for Lanes { start: tile_first, vectors, .. } in outputs.tiles.iter().copied() {
                let lanes = vectors * S::F32_LANES;
                let dy = &dy[tile_first * pixels..][..pixels * lanes];
                for &(offset, size) in &channels {
                    let x = &x[offset * block.images * image..][..size * block.images * image];
                    segments.clear();
                    for row in start..(start + per_group).min(rows) {
                        let (image_index, y) = (row / block.rows, row % block.rows);
                        segments.push(Segment {
                            x: (image_index * image + y * stride * width) * size,
                            dy: row * sizes.out_w * lanes,
                        });
                    }
                    for tap in 0..sizes.k_h * sizes.k_w {
                        let (ky, kx) = (tap / sizes.k_w * dilation, tap % sizes.k_w * dilation);
                        let at = (tap * (sum.len() / (sizes.k_h * sizes.k_w * outputs.padded)) + offset)
                            * outputs.padded
                            + tile_first;
                        let tile = Tile {
                            segments: &segments,
                            len: sizes.out_w,
                            x,
                            shift: (ky * width + kx) * size,
                            step: stride * size,
                            dy,
                            row: outputs.padded,
                            fresh: panel.fresh && start == 0,
                        };
                        let sum = &mut sum[at..];
                        match (size, vectors) {
                            (16, 1) => tile.add::<S, 16, 1>(simd, sum),
                            (8, 1) => tile.add::<S, 8, 1>(simd, sum),
                            (4, 1) => tile.add::<S, 4, 1>(simd, sum),
                            (3, 1) => tile.add::<S, 3, 1>(simd, sum),
                            (2, 1) => tile.add::<S, 2, 1>(simd, sum),
                            (_, 1) => tile.add::<S, 1, 1>(simd, sum),
                            (8, _) => tile.add::<S, 8, 2>(simd, sum),
                            (4, _) => tile.add::<S, 4, 2>(simd, sum),
                            (3, _) => tile.add::<S, 3, 2>(simd, sum),
                            (2, _) => tile.add::<S, 2, 2>(simd, sum),
                            (_, _) => tile.add::<S, 1, 2>(simd, sum),
                        }
                    }
                }
            }
        }
    }
}

/// Splits input channels into tiles of sizes that exist: offset and size.
fn input_tiles(count: usize, widest: usize) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    let mut offset = 0;
    while offset < count {
        let left = count - offset;
        let size = [16, 8, 4, 3, 2].into_iter().find(|size| *size <= left && *size <= widest).unwrap_or(1);
        all.push((offset, size));
        offset += size;
    }
    all
}

impl Panel<'_> {
    /// Copies `size` channels from `first` on of all rows that the block reads, zeros outside the image.
    #[inline(always)]
    fn copy_input(&self, first: usize, size: usize, height: usize, out: &mut [f32]) {
        match size {
            16 => self.copy_channels::<16>(first, height, out.as_chunks_mut().0),
            8 => self.copy_channels::<8>(first, height, out.as_chunks_mut().0),
            4 => self.copy_channels::<4>(first, height, out.as_chunks_mut().0),
            3 => self.copy_channels::<3>(first, height, out.as_chunks_mut().0),
            2 => self.copy_channels::<2>(first, height, out.as_chunks_mut().0),
            _ => self.copy_channels::<1>(first, height, out.as_chunks_mut().0),
        }
    }

    #[inline(always)]
    fn copy_channels<const C: usize>(&self, first: usize, height: usize, out: &mut [[f32; C]]) {
        let sizes = self.sizes;
        let width = sizes.padded_w();
        let left = sizes.geometry.padding.min(width);
        let inside = sizes.in_w.min(width - left);
        for image in 0..self.block.images {
            let x = &self.x[(self.block.image + image) * sizes.image_in()..][..sizes.image_in()];
            for y in 0..height {
                let row = &mut out[(image * height + y) * width..][..width];
                // Above the image the subtraction wraps to a number larger than any height.
                let from = (self.block.row * sizes.geometry.stride + y).wrapping_sub(sizes.geometry.padding);
                if from >= sizes.in_h {
                    row.fill([0.0; C]);
                    continue;
                }
                let (before, rest) = row.split_at_mut(left);
                let (middle, behind) = rest.split_at_mut(inside);
                before.fill([0.0; C]);
                behind.fill([0.0; C]);
                let x = &x[from * sizes.in_w * sizes.in_c..][..sizes.in_w * sizes.in_c];
                for (out, x) in middle.iter_mut().zip(x.chunks_exact(sizes.in_c)) {
                    if let Some(x) = x[first..].first_chunk() {
                        *out = *x;
                    }
                }
            }
        }
    }

    /// Copies the block's gradient into a panel a tile of output channels, zeros where a vector has none.
    #[inline(always)]
    fn copy_gradient(&self, pixels: usize, out: &mut [f32]) {
        let (sizes, outputs) = (self.sizes, self.outputs);
        let group = self.first / sizes.group_in();
        let start = (self.block.image * sizes.out_h + self.block.row) * sizes.out_w * sizes.out_c;
        let dy = &self.dy[start..][..pixels * sizes.out_c];
        for Lanes { start: first, count, vectors, .. } in outputs.tiles.iter().copied() {
            let lanes = vectors * outputs.width;
            let out = &mut out[first * pixels..][..pixels * lanes];
            let channel = group * sizes.group_out() + first;
            for (out, dy) in out.chunks_exact_mut(lanes).zip(dy.chunks_exact(sizes.out_c)) {
                let (values, zeros) = out.split_at_mut(count);
                values.copy_from_slice(&dy[channel..channel + count]);
                zeros.fill(0.0);
            }
        }
    }
}

/// A sum over segments of pixels for some input channels by some vectors of output channels.
struct Tile<'a> {
    segments: &'a [Segment],
    /// Pixels of a segment.
    len: usize,
    x: &'a [f32],
    /// Where the tap reads, relative to a segment.
    shift: usize,
    /// Distance in the panel of neighboring pixels.
    step: usize,
    dy: &'a [f32],
    /// Distance of neighboring input channels in the sum.
    row: usize,
    /// Whether the sum is written, not added to.
    fresh: bool,
}

impl Tile<'_> {
    #[allow(clippy::needless_range_loop, reason = "indices of registers, unrolled")]
    #[inline(always)]
    fn add<S: Simd, const C: usize, const V: usize>(&self, simd: S, sum: &mut [f32]) {
        let lanes = S::F32_LANES;
        // The largest offsets that are read and written: the bounds of the block below.
        let (Some(last_x), Some(last_dy)) =
            (self.segments.iter().map(|s| s.x).max(), self.segments.iter().map(|s| s.dy).max())
        else {
            return;
        };
        assert!(self.len > 0 && last_x + self.shift + (self.len - 1) * self.step + C <= self.x.len());
        assert!(last_dy + self.len * V * lanes <= self.dy.len());
        assert!((C - 1) * self.row + V * lanes <= sum.len());
        let mut sums = [[simd.splat_f32s(0.0); V]; C];
        // SAFETY: each segment reads `len` pixels of `C` values, `step` apart, from `x + shift` on, and
        // `len` times `V` vectors from `dy` on; the assertions bound the last of each. `sum` holds `C`
        // rows of `V` vectors, `row` apart, as asserted. A vector is plain values, read unaligned.
        unsafe {
            for segment in self.segments {
                let mut x = self.x.as_ptr().add(segment.x + self.shift);
                let mut dy = self.dy.as_ptr().add(segment.dy);
                for _ in 0..self.len {
                    let mut d = [simd.splat_f32s(0.0); V];
                    for (v, d) in d.iter_mut().enumerate() {
                        *d = dy.add(v * lanes).cast::<S::f32s>().read_unaligned();
                    }
                    for c in 0..C {
                        let x = simd.splat_f32s(*x.add(c));
                        for v in 0..V {
                            sums[c][v] = mul_add(simd, x, d[v], sums[c][v]);
                        }
                    }
                    // Behind the last pixel they may leave the slice, and are not read.
                    x = x.wrapping_add(self.step);
                    dy = dy.wrapping_add(V * lanes);
                }
            }
            for (c, sums) in sums.iter().enumerate() {
                for (v, value) in sums.iter().enumerate() {
                    let at = sum.as_mut_ptr().add(c * self.row + v * lanes).cast::<S::f32s>();
                    at.write_unaligned(if self.fresh { *value } else { simd.add_f32s(at.read_unaligned(), *value) });
                }
            }
        }
    }
}
