//! Typed values out of the columns of a parquet file.

use std::ops::Range;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, ListArray, RecordBatch, StructArray, types};

use crate::error::Cell;
use crate::{Error, Result};

/// Some rows of a file.
pub struct Batch<'a> {
    pub(crate) file: &'a Path,
    /// The row of the file that comes first.
    pub(crate) first: usize,
    pub(crate) rows: &'a RecordBatch,
}

impl<'a> Batch<'a> {
    /// Where row `index` of the batch has `column`, for messages.
    pub(crate) fn cell(&self, index: usize, column: &str) -> Cell {
        Cell { file: self.file.to_path_buf(), row: self.first + index, column: column.to_owned() }
    }

    /// The bytes of files: `struct<bytes: binary, path: string>`, or `binary`.
    pub(crate) fn files(&self, column: &str) -> Result<Files<'a>> {
        let array = self.column(column)?;
        let (files, whole): (Option<&BinaryArray>, Option<&StructArray>) = match array.as_struct_opt() {
            Some(whole) => (whole.column_by_name("bytes").and_then(|bytes| bytes.as_binary_opt()), Some(whole)),
            None => (array.as_binary_opt(), None),
        };
        let expected = "struct<bytes: binary, path: string> or binary";
        let files = files.ok_or_else(|| self.wrong_type(column, expected, array))?;
        Ok(Files { files, whole })
    }

    /// Numbers without a fraction, of any integer type; those over 2⁶³ are none that anybody could mean, and are cut there.
    pub(crate) fn integers(&self, column: &str) -> Result<Vec<Option<i64>>> {
        let array = self.column(column)?;
        integers(array).ok_or_else(|| self.wrong_type(column, "a column of integers", array))
    }

    /// For each row a list of integers, or of truth values as 0 and 1.
    pub(crate) fn integer_lists(&self, column: &str) -> Result<Lists<Option<i64>>> {
        let (ranges, array) = self.lists(column)?;
        let flags = || Some(array.as_boolean_opt()?.iter().map(|flag| flag.map(i64::from)).collect());
        let items = integers(&array).or_else(flags);
        Ok(Lists { ranges, items: items.ok_or_else(|| self.wrong_type(column, "lists of integers", &array))? })
    }

    /// For each row a list of `N` numbers each. An item that has another length, or lacks a number, is `None`.
    pub(crate) fn tuple_lists<const N: usize>(&self, column: &str) -> Result<Lists<Option<[f32; N]>>> {
        let (ranges, array) = self.lists(column)?;
        let wrong = || self.wrong_type(column, "lists of lists of numbers", &array);
        let tuples = array.as_list_opt::<i32>().ok_or_else(wrong)?;
        let numbers = numbers(tuples.values()).ok_or_else(wrong)?;
        let item = |index: usize| {
            let range = range(tuples, index)?;
            let mut tuple = [0.0; N];
            let found = numbers.get(range)?;
            if found.len() != N {
                return None;
            }
            for (to, from) in tuple.iter_mut().zip(found) {
                *to = (*from)?;
            }
            Some(tuple)
        };
        Ok(Lists { ranges, items: (0..tuples.len()).map(item).collect() })
    }

    /// For each row where its items are in the array that is returned too. `objects.bbox` is the field of a struct
    /// of lists, or of a list of structs.
    fn lists(&self, column: &str) -> Result<(Vec<Option<Range<usize>>>, ArrayRef)> {
        let array = self.column(column)?;
        let wrong = || self.wrong_type(column, "a list for each row", array);
        let field = column.split_once('.').map(|(_, field)| field);
        let missing = |fields: &StructArray| Error::NoColumn {
            file: self.file.to_path_buf(),
            column: column.to_owned(),
            existing: fields.column_names().iter().map(|name| (*name).to_owned()).collect(),
        };
        let ranges = |list: &ListArray| (0..list.len()).map(|row| range(list, row)).collect();
        match (array.as_struct_opt(), field) {
            (Some(fields), Some(field)) => {
                let list = fields.column_by_name(field).ok_or_else(|| missing(fields))?;
                let list = list.as_list_opt::<i32>().ok_or_else(wrong)?;
                let ranges = (0..list.len()).map(|row| range(list, row).filter(|_| !fields.is_null(row))).collect();
                Ok((ranges, list.values().clone()))
            }
            (None, Some(field)) => {
                let list = array.as_list_opt::<i32>().ok_or_else(wrong)?;
                let fields = list.values().as_struct_opt().ok_or_else(wrong)?;
                let values = fields.column_by_name(field).ok_or_else(|| missing(fields))?;
                Ok((ranges(list), values.clone()))
            }
            (_, None) => {
                let list = array.as_list_opt::<i32>().ok_or_else(wrong)?;
                Ok((ranges(list), list.values().clone()))
            }
        }
    }

    /// The column that a dotted name begins with.
    fn column(&self, column: &str) -> Result<&'a dyn Array> {
        self.rows.column_by_name(root(column)).map(AsRef::as_ref).ok_or_else(|| Error::Parquet {
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

/// The column of the file that `column` is in: `objects` for `objects.bbox`.
pub(crate) fn root(column: &str) -> &str {
    column.split_once('.').map_or(column, |(root, _)| root)
}

/// Encoded images, one a row.
pub(crate) struct Files<'a> {
    files: &'a BinaryArray,
    whole: Option<&'a StructArray>,
}

impl<'a> Files<'a> {
    /// The file in `row`, or nothing where it is null.
    pub(crate) fn get(&self, row: usize) -> Option<&'a [u8]> {
        let null = self.files.is_null(row) || self.whole.is_some_and(|whole| whole.is_null(row));
        (!null).then(|| self.files.value(row))
    }
}

/// A list of items for each row.
pub(crate) struct Lists<T> {
    ranges: Vec<Option<Range<usize>>>,
    items: Vec<T>,
}

impl<T> Lists<T> {
    /// The items of `row`, or nothing where the list is null.
    pub(crate) fn get(&self, row: usize) -> Option<&[T]> {
        self.items.get(self.ranges.get(row)?.clone()?)
    }
}

fn range(list: &ListArray, row: usize) -> Option<Range<usize>> {
    if list.is_null(row) {
        return None;
    }
    let [start, end] = [row, row + 1].map(|at| usize::try_from(list.value_offsets()[at]).ok());
    Some(start?..end?)
}

fn integers(array: &dyn Array) -> Option<Vec<Option<i64>>> {
    macro_rules! of {
        ($($kind:ident),*) => {
            $(if let Some(values) = array.as_primitive_opt::<types::$kind>() {
                return Some(values.iter().map(|value| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX))).collect());
            })*
        };
    }
    of!(Int64Type, Int32Type, Int16Type, Int8Type, UInt64Type, UInt32Type, UInt16Type, UInt8Type);
    None
}

fn numbers(array: &dyn Array) -> Option<Vec<Option<f32>>> {
    if let Some(values) = array.as_primitive_opt::<types::Float32Type>() {
        return Some(values.iter().collect());
    }
    if let Some(values) = array.as_primitive_opt::<types::Float64Type>() {
        return Some(values.iter().map(|value| value.map(|value| value as f32)).collect());
    }
    Some(integers(array)?.into_iter().map(|value| value.map(|value| value as f32)).collect())
}
