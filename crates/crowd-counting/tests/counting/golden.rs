//! Reference numbers: of PyTorch for networks and losses (tools/make_counting_golden.py), of SciPy for density maps and of
//! NumPy for the metric (tools/make_metric_golden.py).

use super::{tensor, values};
use candle_core::{Device, Tensor, Var};
use crowd_counting::{
    Counter, Counts, DensityConfig, Loss, LossConfig, Map, ModelConfig, People, Scale, Sign, density, game, spreads,
};
use data::Point;
use golden::Vectors;
use ops::{Kernels, Statistics};
use regularize::{Params, Role};
use serde_json::Value;

fn open(name: &str) -> Vectors {
    Vectors::open(env!("CARGO_MANIFEST_DIR"), name)
}

fn floats(vectors: &Vectors, name: &str) -> Tensor {
    let (dims, all) = vectors.floats(name);
    tensor(&dims, all)
}

fn doubles(vectors: &Vectors, name: &str) -> Vec<f64> {
    vectors.doubles(name).1
}

#[test]
fn golden_networks_equal_torch() {
    let vectors = open("networks.safetensors");
    let mut networks = 0;
    for ((case, settings), kernels) in
        vectors.cases("").flat_map(|case| [Kernels::available().next().unwrap(), Kernels::Portable].map(|k| (case, k)))
    {
        networks += 1;
        let config: ModelConfig = serde_json::from_value(settings["model"].clone()).unwrap();
        let params = Params::new(0, &Device::Cpu);
        let sign = if settings["positive"] == true { Sign::Positive } else { Sign::Any };
        let network = Counter::new(&params, 3, config, sign, settings["unit"].as_f64().unwrap()).unwrap();
        for parameter in params.all() {
            parameter.var.set(&floats(&vectors, &format!("{case}/start/{}", parameter.name))).unwrap();
        }
        let close = |part: &str, found: &Tensor| {
            vectors.assert_close(&format!("{kernels:?}"), &format!("{case}/{part}"), &values(found));
        };
        kernels
            .scope(|| {
                let images = floats(&vectors, &format!("{case}/images"));
                let maps = network.forward(&images, Statistics::Batch).unwrap();
                close("map", &maps);
                let target = floats(&vectors, &format!("{case}/target"));
                let loss = (maps - target).unwrap().sqr().unwrap().mean_all().unwrap();
                close("loss", &loss);
                let gradients = ops::backward(&loss).unwrap();
                for parameter in params.all() {
                    let name = &parameter.name;
                    if matches!(parameter.role, Role::Buffer) {
                        close(&format!("after/{name}"), &parameter.var);
                    } else {
                        close(&format!("gradient/{name}"), gradients.get(&parameter.var).unwrap());
                    }
                }
                close("evaluated", &network.forward(&images, Statistics::Running).unwrap());
            })
            .unwrap();
    }
    assert_eq!(networks, 8);
}

#[test]
fn golden_losses_equal_the_authors() {
    let vectors = open("losses.safetensors");
    for (case, settings) in vectors.cases("") {
        let map = Var::from_tensor(&floats(&vectors, &format!("{case}/map")).unsqueeze(0).unwrap()).unwrap();
        let points: Vec<Point> = vectors.floats(&format!("{case}/points")).1.as_chunks().0.to_vec();
        let stride = settings["stride"].as_u64().unwrap() as usize;
        let config: LossConfig = serde_json::from_value(settings["loss"].clone()).unwrap();
        // One person in the image on average, so that losses are as they are.
        let scale = Scale { cell: 1.0, pixel: 1.0 / (map.elem_count() * stride * stride) as f64 };
        let people = People { spreads: vec![0.0; points.len()], points };
        let loss = Loss::new(config, scale, stride).of(&map, &[people]).unwrap();
        // Our plan of transport is found by steps that stop at a change of 1e-6, theirs at one of 1e-11.
        let share = if case.starts_with("matching") { 3e-5 } else { 0.0 };
        vectors.assert_near("ours", &format!("{case}/value"), &values(&loss), share);
        let gradients = ops::backward(&loss).unwrap();
        vectors.assert_near("ours", &format!("{case}/gradient"), &values(gradients.get(&map).unwrap()), share);
    }
    assert_eq!(vectors.cases("").count(), 13);
}

const SIZE: [usize; 2] = [96, 128];

/// The points of `counting.safetensors`, in single precision as data sets have them.
fn points(vectors: &Vectors) -> Vec<Point> {
    doubles(vectors, "points_xy").as_chunks::<2>().0.iter().map(|point| point.map(|value| value as f32)).collect()
}

/// Whether SciPy has the same at a pixel: no kernel reaches it that reaches beyond the image too, where SciPy loses some of a
/// person and we do not.
fn comparable([row, column]: [usize; 2], points: &[Point], spreads: &[f64]) -> bool {
    points.iter().zip(spreads).all(|(point, spread)| {
        let radius = (4.0 * spread + 0.5) as usize;
        let center = [point[1] as usize, point[0] as usize];
        let inside = (0..2).all(|axis| center[axis] >= radius && center[axis] + radius < SIZE[axis]);
        inside || row.abs_diff(center[0]) > radius || column.abs_diff(center[1]) > radius
    })
}

#[test]
fn golden_density_maps_equal_scipy() {
    let vectors = open("counting.safetensors");
    let points = points(&vectors);
    let adaptive = DensityConfig::Adaptive { beta: 0.3, neighbours: 3, largest: 1000.0 };
    for (config, name) in [(DensityConfig::Fixed { sigma: 4.0 }, "density_fixed"), (adaptive, "density_adaptive")] {
        let spreads = spreads(&points, config, 1.0);
        let found = density(&points, &spreads, SIZE, 1);
        let mut compared = 0;
        for (index, (found, expected)) in found.values.iter().zip(doubles(&vectors, name)).enumerate() {
            let pixel = [index / SIZE[1], index % SIZE[1]];
            if comparable(pixel, &points, &spreads) {
                compared += 1;
                assert!((found - expected).abs() < 1e-6, "{name} at {pixel:?}: found {found}, expected {expected}");
            }
        }
        assert!(compared > 1000, "{name}: {compared} pixels");
    }
}

#[test]
fn golden_counts_have_the_numbers_of_the_reference() {
    let vectors = open("counting.safetensors");
    let (_, metrics) = vectors.cases("metrics").next().unwrap();
    let close = |name: &str, found: f64, expected: &Value| {
        let expected = expected.as_f64().unwrap();
        assert!((found - expected).abs() < 1e-9, "{name}: found {found}, expected {expected}");
    };
    let map = |name: &str| Map { height: SIZE[0], width: SIZE[1], values: doubles(&vectors, name) };
    let (truth, estimate) = (map("density_fixed"), map("estimate"));
    for level in 0..4 {
        close(&format!("GAME {level}"), game(&truth, &estimate, level), &metrics["game"][level.to_string()]);
    }
    let mut counts = Counts::default();
    for (truth, estimate) in doubles(&vectors, "true_counts").into_iter().zip(doubles(&vectors, "estimated_counts")) {
        counts.observe(truth, estimate);
    }
    let summary = counts.summary();
    close("MAE", summary.mae.unwrap(), &metrics["mae"]);
    close("RMSE", summary.rmse.unwrap(), &metrics["rmse"]);
    close("NAE", summary.nae.unwrap(), &metrics["nae"]);
}
