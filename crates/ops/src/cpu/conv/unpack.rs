//! Sums of a weight's gradient, brought into torch's layout.
#![allow(unsafe_code, reason = "tasks write parts of the weight that are not contiguous")]

use crate::conv::ConvSizes;
use crate::cpu::shared::SharedMut;
use kernels::Kernels;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Adds partial sums up and brings them to torch's layout.
pub(super) struct Unpack<'a> {
    pub(super) sizes: &'a ConvSizes,
    /// Distance in a partial sum of neighboring input channels, of taps, and of lines of output channels.
    pub(super) row: usize,
    pub(super) tap: usize,
    pub(super) line: usize,
    pub(super) target: SharedMut<'a>,
    pub(super) add: bool,
}

impl Unpack<'_> {
    /// All channels: `chunks` of input channels, each of so many `lines` of output channels. `parts` gives the partial sums
    /// of a chunk and a line.
    pub(super) fn all<'p>(
        self,
        kernels: Kernels,
        chunks: &[(usize, usize)],
        lines: usize,
        parts: impl Fn(usize, usize) -> Vec<&'p [f32]> + Sync,
    ) {
        assert!(chunks.is_sorted_by(|(first, count), (next, _)| first + count <= *next), "chunks that share channels");
        (0..chunks.len() * lines).into_par_iter().for_each(|task| {
            let (chunk, line) = (task / lines, task % lines);
            // SAFETY: a task has the output channels of its line, and of those the input channels of its chunk, for
            // itself.
            unsafe { self.line(kernels, &parts(chunk, line), chunks[chunk], line) }
        });
    }

    /// Some output channels of the group that input channels `first`, `count` of them, belong to: the sum
    /// of `parts`, which are `[tap, in, out]`.
    ///
    /// # Safety
    ///
    /// Nobody else reads or writes these channels of the target meanwhile.
    pub(super) unsafe fn line(&self, kernels: Kernels, parts: &[&[f32]], (first, count): (usize, usize), line: usize) {
        let (inputs, outputs, taps) = (self.sizes.group_in(), self.sizes.group_out(), self.sizes.k_h * self.sizes.k_w);
        let (group, first) = (first / inputs, first % inputs);
        let lanes = LINE.min(outputs - line * LINE);
        let mut panel = vec![0f32; (INPUTS * taps + 1) * LINE];
        for start in (0..count).step_by(INPUTS) {
            let count = INPUTS.min(count - start);
            let from = start * self.row + line * self.line;
            kernels.run(Turn { parts, from, row: self.row, tap: self.tap, count, taps, lanes, panel: &mut panel });
            for (lane, panel) in panel.chunks_exact(INPUTS * taps + 1).take(lanes).enumerate() {
                let output = group * outputs + line * LINE + lane;
                let range = (output * inputs + first + start) * taps..(output * inputs + first + start + count) * taps;
                assert!(range.end <= self.target.len(), "outside the weight");
                // SAFETY: the range lies in the target, and is nobody else's as the caller promises.
                let target = unsafe { std::slice::from_raw_parts_mut(self.target.at_mut(range.start), range.len()) };
                if self.add {
                    for (target, value) in target.iter_mut().zip(panel) {
                        *target += value;
                    }
                } else {
                    target.copy_from_slice(&panel[..target.len()]);
                }
            }
        }
    }
}

/// Output channels that are turned around at a time: a few lines of the cache.
pub(super) const LINE: usize = 64;

/// Input channels that are turned around at a time: with [`LINE`] a panel in the first-level cache.
const INPUTS: usize = 8;

/// Sums `parts` over some input and output channels, `[tap, in, out]`, and writes them as `[out, in, tap]`.
struct Turn<'a> {
    parts: &'a [&'a [f32]],
    /// The first value.
    from: usize,
    /// Distance of input channels and of taps.
    row: usize,
    tap: usize,
    count: usize,
    taps: usize,
    lanes: usize,
    /// Rows of a value more than needed, so that they do not fall on the same lines of the cache.
    panel: &'a mut [f32],
}

impl WithSimd for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { parts, from, row, tap, count, taps, lanes, panel } = self;
        let width = INPUTS * taps + 1;
        for i in 0..count {
            for t in 0..taps {
                let at = from + i * row + t * tap;
                let mut sums = [0f32; LINE];
                for part in parts {
                    let values = &part[at..at + lanes];
                    // Most often all of a line; a known number of values stays in registers.
                    if let Ok(values) = <&[f32; LINE]>::try_from(values) {
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum += value;
                        }
                    } else {
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum += value;
                        }
                    }
                }
                let panel = &mut panel[i * taps + t..][..(LINE - 1) * width + 1];
                for (lane, sum) in sums.iter().enumerate() {
                    panel[lane * width] = *sum;
                }
            }
        }
    }
}
