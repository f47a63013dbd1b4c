//! `configs/<task>/<name>.toml`, and the settings that it asks for.
#![no_main]

use study::{Config, Selection};
use std::path::Path;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(config) = Config::parse(Path::new("configs/task/default.toml"), text.to_owned()) {
        for quick in [false, true] {
            let _ = config.grid(&Selection { quick, ..Selection::default() });
        }
    }
});
