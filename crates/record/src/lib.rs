//! What is kept of a run: its spec and the id that is the hash of it, the folder that it is trained in, and its record.
//! No tensors.

mod agreement;
mod altered;
pub mod commit;
pub mod digest;
mod entries;
#[cfg(test)]
#[allow(dead_code, reason = "`study` and `report` test with it, too")]
mod fixture;
mod lock;
mod run;
mod spec;
mod store;

// The fixture names this crate as those of `study` and `report` do.
#[cfg(test)]
extern crate self as record;

pub use agreement::{Disagreement, disagreements, log_disagreement};
pub use altered::{address, alteration};
pub use entries::{Conflict, EntriesError, entries_to_jsonl, merge_entries, read_entries, read_lines};
pub use lock::RunLock;
pub use run::*;
pub use spec::{RunId, Spec, Table, canonical_json};
pub use store::{RunFolder, State, StoreError};
