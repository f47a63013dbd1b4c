//! What a report must know of a comparison beyond its records.
//!
//! It is stored next to the records, in `reports/records/<name>.json`. Without it, the seeds that most settings have
//! count as those of the search.

use files::{FileError, read_text_if_present};
use record::{Entry, RunId, Spec, canonical_json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How a comparison was made: a file beside its records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Seeds on which settings are tried. Validation on them chooses.
    pub search: BTreeSet<u64>,
    /// Seeds on which chosen settings are trained and tested.
    pub seeds: BTreeSet<u64>,
    /// The largest difference of headline scores that does not matter, in the table's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Runs whose learning rate was not searched, but matched to the effective rate of weight decay.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub matched: BTreeSet<RunId>,
}

/// What is wrong with the file of a protocol.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no protocol.
    #[error(
        "{}: expected the seeds of search and result as JSON, found: {problem}\n  \
         hint: restore the file from version control, or write it anew with `cargo xtask bench`",
        path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What the parser saw.
        problem: String,
    },
}

impl Protocol {
    /// The file that belongs to the file of `records`.
    pub fn path(records: &Path) -> PathBuf {
        records.with_extension("json")
    }

    /// The protocol of the file of `records`; `None` where it has none.
    pub fn read(records: &Path) -> Result<Option<Self>, ProtocolError> {
        let path = Self::path(records);
        let Some(text) = read_text_if_present(&path)? else { return Ok(None) };
        let problem = |error: serde_json::Error| ProtocolError::Content { path, problem: error.to_string() };
        serde_json::from_str(&text).map(Some).map_err(problem)
    }

    /// The text of its file.
    pub fn to_json(&self) -> String {
        // Numbers and texts in lists always have a JSON form.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// What `entries` tell by themselves: the search has the seeds that most settings have, and the result has the others.
    /// Where all settings have all seeds, these are both.
    pub fn inferred(entries: &[Entry]) -> Self {
        let [search, others] = shared_seeds(entries);
        let seeds = if others.is_empty() { search.clone() } else { others };
        Self { search, seeds, margin: None, matched: BTreeSet::new() }
    }

    /// This protocol of a part of a comparison, with what `old` says of the rest.
    pub fn merged(mut self, old: Self) -> Self {
        self.search.extend(old.search);
        self.seeds.extend(old.seeds);
        self.matched.extend(old.matched);
        self.margin = self.margin.or(old.margin);
        self
    }
}

/// The seeds that most settings of `entries` have, and the others.
fn shared_seeds(entries: &[Entry]) -> [BTreeSet<u64>; 2] {
    let mut settings: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for Spec { optimizer, method, seed, .. } in entries.iter().map(|entry| &entry.record.spec) {
        let setting = canonical_json(&Value::from(vec![optimizer.clone(), method.clone()]));
        settings.entry(*seed).or_default().insert(setting);
    }
    let most = settings.values().map(BTreeSet::len).max();
    let (shared, others): (Vec<_>, Vec<_>) =
        settings.into_iter().partition(|(_, settings)| Some(settings.len()) == most);
    [shared, others].map(|seeds| seeds.into_iter().map(|(seed, _)| seed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_protocol_is_a_file_beside_the_records() {
        let folder = tempfile::tempdir().unwrap();
        let records = folder.path().join("c.jsonl");
        assert_eq!(Protocol::read(&records).unwrap(), None);
        let entries = fixture::entries();
        let protocol =
            Protocol { margin: Some(0.5), matched: [entries[0].record.id.clone()].into(), ..fixture::protocol() };
        files::write_atomic(&Protocol::path(&records), protocol.to_json().as_bytes()).unwrap();
        assert_eq!(Protocol::read(&records).unwrap(), Some(protocol.clone()));
        let part = Protocol { seeds: [7].into(), ..Protocol::default() };
        let seeds = protocol.seeds.iter().copied().chain([7]).collect();
        assert_eq!(part.merged(protocol.clone()), Protocol { seeds, ..protocol });
        files::write_atomic(&Protocol::path(&records), b"[]").unwrap();
        let error = Protocol::read(&records).unwrap_err().to_string();
        assert!(error.contains("c.json: expected the seeds of search and result as JSON, found: "), "{error}");
    }

    #[test]
    fn records_tell_search_and_result_apart() {
        assert_eq!(Protocol::inferred(&fixture::entries()), Protocol { margin: None, ..fixture::protocol() });
        let families = fixture::families();
        let all: BTreeSet<u64> = [0, 1, 2].into();
        let inferred = Protocol::inferred(&families);
        assert_eq!((inferred.search, inferred.seeds), (all.clone(), all));
    }
}
