//! The losses.

use super::{somewhere, tensor, values};
use candle_core::Var;
use crowd_counting::{Bayesian, DensityConfig, DistributionMatching, Loss, LossConfig, People, Scale, density};
use data::Point;

const STRIDE: usize = 8;
const DENSITY: LossConfig = LossConfig::Density { spread: DensityConfig::Fixed { sigma: 4.0 } };

fn bayesian(background: f64) -> LossConfig {
    LossConfig::Bayesian(Bayesian { sigma: 8.0, background })
}

fn matching(transport: f64, variation: f64, iterations: usize) -> LossConfig {
    LossConfig::DistributionMatching(DistributionMatching { transport, variation, regularization: 50.0, iterations })
}

fn people(points: &[Point]) -> People {
    People { points: points.to_vec(), spreads: vec![4.0; points.len()] }
}

/// The loss of one map of `cells`, and its gradient, in units in which papers have it.
fn loss(config: LossConfig, cells: [usize; 2], map: Vec<f32>, points: &[Point]) -> (f32, Vec<f32>) {
    let pixel = 1.0 / (map.len() * STRIDE * STRIDE) as f64;
    let loss = Loss::new(config, Scale { cell: 1.0, pixel }, STRIDE);
    let map = Var::from_tensor(&tensor(&[1, cells[0], cells[1]], map)).unwrap();
    let value = loss.of(&map, &[people(points)]).unwrap();
    let gradients = ops::backward(&value).unwrap();
    (value.to_scalar().unwrap(), values(gradients.get(&map).unwrap()))
}

fn assert_near(found: f32, expected: f32) {
    assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "found {found}, expected {expected}");
}

#[test]
fn gradients_are_those_that_differences_say() {
    let cells = [5, 6];
    let points = somewhere(7, cells.map(|side| side * STRIDE));
    // Each cell has so much that no step makes it negative.
    let map: Vec<f32> = (0..30).map(|i| 0.05 + (i * 7919 % 101) as f32 / 250.0).collect();
    for config in [DENSITY, bayesian(0.15), bayesian(0.0), matching(0.3, 0.5, 10_000)] {
        let (_, gradient) = loss(config, cells, map.clone(), &points);
        let largest = gradient.iter().fold(0.0f32, |most, slope| most.max(slope.abs()));
        for (cell, found) in gradient.iter().enumerate() {
            let at = |step: f32| {
                let mut map = map.clone();
                map[cell] += step;
                loss(config, cells, map, &points).0
            };
            let expected = (at(0.01) - at(-0.01)) / 0.02;
            let close = (found - expected).abs() < 3e-3 * largest;
            assert!(close, "{config:?}: cell {cell}: found {found}, differences say {expected}");
        }
    }
}

#[test]
fn the_density_loss_is_the_mean_squared_difference() {
    let one_cell = |people: &[Point]| loss(DENSITY, [1, 1], vec![5.0], people);
    assert_eq!(one_cell(&[[1.0, 1.0], [7.0, 7.0]]), (9.0, vec![6.0]));
    assert_eq!(one_cell(&[]), (25.0, vec![10.0]));
    assert_eq!(loss(DENSITY, [1, 2], vec![3.0, 4.0], &[]), (12.5, vec![3.0, 4.0]));
}

#[test]
fn the_bayesian_loss_by_hand() {
    let middle: Point = [4.0, 4.0];
    // The middle of the cell belongs to who stands there. Of two at one place, half to each.
    for background in [0.0, 0.15] {
        assert_eq!(loss(bayesian(background), [1, 1], vec![1.75], &[middle]), (0.75, vec![1.0]));
        assert_eq!(loss(bayesian(background), [1, 1], vec![1.0], &[middle; 2]), (1.0, vec![-1.0]));
        assert_eq!(loss(bayesian(background), [1, 1], vec![2.5], &[]), (2.5, vec![1.0]));
    }
    // 40 pixels from the only person, there is background alone, if any.
    let far = |background: f64| loss(bayesian(background), [1, 6], vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.5], &[middle]);
    assert_near(far(0.15).0, 0.5);
    assert_near(far(0.15).1[5], 1.0);
    assert_near(far(0.0).0, 0.5);
    assert_eq!(far(0.0).1, [1.0; 6]);
}

