//! A finished run, and its network as training left it.

use crate::checkpoint::read_weights;
use crate::error::Error;
use crate::plan::{Planned, plan};
use crate::task::Task;
use anyhow::anyhow;
use data::Root;
use record::{Outcome, Record, RunFolder};

/// What the folder of a finished run has.
pub(crate) struct Finished<T: Task> {
    pub(crate) record: Record,
    pub(crate) planned: Planned<T>,
    pub(crate) task: T,
    pub(crate) model: T::Model,
}

/// Opens the finished run in `folder` with its final weights.
///
/// # Errors
///
/// Where the run has not finished, or its weights are not here or not those of its record.
pub(crate) fn open<T: Task>(folder: &RunFolder, root: &Root) -> Result<Finished<T>, Error> {
    let shown = folder.path().display();
    let Some(record) = folder.read_record()? else {
        return Err(Error::Other(anyhow!("{shown}: expected a finished run, found no record")));
    };
    if record.outcome != Outcome::Finished {
        return Err(Error::Other(anyhow!("{shown}: the run diverged, so there is nothing to test or to draw")));
    }
    let path = folder.weights();
    if !path.exists() {
        let message =
            "expected the final weights of the run, found no such file: copy it from where the run was trained";
        return Err(Error::content(&path, message));
    }
    let planned = plan::<T>(&record.spec, root)?;
    let task = planned.open(root)?;
    let params = planned.params();
    let model = task.model(&params)?;
    read_weights(&path, &params)?;
    let weights = params.digest()?;
    if weights != record.weights {
        let message = format!("expected the weights of the record, {}, found {weights}", record.weights);
        return Err(Error::content(&path, message));
    }
    Ok(Finished { record, planned, task, model })
}
