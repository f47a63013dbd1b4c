//! `hub fetch`: started by `cargo xtask fetch`, in the project's folder.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use data::Root;
use data::error::Tasks;
use hub::{Overview, Progress, Settings, State, fetch, overview};
use indicatif::DecimalBytes;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Exit code of an interrupted fetch.
const INTERRUPTED: i32 = 75;

#[derive(Parser)]
#[command(
    about = "Downloads data sets from the Hugging Face hub",
    after_help = "Exit codes: 0 done, 1 failed, 2 a mistake in an argument, a variable or a manifest, 75 interrupted and \
                  resumable. Data goes to stdout, messages to stderr."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Download data sets, or list those that can be downloaded
    Fetch(Arguments),
}

#[derive(Args)]
struct Arguments {
    /// Data sets; without any, lists those that can be fetched
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// List all data sets
    #[arg(long, conflicts_with = "names")]
    list: bool,
}

fn main() -> ExitCode {
    let Command::Fetch(arguments) = Cli::parse().command;
    let root = Root::from_env(".");
    let done = match arguments.names.as_slice() {
        [] => list(&root, arguments.list),
        names => fetch_all(&root, names),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.downcast_ref().is_some_and(hub::Error::is_mistake) { 2 } else { 1 })
        }
    }
}

fn fetch_all(root: &Root, names: &[String]) -> Result<()> {
    let settings = Settings::from_env()?;
    for name in names {
        root.manifest(name).map_err(hub::Error::from)?;
    }
    let progress = Arc::new(Progress::new());
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for signals")?;
    std::thread::spawn({
        let progress = progress.clone();
        move || {
            if signals.forever().next().is_some() {
                progress.clear();
                eprintln!("interrupted; the same command goes on from what was fetched");
                // Nothing has to be finished: what was fetched is written, and a fetch can be killed at any moment.
                std::process::exit(INTERRUPTED);
            }
        }
    });
    for name in names {
        say(&fetch(root, name, &settings, &progress)?.display().to_string());
    }
    Ok(())
}

/// Prints a table of all data sets, or of those that can be fetched.
fn list(root: &Root, all: bool) -> Result<()> {
    let (mut sets, mut broken) = (overview(root)?, None);
    sets.retain(|set| all || matches!(set.state, State::Missing | State::Partly));
    let header = ["name", "task", "size", "licence", "state"].map(str::to_owned);
    let mut rows = Vec::new();
    for Overview { name, manifest, state, size } in sets {
        let size = size.map_or_else(|| "?".to_owned(), |size| DecimalBytes(size).to_string());
        let (task, licence) = match manifest {
            Ok(manifest) => (Tasks(manifest.tasks()).to_string(), manifest.licence),
            Err(error) => {
                broken = broken.or(Some(error));
                ("?".to_owned(), "?".to_owned())
            }
        };
        rows.push(vec![name, task, size, licence, state.to_string()]);
    }
    if all || !rows.is_empty() {
        say(files::plain(&header, &rows).trim_end());
    }
    if !all && rows.is_empty() {
        eprintln!("nothing is left to be fetched; `cargo xtask fetch --list` lists all data sets");
    } else if !all {
        eprintln!("`cargo xtask fetch NAME…` fetches them, `cargo xtask fetch --list` lists all data sets");
    }
    broken.map_or(Ok(()), |error| Err(error.into()))
}

/// Prints to standard output; where nobody reads it any more there is nothing to say.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}
