//! PNG files of class indices.
#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    if let Ok((height, width, classes)) = data::decode::mask(file) {
        assert_eq!(classes.len(), height * width);
    }
});
