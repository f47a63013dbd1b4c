//! Optimizers and methods: against PyTorch's numbers, against their rules written plainly, and against the algebra and
//! the equilibria of scale-invariant weights.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod candle_nn_optimizer;
mod common;
mod equilibrium;
mod golden;
mod groups;
mod half;
mod infer;
mod machines;
mod model;
mod optimizer;
mod params;
mod properties;
mod reference;
