//! How good predicted masks are.
//!
//! A class that occurs neither in the ground truth nor in the prediction has no IoU, rather than 0 or 1; the mean is
//! over the other classes. Scores of parts have a slash in their name (`iou/car`): progress omits them, records and
//! appendices list them.

use data::VOID;
use record::Scores;
use serde::Serialize;
use std::ops::AddAssign;

/// Number of values that a byte has: rows and columns of the matrix.
const VALUES: usize = 256;

/// The confusion matrix of pixels: how many of a true class were predicted as which. Pixels whose true class is [`VOID`]
/// are not counted; those predicted as [`VOID`], or as a class that is none, are wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    /// `[true, predicted]`
    counts: Vec<u64>,
}

/// Without a pixel.
impl Default for Confusion {
    fn default() -> Self {
        Self { counts: vec![0; VALUES * VALUES] }
    }
}

/// Both together.
impl AddAssign<&Self> for Confusion {
    fn add_assign(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
    }
}

/// What is said of a confusion matrix, all of it shares of 1. What is undefined, because there is nothing that it could
/// be a share of, is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Mean of the IoU over the classes that occur, in the truth or in the prediction.
    pub mean_iou: Option<f64>,
    /// Share of the pixels that are right.
    pub pixel_accuracy: Option<f64>,
    /// Mean over the classes of the truth of the share of their pixels that are right.
    pub mean_accuracy: Option<f64>,
    /// Mean of the IoU weighted by the pixels that the classes have in the truth.
    pub frequency_weighted_iou: Option<f64>,
    /// Intersection over union of each class; none where it occurs neither in the truth nor in the prediction.
    pub iou_per_class: Vec<Option<f64>>,
}

impl Confusion {
    /// Adds the pixels of an image: their true classes, and the predicted ones in the same order. Those behind the end of
    /// the shorter list are not counted.
    pub fn observe(&mut self, truth: &[u8], predicted: &[u8]) {
        debug_assert_eq!(truth.len(), predicted.len(), "a prediction for each pixel");
        for (truth, predicted) in truth.iter().zip(predicted).filter(|(truth, _)| **truth != VOID) {
            self.counts[usize::from(*truth) * VALUES + usize::from(*predicted)] += 1;
        }
    }

    /// Pixels of the class `truth` that were predicted as `predicted`.
    pub fn count(&self, truth: u8, predicted: u8) -> u64 {
        self.counts[usize::from(truth) * VALUES + usize::from(predicted)]
    }

    /// What is to be said of the classes `0..classes`, as Long et al. define it (arXiv 1411.4038 §5).
    pub fn summary(&self, classes: usize) -> Summary {
        let classes = classes.min(VALUES - 1);
        let row = |class: usize| &self.counts[class * VALUES..][..VALUES];
        let of: Vec<Class> = (0..classes)
            .map(|class| Class {
                right: row(class)[class],
                truth: row(class).iter().sum(),
                predicted: (0..classes).map(|truth| row(truth)[class]).sum(),
            })
            .collect();
        let pixels: u64 = of.iter().map(|class| class.truth).sum();
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let iou_per_class: Vec<Option<f64>> =
            of.iter().map(|class| share(class.right, class.truth + class.predicted - class.right)).collect();
        let accuracies = of.iter().filter_map(|class| share(class.right, class.truth));
        let weighted = of.iter().zip(&iou_per_class).map(|(class, iou)| class.truth as f64 * iou.unwrap_or(0.0));
        Summary {
            mean_iou: mean(iou_per_class.iter().copied().flatten()),
            pixel_accuracy: share(of.iter().map(|class| class.right).sum(), pixels),
            mean_accuracy: mean(accuracies),
            frequency_weighted_iou: (pixels > 0).then(|| weighted.sum::<f64>() / pixels as f64),
            iou_per_class,
        }
    }

    /// The numbers of the [`Summary`] of `classes` by their names, and `iou/<class>` of each class that occurs. What is
    /// undefined is left out: all of it where no pixel is labeled.
    pub fn scores(&self, classes: &[String]) -> Scores {
        let summary = self.summary(classes.len());
        let named = [
            ("mean_iou", summary.mean_iou),
            ("pixel_accuracy", summary.pixel_accuracy),
            ("mean_accuracy", summary.mean_accuracy),
            ("frequency_weighted_iou", summary.frequency_weighted_iou),
        ];
        let of_classes = classes.iter().zip(summary.iou_per_class);
        named
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .chain(of_classes.filter_map(|(class, iou)| Some((format!("iou/{class}"), iou?))))
            .collect()
    }
}

/// Pixels of a class.
struct Class {
    right: u64,
    truth: u64,
    predicted: u64,
}

/// The mean of `values`, in their order; none of none.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
