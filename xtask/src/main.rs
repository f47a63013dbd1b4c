//! The runner. It holds no tensors: it plans a comparison, starts the task's release binary for each run,
//! and writes reports from records.

mod bench;
mod child;
mod clean;
mod doctor;
mod eval;
mod export;
mod fetch;
mod import;
mod machine;
mod methods;
mod new;
mod partition;
mod report;
mod schedule;
mod show;
mod status;
mod task;
mod verify;
mod workspace;

use clap::{Args, Parser, Subcommand};
use std::process::ExitCode;
use study::Selection;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Trains comparisons of regularizers and writes their reports",
    after_help = "Exit codes: 0 done, 1 failed or stale, 2 a mistake in a configuration or argument, 75 interrupted and \
                  resumable. Data goes to stdout, messages to stderr."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train the missing runs of a comparison, print its table, and write its report
    Bench(bench::Arguments),
    /// Regenerate reports from their records
    Report(report::Arguments),
    /// Write the records of a report as CSV, Parquet or TensorBoard event files
    Export(export::Arguments),
    /// Download data sets from the Hugging Face hub, or list them
    Fetch(fetch::Arguments),
    /// Convert an official release into a data set: NAME DIR; `--help` lists the options
    Import(import::Arguments),
    /// Score predictions from files: `eval detection --help`
    #[command(disable_help_flag = true)]
    Eval(eval::Arguments),
    /// Show which runs of a comparison are finished, running, interrupted or missing
    Status(status::Arguments),
    /// Look at store, locks, disk, memory, threads, instruction sets and data; say what to do where something is wrong
    ///
    /// Exit codes: 0 all is well, 1 something does not work.
    Doctor(doctor::Arguments),
    /// List what is left behind and can be made again, and remove it
    Clean(clean::Arguments),
    /// List the methods and optimizers, or explain one
    Methods(methods::Arguments),
    /// Write a working task or method to start from: `new task NAME`, `new method NAME`
    New(new::Arguments),
    /// Show one run: spec, scores, curve, norms, provenance
    Show(show::Arguments),
    /// Train recorded runs again and compare log, weights and scores bit by bit
    ///
    /// The records of a report suffice; nothing is written to `runs`. Exit codes: 0 all are equal, 1 something differs, 2
    /// a record cannot be trained with this code and data, 75 interrupted. `OPS_KERNELS=avx512`, `avx2` or `portable`
    /// selects the CPU instruction set, which must not make a difference.
    Verify(verify::Arguments),
}

/// Which runs of which configuration.
#[derive(Args)]
struct Which {
    /// Name of the task, such as classification
    task: String,
    /// Configuration: a name in the task's folder of `configs`, or a file
    #[arg(long, default_value = "default", value_name = "NAME|FILE")]
    config: String,
    /// A small version of the comparison: a first table in about a minute
    #[arg(long)]
    quick: bool,
    /// Only this method; may be repeated
    #[arg(long = "method", value_name = "NAME")]
    methods: Vec<String>,
    /// These seeds instead of the configuration's
    #[arg(long, value_delimiter = ',', value_name = "0,1,2")]
    seeds: Option<Vec<u64>>,
    /// Override a value of the configuration, such as optimizer.lr=0.05; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, serde_json::Value)>,
}

impl Which {
    fn selection(&self) -> Selection {
        Selection { quick: self.quick, methods: self.methods.clone(), seeds: self.seeds.clone(), set: self.set.clone() }
    }
}

/// Reads `key=value`, the value in TOML; anything else is a string.
fn key_and_value(text: &str) -> Result<(String, serde_json::Value), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as optimizer.lr=0.05")?;
    let parsed = toml::from_str::<std::collections::BTreeMap<String, serde_json::Value>>(&format!("value = {value}"));
    // JSON has no such numbers, and would have nothing in their place.
    if let word @ ("nan" | "inf") = value.trim().trim_start_matches(['+', '-']) {
        return Err(format!("expected a finite number, found {word}"));
    }
    let value = parsed.ok().and_then(|mut table| table.remove("value")).unwrap_or_else(|| value.into());
    Ok((key.trim().to_owned(), value))
}

/// A mistake by the user: exit code 2.
#[derive(Debug)]
struct Mistake(String);

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mistake {}

fn mistake(message: impl Into<String>) -> anyhow::Error {
    Mistake(message.into()).into()
}

fn is_mistake(error: &anyhow::Error) -> bool {
    let in_settings = matches!(error.downcast_ref(), Some(slurm::SettingsError::Wrong(_)));
    in_settings || error.is::<Mistake>() || error.is::<study::ConfigError>()
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Export(arguments) => export::export(&arguments),
        Command::Fetch(arguments) => fetch::fetch(&arguments),
        Command::Import(arguments) => import::import(&arguments),
        Command::Eval(arguments) => eval::eval(&arguments),
        Command::Status(arguments) => status::status(&arguments),
        Command::Doctor(arguments) => doctor::doctor(&arguments),
        Command::Clean(arguments) => clean::clean(&arguments),
        Command::Methods(arguments) => methods::methods(&arguments),
        Command::New(arguments) => new::new(&arguments),
        Command::Show(arguments) => show::show(&arguments),
        Command::Verify(arguments) => verify::verify(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if is_mistake(&error) { 2 } else { 1 })
        }
    }
}

/// Prints to stdout; ignores a closed pipe.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}
