//! The verb `eval`: how good anybody's masks are.

mod doubts;
mod files;
mod palette;
mod values;

use crate::metric::{Confusion, Summary};
use anyhow::{bail, ensure};
use clap::Parser;
use data::VOID;
use doubts::Unknown;
use palette::{Moved, Side};
use rayon::prelude::*;
use serde::Serialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use values::{List, Meanings};

/// Scores predicted masks and prints JSON
#[derive(Parser)]
#[command(name = "cargo xtask eval segmentation", bin_name = "cargo xtask eval segmentation", no_binary_name = true)]
#[command(
    after_help = "Masks are PNG files with one value per pixel, of at most 8 bits, gray or with a palette. A prediction has the \
                        same name as its ground truth, in subfolders, too; hidden files are skipped. Pixel values are classes \
                        counted from 0, unless `--values` and `--prediction-values` say otherwise, as `columns.values` does in a manifest: \
                        `--values 0,255` where 255 is class 1, `--values 1-150` for ADE20K, which counts from 1. Undefined \
                        values, such as the IoU of a class that does not occur, are null. A class that is ignored in the ground \
                        truth but predicted for other pixels has an IoU of 0, which counts. `warnings` lists what looks \
                        wrong."
)]
struct Arguments {
    /// Folder of the ground-truth masks
    #[arg(long, value_name = "DIR")]
    truth: PathBuf,
    /// Folder of the predicted masks
    #[arg(long, value_name = "DIR")]
    predictions: PathBuf,
    /// Number of classes; not needed with `--values`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=255), required_unless_present = "values")]
    classes: Option<u8>,
    /// Pixel values of the classes in ground-truth masks, in class order, such as 0,255 or 7,8,11-13
    #[arg(long, value_name = "VALUES")]
    values: Option<List>,
    /// The same for predicted masks [default: 0 to N-1]
    #[arg(long, value_name = "VALUES")]
    prediction_values: Option<List>,
    /// Pixel values of the ground truth that are ignored [default: 255]
    #[arg(long, value_name = "VALUES")]
    ignore: Option<List>,
}

