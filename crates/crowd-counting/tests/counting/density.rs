//! Density maps.

use super::somewhere;
use crowd_counting::{DensityConfig, Map, density, dots, spreads};
use data::Point;
use data::augment::{Augmentation, Follow, Scale};
use proptest::prelude::*;

const FIXED: DensityConfig = DensityConfig::Fixed { sigma: 4.0 };
const ADAPTIVE: DensityConfig = DensityConfig::Adaptive { beta: 0.3, neighbours: 3, largest: 15.0 };

fn map(points: &[Point], config: DensityConfig, size: [usize; 2], stride: usize) -> Map {
    density(points, &spreads(points, config, 1.0), size, stride)
}

fn assert_people(map: &Map, expected: usize) {
    assert!(map.values.iter().all(|value| (0.0..=1e6).contains(value)), "{map:?}");
    assert!((map.sum() - expected as f64).abs() < 1e-9, "expected {expected} people, found {}", map.sum());
}

#[test]
fn nobody_is_lost_whoever_and_wherever_they_are() {
    let (size, end) = ([24, 40], [40.0_f32.next_down(), 24.0_f32.next_down()]);
    let corners = vec![[0.0, 0.0], [end[0], 0.0], [0.0, end[1]], end, [0.0, 11.5]];
    let some_at_one_place = [somewhere(7, size), vec![[5.5, 5.5]; 5]].concat();
    for (points, people) in [
        (vec![], 0),
        (vec![[20.0, 12.0]], 1),
        (somewhere(3000, size), 3000),
        (corners, 5),
        (some_at_one_place, 12),
        (vec![[39.5, 23.5]; 3000], 3000),
        (vec![[40.0, 12.0], [20.0, 24.0], [-0.1, 12.0], [20.0, -1e30], [1e30, 12.0], [20.0, 12.0]], 1),
        (vec![[f32::NAN, 12.0], [20.0, f32::NAN], [f32::INFINITY, 1.0], [1.0, f32::NEG_INFINITY], [1.0, 1.0]], 1),
    ] {
        for config in [FIXED, ADAPTIVE] {
            assert_people(&map(&points, config, size, 8), people);
        }
        assert_people(&dots(&points, size, 8), people);
    }
}

#[test]
fn a_person_is_a_gaussian_around_the_pixel() {
    let map = map(&[[20.9, 12.2]], DensityConfig::Fixed { sigma: 2.0 }, [24, 40], 1);
    let at = |row: usize, column: usize| map.values[row * 40 + column];
    let peak = at(12, 20);
    // 1 / (2πσ²), less than a thousandth of which is in the sampling and the cut.
    assert!((peak * std::f64::consts::TAU * 4.0 - 1.0).abs() < 1e-3, "{peak}");
    for (row, column, squared) in [(12, 22, 4.0), (12, 18, 4.0), (9, 20, 9.0), (15, 24, 25.0)] {
        assert!((at(row, column) / peak - libm::exp(-squared / 8.0)).abs() < 1e-12, "{row}, {column}");
    }
    // Cut off after 4 standard deviations.
    assert!(at(12, 28) > 0.0 && at(12, 29) == 0.0 && at(12, 11) == 0.0);
}

#[test]
fn without_a_spread_a_person_is_a_dot() {
    let points = somewhere(50, [30, 50]);
    for spread in [0.0, 0.1, -3.0, f64::NAN] {
        assert_eq!(density(&points, &[spread; 50], [30, 50], 4), dots(&points, [30, 50], 4));
    }
    // And with a boundless one everywhere.
    let everywhere = density(&[[3.0, 3.0]], &[f64::INFINITY], [4, 10], 2);
    assert!(everywhere.values.iter().all(|cell| (cell - 0.1).abs() < 1e-12), "{everywhere:?}");
}

#[test]
fn cells_may_reach_beyond_the_image() {
    let map = dots(&[[8.0, 4.0], [0.0, 0.0]], [5, 9], 4);
    assert_eq!(map, Map { height: 2, width: 3, values: vec![1.0, 0.0, 0.0, 0.0, 0.0, 1.0] });
    assert_eq!(Map::empty([0, 9], 4), Map { height: 0, width: 3, values: vec![] });
    assert_people(&density(&[[0.5, 0.5]], &[4.0], [0, 9], 4), 0);
}

#[test]
fn spreads_are_of_those_who_can_be_measured() {
    let config = DensityConfig::Adaptive { beta: 0.5, neighbours: 2, largest: 15.0 };
    // Alone; two; and one whose place is not a number, which is nobody's neighbor.
    assert_eq!(spreads(&[[3.0, 4.0]], config, 1.0), [15.0]);
    assert_eq!(spreads(&[[3.0, 4.0], [0.0, 0.0]], config, 1.0), [2.5, 2.5]);
    assert_eq!(spreads(&[[3.0, 4.0], [f32::NAN, 0.0], [0.0, 0.0]], config, 1.0), [2.5, 15.0, 2.5]);
    assert_eq!(spreads(&[[3.0, 4.0]; 4], config, 1.0), [0.0; 4]);
    // Far from each other; and all of it in the pixels of the resized image.
    assert_eq!(spreads(&[[0.0, 0.0], [1000.0, 0.0], [0.0, 10.0]], config, 0.5), [7.5; 3]);
    assert_eq!(spreads(&[[0.0, 0.0], [6.0, 0.0], [0.0, 10.0]], config, 0.5)[0], 2.0);
    // But a fixed one is in those of what the network sees.
    assert_eq!(spreads(&[[3.0, 4.0]; 2], FIXED, 0.5), [4.0; 2]);
    assert!(spreads(&[], config, 1.0).is_empty() && spreads(&[], FIXED, 1.0).is_empty());
}

