//! Tiles of maps, and their values at the points.

use super::transform::{INPUTS, OUTPUTS, POINTS};
use super::vectors::{TileMut, TileRef};
use crate::cpu::conv::gather::{Block, Map};
use crate::cpu::memory::Scratch;
use candle_core::Result;
use pulp::Simd;

/// Tiles along one side of a map. With a `step` above 1 those of every `step`-th pixel from the first on, then from the second
/// on, and so on: a dilated convolution is a plain one of each of these.
#[derive(Clone, Copy)]
struct Side {
    pixels: usize,
    step: usize,
}

impl Side {
    /// How many of the `step` sequences have a pixel more than the others, and the tiles of those and of the others.
    fn sequences(self) -> (usize, [usize; 2]) {
        let Self { pixels, step } = self;
        (pixels % step, [pixels.div_ceil(step), pixels / step].map(|pixels| pixels.div_ceil(OUTPUTS)))
    }

    fn tiles(self) -> usize {
        let (longer, [tiles, others]) = self.sequences();
        longer * tiles + (self.step - longer) * others
    }

    /// The first pixel of a tile.
    fn pixel(self, tile: usize) -> usize {
        if self.step == 1 {
            return tile * OUTPUTS;
        }
        let (longer, [tiles, others]) = self.sequences();
        let (sequence, tile) = match tile.checked_sub(longer * tiles) {
            None => (tile / tiles, tile % tiles),
            Some(tile) => (longer + tile / others, tile % others),
        };
        sequence + tile * OUTPUTS * self.step
    }
}

/// Tiles of a map's pixels.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) rows: usize,
    pub(super) columns: usize,
    sides: [Side; 2],
}

impl Grid {
    /// Tiles of pixels that are `step` apart.
    pub(super) fn of(map: Map, step: usize) -> Self {
        let sides = [map.h, map.w].map(|pixels| Side { pixels, step });
        let [rows, columns] = sides.map(Side::tiles);
        Self { rows, columns, sides }
    }

    /// Whole images, or rows of tiles of one, of at most `most` tiles where a row is not longer.
    pub(super) fn blocks(self, images: usize, most: usize) -> Vec<Block> {
        let even = |count: usize, most: usize| count.div_ceil(count.div_ceil(most.max(1)).max(1)).max(1);
        let (image_step, row_step) = match most / (self.rows * self.columns).max(1) {
            0 => (1, even(self.rows, most / self.columns)),
            fit => (even(images, fit), self.rows.max(1)),
        };
        let mut all = Vec::new();
        for image in (0..images).step_by(image_step) {
            for row in (0..self.rows).step_by(row_step) {
                let (images, rows) = (image_step.min(images - image), row_step.min(self.rows - row));
                all.push(Block { image, images, row, rows });
            }
        }
        all
    }

    pub(super) fn tiles(self, block: &Block) -> usize {
        block.images * block.rows * self.columns
    }

    /// Where a tile of a block is.
    pub(super) fn place(self, block: &Block, tile: usize) -> Place {
        let (row, column) = (tile / self.columns, tile % self.columns);
        let (image, row) = (block.image + row / block.rows, block.row + row % block.rows);
        let [y, x] = self.sides;
        Place { image, y: y.pixel(row), x: x.pixel(column), step: y.step }
    }
}

/// The first pixel of a tile, and the distance of its neighbours.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) image: usize,
    pub(super) y: usize,
    pub(super) x: usize,
    pub(super) step: usize,
}

/// `len` or a few more values: an odd number of lines of the cache. Neighbours that are so far apart do not fall on the
/// same lines of a first-level cache.
pub(super) fn odd_lines(len: usize) -> usize {
    (len.div_ceil(16) | 1) * 16
}

/// Values at the points: `[point, tile, channel]`.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Distance of neighbouring tiles.
    pub(super) row: usize,
    /// Distance of neighbouring points.
    pub(super) point: usize,
}

impl Layout {
    /// Rows of `channels`.
    pub(super) fn new(tiles: usize, channels: usize) -> Self {
        Self::of_rows(tiles, odd_lines(channels))
    }

    /// Rows of `row` values.
    pub(super) fn of_rows(tiles: usize, row: usize) -> Self {
        Self { row, point: odd_lines(tiles * row) }
    }

    pub(super) fn len(self) -> usize {
        POINTS * self.point
    }

    /// A vector of each point.
    #[inline(always)]
    pub(super) fn source<S: Simd>(self, values: &[f32], tile: usize, channel: usize) -> TileRef<'_, S, INPUTS> {
        TileRef::new(values, tile * self.row + channel, INPUTS * self.point, self.point)
    }

    /// As [`Layout::source`], to be written.
    #[inline(always)]
    pub(super) fn target<S: Simd>(self, values: &mut [f32], tile: usize, channel: usize) -> TileMut<'_, S, INPUTS> {
        TileMut::new(values, tile * self.row + channel, INPUTS * self.point, self.point)
    }
}

/// `len` values of a scratch that begin at a line of the cache.
pub(super) fn aligned(scratch: &mut Scratch, len: usize) -> Result<&mut [f32]> {
    let values = scratch.get(len + 15)?;
    let start = values.as_ptr().align_offset(64).min(15);
    Ok(&mut values[start..start + len])
}
