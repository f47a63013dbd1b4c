//! How the work of a convolution is split: pixels into blocks, output channels into lanes.

use kernels::Kernels;
use pulp::{Simd, WithSimd};

/// Values of padded scratch that stay in a second-level cache.
const SCRATCH: usize = 1 << 18;

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
    pub(super) offset: usize,
}

/// Values of a vector of `kernels`.
pub(super) fn lanes_of(kernels: Kernels) -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;

        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    kernels.run(Lanes)
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