fn size() -> impl Strategy<Value = [usize; 2]> {
    [1usize..90, 1usize..90]
}

/// Points in an image, as shares of its sides: some on the border, some at places of others.
fn shares() -> impl Strategy<Value = Vec<[f32; 2]>> {
    let share = prop_oneof![4 => 0.0f32..1.0, 1 => prop::sample::select(vec![0.0, 0.5, 1.0])];
    prop::collection::vec([share.clone(), share], 0..40)
}

fn inside(shares: &[[f32; 2]], [height, width]: [usize; 2]) -> Vec<Point> {
    let along = |share: f32, side: usize| (share * side as f32).min((side as f32).next_down());
    shares.iter().map(|[x, y]| [along(*x, width), along(*y, height)]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn the_sum_is_the_number_of_people(
        shares in shares(), size in size(), stride in prop::sample::select(vec![1, 2, 3, 4, 8, 16, 32]), spread in 0.0f64..60.0
    ) {
        let points = inside(&shares, size);
        assert_people(&density(&points, &vec![spread; points.len()], size, stride), points.len());
        assert_people(&map(&points, ADAPTIVE, size, stride), points.len());
        assert_people(&dots(&points, size, stride), points.len());
    }

    /// The window's place among the pixels of the resized image says who is seen.
    #[test]
    fn who_is_seen_is_counted(
        shares in shares(), source in size(), size in [8usize..80, 8usize..80], padding in 0usize..20, seed: u64
    ) {
        let augmentation = Augmentation {
            size: Some(size),
            scale: Scale::Image([0.3, 3.0]),
            aspect: [0.7, 1.5],
            padding,
            flip: true,
            ..Augmentation::default()
        };
        let view = augmentation.draw(source, &mut random::stream(seed, "view", &[])).view;
        let points = inside(&shares, source);
        let is_seen = |point: &&Point| {
            (0..2).all(|axis| {
                let scale = view.scaled[axis] as f64 / source[axis] as f64;
                (0.0..size[axis] as f64).contains(&(f64::from(point[1 - axis]) * scale - view.offset[axis] as f64))
            })
        };
        let expected = points.iter().filter(is_seen).count();
        let seen = points.follow(&view);
        assert_people(&dots(&seen, size, 8), expected);
        assert_people(&map(&seen, FIXED, size, 8), expected);
        assert_people(&map(&seen, ADAPTIVE, size, 8), expected);
    }

    #[test]
    fn a_cell_has_what_is_in_its_pixels(shares in shares(), size in size(), stride in 2usize..17, adaptive: bool) {
        let points = inside(&shares, size);
        let config = if adaptive { ADAPTIVE } else { FIXED };
        let (pixels, cells) = (map(&points, config, size, 1), map(&points, config, size, stride));
        prop_assert_eq!([cells.height, cells.width], size.map(|side| side.div_ceil(stride)));
        let mut sums = Map::empty(size, stride);
        for (index, value) in pixels.values.iter().enumerate() {
            sums.values[index / size[1] / stride * sums.width + index % size[1] / stride] += value;
        }
        for (found, expected) in cells.values.iter().zip(&sums.values) {
            prop_assert!((found - expected).abs() < 1e-9, "found {found}, expected {expected}");
        }
    }

    /// Against all distances; many points are at places of others.
    #[test]
    fn neighbors_are_the_nearest(
        places in prop::collection::vec([0u8..12, 0u8..12], 0..60), neighbours in 1usize..8, fine: bool
    ) {
        let nudge = |index: usize| if fine { index as f32 * 0.01 } else { 0.0 };
        let point = |(index, place): (usize, &[u8; 2])| place.map(|value| f32::from(value) + nudge(index));
        let points: Vec<Point> = places.iter().enumerate().map(point).collect();
        let config = DensityConfig::Adaptive { beta: 1.0, neighbours, largest: 999.0 };
        for (index, found) in spreads(&points, config, 1.0).into_iter().enumerate() {
            let distance = |other: &Point| {
                (0..2).map(|axis| f64::from(points[index][axis]) - f64::from(other[axis])).map(|d| d * d).sum::<f64>().sqrt()
            };
            let mut distances: Vec<f64> =
                points.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, point)| distance(point)).collect();
            distances.sort_by(f64::total_cmp);
            distances.truncate(neighbours);
            let expected = match distances.len() {
                0 => 999.0,
                others => distances.iter().sum::<f64>() / others as f64,
            };
            prop_assert!((found - expected).abs() < 1e-9, "point {index}: found {found}, expected {expected}");
        }
    }
}