#[derive(Serialize)]
struct Report {
    images: usize,
    pixels: u64,
    #[serde(flatten)]
    summary: Summary,
    /// `[true, predicted]`
    confusion: Vec<Vec<u64>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Scores the masks in the folders that `arguments` name: JSON.
///
/// # Errors
///
/// A [`clap::Error`] where the arguments are wrong or ask for help; otherwise the file, the place and the mistake.
pub fn eval(arguments: &[OsString]) -> train::Result<String> {
    let Arguments { truth, predictions, classes, values, prediction_values, ignore } =
        Arguments::try_parse_from(arguments)?;
    let meanings = Meanings::new(classes, values, prediction_values, ignore).map_err(anyhow::Error::msg)?;
    let ((names, left), (predicted, left_predicted)) = (files::masks(&truth)?, files::masks(&predictions)?);
    files::check_names((&truth, &names), (&predictions, &predicted))?;
    let names: Vec<PathBuf> = names.into_iter().collect();
    // A sum for each of a few groups of files: sums of whole numbers do not depend on their order.
    let group = names.len().div_ceil(64);
    let sums: Vec<train::Result<Sum>> = names
        .par_chunks(group)
        .map(|names| {
            let mut sum = Sum::default();
            for name in names {
                sum.observe(&truth.join(name), &predictions.join(name), &meanings)?;
            }
            Ok(sum)
        })
        .collect();
    let mut sum = Sum::default();
    // In order, so that the first mistake is the same each time.
    for part in sums {
        sum.add(part?);
    }
    let warnings = sum.doubts(&meanings, &truth)?;
    let warnings: Vec<String> = left.into_iter().chain(left_predicted).chain(warnings).collect();
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    let classes = meanings.classes as u8;
    let row = |truth: u8| (0..classes).map(|predicted| sum.confusion.count(truth, predicted)).collect::<Vec<u64>>();
    let confusion: Vec<Vec<u64>> = (0..classes).map(row).collect();
    let pixels = confusion.iter().flatten().sum();
    let summary = sum.confusion.summary(meanings.classes);
    let report = Report { images: names.len(), pixels, summary, confusion, warnings };
    Ok(serde_json::to_string_pretty(&report)?)
}

/// What is counted of masks.
#[derive(Default)]
struct Sum {
    confusion: Confusion,
    truth: Side,
    predictions: Side,
    moved: Moved,
    /// The first value of each side that means nothing.
    unknown: [Option<Unknown>; 2],
}

impl Sum {
    /// Adds the pixels of an image.
    fn observe(&mut self, truth: &Path, prediction: &Path, meanings: &Meanings) -> train::Result<()> {
        let (of_truth, of_prediction) = (files::read(truth)?, files::read(prediction)?);
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
        self.truth.observe(truth, &of_truth.pixels, of_truth.palette.as_deref());
        self.predictions.observe(prediction, &of_prediction.pixels, of_prediction.palette.as_deref());
        palette::moved(&mut self.moved, &of_truth, (prediction, &of_prediction), meanings);
        let (classes, predicted) = (meanings.of_truth(), meanings.of_predictions());
        let unknown = |path: &Path, pixels: &[u8], index: usize| Unknown {
            value: pixels[index],
            file: path.display().to_string(),
            row: index / of_truth.width,
            column: index % of_truth.width,
        };
        let [in_truth, in_predictions] = &mut self.unknown;
        let [mut known_classes, mut known_predicted] = [const { Vec::new() }; 2];
        for (index, (value, guess)) in of_truth.pixels.iter().zip(&of_prediction.pixels).enumerate() {
            let class = classes[usize::from(*value)].unwrap_or_else(|| {
                in_truth.get_or_insert_with(|| unknown(truth, &of_truth.pixels, index));
                VOID
            });
            let guess = predicted[usize::from(*guess)].unwrap_or_else(|| {
                if class != VOID {
                    in_predictions.get_or_insert_with(|| unknown(prediction, &of_prediction.pixels, index));
                }
                VOID
            });
            known_classes.push(class);
            known_predicted.push(guess);
        }
        self.confusion.observe(&known_classes, &known_predicted);
        Ok(())
    }

    /// Both together.
    fn add(&mut self, other: Self) {
        self.confusion += &other.confusion;
        self.truth.add(other.truth);
        self.predictions.add(other.predictions);
        for (color, path) in other.moved {
            self.moved.entry(color).or_insert(path);
        }
        for (own, other) in self.unknown.iter_mut().zip(other.unknown) {
            *own = own.take().or(other);
        }
    }

    /// What looks wrong.
    ///
    /// # Errors
    ///
    /// What is wrong.
    fn doubts(&self, meanings: &Meanings, truth: &Path) -> train::Result<Vec<String>> {
        match &self.unknown {
            [Some(unknown), _] => bail!(doubts::unknown_in_truth(unknown, meanings, &self.truth)),
            [None, Some(unknown)] => bail!(doubts::unknown_in_predictions(unknown, meanings, &self.predictions)),
            [None, None] => {}
        }
        let absent = doubts::absent(meanings, &self.truth);
        let absent = absent.map_err(|reason| anyhow::anyhow!("{}: {reason}", truth.display()))?;
        let mut warnings: Vec<String> =
            absent.into_iter().chain(doubts::ambiguous(meanings, &self.predictions)).collect();
        let palettes = palette::disagreements(&self.truth, &self.predictions, &self.moved);
        // Palettes say more than the numbers of pixels.
        if palettes.is_empty() {
            warnings.extend(doubts::renamed(meanings, &self.confusion));
        }
        warnings.extend(palettes);
        Ok(warnings)
    }
}
