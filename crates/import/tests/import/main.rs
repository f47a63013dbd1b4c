//! Official releases, made small, and what becomes of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod archives;
mod awkward;
mod crowd;
mod detection;
mod errors;
mod images;
mod mat;
mod peers;
mod program;
mod project;
mod properties;
mod resizing;
