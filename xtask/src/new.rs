//! `new`: writes a task or a method to start from.

mod method;
mod name;
mod task;

use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Write a task that trains and reports as it is: a crate, a configuration and a data set
    Task {
        /// Name of the crate, such as pose-estimation
        name: String,
    },
    /// Write a method that can be compared as it is: a file with its rule and test, and its entry in the list of methods
    Method {
        /// Name in configurations, such as gentle-decay
        name: String,
    },
}

pub(crate) fn new(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.what {
        What::Task { name } => task::new(name),
        What::Method { name } => method::new(name),
    }
}
