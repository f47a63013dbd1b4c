//! MATLAB files of level 5, and what crowd counting takes of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let _ = import::mat::parse(file);
    let _ = import::crowd::shanghaitech(file);
    let _ = import::crowd::ucf_qnrf(file);
});
