//! The binary files of CIFAR, and IDX files, packed or not.
#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let unpacked = formats::archive::gunzip(file);
    for file in [Some(file), unpacked.as_deref().ok()].into_iter().flatten() {
        for labels in [1, 2] {
            let _ = formats::cifar::parse(file, labels);
        }
        for dimensions in [1, 3] {
            let _ = formats::idx::parse(file, dimensions);
        }
    }
});
