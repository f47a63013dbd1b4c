//! Lists of named things: what configurations, the command line, errors and pages know of them.

use crate::base::{Base, OPTIMIZERS};
use crate::error::Error;
use crate::method::METHODS;
use crate::settings::Table;
use serde_json::{Value, json};

/// What a list says of one method or optimizer.
#[derive(Debug, Clone, Copy)]
pub struct Info<T> {
    /// Name in configurations.
    pub name: &'static str,
    /// One line.
    pub description: &'static str,
    /// The rule.
    pub formula: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Where its assumptions fail, or what to know before use.
    pub limits: &'static str,
    pub(crate) read: fn(Table) -> Result<T, Error>,
}

/// The entry `name` of `list`; a name that comes from code is in its list, which tests check.
pub(crate) fn info_of<T>(list: &'static [Info<T>], name: &str) -> &'static Info<T> {
    list.iter().find(|info| info.name == name).unwrap_or(&list[0])
}

/// Reads the settings in `rest` as the entry `name` of `list`.
pub(crate) fn read_named<T>(kind: &'static str, list: &[Info<T>], name: &str, rest: Table) -> Result<T, Error> {
    match list.iter().find(|info| info.name == name) {
        Some(info) => (info.read)(rest),
        None => {
            let known = list.iter().map(|info| info.name).collect();
            Err(Error::Unknown { kind, name: name.into(), known })
        }
    }
}

/// All methods and optimizers as JSON: `{"methods": […], "optimizers": […]}`, each with name, description,
/// formula, source, limits and a table of defaults.
///
/// # Errors
///
/// None in practice: where a list holds an entry that cannot be read without settings.
pub fn catalogue() -> Result<Value, Error> {
    fn entries<T>(list: &[Info<T>], table: impl Fn(T) -> Table) -> Result<Value, Error> {
        let entry = |info: &Info<T>| {
            let mut defaults = table((info.read)(Table::new())?);
            defaults.remove("name");
            let Info { name, description, formula, source, limits, .. } = info;
            Ok(json!({
                "name": name, "description": description, "formula": formula, "source": source,
                "limits": limits, "defaults": defaults,
            }))
        };
        list.iter().map(entry).collect()
    }
    Ok(json!({
        "methods": entries(METHODS, |method| method.to_table())?,
        "optimizers": entries(OPTIMIZERS, |rule| Base::from(rule).to_table())?,
    }))
}
