//! The verb `eval`: scores detections from files.

mod doubts;

use crate::metric::{Files, STATISTICS, coco, read, voc};
use clap::{Parser, ValueEnum};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// Scores detections from a file and prints JSON
#[derive(Parser)]
#[command(name = "cargo xtask eval detection", bin_name = "cargo xtask eval detection", no_binary_name = true)]
#[command(after_help = "Annotations have the lists `images`, `annotations` and `categories`; results are a list of \
                        objects with `image_id`, `category_id`, `bbox` (left, top, width, height) and `score`. Undefined \
                        values, such as the AP of a category without objects, are -1 for COCO and null for VOC. For each image \
                        and category, COCO counts the 100 detections with the highest scores. `warnings` lists what looks \
                        wrong.")]
struct Arguments {
    /// The ground truth: a JSON file like COCO's instances_val2017.json
    #[arg(long, value_name = "FILE")]
    annotations: PathBuf,
    /// The detections: a JSON file in COCO's results format
    #[arg(long, value_name = "FILE")]
    results: PathBuf,
    /// Definition of AP
    #[arg(long, value_enum, default_value = "coco")]
    style: Style,
}

#[derive(Clone, Copy, ValueEnum)]
enum Style {
    /// AP over IoU .50:.05:.95, and the other statistics of pycocotools
    Coco,
    /// AP at IoU .50, as Pascal VOC defines it; `iscrowd` marks VOC's difficult objects
    Voc,
}

/// Scores the detections in the file that `arguments` name: JSON.
///
/// # Errors
///
/// A [`clap::Error`] where the arguments are wrong or ask for help; otherwise the file, the place and the mistake.
pub fn eval(arguments: &[OsString]) -> train::Result<String> {
    let Arguments { annotations, results, style } = Arguments::try_parse_from(arguments)?;
    let files = read(&annotations, &results)?;
    match style {
        Style::Coco => printed(of_coco(&files)),
        Style::Voc => printed(of_voc(&files)),
    }
}

fn printed(report: Report<impl Serialize>) -> train::Result<String> {
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(serde_json::to_string_pretty(&report)?)
}

#[derive(Serialize)]
struct Report<T> {
    stats: Named,
    ap_per_category: BTreeMap<i64, T>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Values in an order of their own.
struct Named(Vec<(&'static str, Option<f64>)>);

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

fn of_coco(files: &Files) -> Report<f64> {
    let scores = coco(&files.boxes);
    let or_none = |value: Option<f64>| value.unwrap_or(-1.0);
    let stats = STATISTICS.into_iter().zip(scores.statistics.map(|value| Some(or_none(value)))).collect();
    let ap = |class| or_none(scores.per_class.get(&class).copied());
    Report {
        stats: Named(stats),
        ap_per_category: files.categories.iter().zip(0..).map(|(&id, class)| (id, ap(class))).collect(),
        warnings: doubts::beyond(&files.boxes)
            .into_iter()
            .chain(doubts::twice(files))
            .chain(doubts::of(files, scores.statistics[1]))
            .collect(),
    }
}

#[derive(Serialize)]
struct VocCategory {
    ap_all_points: f64,
    ap_11_points: f64,
    positives: usize,
}

fn of_voc(files: &Files) -> Report<Option<VocCategory>> {
    let scores = voc(&files.boxes);
    let mean = |of: fn(&crate::metric::Voc) -> f64| {
        (!scores.is_empty()).then(|| scores.values().map(of).sum::<f64>() / scores.len() as f64)
    };
    let stats = vec![("mAP_all_points", mean(|ap| ap.all_points)), ("mAP_11_points", mean(|ap| ap.eleven_points))];
    let of_class = |class| {
        let ap = scores.get(&class)?;
        Some(VocCategory { ap_all_points: ap.all_points, ap_11_points: ap.eleven_points, positives: ap.positives })
    };
    let ap_per_category = files.categories.iter().zip(0..).map(|(&id, class)| (id, of_class(class))).collect();
    let warnings = doubts::twice(files).into_iter().chain(doubts::of(files, stats[0].1)).collect();
    Report { stats: Named(stats), ap_per_category, warnings }
}
