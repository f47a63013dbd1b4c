//! A line of `reports/records/<name>.jsonl`, a record with its test scores, and the table that it makes.
#![no_main]

use record::Entry;
use study::Protocol;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    if let Ok(entry) = serde_json::from_slice::<Entry>(text) {
        let _ = record::entries_to_jsonl(std::slice::from_ref(&entry));
        let _ = report::table(&[entry], &Protocol::default());
    }
});
