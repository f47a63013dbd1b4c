//! Times steps, and prints one line of JSON that `tools/peers` compares with PyTorch's.

use anyhow::{Context, Result};
use clap::Args;
use ops::Kernels;
use serde::Serialize;
use std::time::Instant;

/// Steps before the timed ones: they fill the memory pool.
const WARM_UP: usize = 2;

#[derive(Args)]
pub(crate) struct Timing {
    /// Images of a step.
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch: u32,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Timed steps, of which the median counts.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Time the forward pass alone, with running statistics.
    #[arg(long)]
    pub(crate) eval: bool,
}

/// The line that is printed; its keys are those of `tools/peers/torch_step.py`.
#[derive(Serialize)]
struct Line<'a> {
    model: &'a str,
    batch: u32,
    layout: &'static str,
    threads: usize,
    /// The version, which all crates of the workspace share.
    ops: &'static str,
    kernels: &'static str,
    images_per_s: f64,
    step_ms: f64,
    /// Largest resident memory of the process; none where the system does not say.
    peak_rss_mib: Option<u64>,
    /// Of the first four steps, warm-up included; empty in evaluation.
    losses: Vec<f64>,
}

impl Timing {
    /// Times the steps that `prepare` makes: each gives its loss, in evaluation none.
    pub(crate) fn run<S: FnMut() -> Result<Option<f32>>>(
        &self,
        model: &str,
        prepare: impl FnOnce() -> Result<S> + Send,
    ) -> Result<()> {
        rayon::ThreadPoolBuilder::new().num_threads(self.threads).build_global()?;
        // Inside the pool, so that small parallel loops do not wait for a worker.
        let line = rayon::scope(|_| self.measure(model, prepare()?))?;
        println!("{line}");
        Ok(())
    }

    fn measure(&self, model: &str, mut step: impl FnMut() -> Result<Option<f32>>) -> Result<String> {
        let (mut seconds, mut losses) = (Vec::new(), Vec::new());
        for index in 0..WARM_UP + self.steps as usize {
            let start = Instant::now();
            let loss = step()?;
            if index >= WARM_UP {
                seconds.push(start.elapsed().as_secs_f64());
            }
            losses.extend(loss.filter(|_| index < 4).map(|loss| rounded(f64::from(loss), 5)));
        }
        let median = median(seconds).context("expected at least one timed step")?;
        let line = Line {
            model,
            batch: self.batch,
            layout: "nhwc",
            threads: rayon::current_num_threads(),
            ops: env!("CARGO_PKG_VERSION"),
            kernels: Kernels::current()?.name(),
            images_per_s: rounded(f64::from(self.batch) / median, 1),
            step_ms: rounded(1e3 * median, 1),
            peak_rss_mib: peak_rss_mib(),
            losses,
        };
        Ok(serde_json::to_string(&line)?)
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = libm::exp10(f64::from(digits));
    (value * scale).round() / scale
}

/// What `getrusage` calls `ru_maxrss`, in MiB.
fn peak_rss_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}
