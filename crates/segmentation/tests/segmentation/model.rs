//! The networks.

use super::tensor;
use candle_core::Device;
use ops::Statistics;
use regularize::{Params, Role};
use segmentation::{DeepLabConfig, ModelConfig, Segmenter};

fn deeplab(depth: usize, output_stride: usize, rates: Option<Vec<usize>>) -> ModelConfig {
    ModelConfig::Deeplab(DeepLabConfig { depth, width: 2, output_stride, channels: 4, low_level: 3, rates })
}

fn forward(config: &ModelConfig, [height, width]: [usize; 2]) -> ([usize; 4], Params) {
    let params = Params::new(0, &Device::Cpu);
    let network = Segmenter::new(&params, 1, 5, config).unwrap();
    let pixels = (0..2 * height * width).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect();
    let images = tensor(&[2, height, width, 1], pixels);
    (network.forward(&images, Statistics::Batch).unwrap().dims(), params)
}

#[test]
fn logits_have_the_size_of_the_image() {
    for config in [
        deeplab(10, 4, None),
        deeplab(10, 8, Some(vec![1, 3])),
        deeplab(18, 16, None),
        deeplab(50, 32, Some(Vec::new())),
        ModelConfig::Unet { width: 2, levels: 5 },
        ModelConfig::Unet { width: 3, levels: 2 },
    ] {
        for size in [[32, 32], [33, 50], [47, 64]] {
            assert_eq!(forward(&config, size).0, [2, size[0], size[1], 5], "{config:?}");
        }
    }
}

/// All convolutions but the one that classifies.
#[test]
fn weights_before_batch_norms_are_scale_invariant() {
    for config in [deeplab(18, 16, None), ModelConfig::Unet { width: 2, levels: 3 }] {
        let (_, params) = forward(&config, [32, 32]);
        for parameter in params.trainable().iter().filter(|parameter| parameter.var.rank() == 4) {
            let last = parameter.name.starts_with("classifier");
            assert_eq!(matches!(parameter.role, Role::ScaleInvariant(_)), !last, "{}", parameter.name);
        }
    }
}

/// 40,352,181 is what tools/peers/torch_segmentation.py counts for `DeepLab(50, 64, 16, 256, 48, [6, 12, 18], 21)`.
#[test]
fn defaults_are_those_of_the_paper() {
    let config: ModelConfig = serde_json::from_value(serde_json::json!({"deeplab": {"depth": 50}})).unwrap();
    let params = Params::new(0, &Device::Cpu);
    Segmenter::new(&params, 3, 21, &config).unwrap();
    let count: usize = params.trainable().iter().map(|parameter| parameter.var.elem_count()).sum();
    assert_eq!(count, 40_352_181);
}
