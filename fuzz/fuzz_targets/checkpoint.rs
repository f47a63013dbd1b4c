//! `runs/<id>/checkpoint`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = train::checkpoint_step(bytes.to_vec());
});
