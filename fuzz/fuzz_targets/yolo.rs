//! Labels of YOLO, and its list of classes.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = formats::yolo::parse_labels(text);
    let _ = formats::yolo::parse_yaml(text);
});
