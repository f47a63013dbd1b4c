//! Fetches data sets from the Hugging Face hub, or from a server like it.
//!
//! ```no_run
//! use hub::{Progress, Settings, fetch};
//!
//! let root = data::Root::from_env(".");
//! let folder = fetch(&root, "fashion-mnist-12k", &Settings::from_env()?, &Progress::new())?;
//! println!("{}", folder.display());
//! # Ok::<(), hub::Error>(())
//! ```

mod download;
pub mod error;
mod fetch;
mod http;
mod overview;
mod path;
mod plan;
mod progress;
mod repository;
mod retry;
mod settings;

pub use error::{Error, Result};
pub use fetch::fetch;
pub use overview::{Overview, State, overview};
pub use progress::Progress;
pub use settings::{Settings, Token};
