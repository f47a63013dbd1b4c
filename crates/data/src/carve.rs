//! Stratified choices among labelled examples.

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
            members
                .into_iter()
                .enumerate()
                .map(move |(position, index)| ((position as f64 + 0.5) / count, index))
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
