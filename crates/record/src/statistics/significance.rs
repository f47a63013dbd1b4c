//! Tests of differences.

use statrs::function::beta::checked_beta_reg;
use statrs::function::erf::erfc;

/// Two-sided p of the paired t test: how often differences of this mean and more come from noise
/// alone. Of pairs' differences, normal under the hypothesis that their mean is zero; SciPy's
/// `ttest_rel`.
///
/// `None` for n < 2 and for differences that are not finite. Differences that are all equal leave
/// no noise that could explain them: then p is 1 where they are zero, and else 0 (SciPy: NaN and 0).
pub fn paired_t(differences: &[f64]) -> Option<f64> {
    let n = differences.len();
    let sample = Sample::new(differences, largest([differences])?)?;
    Some(two_sided(ratio(sample.mean, sample.variance), (n - 1) as f64))
}

/// What [`welch`] finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Welch {
    /// Difference of the means, first minus second, in units of its standard error.
    pub statistic: f64,
    /// Degrees of freedom after Welch and Satterthwaite, no whole number in general.
    pub degrees: f64,
    /// Two-sided p.
    pub p: f64,
}

/// Welch's t test: whether two independent samples have the same mean, whatever their variances;
/// SciPy's `ttest_ind` with `equal_var=False`.
///
/// `None` where a sample has fewer than two values, or one that is not finite. Where neither varies,
/// p is 1 for equal means and else 0 with an infinite statistic, and degrees are those of equal
/// variances.
pub fn welch(a: &[f64], b: &[f64]) -> Option<Welch> {
    let scale = largest([a, b])?;
    let (first, second) = (Sample::new(a, scale)?, Sample::new(b, scale)?);
    let variance = first.variance + second.variance;
    let statistic = ratio(first.mean - second.mean, variance);
    let [free, free_too] = [a, b].map(|values| (values.len() - 1) as f64);
    let degrees = if variance > 0.0 {
        let share = first.variance / variance;
        1.0 / (share * share / free + (1.0 - share) * (1.0 - share) / free_too)
    } else {
        free + free_too
    };
    Some(Welch { statistic, degrees, p: two_sided(statistic, degrees) })
}

/// Of a sample divided by a scale, which t does not depend on, so that no square leaves the range
/// of numbers.
struct Sample {
    mean: f64,
    /// Of the mean: the square of its standard error.
    variance: f64,
}

impl Sample {
    /// `None` for n < 2.
    fn new(values: &[f64], scale: f64) -> Option<Self> {
        let n = values.len();
        if n < 2 {
            return None;
        }
        // Rounding would leave equal values a variance.
        if values.iter().all(|value| *value == values[0]) {
            return Some(Self { mean: values[0] / scale, variance: 0.0 });
        }
        let mean = values.iter().map(|value| value / scale).sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| value / scale - mean).map(|far| far * far).sum();
        Some(Self { mean, variance: squares / ((n - 1) * n) as f64 })
    }
}

/// The largest of the absolute values, 1 where all are zero; `None` where one is not finite.
pub(super) fn largest<const N: usize>(samples: [&[f64]; N]) -> Option<f64> {
    let mut values = samples.into_iter().flatten();
    let largest = values.try_fold(0.0, |most: f64, value| value.is_finite().then(|| most.max(value.abs())))?;
    Some(if largest > 0.0 { largest } else { 1.0 })
}

/// A difference in units of its standard error; none is zero, even of an error of zero.
fn ratio(difference: f64, variance: f64) -> f64 {
    if difference == 0.0 { 0.0 } else { difference / variance.sqrt() }
}

/// How often |t| is at least that of `statistic`, for Student's t of so many degrees of freedom.
///
/// With the beta function rather than the distribution, which rounds t² away where p is near 1.
fn two_sided(statistic: f64, degrees: f64) -> f64 {
    let square = statistic * statistic;
    let p = if square < 1.0 {
        checked_beta_reg(0.5, 0.5 * degrees, square / (degrees + square)).map(|inside| 1.0 - inside)
    } else {
        checked_beta_reg(0.5 * degrees, 0.5, degrees / (degrees + square))
    };
    // Only degrees of zero or a NaN are refused, neither of which a sample gives.
    p.unwrap_or(f64::NAN)
}

/// Above this many differences, [`wilcoxon`] takes the normal approximation.
const MOST_EXACT: usize = 50;
/// The same where there are zeros or ties.
const MOST_EXACT_TIED: usize = 13;

