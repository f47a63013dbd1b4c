//! Detection metrics: against reference numbers, as properties, and from files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod doubts;
mod files;
mod golden;
mod meter;
mod voc;
