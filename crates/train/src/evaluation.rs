//! Scores of a model on a split.

use crate::error::{Error, Result};
use crate::finished::{self, Finished};
use crate::loader::{Loader, examples};
use crate::provenance;
use crate::task::Task;
use anyhow::ensure;
use candle_core::Device;
use data::{Root, Split};
use record::{RunFolder, SCHEMA, Scores, TestRecord};

/// Scores `model` on all examples of `split`, at most `batch` at a time; the scores do not depend on `batch`.
///
/// # Errors
///
/// Where an example cannot be read, an operation fails, or nothing in the split can be judged.
pub fn evaluate<T: Task>(
    task: &T,
    model: &T::Model,
    split: Split,
    batch: usize,
    threads: usize,
    device: &Device,
) -> Result<Scores> {
    evaluate_with(task, model, split, [batch, threads], device, |_, _| Ok(()))
}

/// The same, and the mean of [`Task::evaluation_loss`] over the examples.
pub(crate) fn evaluate_with_loss<T: Task>(
    task: &T,
    model: &T::Model,
    split: Split,
    sizes: [usize; 2],
    device: &Device,
) -> Result<(Scores, Option<f64>)> {
    let len = task.set().len(split);
    let size = task.evaluation_batch(sizes[0]).max(1);
    let (mut done, mut sum) = (0, Some(0.0));
    let scores = evaluate_with(task, model, split, sizes, device, |prediction, batch| {
        let examples = size.min(len - done);
        done += examples;
        let loss = task.evaluation_loss(model, batch, prediction)?;
        sum = sum.zip(loss).map(|(sum, loss)| sum + loss * examples as f64);
        Ok(())
    })?;
    Ok((scores, sum.map(|sum| sum / len as f64)))
}

/// Scores, where `each` is called with every prediction and its batch; of at most `batch` examples, prepared by `threads`.
fn evaluate_with<T: Task>(
    task: &T,
    model: &T::Model,
    split: Split,
    [batch, threads]: [usize; 2],
    device: &Device,
    mut each: impl FnMut(&T::Prediction, &T::Batch) -> Result<()>,
) -> Result<Scores> {
    // Memory that training left is of other sizes, and so is what is left behind for training.
    ops::release_memory();
    let len = task.set().len(split);
    let batch = task.evaluation_batch(batch).max(1);
    let mut meter = T::Meter::default();
    std::thread::scope(|scope| {
        let indices: Vec<usize> = (0..len).collect();
        let chunk = move |b: u64| indices.chunks(batch).nth(b as usize).unwrap_or_default().to_vec();
        let batches = len.div_ceil(batch) as u64;
        let prepare = move |b: u64| examples(task, split, &chunk(b), 0, "evaluate", 0);
        let mut loader = Loader::start(scope, threads, 0..batches, prepare);
        while let Some(examples) = loader.next() {
            let batch = task.collate(examples?, device)?;
            let prediction = ops::no_grad(|| task.predict(model, &batch))?;
            task.observe(&prediction, &batch, &mut meter)?;
            ops::no_grad(|| each(&prediction, &batch))?;
        }
        ops::release_memory();
        let (scores, headline) = (task.scores(meter), T::HEADLINE.score);
        ensure!(
            scores.contains_key(headline),
            "expected a score `{headline}` of the {split} split, found none: nothing in its {len} examples can be judged"
        );
        Ok(scores)
    })
}

/// Scores the final weights of the finished run in `folder` on the test split, and writes its
/// [`TestRecord`]; does nothing where that is there already.
///
/// # Errors
///
/// Where the run has not finished, or its weights are not here or not those of its record.
pub fn test<T: Task>(folder: &RunFolder, root: &Root) -> std::result::Result<TestRecord, Error> {
    if let Some(test) = folder.read_test()? {
        return Ok(test);
    }
    let started = provenance::now();
    let Finished { record, planned, task, model } = finished::open::<T>(folder, root)?;
    let (batch, device) = (planned.settings.batch, planned.settings.engine.device());
    let scores = evaluate(&task, &model, Split::Test, batch, provenance::threads(), &device)?;
    let provenance = provenance::provenance(task.set().digest(), started, 0, &[])?;
    let test = TestRecord { schema: SCHEMA, id: record.id, weights: record.weights, scores, provenance };
    folder.write_test(&test)?;
    Ok(test)
}
