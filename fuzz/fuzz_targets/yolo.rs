//! Labels of YOLO, and its list of classes.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = import::yolo::parse_labels(text);
    let _ = import::yolo::parse_yaml(text);
});
