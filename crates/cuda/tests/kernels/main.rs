//! All kernels against plain arithmetic in f64: in an emulator of thread blocks that a C++ compiler builds, or on a device.

#![allow(unsafe_code, reason = "kernels are functions of a C library")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "files of a temporary folder")]

mod loss;
mod machine;
mod maps;
mod norm;
mod pool;
mod step;

/// Every kernel is run by a test of this binary; names of kernels are those of the source.
#[test]
fn names_are_those_of_the_source() {
    let source = cuda::source();
    let name = |text: &'static str| {
        let bounded = text.strip_prefix("__launch_bounds__(").and_then(|text| text.split_once(") "));
        bounded.map_or(text, |(_, text)| text).split('(').next().unwrap_or(text)
    };
    let source: &'static str = source.leak();
    let mut names: Vec<_> = source.split("extern \"C\" __global__ void ").skip(1).map(name).collect();
    names.sort_unstable();
    assert_eq!(names, cuda::NAMES);
}
