//! The command line of a task binary. The runner starts it; a scheduler or a user may start it, too.

use crate::error::Error;
use crate::evaluation::test;
use crate::pictures::pictures;
use crate::plan::{digest, plan_on};
use crate::task::Task;
use crate::training::{Event, Options, train};
use clap::{Parser, Subcommand};
use data::Root;
use record::{RunFolder, Spec};
use serde_json::json;
use settings::Mistake;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Parser)]
#[command(about = "Trains and tests runs of one task. `RAYON_NUM_THREADS` sets the threads, \
                   `WRS_BENCH_CHECKPOINT_SECONDS` the time between checkpoints; the folder `datasets` is expected in the \
                   working directory. Exit codes: 0 the result exists, 2 bad spec or argument, 75 interrupted and \
                   resumable, otherwise failure.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read a JSON list of specs from stdin; print the id and the full spec of each, or its error
    Plan,
    /// Print the methods and optimizers as JSON
    Methods,
    /// Train the run whose folder holds `spec.json`, from its checkpoint if there is one
    Run {
        /// Folder of the run
        folder: PathBuf,
        /// Write a checkpoint and stop when stdin closes, so that a run ends with its runner
        #[arg(long)]
        stop_on_eof: bool,
    },
    /// Score the final weights of a finished run on the test split
    Test {
        /// Folder of the run
        folder: PathBuf,
    },
    /// Draw a finished run's predictions for some examples, spread evenly over the test split, or over the validation
    /// split if the run was not tested
    Pictures {
        /// Folder of the run
        folder: PathBuf,
        /// Folder for the PNG files
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Number of examples
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
    },
    /// Score predictions from files and print JSON
    #[command(disable_help_flag = true)]
    Eval {
        /// Arguments of the task; `--help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// The `main` of a task binary.
pub fn main<T: Task>() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Plan => plan_all::<T>(),
        Command::Methods => regularize::catalogue().map(|catalogue| say(&catalogue.to_string())).map_err(Error::from),
        // Inside the thread pool a parallel loop starts where it is called; from outside, every one would wait
        // for a worker to wake.
        Command::Run { folder, stop_on_eof } => rayon::scope(|_| run::<T>(&RunFolder::new(folder), stop_on_eof)),
        Command::Test { folder } => {
            rayon::scope(|_| test::<T>(&RunFolder::new(folder), &Root::from_env(".")).map(drop))
        }
        Command::Pictures { folder, out, count } => {
            rayon::scope(|_| draw::<T>(&RunFolder::new(folder), &out, usize::from(count)))
        }
        Command::Eval { arguments } => return eval::<T>(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn plan_all<T: Task>() -> Result<(), Error> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(anyhow::Error::from)?;
    let specs: Vec<Spec> = serde_json::from_str(&text)
        .map_err(|error| Error::spec("specs", Mistake::of_all("a JSON list of specs", error)))?;
    let root = Root::from_env(".");
    let mut digests = BTreeMap::new();
    let mut of = |dataset: &str| -> Result<String, String> {
        digests.entry(dataset.to_owned()).or_insert_with(|| digest::<T>(dataset, &root)).clone()
    };
    let planned = specs.iter().map(|spec| match plan_on::<T>(spec, &mut of) {
        Ok(planned) => Ok(json!({"id": planned.id, "spec": planned.spec})),
        Err(Error::Spec { section, mistake }) => {
            Ok(json!({"error": {"section": section, "key": mistake.key, "message": mistake.to_string()}}))
        }
        Err(Error::Dataset(message)) => Ok(json!({"error": {"section": "dataset", "message": message}})),
        Err(other) => Err(other),
    });
    let planned = planned.collect::<Result<Vec<_>, _>>()?;
    say(&serde_json::Value::from(planned).to_string());
    Ok(())
}

/// Whatever is wrong is in the arguments or in the files that they name.
fn eval<T: Task>(arguments: &[OsString]) -> ExitCode {
    match rayon::scope(|_| T::eval(arguments)) {
        Ok(json) => {
            say(&json);
            ExitCode::SUCCESS
        }
        Err(error) => match error.downcast_ref::<clap::Error>() {
            Some(usage) => {
                let _ = usage.print();
                usage.exit_code().try_into().map_or(ExitCode::FAILURE, |code: u8| ExitCode::from(code))
            }
            None => {
                eprintln!("error: {error:#}");
                ExitCode::from(2)
            }
        },
    }
}

fn run<T: Task>(folder: &RunFolder, stop_on_eof: bool) -> Result<(), Error> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGUSR1] {
        signal_hook::flag::register(signal, stop.clone()).map_err(anyhow::Error::from)?;
    }
    if stop_on_eof {
        let stop = stop.clone();
        std::thread::spawn(move || {
            // Whatever ends the input, the runner is gone.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            stop.store(true, Ordering::Relaxed);
        });
    }
    let told = std::cell::Cell::new(None::<Instant>);
    let event = |event: &Event<'_>| {
        let now = Instant::now();
        let soon = told.get().is_some_and(|told| now - told < Duration::from_millis(200));
        if !(soon && matches!(event, Event::Step { .. })) {
            told.set(Some(now));
            if let Ok(line) = serde_json::to_string(event) {
                say(&line);
            }
        }
    };
    let options = Options {
        loader_threads: rayon::current_num_threads(),
        stop: &|_| stop.load(Ordering::Relaxed),
        event: &event,
        checkpoint_every: Duration::from_secs(checkpoint_seconds()?),
    };
    train::<T>(folder, &Root::from_env("."), &options).map(drop)
}

/// Between checkpoints; what is lost at most where the process is killed.
fn checkpoint_seconds() -> Result<u64, Error> {
    const VARIABLE: &str = "WRS_BENCH_CHECKPOINT_SECONDS";
    let Some(text) = std::env::var_os(VARIABLE) else { return Ok(20) };
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    seconds.ok_or_else(|| Error::spec(VARIABLE, Mistake::of_all("a whole number of seconds", text.display())))
}

fn draw<T: Task>(folder: &RunFolder, out: &Path, count: usize) -> Result<(), Error> {
    let drawn = pictures::<T>(folder, &Root::from_env("."), out, count)?;
    eprintln!("wrote {drawn} pictures and {}", out.join("sheet.png").display());
    Ok(())
}

/// Prints a line; where nobody listens any more there is nothing to say.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
