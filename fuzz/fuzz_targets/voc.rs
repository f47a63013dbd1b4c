//! Annotations of Pascal VOC, and its lists of images.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = import::voc::parse(text);
    let _ = import::voc::parse_list(text);
});
