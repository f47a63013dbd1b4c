//! What a run is: a [`Spec`], and the [`RunId`] that is its content's address.

use files::hex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;

/// A table of settings whose keys belong to whoever reads it: the task, the optimizer, the method.
pub type Table = Map<String, Value>;

/// Everything that decides the result of one training run.
///
/// Two specs that are equal after defaults are filled in are the same run. What does not change
/// the result (threads, folders, progress bars) is not here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The task's own settings (`[task]`), for example the model. Read by the task.
    pub task: Table,
    /// Name of the data set: `datasets/<name>.toml`.
    pub dataset: String,
    /// Seed of initial weights, data order and augmentation.
    pub seed: u64,
    /// The engine that computes, and the length of training (`[train]`). Read by the training loop.
    pub train: Table,
    /// The base optimizer (`[optimizer]`): `name` and its settings. Read by `regularize`.
    pub optimizer: Table,
    /// The learning-rate schedule (`[schedule]`): `name` and its settings. Read by `regularize`.
    pub schedule: Table,
    /// The method under comparison (`[[method]]`): `name` and its settings. Read by `regularize`.
    pub method: Table,
    /// Weight decay of the parameters that are not scale-invariant, the same for every method.
    pub rest_decay: f64,
}

/// The address of a run: the first 16 hexadecimal digits of a SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// The id of `spec`, given with all defaults filled in, when trained by version `task_version`
    /// of `task` on the data whose digest is `dataset_digest`.
    pub fn new(task: &str, task_version: u32, dataset_digest: &str, spec: &Spec) -> Self {
        Self::of_canonical(task, task_version, dataset_digest, &canonical(spec))
    }

    /// [`RunId::new`] of a spec that is given in its canonical form: JSON with sorted keys and no spaces.
    pub(crate) fn of_canonical(task: &str, task_version: u32, dataset_digest: &str, spec: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [task, &task_version.to_string(), dataset_digest, spec] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Self(hex(&hash.finalize()[..8]))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The canonical form of a spec, which its id is the hash of.
pub(crate) fn canonical(spec: &Spec) -> String {
    // A spec is plain data with string keys, which always has a JSON form.
    canonical_json(&serde_json::to_value(spec).unwrap_or_default())
}

/// JSON with sorted keys and no spaces, whatever map type serde_json was built with.
pub fn canonical_json(value: &Value) -> String {
    fn write(value: &Value, out: &mut String) {
        match value {
            Value::Object(map) => {
                let mut keys: Vec<&String> = map.keys().collect();
                keys.sort();
                out.push('{');
                for (i, key) in keys.into_iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    out.push_str(&Value::from(key.as_str()).to_string());
                    out.push(':');
                    write(&map[key], out);
                }
                out.push('}');
            }
            Value::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write(item, out);
                }
                out.push(']');
            }
            other => out.push_str(&other.to_string()),
        }
    }
    let mut out = String::new();
    write(value, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> Spec {
        serde_json::from_value(json!({
            "task": {"model": "resnet", "depth": 8}, "dataset": "d", "seed": 3, "train": {"epochs": 2},
            "optimizer": {"name": "sgd", "lr": 0.1}, "schedule": {"name": "cosine"},
            "method": {"name": "none"}, "rest_decay": 5e-4
        }))
        .unwrap()
    }

    #[test]
    fn the_id_is_the_content() {
        let id = RunId::new("classification", 1, "abc", &spec());
        assert_eq!(id, RunId::new("classification", 1, "abc", &spec()));
        assert_eq!(id.as_str().len(), 16);
        let mut other = spec();
        other.optimizer.insert("lr".into(), json!(0.2));
        for different in [
            RunId::new("classification", 1, "abc", &other),
            RunId::new("classification", 2, "abc", &spec()),
            RunId::new("detection", 1, "abc", &spec()),
            RunId::new("classification", 1, "abd", &spec()),
        ] {
            assert_ne!(id, different);
        }
    }

    #[test]
    fn the_canonical_form_is_sorted() {
        assert_eq!(
            canonical(&spec()),
            r#"{"dataset":"d","method":{"name":"none"},"optimizer":{"lr":0.1,"name":"sgd"},"rest_decay":0.0005,"schedule":{"name":"cosine"},"seed":3,"task":{"depth":8,"model":"resnet"},"train":{"epochs":2}}"#
        );
    }
}
