//! What a comparison is made of, from the question to the page: specs and their ids, records, the
//! store of runs, statistics, tables and figures. No tensors, so the runner builds in seconds.

mod agreement;
mod altered;
mod choice;
pub mod commit;
mod config;
mod difference;
pub mod digest;
mod entries;
mod finite;
#[cfg(test)]
mod fixture;
pub mod fs;
mod lock;
mod plot;
mod protocol;
mod report;
mod run;
mod sample;
mod spec;
pub mod statistics;
mod store;
mod study;
mod table;
mod tuning;

pub use agreement::{Disagreement, disagreements, log_disagreement};
pub use altered::{address, alteration};
pub use choice::{Edge, chosen, describe, edges};
pub use config::{Config, ConfigError, Grid, GridPoint, Selection, did_you_mean};
pub use difference::difference;
pub use entries::{Conflict, EntriesError, entries_to_jsonl, merge_entries, read_entries, read_lines};
pub use lock::RunLock;
pub use protocol::{Protocol, ProtocolError};
pub use report::{
    Overview, Rendered, ReportError, html, is_figure, is_sheet, overview, pictured, render, results, sheet, splice,
    table,
};
pub use run::*;
pub use sample::sample;
pub use spec::{RunId, Spec, Table, hex};
pub use store::{RunFolder, State, StoreError};
pub use study::{Study, UnequalBudgets};
pub use table::plain;
pub use tuning::{Rung, Tuning};
