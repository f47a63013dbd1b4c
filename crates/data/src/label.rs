//! What is known of an image, for each task: how it is read, checked, and decoded.
//!
//! There is one kind of set and four kinds of label: `Set<L>` finds, verifies, streams, decodes and stores; a `Label`
//! says which columns it needs, how it is checked against its image, and how a view of the image changes it. A view
//! consists of integers (the size that an image is resized to, and the window that is cut out), so image, boxes,
//! masks and points share one geometry, and only visible pixels are computed. Colors change before padding, which
//! stays black.

mod boxes;
mod class;
mod mask;
mod points;

pub use boxes::{BoxColumns, BoxForm};
pub use class::ClassColumns;
pub use mask::MaskColumns;
pub use points::PointColumns;

use crate::augment::Follow;
use crate::columns::Batch;
use crate::error::Cell;
use crate::reading::{Reading, Row};
use crate::scenes::Scene;
use crate::spool::Spool;
use crate::table::Table;
use crate::{Columns, Error, Result, TaskKind};

/// The label of an example: a class (`u32`), objects ([`Vec<Object>`]), a `Mask`, or points ([`Vec<Point>`]).
///
/// Each is a way to read the columns of a set, or the truth of a scene; its functions take what only this crate has.
pub trait Label: Follow + Clone + Send + Sync {
    /// The task of sets with such labels.
    const TASK: TaskKind;
    /// Which columns the labels are in, and how their values are meant.
    type Columns: Clone + Send + Sync;
    /// What is kept of a row until it is decoded.
    type Raw: Clone + Send + Sync;

    /// Those of a manifest; `None` of one for another task.
    fn of(columns: &Columns) -> Option<&Self::Columns>;

    /// The columns beside the image, those that may be missing in a manifest only where they are given.
    fn names(columns: &Self::Columns) -> Vec<&str>;

    /// The column whose classes have names, where there are classes.
    fn class_column(columns: &Self::Columns) -> Option<&str>;

    /// Appends the class of each row of `table`, where a choice of rows keeps the proportions of classes.
    fn strata(_reading: &Reading<'_, Self::Columns>, _table: Table<'_>, _strata: &mut Vec<u32>) -> Result<()> {
        Ok(())
    }

    /// The labels in `batch`, of the rows for which `wanted` says so.
    fn read(
        reading: &Reading<'_, Self::Columns>,
        batch: &Batch<'_>,
        wanted: &dyn Fn(usize) -> bool,
        spool: &mut Spool,
    ) -> Result<Vec<Option<Self::Raw>>>;

    /// Holds labels against the sizes of their images.
    fn check(_reading: &Reading<'_, Self::Columns>, _rows: &mut [Row<Self::Raw>]) -> Result<()> {
        Ok(())
    }

    /// The label of an image as it is in its file, before anything is resized.
    fn decode(reading: &Reading<'_, Self::Columns>, row: &Row<Self::Raw>, spool: &Spool) -> Result<Self>;

    /// What is known of a scene, where there are scenes with such labels.
    fn of_scene(_scene: &Scene) -> Option<Self> {
        None
    }
}

/// Pixels that a box or a point may be outside by: annotations are rounded.
const ROUNDING: f32 = 1.0;

fn class<C>(reading: &Reading<'_, C>, value: Option<i64>, place: impl Fn() -> Cell) -> Result<u32> {
    let classes = reading.classes.len();
    let value = value.ok_or_else(|| Error::Null { place: place(), expected: "a label" })?;
    u32::try_from(value).ok().filter(|class| (*class as usize) < classes).ok_or_else(|| Error::Label {
        place: place(),
        classes,
        found: value.to_string(),
    })
}
