//! MATLAB files of level 5, and what crowd counting takes of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let _ = formats::mat::parse(file);
    let _ = formats::crowd::shanghaitech(file);
    let _ = formats::crowd::ucf_qnrf(file);
});
