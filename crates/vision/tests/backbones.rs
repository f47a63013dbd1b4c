//! Backbones: against torchvision, the shapes of every option, and the roles that layers register.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use candle_core::{Device, IndexOp, Tensor};
use ops::{FeatureMap, Statistics};
use rand::RngExt;
use rand_distr::StandardNormal;
use regularize::{Params, Role};
use vision::{Backbone, Block, Classifier, Pyramid, PyramidConfig, ResNet, ResNetConfig, Stem, VggBn, VggConfig};

fn images(n: usize, side: usize) -> Tensor {
    let mut rng = random::stream(0, "images", &[]);
    let pixels: Vec<f32> = (0..n * side * side * 3).map(|_| rng.sample(StandardNormal)).collect();
    Tensor::from_vec(pixels, (n, side, side, 3), &Device::Cpu).unwrap()
}

fn resnet(params: &Params, config: &ResNetConfig) -> ResNet {
    ResNet::new(params, 3, config).unwrap()
}

fn features(backbone: &impl Backbone, images: &Tensor, statistics: Statistics) -> Vec<FeatureMap> {
    ops::no_grad(|| backbone.features(&FeatureMap::from_tensor(images).unwrap(), statistics)).unwrap()
}

/// The largest distance of two tensors, as a share of the largest value of the second.
fn distance(found: &Tensor, expected: &Tensor) -> f32 {
    let largest = |x: Tensor| x.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    largest((found - expected).unwrap()) / largest(expected.clone())
}

mod torchvision {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    /// What `golden/make_torchvision.py` wrote.
    #[derive(Deserialize)]
    struct Golden {
        resnets: Vec<Case>,
        pyramids: Vec<PyramidCase>,
    }

    #[derive(Deserialize)]
    struct Case {
        depth: usize,
        output_stride: usize,
        count: usize,
        shapes: BTreeMap<String, Vec<usize>>,
        stages: Vec<Stage>,
    }

    #[derive(Deserialize)]
    struct Stage {
        dims: [usize; 4],
        /// The first channels of the middle pixel of the first image.
        middle: Vec<f32>,
    }

    #[derive(Deserialize)]
    struct PyramidCase {
        norm: bool,
        levels: Vec<Vec<f32>>,
        gradients: Vec<Vec<f32>>,
    }

    fn golden() -> Golden {
        serde_json::from_str(include_str!("golden/torchvision.json")).unwrap()
    }

    fn config(case: &Case) -> ResNetConfig {
        ResNetConfig { output_stride: Some(case.output_stride), ..ResNetConfig::imagenet(case.depth).unwrap() }
    }

    /// The numbers in −0.5..0.5 of the script.
    fn values(count: usize, seed: usize) -> Vec<f32> {
        let value = |index: usize| {
            let mut x = ((index + seed * 1_000_003) as u64).wrapping_mul(2_654_435_761) % (1 << 32);
            x ^= x >> 15;
            x = x * 2_246_822_519 % (1 << 32);
            x ^= x >> 13;
            (x as f64 / 4_294_967_296.0 - 0.5) as f32
        };
        (0..count).map(value).collect()
    }

    #[test]
    fn parameters_have_its_names_and_shapes() {
        for case in golden().resnets {
            let params = Params::new(0, &Device::Cpu);
            Classifier::new(resnet(&params, &config(&case)), &params.pp("fc"), 1000).unwrap();
            let shapes = params.all().into_iter().map(|p| (p.name, p.var.dims().to_vec())).collect();
            assert_eq!(case.shapes, shapes, "ResNet-{}", case.depth);
            assert_eq!(case.count, params.count(), "ResNet-{}", case.depth);
        }
    }

    #[test]
    fn training_computes_its_features() {
        let images = Tensor::from_vec(values(2 * 96 * 96 * 3, 0), (2, 96, 96, 3), &Device::Cpu).unwrap();
        for case in golden().resnets {
            let params = Params::new(0, &Device::Cpu);
            let network = resnet(&params, &config(&case));
            for (seed, p) in params.trainable().iter().enumerate().filter(|(_, p)| p.var.rank() == 4) {
                let weight = Tensor::from_vec(values(p.var.elem_count(), seed), p.var.shape(), &Device::Cpu).unwrap();
                p.var.set(&weight).unwrap();
            }
            let found = features(&network, &images, Statistics::Batch);
            assert_eq!(found.len(), case.stages.len());
            for (stage, (found, expected)) in found.iter().zip(&case.stages).enumerate() {
                let [_, h, w, c] = found.dims();
                assert_eq!((found.dims(), network.channels()[stage]), (expected.dims, c));
                let found = found.to_tensor().unwrap().i((0, h / 2, w / 2, ..expected.middle.len())).unwrap();
                let expected = Tensor::new(expected.middle.as_slice(), &Device::Cpu).unwrap();
                let distance = distance(&found, &expected);
                let Case { depth, output_stride, .. } = case;
                assert!(distance < 1e-3, "ResNet-{depth}, stride {output_stride}, stage {stage}: {distance} apart");
            }
        }
    }

