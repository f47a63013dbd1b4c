//! One model of the noise for a table of scores.

use super::mean;

/// Weight of the noise of all rows in the variance of one, as degrees of freedom that count beside its own.
const PRIOR: f64 = 2.0;

/// Scores of rows on common seeds, as row + seed + noise, where rows differ in how noisy they are.
///
/// The variance of each row is estimated from the residuals of this model, and drawn toward that of all rows: with few seeds a
/// row's own spread is mostly chance, and the spread of all rows would be wrong for a row that is noisier than others. A
/// difference has the degrees of freedom after Satterthwaite, for the quadratic form of the residuals that estimates its
/// variance. Of two rows this is the paired t test; of many rows with `PRIOR` → ∞, the analysis of variance.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    means: Vec<f64>,
    /// Of each row's noise, drawn toward that of all.
    variances: Vec<f64>,
    /// Of the noise of all rows.
    pooled: f64,
    seeds: usize,
}

/// A difference between two rows of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrast {
    /// Mean of the first row less that of the second.
    pub difference: f64,
    /// Standard error of the difference.
    pub error: f64,
    /// Degrees of freedom of the error.
    pub degrees: f64,
}

impl Noise {
    /// Of `rows` of scores, each in the same order of seeds. `None` for fewer than two rows or two seeds, for rows of
    /// different lengths, and for scores that are not finite.
    pub fn of(rows: &[Vec<f64>]) -> Option<Self> {
        let seeds = rows.first()?.len();
        let ragged = rows.iter().any(|row| row.len() != seeds || row.iter().any(|score| !score.is_finite()));
        if rows.len() < 2 || seeds < 2 || ragged {
            return None;
        }
        let (k, free) = (rows.len() as f64, (seeds - 1) as f64);
        let means = rows.iter().map(|row| mean(row)).collect::<Option<Vec<f64>>>()?;
        let of_all = mean(&means)?;
        let of_seed = |seed: usize| rows.iter().map(|row| row[seed]).sum::<f64>() / k - of_all;
        let of_seeds: Vec<f64> = (0..seeds).map(of_seed).collect();
        let square = |(row, center): (&Vec<f64>, &f64)| {
            row.iter().zip(&of_seeds).map(|(score, seed)| score - center - seed).map(|far| far * far).sum::<f64>()
        };
        let squares: Vec<f64> = rows.iter().zip(&means).map(square).collect();
        let total: f64 = squares.iter().sum();
        let size = rows.iter().flatten().fold(0.0, |most: f64, score| most.max(score.abs()));
        // What rounding leaves of scores that have no noise is none.
        let is_noise = total > (1e-12 * size) * (1e-12 * size) * k * seeds as f64;
        let pooled = if is_noise { total / ((k - 1.0) * free) } else { 0.0 };
        let weight = PRIOR / (PRIOR + free);
        let variance = |squares: &f64| {
            if rows.len() == 2 || pooled == 0.0 {
                return pooled;
            }
            // The seeds' means take a share of each row's noise away, and bring some of the others'.
            let own = ((squares / free - pooled / k) / (1.0 - 2.0 / k)).max(0.0);
            weight * pooled + (1.0 - weight) * own
        };
        Some(Self { variances: squares.iter().map(variance).collect(), means, pooled, seeds })
    }

    /// Row `one` less row `other`, by their numbers. `None` where there is no such row, or both are the same.
    pub fn contrast(&self, one: usize, other: usize) -> Option<Contrast> {
        let difference = self.means.get(one)? - self.means.get(other)?;
        if one == other {
            return None;
        }
        let variance = self.variances[one] + self.variances[other];
        let degrees = if self.pooled == 0.0 { f64::INFINITY } else { self.degrees(one, other) };
        let is_exact = variance == 0.0 && difference.abs() <= 1e-12 * self.means[one].abs();
        Some(Contrast {
            difference: if is_exact { 0.0 } else { difference },
            error: (variance / self.seeds as f64).sqrt(),
            degrees,
        })
    }

