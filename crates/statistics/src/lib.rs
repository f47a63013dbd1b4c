//! Means and their intervals, differences to a reference, and what a search says.
//!
//! Pure functions of a few numbers. What they cannot answer (too few values, values that are not
//! finite) is `None`, so that a page has to say something of it.

mod dunnett;
mod noise;
mod search;

pub use dunnett::Dunnett;
pub use noise::{Contrast, Noise};
pub use search::area;

use statrs::distribution::{ContinuousCDF, StudentsT};

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
    let center = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - center) * (value - center)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// Two-sided 95 % interval of the mean, from Student's t with n − 1 degrees of freedom; `None` for
/// n < 2, where the spread is unknown.
pub fn interval(values: &[f64]) -> Option<Interval> {
    let n = values.len();
    let error = deviation(values)? / (n as f64).sqrt();
    let student = StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?;
    Some(Interval { mean: mean(values)?, half: student.inverse_cdf(0.975) * error, n })
}

/// Correlation of pairs after Pearson; `None` for fewer than three, and where one side does not vary.
pub fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (our, their) = (mean(&ours)?, mean(&theirs)?);
    let sum = |of: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(x, y)| of(x - our, y - their)).sum::<f64>();
    let scale = (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
    (pairs.len() > 2 && scale > 0.0).then(|| sum(&|x, y| x * y) / scale)
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
    /// print(np.corrcoef([91.2, 90.7, 91.9, 91.0], [90.1, 90.2, 91.0, 90.9])[0, 1])
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
        for (values, [center, spread, low, high]) in cases {
            let found = interval(values).unwrap();
            assert!(close(mean(values).unwrap(), center), "{found:?}");
            assert!(close(deviation(values).unwrap(), spread), "{found:?}");
            assert!(close(found.low(), low) && close(found.high(), high), "{found:?}");
            assert_eq!(found.n, values.len());
        }
        let pairs: Vec<(f64, f64)> = [91.2, 90.7, 91.9, 91.0].into_iter().zip([90.1, 90.2, 91.0, 90.9]).collect();
        assert!(close(correlation(&pairs).unwrap(), 0.5898550619286321), "{:?}", correlation(&pairs));
        assert_eq!((correlation(&pairs[..2]), correlation(&[(1.0, 2.0); 5])), (None, None));
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
    }
}
