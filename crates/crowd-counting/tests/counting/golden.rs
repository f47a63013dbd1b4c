//! Reference numbers: of PyTorch for networks and losses (tools/make_counting_golden.py), of SciPy for density maps and of
//! NumPy for the metric (tools/make_golden.py).

use super::{tensor, values};
use candle_core::{Device, Tensor, Var};
use crowd_counting::{
    Counter, Counts, DensityConfig, Loss, LossConfig, Map, ModelConfig, People, Scale, Sign, density, game, spreads,
};
use data::Point;
use ops::{Kernels, Statistics};
use regularize::{Params, Role};
use safetensors::SafeTensors;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The file `name`: of `$WRS_BENCH_GOLDEN` where it has the file, else the committed copy.
fn read(name: &str) -> Vec<u8> {
    let other = std::env::var_os("WRS_BENCH_GOLDEN").map(|folder| Path::new(&folder).join(name));
    let path = other.filter(|path| path.exists()).unwrap_or_else(|| Path::new("tests/golden").join(name));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn cases(bytes: &[u8]) -> BTreeMap<String, Value> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let cases = metadata.metadata().clone().unwrap();
    cases.into_iter().map(|(case, settings)| (case, serde_json::from_str(&settings).unwrap())).collect()
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Tensor {
    let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let all = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    tensor(view.shape(), all)
}

/// In double precision.
fn doubles(file: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    view.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Within `share` of the largest value.
fn assert_close(what: &str, found: &Tensor, expected: &Tensor, share: f32) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let expected = values(expected);
    let scale = expected.iter().fold(1e-6f32, |most, value| most.max(value.abs()));
    for (i, (found, expected)) in values(found).iter().zip(&expected).enumerate() {
        let close = (found - expected).abs() <= share * scale;
        assert!(close, "{what}: value {i}: found {found}, torch has {expected}, the largest is {scale}");
    }
}

#[test]
fn golden_networks_equal_torch() {
    let bytes = read("networks.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let cases = cases(&bytes);
    let mut networks = 0;
    for ((case, settings), kernels) in
        cases.iter().flat_map(|case| [Kernels::available().next().unwrap(), Kernels::Portable].map(|k| (case, k)))
    {
        networks += 1;
        let config: ModelConfig = serde_json::from_value(settings["model"].clone()).unwrap();
        let params = Params::new(0, &Device::Cpu);
        let sign = if settings["positive"] == true { Sign::Positive } else { Sign::Any };
        let network = Counter::new(&params, 3, config, sign, settings["unit"].as_f64().unwrap()).unwrap();
        for parameter in params.all() {
            parameter.var.set(&floats(&file, &format!("{case}/start/{}", parameter.name))).unwrap();
        }
        kernels
            .scope(|| {
                let images = floats(&file, &format!("{case}/images"));
                let maps = network.forward(&images, Statistics::Batch).unwrap();
                let what = |part: &str| format!("{case} on {kernels:?}: {part}");
                let expected = |part: &str| floats(&file, &format!("{case}/{part}"));
                assert_close(&what("map"), &maps, &expected("map"), 1e-4);
                let loss = (maps - expected("target")).unwrap().sqr().unwrap().mean_all().unwrap();
                assert_close(&what("loss"), &loss.reshape(1).unwrap(), &expected("loss"), 1e-5);
                let gradients = ops::backward(&loss).unwrap();
                for parameter in params.all() {
                    let name = &parameter.name;
                    if matches!(parameter.role, Role::Buffer) {
                        assert_close(&what(name), &parameter.var, &expected(&format!("after/{name}")), 1e-4);
                    } else {
                        let gradient = gradients.get(&parameter.var).unwrap();
                        // Batch norm after batch norm over a few pixels: rounding grows on the way back.
                        assert_close(&what(name), gradient, &expected(&format!("gradient/{name}")), 2e-3);
                    }
                }
                let evaluated = network.forward(&images, Statistics::Running).unwrap();
                assert_close(&what("evaluated"), &evaluated, &expected("evaluated"), 1e-4);
            })
            .unwrap();
    }
    assert_eq!(networks, 8);
}

#[test]
fn golden_losses_equal_the_authors() {
    let bytes = read("losses.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let cases = cases(&bytes);
    for (case, settings) in &cases {
        let map = Var::from_tensor(&floats(&file, &format!("{case}/map")).unsqueeze(0).unwrap()).unwrap();
        let points: Vec<Point> = values(&floats(&file, &format!("{case}/points"))).as_chunks().0.to_vec();
        let stride = settings["stride"].as_u64().unwrap() as usize;
        let config: LossConfig = serde_json::from_value(settings["loss"].clone()).unwrap();
        // One person in the image on average, so that losses are as they are.
        let scale = Scale { cell: 1.0, pixel: 1.0 / (map.elem_count() * stride * stride) as f64 };
        let people = People { spreads: vec![0.0; points.len()], points };
        let loss = Loss::new(config, scale, stride).of(&map, &[people]).unwrap();
        let expected = |part: &str| floats(&file, &format!("{case}/{part}"));
        assert_close(&format!("{case}: value"), &loss.reshape(1).unwrap(), &expected("value"), 1e-5);
        let gradients = ops::backward(&loss).unwrap();
        let gradient = gradients.get(&map).unwrap().squeeze(0).unwrap();
        assert_close(&format!("{case}: gradient"), &gradient, &expected("gradient"), 1e-4);
    }
    assert_eq!(cases.len(), 13);
}

const SIZE: [usize; 2] = [96, 128];

/// The points of `counting.safetensors`, in single precision as data sets have them.
fn points(file: &SafeTensors<'_>) -> Vec<Point> {
    doubles(file, "points_xy").as_chunks::<2>().0.iter().map(|point| point.map(|value| value as f32)).collect()
}

/// Whether SciPy has the same at a pixel: no kernel reaches it that reaches beyond the image too, where SciPy loses some of a
/// person and we do not.
fn comparable([row, column]: [usize; 2], points: &[Point], spreads: &[f64]) -> bool {
    points.iter().zip(spreads).all(|(point, spread)| {
        let radius = (4.0 * spread + 0.5) as usize;
        let centre = [point[1] as usize, point[0] as usize];
        let inside = (0..2).all(|axis| centre[axis] >= radius && centre[axis] + radius < SIZE[axis]);
        inside || row.abs_diff(centre[0]) > radius || column.abs_diff(centre[1]) > radius
    })
}

#[test]
fn golden_density_maps_equal_scipy() {
    let bytes = read("counting.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let points = points(&file);
    let adaptive = DensityConfig::Adaptive { beta: 0.3, neighbours: 3, largest: 1000.0 };
    for (config, name) in [(DensityConfig::Fixed { sigma: 4.0 }, "density_fixed"), (adaptive, "density_adaptive")] {
        let spreads = spreads(&points, config, 1.0);
        let found = density(&points, &spreads, SIZE, 1);
        let mut compared = 0;
        for (index, (found, expected)) in found.values.iter().zip(doubles(&file, name)).enumerate() {
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
    let bytes = read("counting.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let metrics = &cases(&bytes)["metrics"];
    let close = |name: &str, found: f64, expected: &Value| {
        let expected = expected.as_f64().unwrap();
        assert!((found - expected).abs() < 1e-9, "{name}: found {found}, expected {expected}");
    };
    let map = |name: &str| Map { height: SIZE[0], width: SIZE[1], values: doubles(&file, name) };
    let (truth, estimate) = (map("density_fixed"), map("estimate"));
    for level in 0..4 {
        close(&format!("GAME {level}"), game(&truth, &estimate, level), &metrics["game"][level.to_string()]);
    }
    let mut counts = Counts::default();
    for (truth, estimate) in doubles(&file, "true_counts").into_iter().zip(doubles(&file, "estimated_counts")) {
        counts.observe(truth, estimate);
    }
    let summary = counts.summary();
    close("MAE", summary.mae.unwrap(), &metrics["mae"]);
    close("RMSE", summary.rmse.unwrap(), &metrics["rmse"]);
    close("NAE", summary.nae.unwrap(), &metrics["nae"]);
}
