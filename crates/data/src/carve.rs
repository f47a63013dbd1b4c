//! Stratified choices among labeled examples.

use crate::Carve;

/// The indices in `0..labels.len()` that stay, and those that `carve` takes: of each class its
/// part, rounded to the nearest number. Both are sorted.
pub(crate) fn carve(labels: &[u32], carve: &Carve) -> (Vec<usize>, Vec<usize>) {
    let mut taken = vec![false; labels.len()];
    for members in by_class(labels, carve.seed, "validation") {
        let count = (members.len() as f64 * carve.fraction).round() as usize;
        for &index in &members[..count] {
            taken[index] = true;
        }
    }
    (0..labels.len()).partition(|&index| !taken[index])
}

/// At most `limit` of the indices in `0..labels.len()`, sorted, with classes in the same
/// proportions. What a smaller limit chooses is a part of what a larger one chooses.
pub(crate) fn limit(labels: &[u32], limit: usize) -> Vec<usize> {
    // The members of a class are spread evenly over 0..1: the one in position p of n stands at
    // (p + 1/2) / n, and a limit takes from the left.
    let mut spread: Vec<(f64, usize)> = by_class(labels, 0, "limit")
        .into_iter()
        .flat_map(|members| {
            let count = members.len() as f64;
            members.into_iter().enumerate().map(move |(position, index)| ((position as f64 + 0.5) / count, index))
        })
        .collect();
    // Stable: of members that stand at the same place the lower class comes first.
    spread.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut chosen: Vec<usize> = spread.into_iter().take(limit).map(|(_, index)| index).collect();
    chosen.sort_unstable();
    chosen
}

/// For each class, in order, the indices of its members in a random order of its own.
fn by_class(labels: &[u32], seed: u64, purpose: &str) -> Vec<Vec<usize>> {
    let classes = labels.iter().max().map_or(0, |&last| last as usize + 1);
    let mut members = vec![Vec::new(); classes];
    for (index, &label) in labels.iter().enumerate() {
        members[label as usize].push(index);
    }
    members
        .into_iter()
        .enumerate()
        .map(|(class, members)| {
            let mut rng = random::stream(seed, purpose, &[class as u64]);
            let order = random::permutation(members.len(), &mut rng);
            order.into_iter().map(|position| members[position]).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CarveSource;
    use proptest::prelude::*;

    fn rule(fraction: f64, seed: u64) -> Carve {
        Carve { from: CarveSource::Train, fraction, seed }
    }

    fn counts(labels: &[u32], indices: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; 8];
        for &index in indices {
            counts[labels[index] as usize] += 1;
        }
        counts
    }

    #[test]
    fn choices_never_change() {
        // Records name seeds: what a seed chooses is part of the format.
        let labels: Vec<u32> = (0..20).map(|index| index % 2).collect();
        assert_eq!(carve(&labels, &rule(0.2, 0)).1, CARVED);
        assert_eq!(limit(&labels, 4), LIMITED);
    }

    const CARVED: [usize; 4] = [12, 13, 16, 19];
    const LIMITED: [usize; 4] = [2, 5, 9, 18];

    #[test]
    fn another_seed_carves_others() {
        let labels = vec![0; 100];
        assert_ne!(carve(&labels, &rule(0.5, 0)).1, carve(&labels, &rule(0.5, 1)).1);
    }

    proptest! {
        #[test]
        fn a_carve_is_a_stratified_partition(
            labels in prop::collection::vec(0_u32..8, 0..300),
            fraction in 0.01..0.99,
            seed in 0_u64..5,
        ) {
            let (stay, taken) = carve(&labels, &rule(fraction, seed));
            let mut all = [stay.clone(), taken.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(&all, &(0..labels.len()).collect::<Vec<_>>());
            prop_assert!(stay.is_sorted() && taken.is_sorted());
            for (of_all, of_taken) in counts(&labels, &all).into_iter().zip(counts(&labels, &taken)) {
                prop_assert_eq!(of_taken, (of_all as f64 * fraction).round() as usize);
            }
        }

        #[test]
        fn limits_nest_and_are_stratified(
            labels in prop::collection::vec(0_u32..8, 1..300),
            small in 1_usize..100,
            more in 0_usize..300,
        ) {
            let (few, many) = (limit(&labels, small), limit(&labels, small + more));
            prop_assert_eq!(few.len(), small.min(labels.len()));
            prop_assert!(few.is_sorted());
            prop_assert!(few.iter().all(|index| many.binary_search(index).is_ok()));
            let all: Vec<usize> = (0..labels.len()).collect();
            for (of_all, of_few) in counts(&labels, &all).into_iter().zip(counts(&labels, &few)) {
                let fair = of_all as f64 * few.len() as f64 / labels.len() as f64;
                // Each of the 8 classes can round by a half, so the common cut can be off by 4 in
                // total; one class takes its share of that.
                prop_assert!((of_few as f64 - fair).abs() <= 1.0 + 4.0 * of_all as f64 / labels.len() as f64);
            }
        }
    }
}
