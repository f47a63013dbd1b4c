//! Lists of named things: what configurations, the command line, errors and pages know of them.

use crate::error::Error;
use crate::table::Table;
use settings::Mistake;

/// What a list says of one method or optimizer.
#[derive(Debug, Clone, Copy)]
pub struct Info<T> {
    /// Name in configurations.
    pub name: &'static str,
    /// One line.
    pub description: &'static str,
    /// The rule, in the notation of [`crate::methods`].
    pub formula: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Where its assumptions fail, or what to know before use.
    pub limits: &'static str,
    /// What keys may be instead of their default.
    pub choices: Choices,
    /// Reads its settings: the table without `name`.
    pub read: fn(Table) -> Result<T, Error>,
}

/// Keys, each with values as TOML writes them.
pub type Choices = &'static [(&'static str, &'static [&'static str])];

/// The entry `name` of `list`; a name that comes from code is in its list, which tests check.
pub(crate) fn info_of<T>(list: &'static [Info<T>], name: &str) -> &'static Info<T> {
    list.iter().find(|info| info.name == name).unwrap_or(&list[0])
}

/// Reads the settings in `rest` as the entry `name` of `list`.
pub(crate) fn read_named<T>(kind: &'static str, list: &[Info<T>], name: &str, rest: Table) -> Result<T, Error> {
    match list.iter().find(|info| info.name == name) {
        Some(info) => (info.read)(rest),
        None => {
            let known = list.iter().map(|info| info.name);
            Err(Error::settings(kind, Mistake::unknown("name", name, known)))
        }
    }
}
