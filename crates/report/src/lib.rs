//! The page of a comparison, made from its entries and nothing else: tables, figures, text. No tensors.

mod appendix;
mod conditions;
mod difference;
mod evidence;
mod figures;
#[cfg(test)]
#[path = "../../study/src/fixture.rs"]
mod fixture;
mod html;
mod overview;
mod page;
mod pictures;
mod ranking;
mod search;
mod section;
mod setup;
mod summary;
mod table;
mod words;

pub use difference::difference;
pub use figures::is_figure;
pub use html::html;
pub use overview::{Overview, overview, results};
pub use page::splice;
pub use pictures::{is_sheet, pictured, sheet};
pub use table::Table;

use files::hex;
use plot::Drawing;
use ranking::Ranking;
use record::Entry;
use section::Section;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use study::{Comparison, Protocol};

/// What is wrong with a report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// There is nothing to report on.
    #[error(
        "expected at least one record to report on in `{name}`, found none\n  \
         hint: train some runs with `cargo xtask bench {name}`"
    )]
    Empty {
        /// Name of the report.
        name: String,
    },
    /// A page's markers do not enclose what is generated.
    #[error("{name}.md, line {line}: {problem}")]
    Marker {
        /// Name of the report.
        name: String,
        /// Line of the page, from 1.
        line: usize,
        /// What was expected, what was found and what to do.
        problem: String,
    },
    /// A page shows an image that cannot be a part of an HTML page.
    #[error("{name}.md: {problem}")]
    Image {
        /// Name of the report.
        name: String,
        /// What was expected, what was found and what to do.
        problem: String,
    },
}

/// The generated parts of a page, in markdown, and its figures. The same bytes for the same
/// entries in any order.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// Name of the report: the page's file is `<name>.md`.
    pub name: String,
    /// Title of a new page.
    pub title: String,
    /// What a reader runs to make it again; the page's markers show it.
    pub command: String,
    /// The answer, the differences and the table.
    pub summary: String,
    /// Data, model, training and methods.
    pub setup: String,
    /// What the numbers do not show.
    pub limits: String,
    /// The other figures, every setting and run, cost, norms and provenance.
    pub appendix: String,
    /// SVG by file name, for the folder `figures` beside the page.
    pub figures: BTreeMap<String, String>,
    /// What they show, by what their names begin with, for [`html`].
    pub drawings: BTreeMap<String, Drawing>,
    /// The tables of the generated parts, by their markdown, for [`html`].
    pub tables: BTreeMap<String, Table>,
    /// The [`sheet`] that the page shows, of those that there are.
    pub sheet: Option<String>,
}

/// The report called `name`, a file's stem such as `classification`, on the largest comparison in
/// `entries`; what is left out is said on the page. `command` is what a reader runs to make it
/// again; `sheets` are the files in the folder `figures` that are a [`sheet`] of this report.
pub fn render(
    name: &str,
    command: &str,
    entries: &[Entry],
    protocol: &Protocol,
    sheets: &[String],
) -> Result<Rendered, ReportError> {
    let empty = || ReportError::Empty { name: name.to_owned() };
    let comparison = Comparison::of(entries, protocol).ok_or_else(empty)?;
    let ranking = Ranking::of(&comparison, protocol);
    let pictures = pictures::embed(name, &ranking, sheets);
    let (sheet, pictures) = pictures.unzip();
    let drawings = figures::draw(name, &ranking);
    let summary = summary::render(name, &ranking, pictures);
    let setup = setup::setup(&ranking);
    let appendix = appendix::render(name, &ranking, &digest(entries));
    let tables = [&summary, &setup, &appendix].into_iter().flat_map(Section::tables);
    Ok(Rendered {
        name: name.to_owned(),
        title: comparison
            .entries
            .first()
            .and_then(|entry| entry.record.about.title.clone())
            .unwrap_or_else(|| page::title(name)),
        command: command.to_owned(),
        summary: summary.markdown(),
        setup: setup.markdown(),
        limits: setup::limits(&ranking),
        appendix: appendix.markdown(),
        figures: drawings.iter().flat_map(|(stem, drawing)| figures::files(stem, drawing)).collect(),
        drawings,
        tables: tables.map(|table| (table.markdown(), table.clone())).collect(),
        sheet,
    })
}

/// SHA-256 over `entries`, whatever their order and however often one is there.
fn digest(entries: &[Entry]) -> String {
    // An entry is plain data with string keys, which always has a JSON form.
    let hash = |entry: &Entry| Sha256::digest(serde_json::to_vec(entry).unwrap_or_default());
    let hashes: BTreeSet<_> = entries.iter().map(hash).collect();
    hex(&hashes.into_iter().fold(Sha256::new(), Sha256::chain_update).finalize())
}

/// The table of the same report as aligned plain text, with the notes on how to read it;
/// one line that says so where there are no entries.
pub fn table(entries: &[Entry], protocol: &Protocol) -> String {
    let Some(comparison) = Comparison::of(entries, protocol) else {
        return "no records\n".to_owned();
    };
    let ranking = Ranking::of(&comparison, protocol);
    let notes: Vec<String> = summary::notes(&ranking).iter().map(|note| words::unmarked(note)).collect();
    format!("{}\n{}\n", ranking.table().plain(), summary::bullets(&notes))
}
