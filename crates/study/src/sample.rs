//! A few runs of many.

use crate::choice::by_row;
use record::{Entry, RunId, Spec};
use std::collections::BTreeMap;

/// The ids of `count` runs of `entries`, or of all where there are fewer: drawn with `seed`, and spread evenly over the
/// rows of a table of them. A larger count adds runs to those of a smaller one.
pub fn sample(entries: &[Entry], count: usize, seed: u64) -> Vec<RunId> {
    let runs: BTreeMap<&RunId, &Spec> = entries.iter().map(|entry| (&entry.record.id, &entry.record.spec)).collect();
    let (ids, specs): (Vec<&RunId>, Vec<&Spec>) = runs.into_iter().unzip();
    let rows = by_row(&specs);
    let mut rng = random::stream(seed, "sample", &[]);
    let mut drawn = Vec::new();
    for (place, row) in random::permutation(rows.len(), &mut rng).into_iter().enumerate() {
        let row = &rows[row];
        let order = random::permutation(row.len(), &mut rng);
        drawn.extend(order.into_iter().enumerate().map(|(round, run)| (round, place, ids[row[run]])));
    }
    drawn.sort();
    drawn.into_iter().take(count).map(|(.., id)| id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use std::collections::BTreeSet;

    #[test]
    fn samples_are_spread_over_rows_and_repeat() {
        let entries = fixture::entries();
        let specs: Vec<&Spec> = entries.iter().map(|entry| &entry.record.spec).collect();
        let rows = by_row(&specs);
        let row_of =
            |id: &RunId| rows.iter().position(|row| row.iter().any(|index| entries[*index].record.id == *id)).unwrap();
        for seed in 0..20 {
            let drawn = sample(&entries, rows.len(), seed);
            assert_eq!(drawn.iter().map(row_of).collect::<BTreeSet<_>>().len(), rows.len());
            assert_eq!(sample(&entries, 2, seed), drawn[..2]);
        }
        let all = sample(&entries, 1000, 0);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), entries.len());
        assert_ne!(all, sample(&entries, 1000, 1));
        let mut shuffled = fixture::entries();
        shuffled.reverse();
        assert_eq!(sample(&shuffled, 1000, 0), all);
        assert_eq!(sample(&[], 3, 0), []);
    }
}
