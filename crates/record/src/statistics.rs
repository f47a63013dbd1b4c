//! Means and their intervals, tests of differences, and what a search and a set of tasks say.
//!
//! Pure functions of a few numbers. What they cannot answer (too few values, values that are not
//! finite) is `None`, so that a page has to say something of it.

mod bootstrap;
mod profile;
mod search;
mod significance;

pub use bootstrap::bootstrap;
pub use profile::{Profile, WORST_RATIO, profile};
pub use search::{area, expected_best};
pub use significance::{Welch, holm, paired_t, welch, wilcoxon};

use statrs::distribution::{ContinuousCDF, StudentsT};
use std::collections::BTreeMap;

/// A mean with its two-sided confidence interval, of 95 % where nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Mean of the values.
    pub mean: f64,
    /// Half the interval's width, in the unit of the values.
    pub half: f64,
    /// How many values.
    pub n: usize,
}

impl Interval {
    /// Lower end.
    pub fn low(&self) -> f64 {
        self.mean - self.half
    }

    /// Upper end.
    pub fn high(&self) -> f64 {
        self.mean + self.half
    }

    /// Whether `value` lies in the interval, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low() <= value && value <= self.high()
    }
}

/// Arithmetic mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The middle value, or the mean of the two middle ones; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    mean(sorted.get(sorted.len().saturating_sub(1) / 2..=sorted.len() / 2)?)
}

/// Sample standard deviation, with n − 1 in the denominator; `None` for n < 2.
pub fn deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let centre = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - centre) * (value - centre)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// Two-sided 95 % interval of the mean, from Student's t with n − 1 degrees of freedom; `None` for
/// n < 2, where the spread is unknown.
pub fn interval(values: &[f64]) -> Option<Interval> {
    interval_at(values, 0.95)
}

/// [`interval`] for another confidence level, a share: 0.99 is 99 %. `None` as well for a level
/// that is not between 0 and 1.
pub fn interval_at(values: &[f64], level: f64) -> Option<Interval> {
    if !(0.0 < level && level < 1.0) {
        return None;
    }
    let n = values.len();
    let error = deviation(values)? / (n as f64).sqrt();
    let student = StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?;
    Some(Interval { mean: mean(values)?, half: student.inverse_cdf((1.0 + level) / 2.0) * error, n })
}

