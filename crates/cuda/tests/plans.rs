//! Plans for an H100 that is not there: cuDNN makes them from the device's properties.

use cuda::{Arithmetic, Choice, Conv, Direction, Plans, Properties, Target, Type};

/// Written by hand.
const H100: &str = include_str!("h100.json");
/// As cuDNN wrote it on one.
const H200: &str = include_str!("h200.json");

#[test]
fn cudnn_plans_for_a_device_that_is_not_there() {
    let properties = match Properties::from_json(H100) {
        Ok(properties) => properties,
        Err(error) => {
            eprintln!("skipped: {error}");
            return;
        }
    };
    let target = Target::Properties(&properties);
    let conv = Conv { n: 64, h: 32, w: 32, c: 64, k: 64, size: 3, stride: 1, padding: 1, dilation: 1 };
    let strided = Conv { k: 128, stride: 2, ..conv };
    for (conv, arithmetic) in [conv, strided]
        .into_iter()
        .flat_map(|conv| [Arithmetic::F32, Arithmetic::Tf32, Arithmetic::Bf16].map(|a| (conv, a)))
    {
        for direction in [Direction::Forward, Direction::Input, Direction::Weight] {
            let name = format!("{conv} {} {}", arithmetic.name(), direction.name());
            let candidates = conv.candidates(arithmetic, direction, target).unwrap();
            assert!(candidates.iter().all(|candidate| candidate.serves(arithmetic)), "{name}");
            let built = candidates.iter().take(4).any(|candidate| {
                let choice = Choice { engine: candidate.engine, knobs: candidate.knobs.clone() };
                conv.plan(arithmetic, direction, target, &choice).is_ok()
            });
            assert!(built, "{name}: {} candidates", candidates.len());
            let tensor_cores = candidates.iter().any(cuda::Candidate::tensor_cores);
            assert_eq!(tensor_cores, arithmetic != Arithmetic::F32, "{name}");
        }
    }
}

#[test]
fn plans_of_the_table_can_be_made() {
    let Ok(version) = cuda::cudnn_version() else {
        eprintln!("skipped: cuDNN is not installed");
        return;
    };
    let plans = Plans::measured(version, 90).unwrap();
    if plans.is_empty() {
        eprintln!("skipped: no table for cuDNN {version}");
        return;
    }
    let properties = Properties::from_json(H200).unwrap();
    let (mut made, mut failed) = (0, Vec::new());
    // Each takes some milliseconds.
    for (conv, arithmetic, direction, choice) in plans.iter().step_by(40) {
        match conv.plan(arithmetic, direction, Target::Properties(&properties), choice) {
            Ok(_) => made += 1,
            Err(error) => failed.push(format!("{conv} {} {}: {error}", arithmetic.name(), direction.name())),
        }
    }
    // Engines that compile at run time cannot be planned without a driver.
    let most = if cuda::Device::driver_is_installed() { 0 } else { made / 4 };
    assert!(failed.len() <= most, "{made} plans, and {failed:#?}");
}

/// The networks that were measured have plans, forwards and backwards.
#[test]
fn the_table_covers_resnet_18() {
    let plans = Plans::measured(91_900, 90).unwrap();
    let conv = |h: usize, c: usize, k: usize, size: usize, stride: usize| {
        let padding = size / 2;
        [64, 128, 512].map(|n| Conv { n, h, w: h, c, k, size, stride, padding, dilation: 1 })
    };
    let convs = [conv(32, 64, 64, 3, 1), conv(32, 64, 128, 3, 2), conv(32, 64, 128, 1, 2), conv(4, 512, 512, 3, 1)];
    for conv in convs.as_flattened() {
        for arithmetic in [Arithmetic::F32, Arithmetic::Tf32, Arithmetic::Bf16] {
            for direction in [Direction::Forward, Direction::Input, Direction::Weight] {
                let name = format!("{conv} {} {}", arithmetic.name(), direction.name());
                assert!(plans.get(conv, arithmetic, direction).is_some(), "{name}");
            }
        }
    }
}

#[test]
fn kernels_compile_for_an_h100() {
    for maps in [Type::F32, Type::Bf16] {
        match cuda::Compute::compile(90, maps) {
            Ok(compute) => assert!(cuda::NAMES.iter().all(|name| compute.ptx().contains(&format!(".entry {name}(")))),
            Err(cuda::Error::Missing { .. }) => {
                eprintln!("skipped: NVRTC is not installed");
                return;
            }
            Err(error) => unreachable!("{error}"),
        }
    }
}

#[test]
fn a_machine_without_a_driver_says_so() {
    if cuda::Device::driver_is_installed() {
        return;
    }
    let error = cuda::Device::open(0).err().unwrap().to_string();
    assert_eq!(error, "libcuda.so.1 was not found: install NVIDIA's driver, or train with `--device cpu`");
}
