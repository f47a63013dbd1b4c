//! Scores of a model on a split.

use crate::checkpoint::read_weights;
use crate::error::{Error, Result};
use crate::loader::{Loader, examples};
use crate::plan::plan;
use crate::provenance;
use crate::task::Task;
use candle_core::Device;
use data::{Root, Split};
use record::{Outcome, RunFolder, SCHEMA, Scores, TestRecord};

/// Scores `model` on all examples of `split`, `batch` at a time; the scores do not depend on `batch`.
///
/// # Errors
///
/// Where an example cannot be read, or an operation fails.
pub fn evaluate<T: Task>(
    task: &T,
    model: &T::Model,
    split: Split,
    batch: usize,
    threads: usize,
    device: &Device,
) -> Result<Scores> {
    let len = task.len(split);
    let mut meter = T::Meter::default();
    std::thread::scope(|scope| {
        let indices: Vec<usize> = (0..len).collect();
        let chunk = move |b: u64| indices.chunks(batch.max(1)).nth(b as usize).unwrap_or_default().to_vec();
        let batches = len.div_ceil(batch.max(1)) as u64;
        let prepare = move |b: u64| examples(task, split, &chunk(b), 0, "evaluate", 0);
        let mut loader = Loader::start(scope, threads, 0..batches, prepare);
        while let Some(examples) = loader.next() {
            let batch = task.collate(examples?, device)?;
            let prediction = ops::no_grad(|| task.predict(model, &batch))?;
            task.observe(&prediction, &batch, &mut meter)?;
        }
        Ok(task.scores(meter))
    })
}

/// Scores the final weights of the finished run in `folder` on the test split, and writes its
/// [`TestRecord`]; does nothing where that is there already.
///
/// # Errors
///
/// Where the run has not finished, or its weights are not those of its record.
pub fn test<T: Task>(folder: &RunFolder, root: &Root) -> std::result::Result<TestRecord, Error> {
    if let Some(test) = folder.read_test()? {
        return Ok(test);
    }
    let Some(record) = folder.read_record()? else {
        return Err(Error::Other(anyhow::anyhow!(
            "{}: expected a finished run, found no record",
            folder.path().display()
        )));
    };
    if record.outcome != Outcome::Finished {
        return Err(Error::Other(anyhow::anyhow!(
            "{}: the run diverged, so there is nothing to test",
            folder.path().display()
        )));
    }
    let started = provenance::now();
    let planned = plan::<T>(&record.spec, root)?;
    let task = T::open(planned.task.clone(), root, &planned.spec.dataset)?;
    let params = planned.params();
    let model = task.model(&params)?;
    read_weights(&folder.weights(), &params)?;
    let weights = params.digest()?;
    if weights != record.weights {
        let message = format!("expected the weights of the record, {}, found {weights}", record.weights);
        return Err(Error::content(&folder.weights(), message));
    }
    let scores = evaluate(&task, &model, Split::Test, planned.settings.batch, provenance::threads(), &Device::Cpu)?;
    let provenance = provenance::provenance(task.digest(), started, 0);
    let test = TestRecord { schema: SCHEMA, id: record.id, weights, scores, provenance };
    folder.write_test(&test)?;
    Ok(test)
}