/// The difference `ours − theirs`, paired by seed, over the seeds that both have; `None` for fewer
/// than two such seeds.
///
/// Runs of one seed share initial weights, data order and augmentation, so pairing removes the
/// part of the noise that they have in common.
pub fn paired(ours: &BTreeMap<u64, f64>, theirs: &BTreeMap<u64, f64>) -> Option<Interval> {
    let differences: Vec<f64> =
        ours.iter().filter_map(|(seed, our)| theirs.get(seed).map(|their| our - their)).collect();
    interval(&differences)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
    }

    /// SciPy 1.17.1:
    ///
    /// ```python
    /// import numpy as np
    /// from scipy import stats
    /// for v in [[91.2, 90.7], [91.2, 90.7, 91.9], [0.1, 0.4, 0.35, 0.8, -0.2],
    ///           [float(i * i % 17) for i in range(30)]]:
    ///     low, high = stats.t.interval(0.95, len(v) - 1, np.mean(v), stats.sem(v))
    ///     print(len(v), repr(float(np.mean(v))), repr(float(np.std(v, ddof=1))), repr(float(low)), repr(float(high)))
    /// a, b = np.array([91.2, 90.7, 91.9, 91.0]), np.array([90.1, 90.2, 91.0, 90.9])
    /// low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    /// print(repr(float((a - b).mean())), repr(float(low)), repr(float(high)))
    /// ```
    #[test]
    fn agrees_with_scipy() {
        let squares: Vec<f64> = (0..30).map(|i| f64::from(i * i % 17)).collect();
        let cases: [(&[f64], [f64; 4]); 4] = [
            (&[91.2, 90.7], [90.95, 0.3535533905932738, 87.77344881595633, 94.12655118404368]),
            (&[91.2, 90.7, 91.9], [91.26666666666667, 0.6027713773341723, 89.76929955666716, 92.76403377666617]),
            (&[0.1, 0.4, 0.35, 0.8, -0.2], [0.29, 0.3714835124201342, -0.17125770329836154, 0.7512577032983615]),
            (&squares, [8.066666666666666, 5.747163218273104, 5.920640652013058, 10.212692681320274]),
        ];
        for (values, [centre, spread, low, high]) in cases {
            let found = interval(values).unwrap();
            assert!(close(mean(values).unwrap(), centre), "{found:?}");
            assert!(close(deviation(values).unwrap(), spread), "{found:?}");
            assert!(close(found.low(), low) && close(found.high(), high), "{found:?}");
            assert_eq!(found.n, values.len());
        }
        let by_seed = |values: [f64; 4]| BTreeMap::from_iter((0..).zip(values));
        let found = paired(&by_seed([91.2, 90.7, 91.9, 91.0]), &by_seed([90.1, 90.2, 91.0, 90.9]));
        let found = found.unwrap();
        assert!(close(found.mean, 0.65), "{found:?}");
        assert!(close(found.low(), -0.05566157178614706), "{found:?}");
        assert!(close(found.high(), 1.3556615717861513), "{found:?}");
    }

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
        assert_eq!(median(&[3.0, 1.0, 9.0]), Some(3.0));
        assert_eq!(median(&[3.0, 1.0, 9.0, 5.0]), Some(4.0));
    }

    #[test]
    fn too_few_values_have_no_interval() {
        assert_eq!(mean(&[]), None);
        assert_eq!(deviation(&[1.0]), None);
        assert_eq!(interval(&[1.0]), None);
    }

    #[test]
    fn levels_are_between_nothing_and_all() {
        let values = [91.2, 90.7, 91.9];
        assert_eq!(interval_at(&values, 0.95), interval(&values));
        // What a page shows must not move with the last digit of the level.
        assert_eq!((1.0 + 0.95) / 2.0, 0.975);
        for level in [0.0, 1.0, -0.5, 95.0, f64::NAN] {
            assert_eq!(interval_at(&values, level), None, "{level}");
        }
        let halves = [0.01, 0.5, 0.95, 0.99, 0.9999].map(|level| interval_at(&values, level).unwrap().half);
        assert!(halves.is_sorted_by(|a, b| a < b), "{halves:?}");
    }

    #[test]
    fn only_common_seeds_are_paired() {
        let ours = BTreeMap::from([(0, 3.0), (1, 5.0), (7, 100.0)]);
        let theirs = BTreeMap::from([(0, 1.0), (1, 3.0), (8, -100.0)]);
        assert_eq!(paired(&ours, &theirs).unwrap(), Interval { mean: 2.0, half: 0.0, n: 2 });
        assert_eq!(paired(&ours, &BTreeMap::from([(1, 3.0), (8, 0.0)])), None);
    }

    proptest! {
        #[test]
        fn shifting_shifts_and_scaling_scales(
            values in prop::collection::vec(-100.0..100.0f64, 2..20),
            shift in -100.0..100.0f64,
            scale in -10.0..10.0f64,
        ) {
            let before = interval(&values).unwrap();
            let moved: Vec<f64> = values.iter().map(|value| scale * value + shift).collect();
            let after = interval(&moved).unwrap();
            prop_assert!(close(after.mean, scale * before.mean + shift));
            prop_assert!((after.half - scale.abs() * before.half).abs() < 1e-7);
        }

        #[test]
        fn a_paired_difference_is_antisymmetric_and_blind_to_common_noise(
            triples in prop::collection::vec((-9.0..9.0f64, -9.0..9.0f64, -9.0..9.0f64), 2..12),
        ) {
            let by_seed = |f: &dyn Fn(&(f64, f64, f64)) -> f64| BTreeMap::from_iter((0..).zip(triples.iter().map(f)));
            let plain = paired(&by_seed(&|t| t.0), &by_seed(&|t| t.1)).unwrap();
            let back = paired(&by_seed(&|t| t.1), &by_seed(&|t| t.0)).unwrap();
            let noisy = paired(&by_seed(&|t| t.0 + t.2), &by_seed(&|t| t.1 + t.2)).unwrap();
            prop_assert!(close(plain.mean, -back.mean) && close(plain.half, back.half));
            prop_assert!((plain.mean - noisy.mean).abs() < 1e-9 && (plain.half - noisy.half).abs() < 1e-9);
        }
    }
}
