//! Training: the [`Task`] trait, the one loop, checkpoints, and the tests that every task passes.
//!
//! A task crate implements [`Task`]; its `main` is [`main`], its tests are [`conformance!`].

mod batch;
mod check;
mod checkpoint;
mod cli;
pub mod conformance;
mod engine;
mod error;
mod evaluation;
mod finished;
mod loader;
mod pictures;
mod plan;
mod provenance;
mod task;
mod training;

pub use batch::stack;
pub use check::at_least_one_example;
pub use checkpoint::checkpoint_step;
pub use cli::main;
pub use engine::Engine;
pub use error::{Error, Result};
pub use evaluation::{evaluate, test};
pub use pictures::pictures;
pub use plan::{Planned, Settings, plan};
pub use task::{Headline, Task};
pub use training::{Event, Options, train};

/// Training frees and allocates the same large tensors in every step: an allocator that keeps their pages
/// saves the page faults, a third of a step with the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
