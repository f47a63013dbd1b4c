//! The page of a comparison, made from its entries and nothing else.

use crate::run::Entry;
use std::collections::BTreeMap;

/// What is wrong with a report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// There is nothing to report on.
    #[error("expected at least one record to report on in `{name}`, found none\n  hint: train some runs with `cargo xtask bench {name}`")]
    Empty {
        /// Name of the report.
        name: String,
    },
    /// A page's markers do not enclose what is generated.
    #[error("{name}.md, {place}: {problem}")]
    Marker {
        /// Name of the report.
        name: String,
        /// Line of the page, or the page as a whole.
        place: String,
        /// What was expected, what was found and what to do.
        problem: String,
    },
}

/// The generated parts of a page, in markdown, and its figures. The same bytes for the same
/// entries in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The answer, the table and the figures.
    pub summary: String,
    /// Data, model and training: what was equal for all.
    pub setup: String,
    /// What the numbers do not show.
    pub limits: String,
    /// Every setting and run, norms, cost and provenance.
    pub appendix: String,
    /// SVG by file name, for the folder `figures` beside the page.
    pub figures: BTreeMap<String, String>,
}

/// The report called `name` (a file's stem such as `classification`) on `entries`; `command` is
/// what a reader runs to make it again.
pub fn render(name: &str, command: &str, entries: &[Entry]) -> Result<Rendered, ReportError> {
    let _ = (command, entries);
    Err(ReportError::Empty { name: name.to_owned() })
}

/// The page with the parts of `rendered` between their markers, all else as in `page`; the whole
/// page where there is none yet.
pub fn splice(page: Option<&str>, name: &str, command: &str, rendered: &Rendered) -> Result<String, ReportError> {
    let _ = (page, command, rendered);
    Err(ReportError::Empty { name: name.to_owned() })
}

/// The main columns as aligned plain text, for a terminal.
pub fn table(entries: &[Entry]) -> String {
    let _ = entries;
    String::new()
}
