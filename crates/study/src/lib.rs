//! A comparison: its configuration, which runs come next, and which setting of each row is chosen. No tensors.

mod choice;
mod config;
mod finite;
#[cfg(test)]
mod fixture;
mod protocol;
mod sample;
mod study;
mod tuning;

pub use choice::{Comparison, Edge, Float, REFERENCE, Row, Setting, chosen, describe, diverged, edges, last};
pub use config::{Config, ConfigError, Grid, GridPoint, Selection};
pub use protocol::{Protocol, ProtocolError};
pub use sample::sample;
pub use study::{Planned, Study, UnequalBudgets};
pub use tuning::{Rung, Tuning, stopped};
