//! Fused products.

use pulp::{Scalar256b, Simd, bytemuck};
use std::any::TypeId;

/// `a·b + c`, rounded once, on every processor.
#[inline(always)]
pub(crate) fn mul_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if TypeId::of::<S>() != TypeId::of::<Scalar256b>() || cfg!(target_feature = "fma") || cfg!(target_arch = "aarch64")
    {
        return simd.mul_add_f32s(a, b, c);
    }
    let [a, b, mut sums] = [a, b, c].map(bytemuck::cast::<_, [f32; 8]>);
    for ((a, b), sum) in a.iter().zip(b).zip(&mut sums) {
        *sum = mul_add_without_fma(*a, b, *sum);
    }
    bytemuck::cast(sums)
}

/// `a·b + c`, rounded once, for processors that have no instruction for it: several times as fast as a call of `fmaf`.
///
/// The product of two `f32` is exact in `f64`. Their sum is rounded to odd there, after which rounding to `f32` gives
/// what one rounding would (Boldo and Melquiond, IEEE Transactions on Computers 57(4), 2008).
#[inline(always)]
fn mul_add_without_fma(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    // What was rounded off (Knuth's TwoSum), exactly; not-a-number where the sum is not finite.
    let virtual_c = sum - product;
    let error = (product - (sum - virtual_c)) + (c - virtual_c);
    let bits = sum.to_bits();
    // Away from zero where the error has the sign of the sum.
    let outward = (error > 0.0) == (sum > 0.0);
    let odd = if outward { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    let inexact = error.abs() > 0.0;
    f64::from_bits(if inexact && bits & 1 == 0 { odd } else { bits }) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]
        #[test]
        fn products_are_fused_without_an_instruction(a in any::<u32>(), b in any::<u32>(), c in any::<u32>(),
                                                     near in any::<bool>(), shift in -2i32..3) {
            let [a, b, mut c] = [a, b, c].map(f32::from_bits);
            if near {
                // A sum that cancels all but the last bits.
                c = f32::from_bits((-a * b).to_bits().wrapping_add_signed(shift));
            }
            let (found, expected) = (mul_add_without_fma(a, b, c), a.mul_add(b, c));
            prop_assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                         "{a:e} * {b:e} + {c:e}: {found:e} for {expected:e}");
        }
    }
}