    #[test]
    fn a_pyramid_has_its_levels_and_gradients() {
        let hashed =
            |dims: &[usize], seed| Tensor::from_vec(values(dims.iter().product(), seed), dims, &Device::Cpu).unwrap();
        for case in golden().pyramids {
            let params = Params::new(0, &Device::Cpu);
            let config = PyramidConfig { channels: 3, norm: case.norm, extra: if case.norm { 0 } else { 2 } };
            let pyramid = Pyramid::new(&params, &[4, 5, 6], config).unwrap();
            for (seed, p) in params.trainable().iter().enumerate() {
                p.var.set(&hashed(p.var.dims(), seed)).unwrap();
            }
            let stages: Vec<FeatureMap> = [(9, 4), (5, 5), (3, 6)]
                .iter()
                .enumerate()
                .map(|(seed, (side, c))| FeatureMap::from_tensor(&hashed(&[2, *side, *side, *c], seed)).unwrap())
                .collect();
            let levels = pyramid.forward(&stages, Statistics::Batch).unwrap();
            let levels: Vec<Tensor> = levels.iter().map(|level| level.to_tensor().unwrap()).collect();
            let close = |what: &str, found: &Tensor, expected: &[f32]| {
                let expected = Tensor::new(expected, &Device::Cpu).unwrap();
                let distance = distance(&found.flatten_all().unwrap(), &expected);
                assert!(distance < 1e-4, "norm {}, {what}: {distance} apart", case.norm);
            };
            assert_eq!(levels.len(), case.levels.len());
            for (level, (found, expected)) in levels.iter().zip(&case.levels).enumerate() {
                close(&format!("level {level}"), found, expected);
            }
            let weighted = levels.iter().enumerate();
            let weighted =
                weighted.map(|(seed, level)| (level * hashed(level.dims(), seed)).unwrap().sum_all().unwrap());
            let loss = weighted.reduce(|a, b| (a + b).unwrap()).unwrap();
            let gradients = loss.backward().unwrap();
            assert_eq!(params.trainable().len(), case.gradients.len());
            for (p, expected) in params.trainable().iter().zip(&case.gradients) {
                close(&format!("gradient of {}", p.name), gradients.get(&p.var).unwrap(), expected);
            }
        }
    }
}

/// Narrow networks of every kind.
fn configs() -> Vec<ResNetConfig> {
    let mut all = vec![ResNetConfig::cifar(14, 4).unwrap()];
    for stem in [Stem::Small, Stem::ImageNet] {
        for block in [Block::Basic, Block::Bottleneck] {
            for output_stride in [None, Some(4), Some(8), Some(16)] {
                all.push(ResNetConfig { stem, block, blocks: vec![1, 2, 1, 1], width: 4, output_stride });
            }
        }
    }
    all
}

#[test]
fn stages_have_the_strides_asked_for() {
    let images = images(1, 64);
    for config in configs() {
        let (first, last) = match config.stem {
            Stem::Small => (1, 1 << (config.blocks.len() - 1)),
            Stem::ImageNet => (4, 4 << (config.blocks.len() - 1)),
        };
        let limit = config.output_stride.unwrap_or(last);
        let expansion = if config.block == Block::Bottleneck { 4 } else { 1 };
        let params = Params::new(0, &Device::Cpu);
        for (stage, map) in features(&resnet(&params, &config), &images, Statistics::Running).iter().enumerate() {
            let side = 64 / limit.min(first << stage);
            assert_eq!(map.dims(), [1, side, side, (4 << stage) * expansion], "stage {stage} of {config:?}");
        }
    }
}

