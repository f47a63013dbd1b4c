//! `datasets/<name>.toml`, and the lock beside it.
#![no_main]

use data::{Lock, Manifest};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = Manifest::parse(text);
    let _ = Lock::parse(text);
});
