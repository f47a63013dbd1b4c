//! How good counts are.
//!
//! Scores whose name begins with `baseline/` are image-blind baselines of the headline score (the mean and median of
//! the training images), computed on the same test split.

use crate::density::Map;
use record::Scores;

/// The absolute error over four to the power of `level` regions of an image, 2^`level` a side: GAME (grid average mean absolute error,
/// Guerrero-Gómez-Olmedo et al., IbPRIA 2015) of one image. Level 0 is the error of the count. Region `i` of `n` begins
/// at row `i·height/n`, rounded down, and columns likewise.
pub fn game(truth: &Map, estimate: &Map, level: u32) -> f64 {
    debug_assert_eq!((truth.height, truth.width), (estimate.height, estimate.width), "maps of one size");
    let parts = 1usize << level;
    let border = |index: usize, length: usize| index * length / parts;
    let people = |map: &Map, row: usize, column: usize| {
        let rows = border(row, map.height)..border(row + 1, map.height);
        let columns = border(column, map.width)..border(column + 1, map.width);
        rows.map(|row| map.values[row * map.width..][columns.clone()].iter().sum::<f64>()).sum::<f64>()
    };
    let regions = (0..parts).flat_map(|row| (0..parts).map(move |column| (row, column)));
    regions.map(|(row, column)| (people(truth, row, column) - people(estimate, row, column)).abs()).sum()
}

/// True and estimated numbers of people, an image each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    pairs: Vec<[f64; 2]>,
}

/// What is said of counts. What is undefined, because it is of no images, is `None`.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Number of images.
    pub images: usize,
    /// Mean absolute error.
    pub mae: Option<f64>,
    /// Root of the mean squared error, which papers of this field call MSE.
    pub rmse: Option<f64>,
    /// Normalized absolute error: the mean of the absolute error over the true count, of the images with people.
    pub nae: Option<f64>,
    /// Mean difference of the estimate and the truth: below 0 where too few are counted.
    pub bias: Option<f64>,
    /// The same of the images with so many people.
    pub ranges: Vec<Range>,
}

/// The images with so many people.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Range {
    /// Their true counts, such as `10-29`.
    pub count: String,
    /// How many they are.
    pub images: usize,
    /// Mean absolute error.
    pub mae: f64,
}

/// Where ranges of counts begin; the last has no end.
const BEGINNINGS: [f64; 8] = [0.0, 1.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0];

impl Counts {
    /// Adds an image.
    pub fn observe(&mut self, truth: f64, estimate: f64) {
        self.pairs.push([truth, estimate]);
    }

    /// What is to be said of all of them.
    pub fn summary(&self) -> Summary {
        let error = |[truth, estimate]: &[f64; 2]| (truth - estimate).abs();
        let all = || self.pairs.iter();
        let range = |index: usize| {
            let (from, to) = (BEGINNINGS[index], BEGINNINGS.get(index + 1).copied().unwrap_or(f64::INFINITY));
            let inside = || all().filter(|[truth, _]| from <= *truth && *truth < to);
            let count = match to {
                _ if to - from == 1.0 => format!("{from}"),
                f64::INFINITY => format!("{from} and more"),
                _ => format!("{from}-{}", to - 1.0),
            };
            Some(Range { count, images: inside().count(), mae: mean(inside().map(error))? })
        };
        Summary {
            images: self.pairs.len(),
            mae: mean(all().map(error)),
            rmse: mean(all().map(|pair| error(pair) * error(pair))).map(f64::sqrt),
            nae: mean(all().filter(|[truth, _]| *truth > 0.0).map(|pair| error(pair) / pair[0])),
            bias: mean(all().map(|[truth, estimate]| estimate - truth)),
            ranges: (0..BEGINNINGS.len()).filter_map(range).collect(),
        }
    }

    /// Mean absolute error of the guess that each image has `estimate` people.
    pub fn mae_of_guess(&self, estimate: f64) -> Option<f64> {
        mean(self.pairs.iter().map(|[truth, _]| (truth - estimate).abs()))
    }

    /// The numbers of the [`Summary`] by their names: those of ranges are `mae/<range>` and `images/<range>`.
    pub fn scores(&self) -> Scores {
        let Summary { mae, rmse, nae, bias, ranges, .. } = self.summary();
        let named = [("mae", mae), ("rmse", rmse), ("nae", nae), ("bias", bias)];
        let of_ranges = ranges.into_iter().flat_map(|Range { count, images, mae }| {
            [(format!("mae/{count}"), mae), (format!("images/{count}"), images as f64)]
        });
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).chain(of_ranges).collect()
    }
}

/// The mean of `values`, in their order; none of none.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