/// Dilation computes the pixels between those of the strided network, and leaves those as they were.
#[test]
fn every_second_pixel_of_a_dilated_network_is_one_of_the_strided_network() {
    let images = images(1, 64);
    for dilated in configs().into_iter().filter(|config| config.output_stride.is_some()) {
        // The same parameters.
        let params = Params::new(0, &Device::Cpu);
        let strided = ResNetConfig { output_stride: None, ..dilated.clone() };
        let dilated_maps = features(&resnet(&params, &dilated), &images, Statistics::Running);
        let strided_maps = features(&resnet(&params, &strided), &images, Statistics::Running);
        for (found, expected) in dilated_maps.iter().zip(strided_maps) {
            let (step, count) = (found.size()[0] / expected.size()[0], expected.size()[0] as u32);
            let every = Tensor::arange(0, count, &Device::Cpu).unwrap().affine(step as f64, 0.0).unwrap();
            let found = found.to_tensor().unwrap();
            let found = found.index_select(&every, 1).unwrap().index_select(&every, 2).unwrap();
            let distance = distance(&found, &expected.to_tensor().unwrap());
            assert!(distance < 1e-5, "{dilated:?}: {distance} apart");
        }
    }
}

/// A pyramid on the last three stages of a backbone, as a detector uses it.
#[test]
fn a_pyramid_has_a_level_for_each_stage_and_further_ones() {
    let params = Params::new(0, &Device::Cpu);
    let backbone = resnet(&params.pp("body"), &ResNetConfig { width: 4, ..ResNetConfig::imagenet(50).unwrap() });
    let stages = features(&backbone, &images(1, 96), Statistics::Running);
    for norm in [false, true] {
        let config = PyramidConfig { channels: 8, norm, extra: 2 };
        let params = Params::new(0, &Device::Cpu);
        let pyramid = Pyramid::new(&params, &backbone.channels()[1..], config).unwrap();
        let levels = ops::no_grad(|| pyramid.forward(&stages[1..], Statistics::Running)).unwrap();
        let sizes: Vec<_> = levels.iter().map(FeatureMap::dims).collect();
        assert_eq!(sizes, [12, 6, 3, 2, 1].map(|side| [1, side, side, 8]));
        for p in params.trainable() {
            let declared = matches!(p.role, Role::ScaleInvariant(_));
            assert_eq!(declared, norm && p.var.rank() == 4, "{}", p.name);
        }
    }
}

#[test]
fn stages_of_vgg_halve_the_image() {
    let params = Params::new(0, &Device::Cpu);
    let vgg = VggBn::new(&params, 3, VggConfig { depth: 16, width: 64 }).unwrap();
    let maps = features(&vgg, &images(1, 64), Statistics::Running);
    let dims: Vec<_> = maps.iter().map(FeatureMap::dims).collect();
    assert_eq!(dims, [[1, 32, 32, 64], [1, 16, 16, 128], [1, 8, 8, 256], [1, 4, 4, 512], [1, 2, 2, 512]]);
    assert_eq!(vgg.channels(), [64, 128, 256, 512, 512]);
    // Torch's count without the classifier and without the biases that batch norms make useless.
    assert_eq!(params.count(), 14_718_912);
    let names: Vec<String> = params.trainable().into_iter().map(|p| p.name).collect();
    for name in ["features.0.weight", "features.1.bias", "features.7.weight", "features.40.weight", "features.41.bias"]
    {
        assert!(names.iter().any(|n| n == name), "{name}");
    }
}

/// The counts of `tools/peers/torch_step.py`.
#[test]
fn small_networks_have_torchs_counts() {
    for (config, expected) in [
        (ResNetConfig::cifar(20, 16).unwrap(), 272_474),
        (ResNetConfig { stem: Stem::Small, ..ResNetConfig::imagenet(18).unwrap() }, 11_173_962),
    ] {
        let params = Params::new(0, &Device::Cpu);
        Classifier::new(resnet(&params, &config), &params.pp("fc"), 10).unwrap();
        assert_eq!(params.count(), expected);
    }
}

