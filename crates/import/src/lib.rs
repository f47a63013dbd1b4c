//! Official releases of vision data sets, read and written as this project's sets.
//!
//! A parser is a function from bytes to values ([`mat`], [`voc`], [`yolo`], [`cifar`],
//! [`idx`], [`archive`]): it neither panics nor uses much memory for a small input, whatever
//! the bytes. [`layout`] knows which file of a release is what, and makes a [`release::Release`] of
//! it. [`import`] checks that against the images and writes parquet and a manifest.
//!
//! Not part of `hub`, which needs 150 crates for the network: parsers of untrusted files are fuzzed, which requires a
//! small build.

pub mod archive;
mod check;
pub mod cifar;
pub mod crowd;
pub mod error;
mod files;
pub mod idx;
mod import;
pub mod layout;
mod manifest;
pub mod mat;
mod options;
mod pinned;
mod prepare;
pub mod release;
mod sense;
mod table;
pub mod tree;
pub mod voc;
pub mod yolo;

pub use error::{Error, Malformed, Result};
pub use import::{Summary, import};
pub use options::Options;
