//! The network.

use candle_core::{Device, Tensor};
use detection::{Detector, Level, ModelConfig};
use ops::Statistics;
use regularize::{Params, Role};

const TINY: ModelConfig =
    ModelConfig { depth: 10, width: 4, stride: 8, levels: 3, channels: 8, convs: 1, freeze_norms: false };

fn forward(config: ModelConfig, size: [usize; 2], statistics: Statistics) -> (Vec<Level>, Params) {
    let params = Params::new(0, &Device::Cpu);
    let detector = Detector::new(&params, 3, 5, config).unwrap();
    let images: Vec<f32> = (0..2 * size[0] * size[1] * 3).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect();
    let images = Tensor::from_vec(images, (2, size[0], size[1], 3), &Device::Cpu).unwrap();
    (detector.forward(&images, statistics).unwrap(), params)
}

#[test]
fn levels_have_the_sides_that_strides_say() {
    for (config, size, expected) in [
        (TINY, [64, 96], vec![(8, [8, 12]), (16, [4, 6]), (32, [2, 3])]),
        (TINY, [50, 70], vec![(8, [7, 9]), (16, [4, 5]), (32, [2, 3])]),
        (ModelConfig { stride: 4, levels: 1, ..TINY }, [64, 64], vec![(4, [16, 16])]),
        (ModelConfig { stride: 4, levels: 2, convs: 0, ..TINY }, [64, 64], vec![(4, [16, 16]), (8, [8, 8])]),
        (ModelConfig { stride: 32, levels: 3, ..TINY }, [128, 128], vec![(32, [4, 4]), (64, [2, 2]), (128, [1, 1])]),
    ] {
        let (levels, _) = forward(config, size, Statistics::Batch);
        assert_eq!(levels.iter().map(|level| (level.stride, level.size)).collect::<Vec<_>>(), expected);
        for level in levels {
            let rows = 2 * level.size[0] * level.size[1];
            assert_eq!((level.classes.dims(), level.boxes.dims()), ([rows, 5].as_slice(), [rows, 5].as_slice()));
        }
    }
}

/// All convolutions but the two that predict.
#[test]
fn weights_before_batch_norms_are_scale_invariant() {
    let (_, params) = forward(TINY, [64, 64], Statistics::Batch);
    for parameter in params.trainable().iter().filter(|parameter| parameter.var.rank() == 4) {
        let last = parameter.name.contains("cls_logits") || parameter.name.contains("bbox_reg");
        assert_eq!(matches!(parameter.role, Role::ScaleInvariant(_)), !last, "{}", parameter.name);
        if let Role::ScaleInvariant(normalizations) = &parameter.role {
            let shared = parameter.name.contains("head");
            assert_eq!(normalizations.len(), if shared { 3 } else { 1 }, "{}", parameter.name);
        }
    }
}

#[test]
fn frozen_norms_keep_their_statistics_and_leave_no_weight_scale_invariant() {
    let statistics = |params: &Params| -> Vec<Vec<f32>> {
        let all = params.all().into_iter().filter(|p| matches!(p.role, Role::Buffer));
        all.map(|p| p.var.flatten_all().unwrap().to_vec1().unwrap()).collect()
    };
    let values = |levels: &[Level]| levels[0].classes.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let frozen = ModelConfig { freeze_norms: true, ..TINY };
    let (levels, params) = forward(frozen, [64, 64], Statistics::Batch);
    assert!(params.trainable().iter().all(|p| matches!(p.role, Role::Other)));
    assert!(statistics(&params).iter().flatten().all(|value| *value == 0.0 || *value == 1.0));
    let (evaluated, _) = forward(frozen, [64, 64], Statistics::Running);
    assert_eq!(values(&levels), values(&evaluated));

    let (levels, params) = forward(TINY, [64, 64], Statistics::Batch);
    assert!(statistics(&params).iter().flatten().any(|value| *value != 0.0 && *value != 1.0));
    assert_ne!(values(&levels), values(&evaluated));
}
