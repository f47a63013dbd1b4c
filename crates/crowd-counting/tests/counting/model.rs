//! The networks.

use super::{tensor, values};
use candle_core::Device;
use crowd_counting::{Counter, LossConfig, ModelConfig, Sign};
use ops::Statistics;
use regularize::{Params, Role};
use serde_json::{Value, json};

fn config(config: Value) -> ModelConfig {
    serde_json::from_value(config).unwrap()
}

fn small() -> [ModelConfig; 4] {
    [
        config(json!({"csrnet": {"width": 1}})),
        config(json!({"mcnn": {"width": 8}})),
        config(json!({"resnet": {"depth": 10, "width": 2, "channels": 3}})),
        config(json!({"resnet": {"depth": 50, "width": 1, "channels": 2, "output_stride": 32}})),
    ]
}

fn network(config: ModelConfig, channels: usize, sign: Sign, unit: f64) -> (Counter, Params) {
    let params = Params::new(0, &Device::Cpu);
    (Counter::new(&params, channels, config, sign, unit).unwrap(), params)
}

/// `number` images of 64×96 pixels.
fn images(number: usize, channels: usize) -> candle_core::Tensor {
    let pixels = (0..number * 64 * 96 * channels).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect();
    tensor(&[number, 64, 96, channels], pixels)
}

#[test]
fn maps_have_a_cell_for_each_stride() {
    for config in small() {
        for channels in [1, 3] {
            let maps =
                |sign: Sign| network(config, channels, sign, 1.0).0.forward(&images(2, channels), Statistics::Batch);
            let any = maps(Sign::Any).unwrap();
            assert_eq!(any.dims(), [2, 64 / config.stride(), 96 / config.stride()], "{config}");
            // Where the sign is positive, they are the same but for it.
            let positive: Vec<f32> = values(&any).iter().map(|value| value.abs()).collect();
            assert_eq!(values(&maps(Sign::Positive).unwrap()), positive, "{config}");
        }
    }
}

#[test]
fn losses_of_distributions_are_of_maps_that_are_positive() {
    let sign = |loss: Value| serde_json::from_value::<LossConfig>(loss).unwrap().sign();
    assert_eq!(sign(json!({"density": {}})), Sign::Any);
    assert_eq!(sign(json!({"bayesian": {}})), Sign::Positive);
    assert_eq!(sign(json!({"distribution-matching": {}})), Sign::Positive);
}

#[test]
fn the_unit_is_what_a_map_counts_in() {
    for config in small() {
        let maps = |unit: f64| {
            values(&network(config, 3, Sign::Any, unit).0.forward(&images(2, 3), Statistics::Batch).unwrap())
        };
        let expected: Vec<f32> = maps(1.0).iter().map(|value| value * 0.25).collect();
        assert_eq!(maps(0.25), expected, "{config}");
    }
}

/// All convolutions but the one that counts.
#[test]
fn weights_before_batch_norms_are_scale_invariant() {
    for config in small() {
        let (_, params) = network(config, 3, Sign::Any, 1.0);
        for parameter in params.trainable().iter().filter(|parameter| parameter.var.rank() == 4) {
            let last = parameter.name == "output.weight";
            assert_eq!(matches!(parameter.role, Role::ScaleInvariant(_)), !last, "{config}: {}", parameter.name);
        }
    }
}

/// What tools/peers/torch_counting.py counts for `Csrnet(64)`, `Mcnn(16)` and `Resnet(18, 64, 8, 128)`.
#[test]
fn defaults_are_those_of_the_papers() {
    for (config, expected) in [
        (config(json!({"csrnet": {}})), 16_268_161),
        (config(json!({"mcnn": {}})), 133_975),
        (config(json!({"resnet": {"depth": 18}})), 11_914_433),
    ] {
        let (_, params) = network(config, 3, Sign::Any, 1.0);
        let count: usize = params.trainable().iter().map(|parameter| parameter.var.elem_count()).sum();
        assert_eq!(count, expected, "{config}");
    }
}
