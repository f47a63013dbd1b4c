//! Exports the records of a report; `cargo xtask export` starts it.

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use export::{Name, csv, events, names, parquet, tables};
use files::NewFolder;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
struct Arguments {
    /// The records: a file in `reports/records`
    records: PathBuf,
    /// Format of the files
    #[arg(long)]
    format: Format,
    /// The folder to create
    #[arg(long)]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Csv,
    Parquet,
    Tensorboard,
}

fn main() -> ExitCode {
    match export(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn export(Arguments { records, format, out }: &Arguments) -> Result<()> {
    let entries = record::read_entries(records)?;
    let mut folder =
        NewFolder::begin(out).context("--out: expected a folder that does not exist yet; name another one")?;
    let mut file = |name: &str| -> Result<BufWriter<std::fs::File>> { Ok(BufWriter::new(folder.file(name)?)) };
    match format {
        Format::Csv => {
            for table in tables(&entries)? {
                let mut file = file(&format!("{}.csv", table.name))?;
                csv(&table, &mut file)?;
                file.flush()?;
            }
        }
        Format::Parquet => {
            for table in tables(&entries)? {
                let mut file = file(&format!("{}.parquet", table.name))?;
                parquet(&table, &mut file)?;
                file.flush()?;
            }
        }
        Format::Tensorboard => {
            for (entry, Name { group, run }) in entries.iter().zip(names(&entries)) {
                let mut file = file(&format!("{group}/{run}/events.out.tfevents.wrs-bench"))?;
                file.write_all(&events(entry, &group)?)?;
                file.flush()?;
            }
        }
    }
    folder.publish()?;
    eprintln!("wrote {} records to {}", entries.len(), out.display());
    Ok(())
}
