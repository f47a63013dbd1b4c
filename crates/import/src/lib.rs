//! Official releases of vision data sets, read and written as this project's sets.
//!
//! [`layout`] knows which file of a release is what, has [`formats`] read it, and makes a [`release::Release`] of it.
//! [`import`] checks that against the images and writes parquet and a manifest.

mod check;
pub mod error;
mod files;
mod import;
pub mod layout;
mod manifest;
mod options;
mod pinned;
mod prepare;
pub mod release;
mod sense;
mod table;
pub mod tree;

pub use error::{Error, Malformed, Result};
pub use import::{Summary, import};
pub use options::Options;
