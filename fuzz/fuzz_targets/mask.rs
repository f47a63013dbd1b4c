//! PNG files of class indices.
#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    if let Ok(mask) = data::decode::mask(file) {
        assert_eq!(mask.pixels.len(), mask.height * mask.width * mask.channels);
    }
});
