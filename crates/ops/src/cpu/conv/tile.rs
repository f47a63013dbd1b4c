//! The register tile: a few pixels by one or two vectors of output channels.
#![allow(unsafe_code, reason = "the register tile reads through pointers; bounds are argued at each block")]

use super::Affine;
use crate::cpu::mul_add::mul_add;
use crate::cpu::shared::SharedMut;
use pulp::Simd;

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

/// Where a tile of pixels reads and writes: offsets of its first pixel.
#[derive(Clone, Copy)]
pub(super) struct Pixels {
    pub(super) source: usize,
    pub(super) target: usize,
}

/// Everything that the tiles of one phase and one range of channels share.
pub(super) struct Tiles<'a> {
    pub(super) window: &'a [f32],
    /// Distance in the window of neighboring output pixels.
    pub(super) source_stride: usize,
    /// Runs of values that a pixel reads: start and length.
    pub(super) runs: &'a [(usize, usize)],
    pub(super) weights: &'a [f32],
    pub(super) target: &'a SharedMut<'a>,
    /// Distance in the target of neighboring output pixels of the phase.
    pub(super) target_stride: usize,
    /// First output channel of the tile, for scales.
    pub(super) channel: usize,
    /// First output channel of the tile in its group: added to the pixels' targets.
    pub(super) lane: usize,
    pub(super) count: usize,
    pub(super) store: Store<'a>,
}

impl Tiles<'_> {
    /// Computes all pixels: fours in groups of `G`, then rows' tails.
    #[inline(always)]
    pub(super) fn rows<S: Simd, const V: usize, const G: usize>(
        &self,
        simd: S,
        full: &[Pixels],
        tails: &[Pixels],
        tail: usize,
    ) {
        // The furthest value that a tile reads, and what its weights hold: the bounds of `tile`.
        let reach = self.runs.iter().map(|(start, len)| start + len).max().unwrap_or(0);
        let depth: usize = self.runs.iter().map(|(_, len)| len).sum();
        assert!(depth * V * S::F32_LANES <= self.weights.len(), "weights shorter than their taps");
        assert!(self.count <= V * S::F32_LANES, "more channels than lanes");
        for (pixels, size) in [(full, 4), (tails, tail)] {
            if let Some(last) = pixels.iter().map(|pixels| pixels.source).max() {
                let end = last + (size - 1) * self.source_stride + reach;
                assert!(end <= self.window.len(), "a tap outside the window");
                let target = pixels.iter().map(|pixels| pixels.target).max().unwrap_or(0);
                let end = target + self.lane + (size - 1) * self.target_stride + self.count;
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

    /// Computes `G` times `P` neighboring pixels, `V` vectors of channels each.
    ///
    /// # Safety
    ///
    /// For each of the `P` pixels from `source` on, `source_stride` apart, all `runs` lie in the window; the
    /// weights hold `V` vectors for each value of the runs; for each of the `P` pixels from
    /// `target + lane` on, `target_stride` apart, `count` values lie in the target (and in the residual, which
    /// has its length), and nobody else reads or writes them meanwhile; `channel + count` is at most the
    /// number of scales.
    #[allow(clippy::needless_range_loop, reason = "indices of registers, unrolled")]
    #[inline(always)]
    unsafe fn tile<S: Simd, const V: usize, const G: usize, const P: usize>(&self, simd: S, pixels: &[Pixels; G]) {
        let lanes = S::F32_LANES;
        let mut sums = [[[simd.splat_f32s(0.0); V]; P]; G];
        let mut weights = self.weights.as_ptr();
        let step = self.source_stride;
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
                let at = pixels.target + self.lane + p * self.target_stride;
                for (v, sum) in sums.iter().enumerate() {
                    let count = self.count.saturating_sub(v * lanes).min(lanes);
                    // SAFETY: `count` values from here on are in the target and ours, see above.
                    unsafe { self.store.put(simd, self.target, *sum, at + v * lanes, self.channel + v * lanes, count) }
                }
            }
        }
    }
}

impl Store<'_> {
    /// Finishes one vector of sums.
    ///
    /// # Safety
    ///
    /// `count` values from `at` on lie in the target (and in the residual) and are nobody else's.
    #[inline(always)]
    pub(super) unsafe fn put<S: Simd>(
        self,
        simd: S,
        target: &SharedMut<'_>,
        sum: S::f32s,
        at: usize,
        channel: usize,
        count: usize,
    ) {
        let target = target.at_mut(at);
        // SAFETY: `load` and `save` touch `count` values; `channel + count` is at most the number of
        // channels, which the scales have.
        unsafe {
            let value = match self {
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
                simd.partial_store_f32s(std::slice::from_raw_parts_mut(target, count), value);
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
            simd.partial_load_f32s(std::slice::from_raw_parts(from, count))
        }
    }
}
