//! The verb `eval`: how good anybody's masks are.

use crate::metric::{Confusion, Summary};
use anyhow::{Context, bail, ensure};
use clap::Parser;
use data::VOID;
use data::decode::{MaskPixels, mask};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Scores predicted masks, and prints JSON
#[derive(Parser)]
#[command(name = "cargo xtask eval segmentation", bin_name = "cargo xtask eval segmentation", no_binary_name = true)]
#[command(
    after_help = "Masks are PNG files of at most 8 bits a pixel, grey or with a palette, whose values are indices of \
                        classes. A prediction is looked for under the name that its truth has, in subfolders too. What is \
                        undefined, such as the IoU of a class that does not occur, is null. A class that is ignored in the \
                        truth but predicted for other pixels has an IoU of 0, which counts."
)]
struct Arguments {
    /// Folder of the true masks
    #[arg(long, value_name = "DIR")]
    truth: PathBuf,
    /// Folder of the predicted masks
    #[arg(long, value_name = "DIR")]
    predictions: PathBuf,
    /// Number of classes, whose indices are 0 to N-1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=255))]
    classes: u8,
    /// Values of true pixels that are not judged, in place of 255
    #[arg(long, value_name = "VALUE", default_value = "255", value_delimiter = ',')]
    ignore: Vec<u8>,
}

#[derive(Serialize)]
struct Report {
    images: usize,
    pixels: u64,
    #[serde(flatten)]
    summary: Summary,
    /// `[true, predicted]`
    confusion: Vec<Vec<u64>>,
}

/// Scores the masks in the folders that `arguments` name: JSON.
///
/// # Errors
///
/// A [`clap::Error`] where the arguments are wrong or ask for help; otherwise the file, the place and the mistake.
pub fn eval(arguments: &[OsString]) -> train::Result<String> {
    let Arguments { truth, predictions, classes, ignore } = Arguments::try_parse_from(arguments)?;
    let names = masks(&truth)?;
    ensure!(!names.is_empty(), "{}: expected PNG files, found none", truth.display());
    let predicted = masks(&predictions)?;
    for (what, of, name, other) in [
        ("truth without a prediction", &truth, names.difference(&predicted).next(), &predictions),
        ("a prediction without truth", &predictions, predicted.difference(&names).next(), &truth),
    ] {
        if let Some(name) = name {
            let (file, expected) = (of.join(name), other.join(name));
            bail!("{}: {what}: expected {}, found no such file", file.display(), expected.display());
        }
    }
    let names: Vec<PathBuf> = names.into_iter().collect();
    // A matrix of counts for each of a few groups of files: sums of whole numbers do not depend on their order.
    let group = names.len().div_ceil(64);
    let sums: Vec<train::Result<Confusion>> = names
        .par_chunks(group)
        .map(|names| {
            let mut sum = Confusion::default();
            for name in names {
                observe(&truth.join(name), &predictions.join(name), classes, &ignore, &mut sum)?;
            }
            Ok(sum)
        })
        .collect();
    let mut sum = Confusion::default();
    // In order, so that the first mistake is the same each time.
    for confusion in sums {
        sum += &confusion?;
    }
    let row = |truth: u8| (0..classes).map(|predicted| sum.count(truth, predicted)).collect::<Vec<u64>>();
    let confusion: Vec<Vec<u64>> = (0..classes).map(row).collect();
    let pixels = confusion.iter().flatten().sum();
    let report = Report { images: names.len(), pixels, summary: sum.summary(classes.into()), confusion };
    Ok(serde_json::to_string_pretty(&report)?)
}

/// The paths below `folder` of the PNG files in it.
fn masks(folder: &Path) -> train::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in walkdir::WalkDir::new(folder).follow_links(true) {
        let entry = entry.with_context(|| format!("{}: cannot list the masks", folder.display()))?;
        let is_png = entry.path().extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
        if is_png && entry.file_type().is_file() {
            found.insert(entry.path().strip_prefix(folder)?.to_owned());
        }
    }
    Ok(found)
}

/// Adds the pixels of a file to `sum`.
fn observe(truth: &Path, prediction: &Path, classes: u8, ignore: &[u8], sum: &mut Confusion) -> train::Result<()> {
    let (mut of_truth, of_prediction) = (read(truth)?, read(prediction)?);
    ensure!(
        (of_truth.height, of_truth.width) == (of_prediction.height, of_prediction.width),
        "{}: expected {}×{} pixels (height × width) as in {}, found {}×{}",
        prediction.display(),
        of_truth.height,
        of_truth.width,
        truth.display(),
        of_prediction.height,
        of_prediction.width
    );
    let width = of_truth.width;
    for (index, value) in of_truth.pixels.iter_mut().enumerate() {
        if ignore.contains(value) {
            *value = VOID;
        } else if *value >= classes {
            let all: Vec<String> = ignore.iter().chain([&*value]).map(ToString::to_string).collect();
            bail!(
                "{}: expected classes below {classes} or an ignored value, found {value} at row {}, column {}\n  hint: \
                 `--ignore {}` leaves such pixels out",
                truth.display(),
                index / width,
                index % width,
                all.join(",")
            );
        }
    }
    let judged = of_truth.pixels.iter().zip(&of_prediction.pixels).position(|(of, by)| *of != VOID && *by >= classes);
    if let Some(index) = judged {
        bail!(
            "{}: expected classes below {classes}, found {} at row {}, column {}",
            prediction.display(),
            of_prediction.pixels[index],
            index / width,
            index % width
        );
    }
    sum.observe(&of_truth.pixels, &of_prediction.pixels);
    Ok(())
}

/// A mask of one index a pixel.
fn read(path: &Path) -> train::Result<MaskPixels> {
    let mut file = Vec::new();
    record::fs::read_pieces(path, |piece| file.extend_from_slice(piece))?;
    let mask = mask(&file).map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))?;
    ensure!(mask.channels == 1, "{}: expected one index a pixel, found colours", path.display());
    Ok(mask)
}
