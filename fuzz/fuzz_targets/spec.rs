//! `spec.json`, and the id that it has.
#![no_main]

use record::{RunId, Spec};

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    if let Ok(spec) = serde_json::from_slice::<Spec>(text) {
        let id = RunId::new("task", 1, "digest", &spec);
        let written = serde_json::to_vec(&spec).unwrap_or_default();
        let again: Spec = serde_json::from_slice(&written).unwrap_or_else(|error| panic!("written, but not read: {error}"));
        assert_eq!(id, RunId::new("task", 1, "digest", &again));
    }
});
