//! Exponentials of many numbers.

use kernels::Kernels;

/// `eˣ` in place of each of `values`, which are at most 0 (or not a number): within 3 units in the last place, and 0 where it
/// is below the smallest normal number.
///
/// The C library's differs from machine to machine. `x = k·ln 2 + r`, and Taylor's polynomial for `eʳ`: without branches and
/// calls, so that the loop becomes vector instructions.
pub(super) fn exponentials(values: &mut [f64]) {
    // All kernels give the same bits; whether they exist is said where the network is computed.
    Kernels::current().unwrap_or(Kernels::Portable).run(
        #[inline(always)]
        || values.iter_mut().for_each(|value| *value = exponential(*value)),
    );
}

/// `1/n!` for `n` from 12 down to 2.
const INVERSE_FACTORIALS: [f64; 11] = [
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
];

#[inline(always)]
fn exponential(x: f64) -> f64 {
    /// Adding it rounds to an integer, which is left in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5·2⁵²
    /// ln 2; the first part has few bits, so that its product with k is exact.
    const LN_2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
    const LOWEST: f64 = -708.0;
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = x - k * LN_2[0] - k * LN_2[1];
    let mut sum = 1.0 / 6_227_020_800.0;
    for coefficient in INVERSE_FACTORIALS {
        sum = sum * r + coefficient;
    }
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    let y = (sum * r * r + r + 1.0) * power;
    if x < LOWEST { 0.0 } else { y }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_close_everywhere() {
        for i in 0..1_000_000 {
            let x = -707.9 * f64::from(i) / 1e6;
            let (found, expected) = (exponential(x), libm::exp(x));
            assert!((found - expected).abs() <= 3.0 * f64::EPSILON * expected, "{x}: {found} {expected}");
        }
        let mut values = [0.0, -0.0, -709.0, -1e300, f64::NEG_INFINITY, f64::NAN];
        exponentials(&mut values);
        assert_eq!(values[..5], [1.0, 1.0, 0.0, 0.0, 0.0]);
        assert!(values[5].is_nan());
    }
}
