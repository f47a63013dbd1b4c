//! How long COCO's evaluation of files takes, and its AP, as JSON; `tools/peers/coco_eval.py` runs it beside
//! pycocotools.
//!
//! usage: coco_eval ANNOTATIONS RESULTS

use anyhow::Context;
use detection::metric::{coco, read};
use std::time::Instant;

fn main() -> anyhow::Result<()> {
    let mut files = std::env::args_os().skip(1);
    let annotations = files.next().context("expected ANNOTATIONS RESULTS, found neither")?;
    let results = files.next().context("expected ANNOTATIONS RESULTS, found no RESULTS")?;
    let start = Instant::now();
    let boxes = rayon::scope(|_| read(annotations.as_ref(), results.as_ref()))?.boxes;
    let read = start.elapsed().as_secs_f64();
    let statistics = rayon::scope(|_| coco(&boxes)).statistics;
    let evaluate = start.elapsed().as_secs_f64() - read;
    println!("{}", serde_json::json!({"read_s": read, "evaluate_s": evaluate, "statistics": statistics}));
    Ok(())
}
