//! The transforms of F(4×4, 3×3), each first along columns, then along rows.
//!
//! A polynomial product is found from its values at some points (Toom, Cook; Winograd, *Arithmetic Complexity of
//! Computations*, 1980): here 0, ±a, ±b and ∞. In one dimension, four outputs of a filter `g` of three taps on six
//! inputs `d` are `Aᵀ[(G·g) ⊙ (Bᵀ·d)]`, with rows
//!
//! ```text
//!       Bᵀ, of a point                             G              A
//!  0    a²b²  0     −(a²+b²)   0        1   0      1 0 0  / a²b²  1   0  0   0
//! ±a    0   ∓ab²    −b²       ±a        1   0      1 ±a a² / Na   1  ±a  a² ±a³
//! ±b    0   ∓a²b    −a²       ±b        1   0      1 ±b b² / Nb   1  ±b  b² ±b³
//!  ∞    0     a²b²  0        −(a²+b²)   0   1      0 0 1          0   0  0   1
//! ```
//!
//! and `Na = 2a²(a²−b²)`, `Nb = 2b²(b²−a²)`. Points of opposite signs share their even and their odd terms. Which
//! products are fused is written below, so vectors of any width give the same bits.

use super::vectors::{TileMut, TileRef};
use crate::cpu::mul_add::mul_add;
use pulp::Simd;

/// Outputs of a tile in one direction.
pub(super) const OUTPUTS: usize = 4;

/// Inputs of a tile in one direction, and points.
pub(super) const INPUTS: usize = 6;

/// Points of a tile, and products of matrices.
pub(super) const POINTS: usize = INPUTS * INPUTS;

const A: f32 = 0.625;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;
const A3: f32 = A2 * A;
const B3: f32 = B2 * B;
const NONE: f32 = A2 * B2;
const BOTH: f32 = A2 + B2;
/// `1 / a²b²`, `1 / Na`, `1 / Nb`.
const G0: f32 = 1.0 / NONE;
const GA: f32 = 1.0 / (2.0 * A2 * (A2 - B2));
const GB: f32 = 1.0 / (2.0 * B2 * (B2 - A2));

/// `a·b + c` with a constant.
#[inline(always)]
fn fused<S: Simd>(simd: S, a: f32, b: S::f32s, c: S::f32s) -> S::f32s {
    mul_add(simd, simd.splat_f32s(a), b, c)
}

#[inline(always)]
fn scaled<S: Simd>(simd: S, a: f32, b: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(a), b)
}

/// `Bᵀ·d`.
#[inline(always)]
fn input<S: Simd>(simd: S, d: [S::f32s; INPUTS]) -> [S::f32s; INPUTS] {
    let [even_a, odd_a] = [d[4], d[3]];
    let even_a = fused(simd, -B2, d[2], even_a);
    let odd_a = fused(simd, -B2, d[1], odd_a);
    let even_b = fused(simd, -A2, d[2], d[4]);
    let odd_b = fused(simd, -A2, d[1], d[3]);
    [
        fused(simd, NONE, d[0], fused(simd, -BOTH, d[2], d[4])),
        fused(simd, A, odd_a, even_a),
        fused(simd, -A, odd_a, even_a),
        fused(simd, B, odd_b, even_b),
        fused(simd, -B, odd_b, even_b),
        fused(simd, NONE, d[1], fused(simd, -BOTH, d[3], d[5])),
    ]
}

/// `Aᵀ·m`.
#[inline(always)]
fn output<S: Simd>(simd: S, m: [S::f32s; INPUTS]) -> [S::f32s; OUTPUTS] {
    let (even_a, odd_a) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (even_b, odd_b) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(m[0], simd.add_f32s(even_a, even_b)),
        fused(simd, A, odd_a, scaled(simd, B, odd_b)),
        fused(simd, A2, even_a, scaled(simd, B2, even_b)),
        fused(simd, A3, odd_a, fused(simd, B3, odd_b, m[5])),
    ]
}