    /// Degrees of freedom of the sum of the variances of two rows: (tr AΣ)² / tr (AΣ)² for each seed after the first, where the
    /// estimate is rᵀAr of the scores r of a seed, and Σ holds the variances of all rows.
    fn degrees(&self, one: usize, other: usize) -> f64 {
        let (rows, free) = (self.means.len(), (self.seeds - 1) as f64);
        let k = rows as f64;
        let all = (k - 1.0) * free;
        if rows == 2 {
            return all;
        }
        let weight = PRIOR / (PRIOR + free);
        let is_of_pair = |row: usize| f64::from(u8::from(row == one || row == other));
        // Residuals are MX with M = I − 11ᵀ/k; E picks the two rows. Entries of MEM, and of M.
        let entry = |row: usize, column: usize| {
            let same = f64::from(u8::from(row == column));
            let centered = same - 1.0 / k;
            let pair = same * is_of_pair(row) - (is_of_pair(row) + is_of_pair(column)) / k + 2.0 / (k * k);
            let own = (pair - 2.0 / k * centered / (k - 1.0)) / (1.0 - 2.0 / k);
            (1.0 - weight) * own + weight * 2.0 * centered / (k - 1.0)
        };
        let (mut trace, mut square) = (0.0, 0.0);
        for row in 0..rows {
            trace += entry(row, row) * self.variances[row];
            for column in 0..rows {
                let here = entry(row, column);
                square += here * here * self.variances[row] * self.variances[column];
            }
        }
        (free * trace * trace / square).clamp(1.0, all)
    }
}

impl Contrast {
    /// The difference in units of its error; none is zero, even of an error of zero.
    pub fn statistic(&self) -> f64 {
        if self.difference == 0.0 { 0.0 } else { self.difference / self.error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
    }

    #[test]
    fn two_rows_are_the_paired_t_test() {
        let rows = vec![vec![91.2, 90.7, 91.9, 91.0], vec![90.1, 90.2, 91.0, 90.9]];
        let Contrast { difference, error, degrees } = Noise::of(&rows).unwrap().contrast(0, 1).unwrap();
        // SciPy 1.17.1: stats.sem(a - b)
        assert!(close(difference, 0.65) && close(error, 0.22173557826083765) && close(degrees, 3.0));
    }

    /// The formula of one entry after the other.
    #[test]
    fn rows_with_equal_spread_have_nearly_the_degrees_of_all() {
        for (rows, seeds) in [(3, 3), (5, 5), (9, 10)] {
            let noise = Noise { means: vec![0.0; rows], variances: vec![1.0; rows], pooled: 1.0, seeds };
            let found = noise.contrast(0, 1).unwrap().degrees;
            let (own, all) = (2.0 * (seeds - 1) as f64, ((rows - 1) * (seeds - 1)) as f64);
            assert!((seeds - 1) as f64 <= found && found <= all, "{rows}, {seeds}: {found} of {own} and {all}");
        }
        // A noisy row counts with its own seeds.
        let noise = Noise { means: vec![0.0; 6], variances: vec![1e9, 1.0, 1.0, 1.0, 1.0, 1.0], pooled: 1e8, seeds: 5 };
        let found = noise.contrast(0, 1).unwrap().degrees;
        assert!((4.0..6.0).contains(&found), "{found}");
    }

    #[test]
    fn what_all_seeds_share_does_not_count() {
        let rows = vec![vec![1.0, 2.5, 3.0], vec![2.0, 2.0, 5.0], vec![0.5, 3.0, 1.0]];
        let before = Noise::of(&rows).unwrap();
        let moved: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| row.iter().zip([10.0, -20.0, 5.0]).map(|(score, seed)| score + seed).collect())
            .collect();
        let after = Noise::of(&moved).unwrap();
        let [before, after] = [before, after].map(|noise| noise.contrast(2, 0).unwrap());
        assert!(close(before.error, after.error) && close(before.degrees, after.degrees), "{before:?} {after:?}");
    }

    #[test]
    fn degenerate_tables() {
        assert_eq!(Noise::of(&[]), None);
        assert_eq!(Noise::of(&[vec![1.0, 2.0]]), None);
        assert_eq!(Noise::of(&[vec![1.0], vec![2.0]]), None);
        assert_eq!(Noise::of(&[vec![1.0, 2.0], vec![2.0]]), None);
        assert_eq!(Noise::of(&[vec![1.0, 2.0], vec![2.0, f64::NAN]]), None);
        let same = Noise::of(&[vec![91.2, 90.7, 91.9], vec![91.2, 90.7, 91.9], vec![91.1, 90.6, 91.8]]).unwrap();
        assert_eq!(same.contrast(0, 1).unwrap().statistic(), 0.0);
        assert_eq!(same.contrast(0, 2).unwrap().statistic(), f64::INFINITY);
        assert_eq!((same.contrast(0, 0), same.contrast(0, 3)), (None, None));
    }
}
