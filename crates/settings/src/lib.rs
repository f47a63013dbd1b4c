//! Settings: tables that are read into structs, and what is wrong with one.
//!
//! ```
//! #[derive(Debug, serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Sgd {
//!     lr: f64,
//! }
//! let table = serde_json::json!({"lr": "high"});
//! let mistake = settings::read::<Sgd>(table).unwrap_err();
//! assert_eq!(mistake.key.as_deref(), Some("lr"));
//! assert_eq!(mistake.to_string(), "`lr`: expected a number, found \"high\"");
//! ```

mod check;
mod mistake;
mod near;
mod read;

pub use check::{above, among, at_least, share, within};
pub use mistake::Mistake;
pub use near::{did_you_mean, nearest};
pub use read::read;
