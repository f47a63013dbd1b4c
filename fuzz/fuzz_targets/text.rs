//! Text files in any encoding, and what any file is called.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = data::text::decode(bytes);
    let _ = data::text::decode_xml(bytes);
    assert!(!data::kind::found(bytes).is_empty());
});