/// `A·y`.
#[inline(always)]
fn output_gradient<S: Simd>(simd: S, y: [S::f32s; OUTPUTS]) -> [S::f32s; INPUTS] {
    let (even_a, odd_a) = (fused(simd, A2, y[2], y[0]), fused(simd, A2, y[3], y[1]));
    let (even_b, odd_b) = (fused(simd, B2, y[2], y[0]), fused(simd, B2, y[3], y[1]));
    [
        y[0],
        fused(simd, A, odd_a, even_a),
        fused(simd, -A, odd_a, even_a),
        fused(simd, B, odd_b, even_b),
        fused(simd, -B, odd_b, even_b),
        y[3],
    ]
}

/// `G·g`.
#[inline(always)]
fn filter<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; INPUTS] {
    let (even_a, even_b) = (fused(simd, A2, g[2], g[0]), fused(simd, B2, g[2], g[0]));
    [
        scaled(simd, G0, g[0]),
        scaled(simd, GA, fused(simd, A, g[1], even_a)),
        scaled(simd, GA, fused(simd, -A, g[1], even_a)),
        scaled(simd, GB, fused(simd, B, g[1], even_b)),
        scaled(simd, GB, fused(simd, -B, g[1], even_b)),
        g[2],
    ]
}

/// `Gᵀ·u`.
#[inline(always)]
fn filter_gradient<S: Simd>(simd: S, u: [S::f32s; INPUTS]) -> [S::f32s; 3] {
    let (even_a, odd_a) = (simd.add_f32s(u[1], u[2]), simd.sub_f32s(u[1], u[2]));
    let (even_b, odd_b) = (simd.add_f32s(u[3], u[4]), simd.sub_f32s(u[3], u[4]));
    let [even_a, odd_a] = [even_a, odd_a].map(|v| scaled(simd, GA, v));
    let [even_b, odd_b] = [even_b, odd_b].map(|v| scaled(simd, GB, v));
    [
        fused(simd, G0, u[0], simd.add_f32s(even_a, even_b)),
        fused(simd, A, odd_a, scaled(simd, B, odd_b)),
        fused(simd, A2, even_a, fused(simd, B2, even_b, u[5])),
    ]
}

/// An array of so many values, each computed with its index as a constant: what a loop keeps in memory, this keeps in registers.
macro_rules! each {
    ($index:ident in 3 => $value:expr) => { each!($index in 0, 1, 2 => $value) };
    ($index:ident in 4 => $value:expr) => { each!($index in 0, 1, 2, 3 => $value) };
    ($index:ident in 6 => $value:expr) => { each!($index in 0, 1, 2, 3, 4, 5 => $value) };
    ($index:ident in $($number:literal),+ => $value:expr) => {
        [$({ const $index: usize = $number; $value }),+]
    };
}

/// Applies `along` to the columns of `from`, then to the rows of the result.
macro_rules! both_ways {
    ($(#[$doc:meta])* $name:ident, $along:ident, $from:tt, $to:tt) => {
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name<S: Simd>(simd: S, from: &TileRef<'_, S, $from>, mut to: TileMut<'_, S, $to>) {
            let columns = each!(X in $from => $along(simd, from.column(simd, X)));
            each!(Y in $to => to.put(Y, $along(simd, each!(X in $from => columns[X][Y]))));
        }
    };
}

both_ways!(
    /// `Bᵀ·d·B`: values of an input tile at the points.
    input_tile, input, 6, 6
);
both_ways!(
    /// `Aᵀ·m·A`: the outputs of a tile.
    output_tile, output, 6, 4
);
both_ways!(
    /// `A·y·Aᵀ`: the transpose of [`output_tile`].
    output_gradient_tile, output_gradient, 4, 6
);
both_ways!(
    /// `G·g·Gᵀ`: values of a filter at the points.
    filter_tile, filter, 3, 6
);
both_ways!(
    /// `Gᵀ·u·G`: the transpose of [`filter_tile`].
    filter_gradient_tile, filter_gradient, 6, 3
);