#[test]
fn distribution_matching_by_hand() {
    // 9 pixels² from the middle of the only cell; and one of four people is a cell too far.
    assert_near(loss(matching(0.1, 7.0, 100), [1, 1], vec![3.0], &[[4.0, 7.0]]).0, 2.0 + 0.9);
    let (value, gradient) = loss(matching(0.1, 0.01, 100), [1, 2], vec![3.0, 1.0], &[[4.0, 4.0]]);
    assert_near(value, 3.0 + 0.01 * 0.25 + 0.1 * 64.0 * 0.25);
    // One more in the wrong cell: 1/4·(1 − 1/4) of the distribution moves there, and out again where it is right.
    let moved = 0.01 + 0.1 * 64.0;
    assert_near(gradient[1], 1.0 + moved * 0.75 / 4.0);
    assert_near(gradient[0], 1.0 - moved * 0.25 / 4.0);
    // The variation counts for each person; and nobody is nowhere in particular.
    assert_near(loss(matching(0.0, 1.0, 100), [1, 2], vec![3.0, 1.0], &[[4.0, 4.0]; 4]).0, 4.0 * 0.25);
    assert_eq!(loss(matching(1.0, 1.0, 100), [1, 2], vec![3.0, 1.0], &[]), (4.0, vec![1.0, 1.0]));
}

/// The slope of an absolute value at 0 is 0, as for torch.
#[test]
fn what_is_right_has_no_slope() {
    let nothing = |config: LossConfig, points: &[Point]| loss(config, [2, 2], vec![0.0; 4], points);
    for config in [DENSITY, bayesian(0.15), matching(0.1, 0.1, 100)] {
        assert_eq!(nothing(config, &[]), (0.0, vec![0.0; 4]), "{config:?}");
    }
    assert_eq!(loss(bayesian(0.0), [1, 1], vec![1.0], &[[4.0, 4.0]]), (0.0, vec![0.0]));
    assert_eq!(loss(matching(0.0, 0.0, 100), [1, 2], vec![0.5, 0.5], &[[4.0, 4.0]]), (0.0, vec![0.0; 2]));
    // The background has nobody, as it should.
    let (_, gradient) = loss(bayesian(0.15), [1, 6], vec![0.0; 6], &[[4.0, 4.0]]);
    assert_near(gradient[0], -1.0);
    assert_near(gradient[5], 0.0);
}

/// However few iterations there are for a crowd of hundreds in thousands of cells: what they end with is a bound from below,
/// and a bad one would outweigh the difference of counts.
#[test]
fn the_cost_of_transport_is_not_negative() {
    let cells = [48, 48];
    let size = cells.map(|side| side * STRIDE);
    let points = somewhere(200, size);
    // Where the people are, near enough; and nearly nobody elsewhere.
    let map: Vec<f32> =
        density(&points, &[8.0; 200], size, STRIDE).values.iter().map(|value| *value as f32 + 1e-4).collect();
    let config = LossConfig::DistributionMatching(DistributionMatching { transport: 1.0, ..Default::default() });
    let cost = loss(config, cells, map, &points).0;
    assert!(cost > 0.0, "{cost}");
}

