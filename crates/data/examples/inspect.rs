//! Reads a data set as training does, and says what is in it and how fast it is:
//!
//! ```text
//! cargo run --release -p data --example inspect -- NAME
//! ```
//!
//! `RAYON_NUM_THREADS` sets the number of threads, and `WRS_BENCH_MEMORY_GIB=0` has every image decoded when it is
//! needed, as in a set that is larger than the memory.

use std::time::Instant;

use anyhow::{Context, Result};
use data::augment::{Augmentation, Jitter, Normalize, Scale};
use data::{Label, Manifest, Mask, Object, Options, Point, Root, Set, Split, TaskKind, VOID};
use rayon::prelude::*;

/// Examples that are augmented for the measurement, again and again over the training split.
const EXAMPLES: usize = 20_000;

fn main() -> Result<()> {
    let name = std::env::args().nth(1).context("expected the name of a data set, such as fashion-mnist-12k")?;
    let root = Root::from_env(".");
    for task in root.manifest(&name)?.tasks() {
        match task {
            TaskKind::Classification => inspect(&root, &name, |_: &u32| 1, "labels"),
            TaskKind::Detection => inspect(&root, &name, |objects: &Vec<Object>| objects.len(), "boxes"),
            TaskKind::Segmentation => {
                let judged = |mask: &Mask| mask.classes.iter().filter(|class| **class != VOID).count();
                inspect(&root, &name, judged, "pixels with a class")
            }
            TaskKind::CrowdCounting => inspect(&root, &name, |points: &Vec<Point>| points.len(), "points"),
        }?;
    }
    Ok(())
}

fn inspect<L: Label>(root: &Root, name: &str, count: impl Fn(&L) -> usize + Sync, what: &str) -> Result<()> {
    let start = Instant::now();
    let set = Set::<L>::open(root, name, Options::default())?;
    let opened = start.elapsed().as_secs_f64();
    let Manifest { title, licence, caveat, .. } = set.manifest();
    println!("{title}; licence: {licence}");
    println!("  {}", caveat.as_deref().unwrap_or("no caveat"));
    let mut total = 0;
    for split in Split::ALL {
        let mut counted = 0;
        for index in 0..set.len(split) {
            counted += count(&set.example(split, index)?.label);
        }
        let [height, width] = set.size(split, 0);
        println!("  {split}: {} images, the first {width}×{height}; {counted} {what}", set.len(split));
        total += set.len(split);
    }
    println!("  {} classes, mean {:.3?}, standard deviation {:.3?}", set.classes().len(), set.mean(), set.std());
    for warning in set.warnings() {
        println!("  warning: {warning}");
    }
    println!("  opened in {opened:.2} s: {:.0} images/s", total as f64 / opened);

    let normalize = Normalize::new(set.mean(), set.std());
    let jitter = Jitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    let [height, width] = set.size(Split::Train, 0);
    let size = Some([height, width]);
    for (what, augmentation) in [
        ("crop from a border and flip", Augmentation { size, padding: 4, flip: true, ..Augmentation::default() }),
        (
            "scale, crop, flip and jitter",
            Augmentation { size, scale: Scale::Image([0.5, 2.0]), flip: true, jitter, ..Augmentation::default() },
        ),
    ] {
        let start = Instant::now();
        let seen: usize = (0..EXAMPLES)
            .into_par_iter()
            .map(|step| {
                let example = set.example(Split::Train, step % set.len(Split::Train))?;
                let mut rng = random::stream(0, "inspect", &[step as u64]);
                let transform = augmentation.draw([example.image.height, example.image.width], &mut rng);
                let mut pixels = vec![0.0; height * width * example.image.channels];
                transform.apply(&example.image.pixels, &normalize, &mut pixels);
                Ok(count(&example.label.follow(&transform.view)))
            })
            .sum::<Result<usize>>()?;
        std::hint::black_box(seen);
        let rate = EXAMPLES as f64 / start.elapsed().as_secs_f64();
        println!("  {what}: {rate:.0} images/s with {} threads", rayon::current_num_threads());
    }
    Ok(())
}
