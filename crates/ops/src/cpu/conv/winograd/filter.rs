//! Filters at the points.

use super::tiles::odd_lines;
use super::transform::{INPUTS, POINTS, filter_tile};
use super::vectors::{TileMut, TileRef};
use crate::cpu::conv::gather::{Lanes, Tap, WeightStrides};
use crate::cpu::conv::packing::PackTile;
use crate::cpu::memory::{HostBuffer, Scratch};
use candle_core::Result;
use kernels::Kernels;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Source channels that are summed in one chain.
pub(super) const DEPTH: usize = 128;

/// How a pass reads its weight.
#[derive(Clone, Copy)]
pub(super) struct Filter {
    /// The taps in the order of the pass.
    pub(super) taps: [Tap; 9],
    /// Distance in the weight of neighbouring target and source channels.
    pub(super) lane: usize,
    pub(super) depth: usize,
}

/// Chunks of source channels that are summed in one chain each.
pub(super) fn chunks(channels: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..channels).step_by(DEPTH).map(move |start| start..channels.min(start + DEPTH))
}

/// Distance of neighbouring points in a chunk of so many source channels, of rows of `row` target channels.
pub(super) fn filter_len(channels: usize, row: usize) -> usize {
    odd_lines(channels * row)
}

/// All filters at the points: for each panel of target channels and each chunk of source channels
/// `[point, source, target]`.
pub(super) struct Filters {
    values: HostBuffer,
    /// Where those of each panel and chunk are.
    ranges: Vec<Range<usize>>,
    /// Chunks of a panel.
    chunks: usize,
    /// Target channels of a panel.
    panel: usize,
}

impl Filters {
    pub(super) fn new(
        kernels: Kernels,
        filter: &Filter,
        weight: &[f32],
        channels: usize,
        panels: &[Lanes],
        width: usize,
    ) -> Result<Self> {
        let all: Vec<_> = panels.iter().flat_map(|panel| chunks(channels).map(move |chunk| (*panel, chunk))).collect();
        let mut end = 0;
        let ranges: Vec<_> = all
            .iter()
            .map(|(panel, chunk)| {
                let start = end;
                end += POINTS * filter_len(chunk.len(), panel.vectors * width);
                start..end
            })
            .collect();
        let mut values = HostBuffer::arbitrary(end)?;
        let mut tasks = Vec::new();
        let mut rest: &mut [f32] = &mut values;
        for ((panel, chunk), range) in all.into_iter().zip(&ranges) {
            let (out, behind) = rest.split_at_mut(range.len());
            rest = behind;
            tasks.push((panel, chunk, out));
        }
        tasks
            .into_par_iter()
            .map_init(Scratch::default, |scratch, (panel, chunk, out)| {
                let row = panel.vectors * width;
                let taps = scratch.get(9 * chunk.len() * row)?;
                kernels.run(Transform { filter, weight, panel, chunk, row, taps, out });
                Ok(())
            })
            .collect::<Result<Vec<()>>>()?;
        Ok(Self { values, ranges, chunks: chunks(channels).count(), panel: 2 * width })
    }

    /// The filters of a panel and a chunk.
    pub(super) fn get(&self, panel: &Lanes, chunk: &Range<usize>) -> &[f32] {
        let index = panel.start / self.panel * self.chunks + chunk.start / DEPTH;
        &self.values[self.ranges[index].clone()]
    }
}

/// Transforms the filters of a panel and a chunk.
pub(super) struct Transform<'a> {
    pub(super) filter: &'a Filter,
    pub(super) weight: &'a [f32],
    pub(super) panel: Lanes,
    pub(super) chunk: Range<usize>,
    /// Values of a row of target channels.
    pub(super) row: usize,
    /// Scratch for the taps, `[tap, source, target]`.
    pub(super) taps: &'a mut [f32],
    pub(super) out: &'a mut [f32],
}

impl WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { filter, weight, panel, chunk, row, taps, out } = self;
        let (depth, count) = (chunk.len(), panel.count);
        let strides = WeightStrides { group: 0, lane: filter.lane, depth: filter.depth };
        let base = panel.start * filter.lane + chunk.start * filter.depth;
        PackTile { weight, base, strides, taps: &filter.taps, depth, count, row, out: taps }.with_simd(simd);
        let distance = filter_len(depth, row);
        for source in 0..depth {
            for lane in (0..row).step_by(S::F32_LANES) {
                let at = source * row + lane;
                let from = TileRef::new(taps, at, 3 * depth * row, depth * row);
                filter_tile(simd, &from, TileMut::new(out, at, INPUTS * distance, distance));
            }
        }
    }
}
