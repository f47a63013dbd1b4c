//! Annotations and results of COCO.
#![no_main]

libfuzzer_sys::fuzz_target!(|json: &[u8]| {
    let _ = data::coco::instances(json);
    let _ = data::coco::detections(json);
});