/// Two-sided p of Wilcoxon's signed-rank test: whether differences of pairs lie symmetrically around
/// zero. As SciPy 1.17's `wilcoxon` by default: zeros are dropped; p is exact for n ≤ 50 without
/// zeros and ties, and for n ≤ 13 with them (over all signs of the ranks that there are); else
/// from the normal approximation with the variance corrected for ties, and not for continuity.
///
/// n counts the zeros. Ties are equal numbers: differences that should be equal, but were rounded, are
/// none. With five pairs p is at least 1/16, so five seeds never reach 0.05.
///
/// `None` for no differences and for differences that are not finite; where all are zero, p is 1.
pub fn wilcoxon(differences: &[f64]) -> Option<f64> {
    if differences.is_empty() || differences.iter().any(|difference| !difference.is_finite()) {
        return None;
    }
    let mut sorted: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    sorted.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    let n = sorted.len();
    let total = n * (n + 1);
    // Doubled, so that the mean rank of a tie is a whole number.
    let mut ranks = Vec::with_capacity(n);
    let mut positive = 0;
    let mut correction = 0.0;
    for tie in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let rank = 2 * ranks.len() + tie.len() + 1;
        positive += rank * tie.iter().filter(|difference| **difference > 0.0).count();
        correction += (tie.len() * tie.len() * tie.len() - tie.len()) as f64;
        ranks.resize(ranks.len() + tie.len(), rank);
    }
    let smaller = positive.min(total - positive);
    let plain = n == differences.len() && correction == 0.0;
    let exact = differences.len() <= if plain { MOST_EXACT } else { MOST_EXACT_TIED };
    Some(if n == 0 {
        1.0
    } else if exact {
        (2.0 * share_at_most(&ranks, smaller)).min(1.0)
    } else {
        let (n, total) = (n as f64, total as f64);
        let variance = (total * (2.0 * n + 1.0) - correction / 2.0) / 24.0;
        // Half of what doubled ranks are away from their mean.
        let z = (total / 4.0 - smaller as f64 / 2.0) / variance.sqrt();
        erfc(z / std::f64::consts::SQRT_2)
    })
}

/// The share of all choices of `ranks` whose sum is at most `most`.
fn share_at_most(ranks: &[usize], most: usize) -> f64 {
    // Whole numbers up to 2^50, so the counts are exact.
    let mut choices = vec![0.0; most + 1];
    choices[0] = 1.0;
    for &rank in ranks {
        for sum in (rank..=most).rev() {
            choices[sum] += choices[sum - rank];
        }
    }
    choices.iter().sum::<f64>() / libm::exp2(ranks.len() as f64)
}

