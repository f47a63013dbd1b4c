//! Pictures of what a finished run predicts.

use crate::error::Error;
use crate::finished::{self, Finished};
use crate::loader::{examples, stream};
use crate::task::Task;
use anyhow::anyhow;
use canvas::Canvas;
use data::{Root, Split};
use files::write_atomic;
use record::RunFolder;
use std::path::Path;

/// Draws `count` examples with what the finished run in `run` predicts of them: of the test split where the run was chosen
/// and tested, else of the validation split, so that nobody looks at test images before the choice. They are spread evenly
/// over the split (example ⌊k·len/count⌋ for k from 0), so that nobody chooses them either. Writes `<split>-<index>.png` for each and
/// `sheet.png` with all of them to the folder `out`, which is made where there is none, and leaves other files in it alone.
/// Returns how many examples were drawn.
///
/// # Errors
///
/// Where the task draws no pictures, the run has not finished, its weights are not here or not those of its record, or a
/// file cannot be written.
pub fn pictures<T: Task>(run: &RunFolder, root: &Root, out: &Path, count: usize) -> Result<usize, Error> {
    let legend = T::PICTURES.ok_or_else(|| anyhow!("the task {} draws no pictures", T::NAME))?;
    let finished = finished::open::<T>(run, root)?;
    let split = if run.read_test()?.is_some() { Split::Test } else { Split::Validation };
    let len = finished.task.set().len(split);
    let count = count.min(len);
    let drawn = (0..count).map(|k| {
        let index = (k as u128 * len as u128 / count as u128) as usize;
        draw(&finished, split, index).map(|picture| (index, picture))
    });
    let drawn: Vec<(usize, Canvas)> = drawn.collect::<Result<_, _>>()?;
    for (index, picture) in &drawn {
        write(&out.join(format!("{split}-{index}.png")), picture)?;
    }
    let title = format!(
        "{} run {}: {count} of {len} examples of the {split} split, spread evenly over it.",
        T::NAME,
        finished.record.id
    );
    let pictures: Vec<Canvas> = drawn.into_iter().map(|(_, picture)| picture).collect();
    write(&out.join("sheet.png"), &canvas::sheet(&[&title, legend], &pictures))?;
    Ok(count)
}

fn draw<T: Task>(finished: &Finished<T>, split: Split, index: usize) -> Result<Canvas, Error> {
    let Finished { task, model, planned, .. } = finished;
    let device = planned.settings.engine.device();
    let batch = task.collate(examples(task, split, &[index], 0, "evaluate", 0)?, &device)?;
    let prediction = ops::no_grad(|| task.predict(model, &batch))?;
    Ok(task.picture(split, index, &mut stream(0, "evaluate", 0, index), &prediction)?)
}

fn write(path: &Path, picture: &Canvas) -> Result<(), Error> {
    let file = picture.png().map_err(|cause| anyhow!("cannot draw {}: {cause}", path.display()))?;
    Ok(write_atomic(path, &file)?)
}
