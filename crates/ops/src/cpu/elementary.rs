//! Elementary functions without branches and calls, so that loops over them become vector instructions.

/// `eˣ` for `x ≤ 0`, within 2 units in the last place; 0 where that is below the smallest normal number.
///
/// `x = k·ln 2 + r`, and Cephes' polynomial (expf.c) for `eʳ`.
#[inline(always)]
pub(crate) fn exp_negative(x: f32) -> f32 {
    /// Adding it rounds to an integer, which is left in the low bits.
    const ROUND: f32 = 12_582_912.0; // 1.5·2²³
    const LOWEST: f32 = -87.336_54;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    // The first part of ln 2 has few bits: its product with k is exact.
    let r = x - k * (355.0 / 512.0) + k * 2.121_944_4e-4;
    let mut sum = 1.987_569_2e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        sum = sum * r + coefficient;
    }
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let y = (sum * r * r + r + 1.0) * power;
    if x < LOWEST { 0.0 } else { y }
}

/// `ln(1 + x)` for `0 ≤ x ≤ 1`, within 3 units in the last place: `2·artanh(x / (2 + x))` by its series.
#[inline(always)]
pub(crate) fn ln_1p_unit(x: f32) -> f32 {
    let s = x / (2.0 + x);
    let z = s * s;
    let mut sum = 2.0 / 13.0;
    for coefficient in [2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0] {
        sum = sum * z + coefficient;
    }
    s * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distance of `found` from `exact` in units of the last place of `found`.
    fn units(found: f32, exact: f64) -> f64 {
        (f64::from(found) - exact).abs() / f64::from(found.next_up() - found)
    }

    #[test]
    fn the_exponential_is_close_everywhere() {
        let mut worst = 0f64;
        for i in 0..2_000_000 {
            let x = -87.3 * i as f32 / 2e6;
            worst = worst.max(units(exp_negative(x), libm::exp(f64::from(x))));
        }
        assert!(worst <= 2.0, "{worst} units");
        assert_eq!([0.0, -0.0, -88.0, -1e30, f32::NEG_INFINITY].map(exp_negative), [1.0, 1.0, 0.0, 0.0, 0.0]);
        assert!(exp_negative(f32::NAN).is_nan());
    }

    #[test]
    fn the_logarithm_is_close_everywhere() {
        let mut worst = 0f64;
        for i in 1..=1_000_000 {
            let x = i as f32 / 1e6;
            for x in [x, x * 1e-6, x * 1e-30] {
                worst = worst.max(units(ln_1p_unit(x), libm::log1p(f64::from(x))));
            }
        }
        assert!(worst <= 3.0, "{worst} units");
        assert_eq!(ln_1p_unit(0.0), 0.0);
        assert!(ln_1p_unit(f32::NAN).is_nan());
    }
}
