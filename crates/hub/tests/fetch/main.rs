//! Fetching, against a hub on this machine that misbehaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod faults;
mod loopback;
mod processes;
mod project;
mod refusals;
mod sets;
