//! Settings as tables: a `name`, and the keys that the named thing reads.

use crate::error::Error;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use settings::Mistake;

/// A table of settings, as it stands in a configuration file.
pub type Table = Map<String, Value>;

/// The `name` in `table`, and the other keys.
pub(crate) fn name(kind: &'static str, table: &Table) -> Result<(String, Table), Error> {
    let mut rest = table.clone();
    match rest.remove("name") {
        Some(Value::String(name)) => Ok((name, rest)),
        Some(other) => Err(Error::settings(kind, Mistake::new("name", "a text", other))),
        None => Err(Error::settings(kind, Mistake::of_all("a key `name`", "none"))),
    }
}

/// Reads a `T` from the keys of `table`.
pub(crate) fn read<T: DeserializeOwned>(kind: &str, name: &str, table: Table) -> Result<T, Error> {
    settings::read(table).map_err(|mistake| Error::settings(format!("{kind} `{name}`"), mistake))
}

/// The table of `settings` under `name`, with every default filled in.
pub(crate) fn write(name: &str, settings: &impl Serialize) -> Table {
    let mut table = Table::from_iter([("name".to_owned(), Value::from(name))]);
    // Settings are plain structs of numbers, texts and flags, which always have a JSON form.
    if let Ok(Value::Object(keys)) = serde_json::to_value(settings) {
        table.extend(keys);
    }
    table
}

/// Settings of something that has none: any key is an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoSettings {}
