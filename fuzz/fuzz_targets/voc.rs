//! Annotations of Pascal VOC, and its lists of images.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = formats::voc::parse(text);
    let _ = formats::voc::parse_list(text);
});
