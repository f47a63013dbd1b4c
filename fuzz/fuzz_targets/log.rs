//! Lines of `log.jsonl`.
#![no_main]

use record::LogLine;

libfuzzer_sys::fuzz_target!(|text: &str| {
    for line in text.lines() {
        if let Ok(line) = serde_json::from_str::<LogLine>(line) {
            let _ = serde_json::to_string(&line);
        }
    }
});
