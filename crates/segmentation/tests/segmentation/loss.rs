//! The loss, and weights of classes.

use super::{tensor, values};
use candle_core::Var;
use data::VOID;
use ops::FeatureMap;
use segmentation::{Loss, LossConfig, Ohem, median_frequency};

const ALL: LossConfig = LossConfig {
    median_frequency: 0.0,
    label_smoothing: 0.1,
    ohem: Some(Ohem { threshold: 0.7, least: 0.1 }),
    dice: 0.5,
};

/// The loss and its gradient.
fn loss(config: LossConfig, logits: Vec<f32>, targets: &[u8]) -> (f32, Vec<f32>) {
    let logits = Var::from_tensor(&tensor(&[1, 1, targets.len(), 3], logits)).unwrap();
    let loss = Loss::new(config, None).of(&FeatureMap::from_tensor(&logits).unwrap(), targets).unwrap();
    let gradients = ops::backward(&loss).unwrap();
    (loss.to_scalar().unwrap(), values(gradients.get(&logits).unwrap()))
}

#[test]
fn a_mask_full_of_void_has_loss_and_gradient_zero() {
    for config in [LossConfig::default(), ALL] {
        assert_eq!(loss(config, vec![5.0, -3.0, 1.0, 0.0, 0.0, 9.0], &[VOID, VOID]), (0.0, vec![0.0; 6]));
    }
}

#[test]
fn void_pixels_get_no_gradient() {
    let (_, gradient) = loss(ALL, vec![5.0, -3.0, 1.0, 0.0, 0.0, 9.0], &[VOID, 1]);
    assert_eq!(gradient[..3], [0.0; 3]);
    assert!(gradient[3..].iter().all(|value| *value != 0.0));
}

#[test]
fn easy_pixels_get_no_gradient_but_the_hardest_do() {
    // The second pixel's class has a probability of 0.9999, the first's of 0.84.
    let logits = vec![2.0, 0.0, -1.0, 10.0, 0.0, 0.0];
    let hard = |least: f64| LossConfig { ohem: Some(Ohem { threshold: 0.7, least }), ..LossConfig::default() };
    for least in [0.0, 0.5] {
        let (found, gradient) = loss(hard(least), logits.clone(), &[0, 0]);
        assert!((found - 0.169_846).abs() < 1e-5, "{found}");
        assert!(gradient[0] != 0.0 && gradient[3..] == [0.0; 3], "{gradient:?}");
    }
    // Half of the pixels and more are all of them.
    let (_, gradient) = loss(hard(0.51), logits, &[0, 0]);
    assert!(gradient.iter().all(|value| *value != 0.0), "{gradient:?}");
}

#[test]
fn bad_targets_are_named() {
    let map = FeatureMap::from_tensor(&tensor(&[1, 1, 2, 3], vec![0.0; 6])).unwrap();
    for config in [LossConfig::default(), ALL] {
        let message = |targets: &[u8]| Loss::new(config, None).of(&map, targets).unwrap_err().to_string();
        assert!(message(&[0, 3]).contains("found 3"), "{}", message(&[0, 3]));
        assert!(message(&[0]).contains("target"), "{}", message(&[0]));
    }
}

/// Class 0 has 3 of 6 pixels of the images it is in, class 1 has 5 of 10, class 2 has 2 of 4; class 3 is nowhere.
#[test]
fn weights_are_medians_over_frequencies() {
    let weights = |counts: &[[u64; 4]]| median_frequency(counts.iter().map(|counts| counts.to_vec()), 4);
    assert_eq!(weights(&[[3, 3, 0, 0], [0, 2, 2, 0]]), [1.0, 1.0, 1.0, 1.0]);
    // Frequencies 18/20, 1/10 and 1/10.
    let expected = [0.1 / 0.9, 1.0, 1.0, 1.0].map(|weight: f64| weight as f32);
    assert_eq!(weights(&[[9, 0, 1, 0], [9, 1, 0, 0], [0, 0, 0, 0]]), expected);
    // Of 3/4 and 1/4 the median is 1/2.
    assert_eq!(median_frequency([vec![3, 1]].into_iter(), 2), [2.0 / 3.0, 2.0]);
    assert_eq!(median_frequency(std::iter::empty(), 2), [1.0, 1.0]);
}
