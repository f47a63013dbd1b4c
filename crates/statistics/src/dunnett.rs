//! Comparisons of several rows with one.

use statrs::function::erf::erfc;
use statrs::function::gamma::ln_gamma;
use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

/// The distribution of the largest absolute value of several t statistics that share their denominator and one of two means, as in
/// comparisons of rows with a reference (Dunnett 1955): correlations are ½, as of rows with equally many seeds and equal noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dunnett {
    /// How many comparisons; one is Student's t.
    pub comparisons: usize,
    /// Degrees of freedom of the error, infinite where it is known.
    pub degrees: f64,
}

/// Nodes of the integrals by the trapezoid rule, which for such functions has an error below 1e-9.
const MEANS: i32 = 32;
const MEAN_STEP: f64 = 0.25;
const ERRORS: i32 = 96;

impl Dunnett {
    /// How probable it is that no statistic is above `t`, nor below −`t`.
    pub fn within(&self, t: f64) -> f64 {
        if t.is_infinite() || self.comparisons == 0 {
            return f64::from(u8::from(t > 0.0 || self.comparisons == 0));
        }
        if self.degrees.is_infinite() {
            return self.given(t);
        }
        // Over x = ln s of the error s = √(χ²/ν), of density 2 (ν/2)^(ν/2) / Γ(ν/2) exp(νx − ν exp(2x)/2).
        let half = self.degrees / 2.0;
        let spread = 1.0 / (2.0 * self.degrees).sqrt();
        let (low, high) = (-9.0 * spread - 25.0 / self.degrees, (9.0 * spread).min(3.0));
        let step = (high - low) / f64::from(ERRORS);
        let scale = libm::log(2.0) + half * libm::log(half) - ln_gamma(half);
        let at = |node: i32| {
            let x = low + f64::from(node) * step;
            let density = libm::exp(scale + self.degrees * x - half * libm::exp(2.0 * x));
            if density < 1e-17 { 0.0 } else { density * self.given(t * libm::exp(x)) }
        };
        ((0..=ERRORS).map(at).sum::<f64>() * step).clamp(0.0, 1.0)
    }

    /// The same where the error is known to be 1.
    fn given(&self, t: f64) -> f64 {
        let normal = |z: f64| 0.5 * erfc(-z * FRAC_1_SQRT_2);
        let reach = SQRT_2 * t;
        let at = |node: i32| {
            let z = f64::from(node) * MEAN_STEP;
            let inside = (normal(reach - z) - normal(-reach - z)).max(0.0);
            let density = 0.398_942_280_401_432_7 * libm::exp(-0.5 * z * z);
            density * libm::pow(inside, self.comparisons as f64)
        };
        (-MEANS..=MEANS).map(at).sum::<f64>() * MEAN_STEP
    }

    /// The value that no statistic exceeds with probability `share`, of at least ½; `None` for other shares.
    pub fn critical(&self, share: f64) -> Option<f64> {
        if !(0.5..1.0).contains(&share) || self.comparisons == 0 {
            return None;
        }
        let off = |t: f64| self.within(t) - share;
        let (mut low, mut high) = (0.0, 2.0);
        while off(high) < 0.0 {
            (low, high) = (high, 2.0 * high);
        }
        // Regula falsi after Illinois: an end that stays once more counts half.
        let (mut under, mut over) = (off(low), off(high));
        let (mut middle, mut was_under) = (high, None);
        for _ in 0..60 {
            middle = (low * over - high * under) / (over - under);
            let found = off(middle);
            if found.abs() < 1e-12 {
                break;
            }
            let is_under = found < 0.0;
            let stays = was_under == Some(is_under);
            if is_under {
                (low, under, over) = (middle, found, if stays { over / 2.0 } else { over });
            } else {
                (high, over, under) = (middle, found, if stays { under / 2.0 } else { under });
            }
            was_under = Some(is_under);
        }
        Some(middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(comparisons: usize, degrees: f64) -> Dunnett {
        Dunnett { comparisons, degrees }
    }

    /// Of C. W. Dunnett, "New tables for multiple comparisons with a control", Biometrics 20 (1964), table II.
    #[test]
    fn agrees_with_the_published_tables() {
        let published = [
            (1, 5.0, 2.57),
            (2, 5.0, 3.03),
            (3, 5.0, 3.29),
            (4, 5.0, 3.48),
            (9, 5.0, 3.97),
            (1, 10.0, 2.23),
            (2, 10.0, 2.57),
            (4, 10.0, 2.89),
            (2, 20.0, 2.38),
            (2, f64::INFINITY, 2.21),
            (4, f64::INFINITY, 2.44),
        ];
        for (comparisons, degrees, expected) in published {
            let found = of(comparisons, degrees).critical(0.95).unwrap();
            assert!((found - expected).abs() < 0.0051, "{comparisons}, {degrees}: {found}, expected {expected}");
        }
    }

    #[test]
    fn shares_are_probabilities_that_rise() {
        for (comparisons, degrees) in [(1, 1.0), (3, 2.0), (11, 4.5), (5, 1e6), (2, f64::INFINITY)] {
            let of = of(comparisons, degrees);
            let shares: Vec<f64> = [0.0, 0.5, 1.0, 2.0, 5.0, 50.0, 1e4].map(|t| of.within(t)).to_vec();
            assert!(shares.is_sorted() && shares[0] >= 0.0 && shares[6] > 0.999, "{of:?}: {shares:?}");
            let critical = of.critical(0.95).unwrap();
            assert!((of.within(critical) - 0.95).abs() < 1e-9, "{of:?}");
            assert_eq!(of.within(f64::INFINITY), 1.0);
        }
        assert_eq!(of(0, 3.0).critical(0.95), None);
        assert_eq!(of(2, 3.0).critical(1.0), None);
    }
}
