//! Annotations of COCO.
#![no_main]

libfuzzer_sys::fuzz_target!(|json: &[u8]| {
    if let Ok(instances) = import::coco::parse(json) {
        let _ = instances.classes();
    }
});