/// p of several comparisons, adjusted after Holm: to call those below 0.05 different errs in any of
/// them with a probability of at most 0.05. In the order given; statsmodels' `multipletests` with
/// `method="holm"`.
///
/// A NaN stays one, and counts as a comparison.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_unstable_by(|&a, &b| p[a].is_nan().cmp(&p[b].is_nan()).then(p[a].total_cmp(&p[b])));
    let mut adjusted = vec![f64::NAN; p.len()];
    let mut least = 0.0f64;
    for (place, index) in order.into_iter().enumerate().filter(|(_, index)| !p[*index].is_nan()) {
        least = least.max((p.len() - place) as f64 * p[index]).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn too_few_values_have_no_p() {
        for values in [&[][..], &[1.0], &[1.0, f64::NAN], &[f64::INFINITY, 1.0], &[f64::INFINITY; 3]] {
            assert_eq!(paired_t(values), None, "{values:?}");
            assert_eq!(welch(values, &[1.0, 2.0]), None, "{values:?}");
            assert_eq!(welch(&[1.0, 2.0], values), None, "{values:?}");
        }
        assert_eq!(wilcoxon(&[]), None);
        assert_eq!(wilcoxon(&[1.0, f64::NAN]), None);
        assert_eq!(wilcoxon(&[1.0]), Some(1.0));
    }

    #[test]
    fn without_noise_any_difference_is_certain() {
        assert_eq!(paired_t(&[0.0, 0.0, -0.0]), Some(1.0));
        // The sum of three is not three times 0.1.
        assert_eq!(paired_t(&[0.1; 3]), Some(0.0));
        assert_eq!(welch(&[0.1; 3], &[0.1; 5]), Some(Welch { statistic: 0.0, degrees: 6.0, p: 1.0 }));
        let certain = Welch { statistic: f64::NEG_INFINITY, degrees: 3.0, p: 0.0 };
        assert_eq!(welch(&[0.1; 3], &[0.2; 2]), Some(certain));
        assert_eq!(wilcoxon(&[0.0; 5]), Some(1.0));
        assert_eq!(wilcoxon(&[0.0; 60]), Some(1.0));
        assert_eq!(wilcoxon(&[0.1; 5]), Some(0.0625));
    }

    #[test]
    fn ps_of_one_and_two_degrees_have_closed_forms() {
        for t in (-40..=40).map(|power| libm::ldexp(1.0, power)) {
            let cauchy = std::f64::consts::FRAC_2_PI * libm::atan(1.0 / t);
            let root = (2.0 + t * t).sqrt();
            // 1 − t / root without the difference.
            let two = 2.0 / (root * (root + t));
            for (degrees, expected) in [(1.0, cauchy), (2.0, two)] {
                let found = two_sided(-t, degrees);
                assert!((found - expected).abs() <= 1e-12 * expected, "{t} {degrees}: {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn adjusted_ps_by_hand() {
        assert!(holm(&[]).is_empty());
        assert_eq!(holm(&[0.5, 0.01, 0.25, 0.01]), [0.5, 0.04, 0.5, 0.04]);
        let found = holm(&[0.5, f64::NAN, 0.125, -f64::NAN]);
        assert_eq!((found[0], found[2]), (1.0, 0.5));
        assert!(found[1].is_nan() && found[3].is_nan());
    }

    /// Two-sided p of the signed ranks over all 2^n signs.
    fn by_signs(differences: &[f64]) -> f64 {
        let rank = |x: f64| {
            let below = differences.iter().filter(|y| y.abs() < x.abs()).count();
            let tied = differences.iter().filter(|y| y.abs() == x.abs()).count();
            below as f64 + (tied as f64 + 1.0) / 2.0
        };
        let ranks: Vec<f64> = differences.iter().map(|x| rank(*x)).collect();
        let found: f64 = ranks.iter().zip(differences).filter(|(_, x)| **x > 0.0).map(|(rank, _)| rank).sum();
        let sums: Vec<f64> = (0u32..1 << ranks.len())
            .map(|signs| (0..ranks.len()).filter(|i| signs >> i & 1 == 1).map(|i| ranks[i]).sum())
            .collect();
        let low = sums.iter().filter(|sum| **sum <= found).count();
        let high = sums.iter().filter(|sum| **sum >= found).count();
        (2.0 * low.min(high) as f64 / sums.len() as f64).min(1.0)
    }

    proptest! {
        #[test]
        fn signed_ranks_are_tested_over_all_signs(differences in prop::collection::vec(-5..=5i32, 1..11)) {
            let differences: Vec<f64> = differences.into_iter().map(f64::from).collect();
            let kept: Vec<f64> = differences.iter().copied().filter(|x| *x != 0.0).collect();
            prop_assert_eq!(wilcoxon(&differences), Some(by_signs(&kept)));
        }

        #[test]
        fn ps_depend_on_neither_scale_nor_sign(
            a in prop::collection::vec(-1.0..2.0f64, 2..12),
            b in prop::collection::vec(-1.0..1.0f64, 2..12),
        ) {
            let times = |values: &[f64], scale: f64| values.iter().map(|value| scale * value).collect::<Vec<_>>();
            // Powers of two, so that nothing is rounded but what leaves the range.
            for scale in [1.0, libm::ldexp(1.0, -900), libm::ldexp(1.0, 900)] {
                let (one, two) = (times(&a, -scale), times(&b, -scale));
                prop_assert_eq!(paired_t(&one), paired_t(&a));
                prop_assert_eq!(wilcoxon(&one), wilcoxon(&a));
                let (found, expected) = (welch(&one, &two).unwrap(), welch(&a, &b).unwrap());
                prop_assert_eq!(found, Welch { statistic: -expected.statistic, ..expected });
            }
        }

        #[test]
        fn a_p_below_one_twentieth_is_an_interval_without_zero(differences in prop::collection::vec(-1.0..3.0f64, 2..12)) {
            let p = paired_t(&differences).unwrap();
            let interval = super::super::interval(&differences).unwrap();
            prop_assert_eq!(p >= 0.05, interval.contains(0.0), "{} {:?}", p, interval);
        }

        #[test]
        fn adjusted_ps_keep_their_order(p in prop::collection::vec(0.0..=1.0f64, 1..12)) {
            let found = holm(&p);
            for (i, j) in (0..p.len()).flat_map(|i| (0..p.len()).map(move |j| (i, j))) {
                prop_assert!(p[i] > p[j] || found[i] <= found[j]);
            }
            prop_assert!(found.iter().zip(&p).all(|(adjusted, p)| p <= adjusted && *adjusted <= 1.0));
        }
    }
}
