//! Plans for an H100 that is not there: cuDNN makes them from the device's properties.

use cuda::{Arithmetic, Choice, Conv, Direction, Properties, Target, Type};

const H100: &str = include_str!("h100.json");

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
