//! Weights in the order in which register tiles read them.

use super::gather::{Tap, WeightStrides};
use pulp::{Simd, WithSimd};

/// Copies the weights of one tile into the order of its reads: for each tap and channel, `row` lanes.
pub(super) struct PackTile<'a> {
    pub(super) weight: &'a [f32],
    pub(super) base: usize,
    pub(super) strides: WeightStrides,
    pub(super) taps: &'a [Tap],
    pub(super) depth: usize,
    pub(super) count: usize,
    pub(super) row: usize,
    pub(super) out: &'a mut [f32],
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
