//! The metric.

use data::VOID;
use proptest::prelude::*;
use segmentation::Confusion;

fn confusion(truth: &[u8], predicted: &[u8]) -> Confusion {
    let mut confusion = Confusion::default();
    confusion.observe(truth, predicted);
    confusion
}

/// By hand: class 0 has 2 right of 3, 1 false; class 1 has 1 right of 2; class 2 occurs nowhere; class 3 is predicted only.
#[test]
fn numbers_by_hand() {
    let summary = confusion(&[0, 0, 0, 1, 1, VOID], &[0, 0, 3, 1, 0, 2]).summary(4);
    assert_eq!(summary.iou_per_class, [Some(0.5), Some(0.5), None, Some(0.0)]);
    assert_eq!(summary.mean_iou, Some(1.0 / 3.0));
    assert_eq!(summary.pixel_accuracy, Some(0.6));
    assert_eq!(summary.mean_accuracy, Some((2.0 / 3.0 + 0.5) / 2.0));
    assert_eq!(summary.frequency_weighted_iou, Some(0.5));
}

#[test]
fn a_class_that_never_occurs_does_not_count() {
    let names = ["a", "b", "c"].map(str::to_owned);
    let scores = confusion(&[0, 1, 1], &[0, 1, 1]).scores(&names);
    assert_eq!(scores["mean_iou"], 1.0);
    assert_eq!(
        scores.keys().collect::<Vec<_>>(),
        ["frequency_weighted_iou", "iou/a", "iou/b", "mean_accuracy", "mean_iou", "pixel_accuracy"]
    );
}

#[test]
fn a_prediction_of_no_class_is_wrong() {
    let summary = confusion(&[0, 0], &[0, VOID]).summary(1);
    assert_eq!((summary.iou_per_class, summary.pixel_accuracy), (vec![Some(0.5)], Some(0.5)));
}

#[test]
fn without_a_labeled_pixel_nothing_is_said() {
    let summary = confusion(&[VOID, VOID], &[0, 1]).summary(2);
    assert_eq!((summary.mean_iou, summary.pixel_accuracy, summary.mean_accuracy), (None, None, None));
    assert!(confusion(&[VOID], &[0]).scores(&["a".to_owned()]).is_empty());
}

proptest! {
    /// Against the definition, class by class over the pixels; and images one by one against all at once.
    #[test]
    fn equals_its_definition(pixels in prop::collection::vec((0u8..6, 0u8..5), 1..200), cut in 0usize..200) {
        let truth: Vec<u8> = pixels.iter().map(|(truth, _)| if *truth == 5 { VOID } else { *truth }).collect();
        let predicted: Vec<u8> = pixels.iter().map(|(_, predicted)| *predicted).collect();
        let whole = confusion(&truth, &predicted);
        let cut = cut.min(truth.len());
        let mut parts = confusion(&truth[..cut], &predicted[..cut]);
        parts += &confusion(&truth[cut..], &predicted[cut..]);
        prop_assert_eq!(&whole, &parts);
        let summary = whole.summary(5);
        for class in 0..5 {
            let count = |of: &dyn Fn(u8, u8) -> bool| {
                truth.iter().zip(&predicted).filter(|(t, p)| **t != VOID && of(**t, **p)).count()
            };
            let (both, either) = (count(&|t, p| t == class && p == class), count(&|t, p| t == class || p == class));
            let expected = (either > 0).then(|| both as f64 / either as f64);
            prop_assert_eq!(summary.iou_per_class[usize::from(class)], expected);
        }
    }
}
