//! An image's class.

use super::{Label, class};
use crate::columns::Batch;
use crate::reading::{Reading, Row};
use crate::spool::Spool;
use crate::table::Table;
use crate::{Columns, Result, TaskKind};

/// Where images and their classes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassColumns {
    /// Images.
    pub image: String,
    /// Classes, of any integer type.
    pub label: String,
}

impl ClassColumns {
    pub(crate) fn reading(&self) -> Vec<String> {
        vec![self.label.clone()]
    }
}

impl Label for u32 {
    const TASK: TaskKind = TaskKind::Classification;
    type Columns = ClassColumns;
    type Raw = u32;

    fn of(columns: &Columns) -> Option<&ClassColumns> {
        match columns {
            Columns::Classification(columns) => Some(columns),
            _ => None,
        }
    }

    fn names(columns: &ClassColumns) -> Vec<&str> {
        vec![&columns.label]
    }

    fn class_column(columns: &ClassColumns) -> Option<&str> {
        Some(&columns.label)
    }

    fn strata(reading: &Reading<'_, ClassColumns>, table: Table<'_>, strata: &mut Vec<u32>) -> Result<()> {
        table.stream(&Self::names(reading.columns), |batch| {
            let labels = Self::read(reading, &batch, &|_| true, &mut Spool::new(0, Default::default()))?;
            strata.extend(labels.into_iter().flatten());
            Ok(())
        })
    }

    fn read(
        reading: &Reading<'_, ClassColumns>,
        batch: &Batch<'_>,
        wanted: &dyn Fn(usize) -> bool,
        _: &mut Spool,
    ) -> Result<Vec<Option<u32>>> {
        let column = &reading.columns.label;
        let labels = batch.integers(column)?;
        let label = |(index, label): (usize, &Option<i64>)| {
            wanted(index).then(|| class(reading, *label, || batch.cell(index, column))).transpose()
        };
        labels.iter().enumerate().map(label).collect()
    }

    fn decode(_: &Reading<'_, ClassColumns>, row: &Row<u32>, _: &Spool) -> Result<u32> {
        Ok(row.raw)
    }
}
