//! What a search of settings says beyond its winner.

/// The expected best of k trials for k = 1..=n, the trials being any k different ones of the n whose
/// `scores` are given: Σ v₍ᵢ₎ C(i − 1, k − 1) / C(n, k), with v₍ₙ₎ the best. Without bias for k
/// trials of the search itself (Tang et al. 2020, arXiv 2004.13705), where drawing with replacement
/// (Dodge et al. 2019, arXiv 1909.03004) expects too little. Empty of nothing.
///
/// A trial without a score, because it diverged, is NaN and worse than any number: the result is NaN
/// up to the k that could all be such trials.
pub fn expected_best(scores: &[f64], higher_is_better: bool) -> Vec<f64> {
    let n = scores.len();
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(|a, b| {
        let worse = if higher_is_better { a.total_cmp(b) } else { b.total_cmp(a) };
        b.is_nan().cmp(&a.is_nan()).then(worse)
    });
    let expected = |k: usize| {
        // How probable it is that the i-th is the best, from the last down: no binomial is large.
        let mut probability = k as f64 / n as f64;
        let mut sum = 0.0;
        for i in (k..=n).rev() {
            sum += probability * sorted[i - 1];
            probability *= (i - k) as f64 / (i - 1) as f64;
        }
        sum
    };
    (1..=n).map(expected).collect()
}

/// Mean height of y over x by the trapezoid rule: the area under the line through the `points`
/// (x, y), divided by the span of x. Points may come in any order.
///
/// Each x must be there once: of two points at one x, which is met first decides what is left and
/// what is right of the step. `None` for fewer than two different x, and for numbers that are not
/// finite.
pub fn area(points: &[(f64, f64)]) -> Option<f64> {
    if points.iter().any(|(x, y)| !x.is_finite() || !y.is_finite()) {
        return None;
    }
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let span = sorted.last()?.0 - sorted.first()?.0;
    let height = |pair: &[(f64, f64)]| (pair[1].0 - pair[0].0) / span * (0.5 * pair[0].1 + 0.5 * pair[1].1);
    (span > 0.0 && span.is_finite()).then(|| sorted.windows(2).map(height).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    /// Mean of the best over all subsets of `k`.
    fn by_subsets(scores: &[f64], higher_is_better: bool, k: usize) -> f64 {
        let subsets = (0u32..1 << scores.len()).filter(|subset| subset.count_ones() as usize == k);
        let bests: Vec<f64> = subsets
            .map(|subset| {
                let chosen = (0..scores.len()).filter(|i| subset >> i & 1 == 1).map(|i| scores[i]);
                chosen.reduce(if higher_is_better { f64::max } else { f64::min }).unwrap()
            })
            .collect();
        super::super::mean(&bests).unwrap()
    }

    #[test]
    fn the_expected_best_is_the_mean_over_all_subsets() {
        for scores in [&[3.0][..], &[2.0, 5.0], &[0.5, -1.0, 7.0, 7.0, 2.5, 0.0, 3.25, -1.0, 9.5, 4.0]] {
            for higher_is_better in [true, false] {
                let found = expected_best(scores, higher_is_better);
                assert_eq!(found.len(), scores.len());
                for (found, k) in found.iter().zip(1..) {
                    let expected = by_subsets(scores, higher_is_better, k);
                    assert!((found - expected).abs() < 1e-12, "{k}: {found}, expected {expected}");
                }
            }
        }
        assert!(expected_best(&[], true).is_empty());
    }

    #[test]
    fn the_expected_best_is_that_of_a_simulated_search() {
        let mut rng = random::stream(0, "search", &[]);
        let scores: Vec<f64> = (0..40).map(|_| rng.random()).collect();
        let found = expected_best(&scores, true)[5];
        let draws: Vec<f64> = (0..20_000)
            .map(|_| random::permutation(40, &mut rng)[..6].iter().map(|i| scores[*i]).fold(0.0, f64::max))
            .collect();
        let simulated = super::super::interval_at(&draws, 0.9999).unwrap();
        assert!(simulated.contains(found), "{found}, simulated {simulated:?}");
        // Too wide an interval would hold anything.
        assert!(simulated.half < 0.005, "{simulated:?}");
    }

    #[test]
    fn the_estimate_has_no_bias() {
        // Uniform scores: the best of k is k / (k + 1) on average.
        let searches: Vec<Vec<f64>> = (0..4_000)
            .map(|index| {
                let mut rng = random::stream(0, "uniform", &[index]);
                expected_best(&std::array::from_fn::<f64, 8, _>(|_| rng.random()), true)
            })
            .collect();
        for k in 1..=8 {
            let estimates: Vec<f64> = searches.iter().map(|search| search[k - 1]).collect();
            let mean = super::super::interval_at(&estimates, 0.9999).unwrap();
            assert!(mean.contains(k as f64 / (k + 1) as f64) && mean.half < 0.01, "{k}: {mean:?}");
        }
    }

    #[test]
    fn thousands_of_trials_neither_overflow_nor_drift() {
        let scores: Vec<f64> = (1..=3000).map(f64::from).collect();
        // Of 1, …, n the expected best of k is k (n + 1) / (k + 1).
        for (found, k) in expected_best(&scores, true).into_iter().zip(1..) {
            let expected = f64::from(k) * 3001.0 / f64::from(k + 1);
            assert!((found - expected).abs() < 1e-10 * expected, "{k}: {found}, expected {expected}");
        }
    }

    #[test]
    fn a_trial_without_a_score_is_the_worst() {
        for higher_is_better in [true, false] {
            let found = expected_best(&[1.0, f64::NAN, 3.0, -f64::NAN], higher_is_better);
            assert!(found[0].is_nan() && found[1].is_nan(), "{found:?}");
            let best = if higher_is_better { 3.0 } else { 1.0 };
            // Three of four: all but one, which is the best one in a quarter of the cases.
            assert_eq!(found[2], 0.75 * best + 0.25 * (4.0 - best));
            assert_eq!(found[3], best);
        }
    }

    #[test]
    fn areas() {
        assert_eq!(area(&[]), None);
        assert_eq!(area(&[(1.0, 2.0)]), None);
        assert_eq!(area(&[(1.0, 2.0), (1.0, 3.0)]), None);
        assert_eq!(area(&[(1.0, 2.0), (f64::NAN, 3.0)]), None);
        assert_eq!(area(&[(1.0, 2.0), (3.0, f64::NEG_INFINITY)]), None);
        assert_eq!(area(&[(1.0, 2.0), (3.0, 4.0)]), Some(3.0));
        // Any order, any distance: a triangle of height 4.
        assert_eq!(area(&[(8.0, 0.0), (-2.0, 0.0), (0.0, 4.0)]), Some(2.0));
    }
}