/// Every filter of every declared weight may be scaled by a factor of its own, up to ε of the batch norms;
/// with running statistics it may not, nor may the head ever.
#[test]
fn declared_invariance_is_real_for_every_weight() {
    let images = images(4, 32);
    let mut networks: Vec<(String, Params, Classifier)> = Vec::new();
    for config in configs().into_iter().filter(|config| config.output_stride != Some(16)) {
        let params = Params::new(1, &Device::Cpu);
        let network = Classifier::new(resnet(&params, &config), &params.pp("fc"), 10).unwrap();
        networks.push((format!("{config:?}"), params, network));
    }
    let params = Params::new(1, &Device::Cpu);
    let vgg = VggBn::new(&params, 3, VggConfig { depth: 11, width: 8 }).unwrap();
    let network = Classifier::new(vgg, &params.pp("classifier"), 10).unwrap();
    networks.push(("VGG".into(), params, network));

    for (name, params, network) in networks {
        let logits = |statistics| ops::no_grad(|| network.forward(&images, statistics)).unwrap();
        let in_training = logits(Statistics::Batch);
        for p in params.trainable() {
            let declared = matches!(p.role, Role::ScaleInvariant(_));
            assert_eq!(declared, p.var.rank() == 4, "{} of {name}", p.name);
            if p.var.rank() == 1 {
                continue;
            }
            let in_evaluation = logits(Statistics::Running);
            let weight = p.var.copy().unwrap();
            let filters = p.var.dims()[0];
            let factors: Vec<f32> = (0..filters).map(|filter| 0.7 + (filter % 5) as f32 * 0.3).collect();
            let mut dims = vec![1; p.var.rank()];
            dims[0] = filters;
            let factors = Tensor::from_vec(factors, dims, &Device::Cpu).unwrap();
            p.var.set(&weight.broadcast_mul(&factors).unwrap()).unwrap();
            let moved = distance(&logits(Statistics::Running), &in_evaluation);
            assert!(moved > 1e-3, "{} of {name} moves evaluation by {moved} only", p.name);
            let moved = distance(&logits(Statistics::Batch), &in_training);
            assert_eq!(moved < 1e-3, declared, "{} of {name} moves training by {moved}", p.name);
            p.var.set(&weight).unwrap();
        }
    }
}

#[test]
fn impossible_networks_are_refused() {
    let params = Params::new(0, &Device::Cpu);
    let message = |depth| ResNetConfig::cifar(depth, 16).unwrap_err().to_string();
    assert!(message(9).contains("8, 14, 20") && message(2).contains("found 2"));
    assert!(ResNetConfig::imagenet(20).unwrap_err().to_string().contains("10, 18, 34, 50, 101 or 152, found 20"));

    let cifar = ResNetConfig::cifar(8, 4).unwrap();
    let imagenet = ResNetConfig::imagenet(18).unwrap();
    for (config, expected) in [
        (ResNetConfig { width: 0, ..cifar.clone() }, "`width`: expected at least 1"),
        (ResNetConfig { blocks: vec![], ..cifar.clone() }, "found []"),
        (ResNetConfig { blocks: vec![1; 6], ..cifar.clone() }, "one to five stages"),
        (ResNetConfig { blocks: vec![1, 0], ..cifar.clone() }, "at least one block, found [1, 0]"),
        (ResNetConfig { output_stride: Some(3), ..cifar }, "1, 2, 4, …, found 3"),
        (ResNetConfig { output_stride: Some(2), ..imagenet }, "4, 8, 16, …, found 2"),
    ] {
        let message = ResNet::new(&params, 3, &config).err().unwrap().to_string();
        assert!(message.contains(expected), "{message}");
    }

    let config = |channels| PyramidConfig { channels, norm: false, extra: 0 };
    let message =
        |inputs: &[usize], channels| Pyramid::new(&params, inputs, config(channels)).err().unwrap().to_string();
    assert!(message(&[], 8).contains("found [] and 8") && message(&[8], 0).contains("found [8] and 0"));
    let pyramid = Pyramid::new(&params, &[8, 8], config(8)).unwrap();
    assert!(pyramid.forward(&[], Statistics::Running).unwrap_err().to_string().contains("expected 2 stages, found 0"));

    let message = |depth, width| VggBn::new(&params, 1, VggConfig { depth, width }).err().unwrap().to_string();
    assert!(message(12, 4).contains("found 12") && message(16, 0).contains("`width`"));
    let vgg = VggBn::new(&params, 1, VggConfig { depth: 16, width: 4 }).unwrap();
    let small = Tensor::zeros((1, 28, 40, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
    let small = FeatureMap::from_tensor(&small).unwrap();
    assert!(vgg.features(&small, Statistics::Running).unwrap_err().to_string().contains("found 28×40"));
}
