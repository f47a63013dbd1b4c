//! Encoded images and labels from a parquet file.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::{Array, BinaryArray, RecordBatch, StructArray, types};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use record::fs::FileError;

use crate::error::Cell;
use crate::{Columns, Error, Result};

/// The rows of one file, in its order.
pub(crate) struct Table<'a> {
    file: &'a Path,
    columns: &'a Columns,
    /// All encoded images, one after the other.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// One class for each row.
    pub(crate) labels: Vec<u32>,
}

impl<'a> Table<'a> {
    /// Reads `file`, whose labels are smaller than `classes`, and which has `rows` rows where
    /// that is known.
    pub(crate) fn read(file: &'a Path, columns: &'a Columns, classes: usize, rows: Option<u64>) -> Result<Self> {
        // The parquet crate asserts some of what a damaged footer can break (a negative offset of
        // a column). Nothing that it was working on is used afterwards.
        catch_unwind(AssertUnwindSafe(|| Self::read_trusting(file, columns, classes, rows))).unwrap_or_else(|_| {
            Err(Error::Parquet { file: file.to_path_buf(), reason: "its metadata contradict themselves".to_owned() })
        })
    }

    fn read_trusting(file: &'a Path, columns: &'a Columns, classes: usize, rows: Option<u64>) -> Result<Self> {
        let damaged = |reason: String| Error::Parquet { file: file.to_path_buf(), reason };
        let handle = File::open(file).map_err(|cause| FileError::new("read", file, cause))?;
        // The Arrow schema that some writers add turns the same bytes into many types; without
        // it the parquet type alone decides.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(handle, options)
            .map_err(|cause| damaged(cause.to_string()))?;

        let found = u64::try_from(builder.metadata().file_metadata().num_rows())
            .map_err(|_| damaged("the number of rows is negative".to_owned()))?;
        if let Some(expected) = rows
            && expected != found
        {
            return Err(Error::Rows { file: file.to_path_buf(), expected, found });
        }

        let existing: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        let wanted = [columns.image(), label(columns)]
            .into_iter()
            .map(|column| {
                existing.iter().position(|name| name == column).ok_or_else(|| Error::NoColumn {
                    file: file.to_path_buf(),
                    column: column.to_owned(),
                    existing: existing.clone(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let reader = builder.with_projection(mask).build().map_err(|cause| damaged(cause.to_string()))?;

        let mut table = Self { file, columns, bytes: Vec::new(), ends: Vec::new(), labels: Vec::new() };
        for batch in reader {
            let batch = batch.map_err(|cause| damaged(cause.to_string()))?;
            table.add_labels(&batch, classes)?;
            table.add_images(&batch)?;
        }
        let read = table.labels.len() as u64;
        if read != found {
            return Err(damaged(format!("expected {found} rows as its footer says, found {read}")));
        }
        Ok(table)
    }

    /// The encoded image in `row`.
    pub(crate) fn image(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    /// The image column of `row`, for messages.
    pub(crate) fn image_cell(&self, row: usize) -> Cell {
        self.cell(row, self.columns.image())
    }

    fn cell(&self, row: usize, column: &str) -> Cell {
        Cell { file: self.file.to_path_buf(), row, column: column.to_owned() }
    }

    fn add_images(&mut self, batch: &RecordBatch) -> Result<()> {
        let column = self.columns.image();
        let array = self.column(batch, column)?;
        let (files, whole): (Option<&BinaryArray>, Option<&StructArray>) = match array.as_struct_opt() {
            Some(whole) => (whole.column_by_name("bytes").and_then(|bytes| bytes.as_binary_opt()), Some(whole)),
            None => (array.as_binary_opt(), None),
        };
        let files =
            files.ok_or_else(|| self.wrong_type(column, "struct<bytes: binary, path: string> or binary", array))?;
        for index in 0..files.len() {
            if files.is_null(index) || whole.is_some_and(|whole| whole.is_null(index)) {
                let place = self.cell(self.ends.len(), column);
                return Err(Error::Null { place, expected: "the bytes of an image" });
            }
            self.bytes.extend_from_slice(files.value(index));
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }

    fn add_labels(&mut self, batch: &RecordBatch, classes: usize) -> Result<()> {
        let column = label(self.columns);
        let array = self.column(batch, column)?;
        let values = integers(array).ok_or_else(|| self.wrong_type(column, "a column of integers", array))?;
        for value in values {
            let place = || self.cell(self.labels.len(), column);
            let Some(value) = value else {
                return Err(Error::Null { place: place(), expected: "a label" });
            };
            match u32::try_from(value) {
                Ok(label) if (label as usize) < classes => self.labels.push(label),
                _ => {
                    return Err(Error::Label { place: place(), classes, found: value.to_string() });
                }
            }
        }
        Ok(())
    }

    fn column<'b>(&self, batch: &'b RecordBatch, column: &str) -> Result<&'b dyn Array> {
        batch.column_by_name(column).map(AsRef::as_ref).ok_or_else(|| Error::Parquet {
            file: self.file.to_path_buf(),
            reason: format!("column {column:?} is in the schema, but not in the data"),
        })
    }

    fn wrong_type(&self, column: &str, expected: &'static str, array: &dyn Array) -> Error {
        Error::ColumnType {
            file: self.file.to_path_buf(),
            column: column.to_owned(),
            expected,
            found: array.data_type().to_string(),
        }
    }
}

/// The values of an array of any integer type, wide enough for all of them.
fn integers(array: &dyn Array) -> Option<Vec<Option<i128>>> {
    macro_rules! of {
        ($($kind:ident),*) => {
            $(if let Some(values) = array.as_primitive_opt::<types::$kind>() {
                return Some(values.iter().map(|value| value.map(i128::from)).collect());
            })*
        };
    }
    of!(Int64Type, Int32Type, Int16Type, Int8Type, UInt64Type, UInt32Type, UInt16Type, UInt8Type);
    None
}

fn label(columns: &Columns) -> &str {
    match columns {
        Columns::Classification { label, .. } => label,
        _ => "",
    }
}