/// Sinkhorn's algorithm ends after the iterations that it may take, here too few for 3,000 people.
#[test]
fn any_map_and_any_crowd_have_a_finite_loss_and_gradient() {
    let (cells, count) = ([6, 8], 48);
    let size = cells.map(|side| side * STRIDE);
    let mut one_cell = vec![0.0; count];
    one_cell[17] = 3.0;
    let maps = [vec![0.0; count], vec![1e-30; count], vec![1e9; count], one_cell];
    let crowds = [vec![], vec![[0.0, 0.0]], somewhere(3000, size), vec![[33.0, 21.0]; 3000]];
    for config in [DENSITY, bayesian(0.15), bayesian(0.0), matching(0.1, 0.01, 1), matching(0.1, 0.01, 20)] {
        for (map, points) in maps.iter().flat_map(|map| crowds.iter().map(move |points| (map, points))) {
            let (value, gradient) = loss(config, cells, map.clone(), points);
            let finite = value.is_finite() && gradient.iter().all(|slope| slope.is_finite());
            assert!(finite, "{config:?}, {} people, a map of {}…: {value}, {gradient:?}", points.len(), map[0]);
            // Of nobody where there should be some, there is more to come.
            if map.iter().all(|value| *value == 0.0) && !points.is_empty() {
                assert!(gradient.iter().sum::<f32>() < 0.0, "{config:?}, {} people: {gradient:?}", points.len());
            }
        }
    }
}

/// A learning rate means the same where there are twice as many people: a set's scale says so.
#[test]
fn losses_do_not_depend_on_how_crowded_a_set_is() {
    let cells = [3, 4];
    let points = somewhere(9, cells.map(|side| side * STRIDE));
    let map = tensor(&[1, 3, 4], (0..12).map(|i| (i * 7919 % 101) as f32 / 64.0).collect());
    for config in [DENSITY, bayesian(0.0)] {
        let of = |times: usize| {
            let scale = Scale { cell: 0.7 * times as f64, pixel: 0.01 * times as f64 };
            let map = Var::from_tensor(&(&map * times as f64).unwrap()).unwrap();
            let loss = Loss::new(config, scale, STRIDE).of(&map, &[people(&points.repeat(times))]).unwrap();
            // Where the network's output is in units of people a cell.
            let gradients = ops::backward(&loss).unwrap();
            let slopes = values(&(gradients.get(&map).unwrap() * times as f64).unwrap());
            (loss.to_scalar::<f32>().unwrap(), slopes)
        };
        let ((once, slopes_once), (twice, slopes_twice)) = (of(1), of(2));
        assert_near(twice, once);
        slopes_twice.iter().zip(slopes_once).for_each(|(twice, once)| assert_near(*twice, once));
    }
}

#[test]
fn a_batch_has_the_mean_of_its_images() {
    let cells = [2, 3];
    let size = cells.map(|side| side * STRIDE);
    let images = [(vec![0.5, 0.25, 1.0, 0.0, 0.75, 0.5], somewhere(4, size)), (vec![0.125; 6], somewhere(2, size))];
    for config in [DENSITY, bayesian(0.15), matching(0.1, 0.5, 1000)] {
        let scale = Scale { cell: 1.0, pixel: 1.0 / (6 * STRIDE * STRIDE) as f64 };
        let (maps, all): (Vec<_>, Vec<_>) = images.iter().map(|(map, points)| (map.clone(), people(points))).unzip();
        let maps = Var::from_tensor(&tensor(&[2, 2, 3], maps.concat())).unwrap();
        let value = Loss::new(config, scale, STRIDE).of(&maps, &all).unwrap();
        let gradient = values(ops::backward(&value).unwrap().get(&maps).unwrap());
        let [first, second] = images.clone().map(|(map, points)| loss(config, cells, map, &points));
        assert_near(value.to_scalar().unwrap(), (first.0 + second.0) / 2.0);
        let expected = [first.1, second.1].concat();
        gradient.iter().zip(expected).for_each(|(found, expected)| assert_near(*found, expected / 2.0));
        let error = Loss::new(config, scale, STRIDE).of(&maps, &all[..1]).unwrap_err().to_string();
        assert!(error.contains("expected the people of 2 images, one a map; found those of 1"), "{error}");
    }
}
