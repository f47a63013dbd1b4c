//! Which pixel is to find which object.

use super::object;
use data::Object;
use detection::{Grid, Target, assign, centerness};

const FINE: Grid = Grid { size: [8, 8], stride: 8 };
const COARSE: Grid = Grid { size: [4, 4], stride: 16 };

/// The pixels of `levels` that are to find `index`, counted over all levels.
fn finders(levels: &[Grid], objects: &[Object], index: usize) -> Vec<usize> {
    let targets = assign(levels, objects);
    (0..targets.len()).filter(|pixel| targets[*pixel] == Target::Object(index)).collect()
}

#[test]
fn pixels_near_the_center_find_an_object() {
    // The center of the box is that of pixel (3, 3); neighbors are 8 pixels off, below 1.5 strides.
    let found = finders(&[FINE], &[object(0, [4.0, 4.0, 52.0, 52.0])], 0);
    let expected: Vec<usize> = [2, 3, 4].iter().flat_map(|row| [2, 3, 4].map(|column| row * 8 + column)).collect();
    assert_eq!(found, expected);
    // A narrow one is found only by pixels in it.
    assert_eq!(finders(&[FINE], &[object(0, [25.0, 4.0, 31.0, 52.0])], 0), [2 * 8 + 3, 3 * 8 + 3, 4 * 8 + 3]);
    // One between the places of pixels by none.
    assert!(finders(&[FINE], &[object(0, [29.0, 29.0, 35.0, 35.0])], 0).is_empty());
}

#[test]
fn far_sides_are_for_coarse_levels() {
    // The center is that of pixel (1, 1) of the coarse level and 4 pixels off that of (2, 2) of the fine one.
    let at = |half: f32| [object(0, [24.0 - half, 24.0 - half, 24.0 + half, 24.0 + half])];
    let levels = |half: f32| {
        let found = finders(&[FINE, COARSE], &at(half), 0);
        (found.iter().filter(|pixel| **pixel < 64).count(), found.iter().filter(|pixel| **pixel >= 64).count())
    };
    let (fine, coarse) = levels(20.0);
    assert!(fine > 0 && coarse == 0);
    // Farther than 8 strides of the fine level, 64 pixels.
    let (fine, coarse) = levels(70.0);
    assert!(fine == 0 && coarse > 0);
    // From some pixels farther, from some not.
    let (fine, coarse) = levels(58.0);
    assert!(fine > 0 && coarse > 0);
}

#[test]
fn the_smallest_object_wins_and_of_equal_ones_the_first() {
    let large = object(0, [4.0, 4.0, 52.0, 52.0]);
    let small = object(1, [20.0, 20.0, 36.0, 36.0]);
    for objects in [[large, small], [small, large]] {
        let smallest = objects.iter().position(|object| object.class == 1).unwrap();
        assert_eq!(assign(&[FINE], &objects)[3 * 8 + 3], Target::Object(smallest));
    }
    assert_eq!(assign(&[FINE], &[large, large])[3 * 8 + 3], Target::Object(0));
}

#[test]
fn ignored_boxes_hide_the_background_alone() {
    let crowd = Object { ignore: true, ..object(0, [0.0, 0.0, 32.0, 64.0]) };
    let inside = object(1, [4.0, 4.0, 20.0, 20.0]);
    let targets = assign(&[FINE], &[crowd, inside]);
    for (pixel, target) in targets.iter().enumerate() {
        let expected = match (pixel / 8, pixel % 8) {
            (1, 1) => Target::Object(1),
            (_, 0..4) if *target != Target::Object(1) => Target::Ignored,
            (0..3, 0..3) => Target::Object(1),
            _ => Target::Background,
        };
        assert_eq!(*target, expected, "{pixel}");
    }
}

#[test]
fn nothing_finds_objects_without_area_or_outside() {
    let nan = f32::NAN;
    for corners in
        [[28.0, 28.0, 28.0, 28.0], [28.0, 4.0, 28.0, 60.0], [200.0, 0.0, 240.0, 40.0], [nan, 0.0, 64.0, 64.0]]
    {
        assert!(assign(&[FINE], &[object(0, corners)]).iter().all(|target| *target == Target::Background));
    }
    assert_eq!(assign(&[FINE, COARSE], &[]).len(), 80);
}

#[test]
fn centerness_falls_from_the_center_to_the_sides() {
    let corners = [0.0, 0.0, 10.0, 20.0];
    assert_eq!(centerness([5.0, 10.0], corners), 1.0);
    assert!((centerness([2.0, 10.0], corners) - 0.5).abs() < 1e-6);
    assert!((centerness([2.0, 4.0], corners) - 0.25).abs() < 1e-6);
    assert_eq!(centerness([0.0, 10.0], corners), 0.0);
}
