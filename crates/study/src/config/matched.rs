//! Learning rates that are matched to weight decay's.

use super::{Config, ConfigError};
use crate::tuning::Search;
use record::Spec;
use serde_json::Value;
use settings::Mistake;

/// The learning rate of a `[[method]]` that is matched to weight decay.
const MATCHED: &str = "matched";
/// What stands in for it until it is known.
const STAND_IN: f64 = 1e-3;

impl Config {
    /// Whether the learning rate of method `index` is [`MATCHED`]; then `spec` has one that stands in for it.
    pub(super) fn is_matched(&self, index: usize, spec: &mut Spec, search: &Search) -> Result<bool, ConfigError> {
        if spec.optimizer.get("lr").and_then(Value::as_str) != Some(MATCHED) {
            return Ok(false);
        }
        let word = |key: &str, default: &str| spec.method.get(key).is_none_or(|value| value == default);
        let is_unit = word("target", "unit") && word("granularity", "filter");
        if spec.method.get("name").is_none_or(|name| name != "wrs") || !is_unit || !search.is_empty() {
            let expected = "`wrs` with filters of norm 1, for which nothing is searched, where `lr` is matched";
            let mistake = Mistake::of_all(expected, "another method, or a `search`, `target` or `granularity`");
            let mistake = mistake.with_hint("remove what is too much, or give a number as `lr`");
            return Err(self.error(&["method", &index.to_string()], mistake));
        }
        spec.optimizer.insert("lr".into(), STAND_IN.into());
        Ok(true)
    }
}
