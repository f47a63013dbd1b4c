//! From what the head says to detections.

use super::level;
use detection::metric::Detection;
use detection::{Suppression, detect};

const NMS: Suppression = Suppression::Nms { iou: 0.6 };

/// A level of 8×8 pixels that says nothing but `found`: pixel, class, logit, distances in strides.
fn says(found: &[(usize, usize, f32, [f32; 4])]) -> detection::Level {
    let (mut classes, mut boxes) = (vec![-20f32; 64 * 2], vec![0f32; 64 * 5]);
    for (pixel, class, logit, distances) in found {
        classes[pixel * 2 + class] = *logit;
        for (value, distance) in boxes[pixel * 5..].iter_mut().zip(distances) {
            *value = libm::logf(*distance);
        }
        boxes[pixel * 5 + 4] = 20.0;
    }
    level([8, 8], 8, classes, boxes)
}

fn close(found: &[Detection], expected: &[(u32, f32, [f32; 4])]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, (class, score, corners)) in found.iter().zip(expected) {
        assert_eq!(found.class, *class);
        assert!((found.score - score).abs() < 1e-4, "{found:?} {score}");
        assert!(found.corners.iter().zip(corners).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?} {corners:?}");
    }
}

/// The square root of the sigmoid.
fn score(logit: f32) -> f32 {
    (1.0 / (1.0 + libm::expf(-logit))).sqrt()
}

#[test]
fn boxes_lie_around_their_pixels_in_the_image() {
    // Pixel (1, 2) is at x = 20, y = 12; pixel (7, 7) at 60, 60.
    let level = says(&[(8 + 2, 1, 1.0, [1.0, 0.5, 1.5, 2.0]), (63, 0, 2.0, [1.0, 1.0, 3.0, 3.0])]);
    let found = detect(&[level], 1, [64, 64], NMS).unwrap();
    close(&found[0], &[(0, score(2.0), [52.0, 52.0, 64.0, 64.0]), (1, score(1.0), [12.0, 8.0, 32.0, 28.0])]);
}

#[test]
fn of_boxes_that_overlap_the_best_of_a_class_is_left() {
    // Pixels (3, 3) and (3, 4) are at x = 28 and 36: the first two boxes are the same, the third is of another class.
    let overlapping =
        [(27, 0, 2.0, [1.0, 1.0, 2.0, 1.0]), (28, 0, 1.0, [2.0, 1.0, 1.0, 1.0]), (35, 1, 0.5, [1.0, 2.0, 2.0, 1.0])];
    let found = detect(&[says(&overlapping)], 1, [64, 64], NMS).unwrap();
    let same = [20.0, 20.0, 44.0, 36.0];
    close(&found[0], &[(0, score(2.0), same), (1, score(0.5), [20.0, 20.0, 44.0, 44.0])]);
    let found = detect(&[says(&overlapping)], 1, [64, 64], Suppression::Nms { iou: 1.0 }).unwrap();
    assert_eq!(found[0].len(), 3);
}

#[test]
fn soft_suppression_lowers_scores_by_every_better_box() {
    // Three boxes of class 0, one pixel apart: 24 wide, 8 off, so neighbors have an IoU of 1/2 and the ends of 1/5.
    let row =
        [(26, 0, 3.0, [1.0, 1.0, 2.0, 1.0]), (27, 0, 2.5, [1.0, 1.0, 2.0, 1.0]), (28, 0, 2.0, [1.0, 1.0, 2.0, 1.0])];
    let found = detect(&[says(&row)], 1, [64, 64], Suppression::SoftNms { sigma: 0.5 }).unwrap();
    let lowered = |iou: f32| libm::expf(-iou * iou / 0.5);
    let (half, fifth) = (lowered(0.5), lowered(0.2));
    // The last is lowered least by the first, so it comes second, and lowers the middle one again.
    let box_at = |x: f32| [x, 20.0, x + 24.0, 36.0];
    let expected = [
        (0, score(3.0), box_at(12.0)),
        (0, score(2.0) * fifth, box_at(28.0)),
        (0, score(2.5) * half * half, box_at(20.0)),
    ];
    close(&found[0], &expected);
}

#[test]
fn images_and_levels_are_told_apart() {
    let fine = says(&[(0, 0, 2.0, [0.5, 0.5, 0.5, 0.5])]);
    let second = says(&[(63, 1, 2.0, [0.5, 0.5, 0.5, 0.5])]);
    let both = detection::Level {
        classes: candle_core::Tensor::cat(&[&fine.classes, &second.classes], 0).unwrap(),
        boxes: candle_core::Tensor::cat(&[&fine.boxes, &second.boxes], 0).unwrap(),
        ..fine
    };
    let found = detect(&[both], 2, [64, 64], NMS).unwrap();
    assert_eq!((found[0].len(), found[0][0].class), (1, 0));
    assert_eq!((found[1].len(), found[1][0].class), (1, 1));
    let found = detect(&[says(&[(0, 0, 2.0, [0.5; 4])]), says(&[(9, 0, 3.0, [0.5; 4])])], 1, [64, 64], NMS).unwrap();
    assert_eq!(found[0].iter().map(|found| found.corners[0]).collect::<Vec<_>>(), [8.0, 0.0]);
}

#[test]
fn numbers_that_are_none_are_no_detections() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let (mut classes, mut boxes) = (vec![nan; 64 * 2], vec![nan; 64 * 5]);
    assert!(detect(&[level([8, 8], 8, classes.clone(), boxes.clone())], 1, [64, 64], NMS).unwrap()[0].is_empty());
    classes.fill(inf);
    assert!(detect(&[level([8, 8], 8, classes.clone(), boxes.clone())], 1, [64, 64], NMS).unwrap()[0].is_empty());
    boxes.fill(inf);
    // All as large as the image: one of each class is left.
    let found = detect(&[level([8, 8], 8, classes, boxes)], 1, [64, 64], NMS).unwrap();
    assert_eq!(found[0].len(), 2);
    assert_eq!(found[0][0].corners, [0.0, 0.0, 64.0, 64.0]);
}

#[test]
fn at_most_a_hundred_of_the_best_are_left() {
    let all: Vec<_> = (0..64).map(|pixel| (pixel, pixel % 2, 1.0 + pixel as f32 / 64.0, [0.4; 4])).collect();
    let found = detect(&[says(&all), says(&all), says(&all)], 1, [64, 64], Suppression::Nms { iou: 1.0 }).unwrap();
    assert_eq!(found[0].len(), 100);
    assert!(found[0].is_sorted_by(|a, b| a.score >= b.score));
}
