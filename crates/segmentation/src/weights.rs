//! Weights of classes.

use data::{Result, Segmentation, Split, VOID};
use rayon::prelude::*;

/// Pixels of each class, and all labeled pixels of the images that it occurs in: `counts` of each image is pixels by
/// class.
fn frequencies(counts: impl Iterator<Item = Vec<u64>>, classes: usize) -> Vec<[u64; 2]> {
    let mut sums = vec![[0; 2]; classes];
    for counts in counts {
        let labeled: u64 = counts.iter().sum();
        for ([own, all], count) in sums.iter_mut().zip(counts).filter(|(_, count)| *count > 0) {
            *own += count;
            *all += labeled;
        }
    }
    sums
}

/// Median-frequency balancing (arXiv 1411.4734 §6.3.2): the weight of a class is the median over classes of their
/// frequencies, over its own, where a frequency is the share that a class has of the labeled pixels of the images in which it
/// occurs. `counts` has for each image the pixels of each of `classes` classes. Classes that never occur have no frequency;
/// their weight, which no pixel has, is 1. Of an even number of classes the median is the mean of the middle two.
pub fn median_frequency(counts: impl Iterator<Item = Vec<u64>>, classes: usize) -> Vec<f32> {
    let frequencies: Vec<Option<f64>> =
        frequencies(counts, classes).into_iter().map(|[own, all]| (own > 0).then(|| own as f64 / all as f64)).collect();
    let present: Vec<f64> = frequencies.iter().copied().flatten().collect();
    let median = statistics::median(&present).unwrap_or(1.0);
    frequencies.into_iter().map(|frequency| frequency.map_or(1.0, |frequency| (median / frequency) as f32)).collect()
}

/// [`median_frequency`] of the training masks of `set`.
pub(crate) fn of_training(set: &Segmentation) -> Result<Vec<f32>> {
    let classes = set.classes().len();
    let counts = |index: usize| {
        let mut counts = vec![0; classes];
        for class in set.example(Split::Train, index)?.label.classes.iter().filter(|class| **class != VOID) {
            if let Some(count) = counts.get_mut(usize::from(*class)) {
                *count += 1;
            }
        }
        Ok(counts)
    };
    let counts: Vec<Result<Vec<u64>>> = (0..set.len(Split::Train)).into_par_iter().map(counts).collect();
    // In order, so that the error does not depend on the number of threads.
    Ok(median_frequency(counts.into_iter().collect::<Result<Vec<_>>>()?.into_iter(), classes))
}
