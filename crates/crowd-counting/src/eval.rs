//! The verb `eval`: how good anybody's counts are.

use crate::metric::Counts;
use anyhow::{Context, bail, ensure};
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

/// Scores counts from a file and prints JSON
#[derive(Parser)]
#[command(
    name = "cargo xtask eval crowd-counting",
    bin_name = "cargo xtask eval crowd-counting",
    no_binary_name = true
)]
#[command(
    after_help = "The first line of the file names its columns: `truth` and `prediction` are the numbers of people; other \
                        columns are ignored. `rmse` is what papers of this field call MSE. `nae` covers the images with people. \
                        Undefined values are null."
)]
struct Arguments {
    /// A CSV file with one line per image
    #[arg(value_name = "FILE")]
    counts: PathBuf,
}

/// Scores the counts in the file that `arguments` name: JSON.
///
/// # Errors
///
/// A [`clap::Error`] where the arguments are wrong or ask for help; otherwise the file, the line and the mistake.
pub fn eval(arguments: &[OsString]) -> train::Result<String> {
    let Arguments { counts: path } = Arguments::try_parse_from(arguments)?;
    let mut file = Vec::new();
    files::read_pieces(&path, |piece| file.extend_from_slice(piece))?;
    let text = data::text::decode(&file).map_err(|mistake| anyhow::anyhow!("{}: {mistake}", path.display()))?;
    let counts = read(text.as_bytes()).with_context(|| path.display().to_string())?;
    Ok(serde_json::to_string_pretty(&counts.summary())?)
}

fn read(file: &[u8]) -> train::Result<Counts> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(file);
    let columns = reader.headers()?.clone();
    let column = |name: &str| -> train::Result<usize> {
        let mut named = (0..columns.len()).filter(|index| columns.get(*index) == Some(name));
        let found = || columns.iter().collect::<Vec<_>>().join(",");
        let Some(column) = named.next() else {
            let separator =
                [';', '\t'].into_iter().find(|separator| columns.len() == 1 && found().contains(*separator));
            let hint =
                separator.map_or("", |_| "\n  hint: separate the columns by commas, and write decimals with a point");
            bail!("expected a column `{name}` in the first line, found `{}`{hint}", found());
        };
        ensure!(
            named.next().is_none(),
            "expected one column `{name}` in the first line, found several in `{}`",
            found()
        );
        Ok(column)
    };
    let [truth, prediction] = [("truth", column("truth")?), ("prediction", column("prediction")?)];
    let mut counts = Counts::default();
    for row in reader.records() {
        let row = row?;
        let line = row.position().map_or(0, |start| line(file, start.byte() as usize));
        ensure!(
            row.len() == columns.len(),
            "line {line}: expected {} values, one a column of the first line; found {}",
            columns.len(),
            row.len()
        );
        let number = |(name, column): (&str, usize)| {
            let text = row.get(column).unwrap_or_default();
            match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(number),
                _ => bail!("line {line}: expected a number in column `{name}`, found `{text}`"),
            }
        };
        let (people, estimate) = (number(truth)?, number(prediction)?);
        ensure!(people >= 0.0, "line {line}: expected a number of at least 0 in column `truth`, found {people}");
        counts.observe(people, estimate);
    }
    ensure!(counts.summary().images > 0, "expected a line for each image after the first line, found none");
    Ok(counts)
}

/// The number of the line at or behind the byte `start` that is not empty, as editors count: the reader counts the two
/// characters that end a line on some systems as one line's end and the next one's begin.
fn line(file: &[u8], start: usize) -> usize {
    let (before, rest) = file.split_at(start.min(file.len()));
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    1 + before.iter().chain(empty).filter(|byte| **byte == b'\n').count()
}
