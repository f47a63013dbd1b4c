//! What there is, where something else was asked for.

use std::fmt;
use std::path::PathBuf;

/// The names of the data sets that exist, the nearest to what was asked for first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// All names.
    pub names: Vec<String>,
    /// Whether the first is near enough to be meant.
    pub near: bool,
}

impl Known {
    pub(crate) fn nearest_first(name: &str, mut names: Vec<String>) -> Self {
        let likeness = |known: &str| strsim::jaro_winkler(name, known);
        names.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)).then_with(|| a.cmp(b)));
        let near = names.first().is_some_and(|first| likeness(first) > 0.75);
        Self { names, near }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names.first() {
            None => f.write_str("; there are no manifests at all (datasets/<name>.toml)"),
            Some(first) => {
                if self.near {
                    write!(f, "; did you mean {first:?}?")?;
                }
                write!(f, "\n  known data sets: {}", self.names.join(", "))
            }
        }
    }
}

/// Folders, one on each line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places(pub Vec<PathBuf>);

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in &self.0 {
            let state = if place.is_dir() { "" } else { " (no such folder)" };
            write!(f, "\n    {}{state}", place.display())?;
        }
        Ok(())
    }
}
