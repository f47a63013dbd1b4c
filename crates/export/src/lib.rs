//! The records of a report for other tools.
//!
//! As tables, each a CSV or Parquet file: `runs`, a row a run; `epochs`, a row an evaluation; `norms`, a row a logged step;
//! `layers`, a row a layer at the last of them. As TensorBoard event files, a folder a setting and in it one a seed, with scalars
//! and hyper-parameters.

mod proto;
mod table;
mod tensorboard;
mod write;

pub use table::{Column, Table, Values, tables};
pub use tensorboard::{Name, events, framed, names};
pub use write::{csv, parquet};
