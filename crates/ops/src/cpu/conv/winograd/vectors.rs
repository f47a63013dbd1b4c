//! Tiles of vectors in memory, rows and columns at equal distances: bounds are checked once a tile.
#![allow(unsafe_code, reason = "vectors are read and written through pointers; bounds are argued where a tile is made")]

use super::tiles::Place;
use crate::cpu::columns::load;
use crate::cpu::conv::gather::Map;
use pulp::Simd;
use std::marker::PhantomData;

/// What is read in place of a vector outside a map: as many values as the widest vector has.
static ZEROS: [f32; 16] = [0.0; 16];

/// `N`×`N` vectors to be read.
pub(super) struct TileRef<'a, S: Simd, const N: usize> {
    first: *const f32,
    /// Distance of neighbouring rows, and of neighbouring columns.
    row: usize,
    column: usize,
    /// Bit `8·y + x`: whether the vector is in memory; it is zeros otherwise.
    inside: u64,
    values: PhantomData<(&'a [f32], S)>,
}

impl<'a, S: Simd, const N: usize> TileRef<'a, S, N> {
    /// Vectors of `values` from `first` on.
    #[inline(always)]
    pub(super) fn new(values: &'a [f32], first: usize, row: usize, column: usize) -> Self {
        assert!(first + (N - 1) * (row + column) + S::F32_LANES <= values.len(), "a tile outside of its memory");
        Self { first: values[first..].as_ptr(), row, column, inside: u64::MAX, values: PhantomData }
    }

    /// The vectors of a tile.
    #[inline(always)]
    pub(super) fn of_tile(tile: &'a [[S::f32s; N]; N]) -> Self {
        let lanes = S::F32_LANES;
        Self { first: tile.as_ptr().cast(), row: N * lanes, column: lanes, inside: u64::MAX, values: PhantomData }
    }

    /// A vector of channels of the pixels of a map that begin `padding` above and left of `place`; zeros outside. `room` is
    /// for those of the last channels, where there are not as many as in a vector.
    #[inline(always)]
    pub(super) fn of_map(
        simd: S,
        values: &'a [f32],
        map: Map,
        place: Place,
        padding: usize,
        channel: usize,
        room: &'a mut Option<[[S::f32s; N]; N]>,
    ) -> Self {
        if map.c - channel < S::F32_LANES {
            return Self::of_tile(room.insert(last_channels(simd, values, map, place, padding, channel)));
        }
        assert!((place.image + 1) * map.len() <= values.len(), "an image outside of its memory");
        let (mut rows, mut columns) = (0u64, 0u64);
        for at in 0..N {
            // Above and left of the image the subtractions wrap to numbers larger than any size.
            let [y, x] = [place.y, place.x].map(|first| (first + at * place.step).wrapping_sub(padding));
            rows |= u64::from(y < map.h) << (8 * at);
            columns |= u64::from(x < map.w) << at;
        }
        let row = map.w * map.c;
        let first = place.image * map.len() + place.y * row + place.x * map.c + channel;
        Self {
            first: values.as_ptr().wrapping_add(first).wrapping_sub(padding * (row + map.c)),
            row: place.step * row,
            column: place.step * map.c,
            inside: rows * columns,
            values: PhantomData,
        }
    }

    /// A column of vectors.
    #[allow(clippy::needless_range_loop, reason = "indices of registers, unrolled")]
    #[inline(always)]
    pub(super) fn column(&self, simd: S, x: usize) -> [S::f32s; N] {
        assert!(x < N && S::F32_LANES <= ZEROS.len(), "no such column");
        let mut column = [simd.splat_f32s(0.0); N];
        for y in 0..N {
            let vector = self.first.wrapping_add(y * self.row + x * self.column);
            let vector = if (self.inside >> (8 * y + x)) & 1 == 1 { vector } else { ZEROS.as_ptr() };
            // SAFETY: the vectors of all bits of `inside` lie in the memory that this borrows: in `new` the last one does,
            // which bounds all; in `of_map` they are pixels of the map, each with a vector of channels. A vector is
            // plain values, read unaligned.
            column[y] = unsafe { vector.cast::<S::f32s>().read_unaligned() };
        }
        column
    }
}

/// The pixels of [`TileRef::of_map`], of the last channels, from `channel` on; zeros behind them.
#[allow(clippy::needless_range_loop, reason = "indices of registers, unrolled")]
#[inline(always)]
fn last_channels<S: Simd, const N: usize>(
    simd: S,
    values: &[f32],
    map: Map,
    place: Place,
    padding: usize,
    channel: usize,
) -> [[S::f32s; N]; N] {
    let mut tile = [[simd.splat_f32s(0.0); N]; N];
    for y in 0..N {
        for x in 0..N {
            // Above and left of the image the subtractions wrap to numbers larger than any size.
            let [y_, x_] = [place.y + y * place.step, place.x + x * place.step].map(|at| at.wrapping_sub(padding));
            if y_ < map.h && x_ < map.w {
                let at = ((place.image * map.h + y_) * map.w + x_) * map.c + channel;
                tile[y][x] = load(simd, values, at, map.c - channel);
            }
        }
    }
    tile
}

/// `N`×`N` vectors to be written.
pub(super) struct TileMut<'a, S: Simd, const N: usize> {
    first: *mut f32,
    row: usize,
    column: usize,
    values: PhantomData<(&'a mut [f32], S)>,
}

impl<'a, S: Simd, const N: usize> TileMut<'a, S, N> {
    /// Vectors of `values` from `first` on.
    #[inline(always)]
    pub(super) fn new(values: &'a mut [f32], first: usize, row: usize, column: usize) -> Self {
        assert!(first + (N - 1) * (row + column) + S::F32_LANES <= values.len(), "a tile outside of its memory");
        Self { first: values[first..].as_mut_ptr(), row, column, values: PhantomData }
    }

    /// The vectors of a tile.
    #[inline(always)]
    pub(super) fn of_tile(tile: &'a mut [[S::f32s; N]; N]) -> Self {
        let lanes = S::F32_LANES;
        Self { first: tile.as_mut_ptr().cast(), row: N * lanes, column: lanes, values: PhantomData }
    }

    /// Writes a row of vectors.
    #[allow(clippy::needless_range_loop, reason = "indices of registers, unrolled")]
    #[inline(always)]
    pub(super) fn put(&mut self, y: usize, vectors: [S::f32s; N]) {
        assert!(y < N, "no such row");
        for x in 0..N {
            // SAFETY: the last vector lies in the memory that this borrows, see `new`, which bounds all. A vector is plain
            // values, written unaligned.
            unsafe {
                let at = self.first.add(y * self.row + x * self.column);
                at.cast::<S::f32s>().write_unaligned(vectors[x]);
            }
        }
    }
}
