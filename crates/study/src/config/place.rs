//! Where in the text of a configuration something stands.

use super::{Config, ConfigError, Selection, names_another};
use serde_json::Value;
use settings::Mistake;
use toml::de::{DeTable, DeValue};

impl Config {
    /// Where a mistake in `section` of method `method` comes from, as `file:line`: at the dotted `key` of the section,
    /// where the value that counts stands, else at the section; `--set <key>` where `selection` sets that key.
    pub fn locate(&self, section: &str, method: usize, selection: &Selection, key: Option<&str>) -> String {
        let (file, index) = (self.path.display(), method.to_string());
        let (own, quick) = (["method", index.as_str(), "optimizer"], ["quick", section]);
        let replaced = match self.form.method.get(method).and_then(|method| method.get("optimizer")) {
            Some(Value::Object(table)) => section == "optimizer" && names_another(table, &self.form.optimizer),
            _ => false,
        };
        let mut tables: Vec<&[&str]> = if selection.quick && !replaced { vec![&quick] } else { Vec::new() };
        tables.extend(match section {
            "method" => vec![&own[..2]],
            "optimizer" if replaced => vec![&own[..]],
            "optimizer" => vec![&own[..], &["optimizer"]],
            _ => vec![std::slice::from_ref(&section)],
        });
        if let Some(key) = key {
            let dotted = format!("{section}.{key}");
            if selection.set.iter().any(|(set, _)| *set == dotted) {
                return format!("--set {dotted}");
            }
            let searched = ["method", index.as_str(), "search", dotted.as_str()];
            let searched = (!selection.quick).then(|| self.find(&searched)).flatten();
            let first = key.split('.').next().unwrap_or(key);
            let tables = || tables.iter().find_map(|table| self.find(&[table, &[first][..]].concat()));
            if let Some(start) = searched.or_else(tables) {
                return format!("{file}:{}", self.line_at(start));
            }
        }
        // Where no key is named it is the optimizer that is wrong: at the table that names it.
        let named = tables.iter().find(|table| self.find(&[table, &["name"][..]].concat()).is_some());
        let table = named.or(tables.last()).copied().unwrap_or_default();
        format!("{file}:{}", self.line(table))
    }

    /// The error that `mistake` is at what `path` leads to.
    pub(super) fn error(&self, path: &[&str], mistake: Mistake) -> ConfigError {
        self.error_at(self.line(path), mistake)
    }

    pub(super) fn error_at(&self, line: usize, mistake: Mistake) -> ConfigError {
        ConfigError::Setting { path: self.path.clone(), line, mistake }
    }

    /// The line of what `path` leads to, or of as much of it as there is.
    fn line(&self, path: &[&str]) -> usize {
        let start = (1..=path.len()).rev().find_map(|length| self.find(&path[..length]));
        self.line_at(start.unwrap_or(0))
    }

    pub(super) fn line_at(&self, start: usize) -> usize {
        self.text.get(..start).map_or(1, |before| before.matches('\n').count() + 1)
    }

    /// Where in the text `path` leads to, given as keys and, in lists, indices.
    fn find(&self, path: &[&str]) -> Option<usize> {
        let document = DeTable::parse(&self.text).ok()?;
        let (first, rest) = path.split_first()?;
        let (name, mut value) = document.get_ref().iter().find(|(name, _)| name.get_ref() == first)?;
        let mut start = name.span().start;
        for step in rest {
            (start, value) = match value.get_ref() {
                DeValue::Table(table) => {
                    let (name, value) = table.iter().find(|(name, _)| name.get_ref() == step)?;
                    (name.span().start, value)
                }
                DeValue::Array(list) => {
                    let value = list.get(step.parse::<usize>().ok()?)?;
                    (value.span().start, value)
                }
                _ => return None,
            };
        }
        Some(start)
    }
}
