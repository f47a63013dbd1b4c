//! The bootstrap.

use super::significance::largest;
use rand::RngExt;
use statrs::function::erf::{erfc, erfc_inv};
use std::f64::consts::SQRT_2;

/// As SciPy's default.
const RESAMPLES: usize = 9_999;

/// 95 % bootstrap interval of the mean, low and high: bias-corrected and accelerated (BCa; Efron and
/// Tibshirani 1993, equation 14.10), of 9,999 resamples; SciPy's `bootstrap` by default.
///
/// Resamples are drawn from the stream of `seed`, so the same call gives the same interval. With very
/// few values it is too narrow, since resamples never leave their range: prefer
/// [`interval`](super::interval) where they may be taken for normal.
///
/// `None` for n < 2 and for values that are not finite. Of equal values both ends are the value.
pub fn bootstrap(values: &[f64], seed: u64) -> Option<(f64, f64)> {
    let n = values.len();
    let scale = largest([values])?;
    if n < 2 {
        return None;
    }
    if values.iter().all(|value| *value == values[0]) {
        return Some((values[0], values[0]));
    }
    let mean = values.iter().map(|value| value / scale).sum::<f64>() / n as f64;
    let centred: Vec<f64> = values.iter().map(|value| value / scale - mean).collect();
    let mut rng = random::stream(seed, "bootstrap", &[]);
    let mut sums: Vec<f64> = (0..RESAMPLES).map(|_| (0..n).map(|_| centred[rng.random_range(0..n)]).sum()).collect();
    sums.sort_unstable_by(f64::total_cmp);

    // Resamples that equal the sample but for rounding count half, as ties do.
    let rounding = 8.0 * n as f64 * f64::EPSILON;
    let below = sums.partition_point(|sum| *sum < -rounding);
    let not_above = sums.partition_point(|sum| *sum <= rounding);
    let bias = quantile_of_normal((below + not_above) as f64 / (2 * RESAMPLES) as f64);
    // The jackknife's acceleration, which for a mean is a sixth of the sample's skewness by √n.
    let moment = |power: fn(&f64) -> f64| centred.iter().map(power).sum::<f64>();
    let acceleration = moment(|x| x * x * x) / (6.0 * libm::pow(moment(|x| x * x), 1.5));

    let end = |normal: f64| {
        let biased = bias + normal;
        let place = share_of_normal(bias + biased / (1.0 - acceleration * biased)) * (RESAMPLES - 1) as f64;
        let before = sums[place as usize];
        let after = sums[(place as usize + 1).min(RESAMPLES - 1)];
        scale * (mean + (before + (after - before) * place.fract()) / n as f64)
    };
    Some((end(quantile_of_normal(0.025)), end(quantile_of_normal(0.975))))
}

fn share_of_normal(x: f64) -> f64 {
    0.5 * erfc(-x / SQRT_2)
}

fn quantile_of_normal(share: f64) -> f64 {
    -SQRT_2 * erfc_inv(2.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let values: [f64; 12] = std::array::from_fn(|i| (i * i % 17) as f64 + 0.1 * i as f64);
        assert_eq!(bootstrap(&values, 3), bootstrap(&values, 3));
        assert_ne!(bootstrap(&values, 3), bootstrap(&values, 4));
        let (low, high) = bootstrap(&values, 3).unwrap();
        assert!((low - PINNED.0).abs() < 1e-12 && (high - PINNED.1).abs() < 1e-12, "{low} {high}");
    }

    /// Pages show them: what a seed gives must not change.
    const PINNED: (f64, f64) = (5.27371747318885, 12.082894018401884);

    #[test]
    fn degenerate_samples() {
        assert_eq!(bootstrap(&[], 0), None);
        assert_eq!(bootstrap(&[1.0], 0), None);
        assert_eq!(bootstrap(&[1.0, f64::NAN], 0), None);
        assert_eq!(bootstrap(&[1.0, f64::INFINITY], 0), None);
        assert_eq!(bootstrap(&[0.1; 3], 0), Some((0.1, 0.1)));
        assert_eq!(bootstrap(&[0.0; 3], 0), Some((0.0, 0.0)));
        // A quarter of the resamples of two values are the smaller one alone.
        assert_eq!(bootstrap(&[1.0, 3.0], 0), Some((1.0, 3.0)));
        // Equal but for rounding.
        let (low, high) = bootstrap(&[1.0, 1.0 + f64::EPSILON, 1.0], 0).unwrap();
        assert!(1.0 <= low && low <= high && high <= 1.0 + f64::EPSILON, "{low} {high}");
        // The longest tail that there is.
        let mut outlier = [0.0; 1000];
        outlier[7] = 1.0;
        let (low, high) = bootstrap(&outlier, 0).unwrap();
        assert!(-1e-15 < low && low < 0.001 && 0.001 < high && high < 0.02, "{low} {high}");
    }

    #[test]
    fn intervals_follow_shift_scale_and_sign() {
        let values = [0.25, 1.5, -2.0, 0.75, 3.5, 1.0];
        let (low, high) = bootstrap(&values, 1).unwrap();
        let close = |found: Option<(f64, f64)>, expected: (f64, f64), scale: f64| {
            let found = found.unwrap();
            let error = (found.0 - expected.0).abs().max((found.1 - expected.1).abs());
            assert!(error <= 1e-12 * scale, "{found:?}, expected {expected:?}");
        };
        close(bootstrap(&values.map(|value| value + 100.0), 1), (low + 100.0, high + 100.0), 100.0);
        for scale in [1e-300, 1e-100, 1e100, 1e300] {
            close(bootstrap(&values.map(|value| value * scale), 1), (low * scale, high * scale), scale);
        }
        close(bootstrap(&values.map(|value| -value), 1), (-high, -low), 1.0);
    }
}
