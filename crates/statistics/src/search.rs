//! What a search of settings says beyond its winner.

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
