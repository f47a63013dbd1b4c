//! The rows of a parquet file, streamed.
//!
//! The parquet crate is guarded: it skips Thrift lists of any claimed length and allocates any claimed page, so
//! footers and page headers are checked first; its panics are caught.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;

use files::FileError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::metadata::RowGroupMetaData;

use crate::columns::{Batch, root};
use crate::{Error, Result, guard, kind};

/// Rows that are decompressed at once.
const ROWS: usize = 128;
/// Batches that may wait to be used: while one is used, the next is read.
const AHEAD: usize = 1;

/// A parquet file whose footer was read.
pub struct Table<'a> {
    file: &'a Path,
    builder: ParquetRecordBatchReaderBuilder<File>,
    rows: u64,
}

impl<'a> Table<'a> {
    /// Opens `file`, which has `rows` rows where that is known.
    pub(crate) fn open(file: &'a Path, rows: Option<u64>) -> Result<Self> {
        guarded(file, || {
            let unread = |cause| FileError::new("read", file, cause);
            let mut handle = File::open(file).map_err(unread)?;
            if let Err(reason) = guard::footer(&mut handle).map_err(unread)? {
                return Err(damaged(file, kind_of(&mut handle).map_err(unread)?.unwrap_or(reason)));
            }
            let bytes = handle.metadata().map_err(unread)?.len();
            // The Arrow schema that some writers add turns the same bytes into many types; without
            // it the parquet type alone decides.
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(handle, options)
                .map_err(|cause| damaged(file, cause))?;
            let found = u64::try_from(builder.metadata().file_metadata().num_rows())
                .map_err(|_| damaged(file, "the number of rows is negative"))?;
            if found > bytes {
                return Err(damaged(file, format!("{bytes} bytes cannot be {found} rows with an image each")));
            }
            match rows {
                Some(expected) if expected != found => Err(Error::Rows { file: file.to_path_buf(), expected, found }),
                _ => Ok(Self { file, builder, rows: found }),
            }
        })
    }

    /// Number of rows, as the footer says.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The names of the classes of `column`, where the `huggingface` key of the file's metadata has them.
    pub(crate) fn class_names(&self, column: &str) -> Option<Vec<String>> {
        let entries = self.builder.metadata().file_metadata().key_value_metadata()?;
        let text = entries.iter().find(|entry| entry.key == "huggingface")?.value.as_ref()?;
        let whole: serde_json::Value = serde_json::from_str(text).ok()?;
        let mut node = &whole["info"]["features"];
        for part in column.split('.') {
            // A list's feature is one step further down, under this name or in an array.
            for _ in 0..4 {
                if node.get(part).is_some() {
                    break;
                }
                node = node.get("feature").or_else(|| node.get(0))?;
            }
            node = node.get(part)?;
        }
        let names = std::iter::successors(Some(node), |node| node.get("feature")).find_map(|node| node.get("names"))?;
        names.as_array()?.iter().map(|name| Some(name.as_str()?.to_owned())).collect()
    }

    /// Gives the rows with `columns` to `each`, some at a time and in order; while they are used, the next are read.
    pub(crate) fn stream(self, columns: &[&str], mut each: impl FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        let Self { file, builder, rows } = self;
        let reader = guarded(file, || project(file, builder, columns))?;
        let read = thread::scope(|scope| {
            let (sender, receiver) = sync_channel(AHEAD);
            // The receiver is gone when an error was found in a batch.
            scope.spawn(move || {
                let sent = guarded(file, || {
                    for batch in reader {
                        if sender.send(batch.map_err(|cause| damaged(file, cause))).is_err() {
                            break;
                        }
                    }
                    Ok(())
                });
                if let Err(error) = sent {
                    let _ = sender.send(Err(error));
                }
            });
            let mut first = 0;
            for batch in receiver {
                let batch = batch?;
                each(Batch { file, first, rows: &batch })?;
                first += batch.num_rows();
            }
            Ok::<_, Error>(first as u64)
        })?;
        if read != rows {
            return Err(damaged(file, format!("expected {rows} rows as its footer says, found {read}")));
        }
        Ok(())
    }
}

fn project(
    file: &Path,
    builder: ParquetRecordBatchReaderBuilder<File>,
    columns: &[&str],
) -> Result<ParquetRecordBatchReader> {
    let existing: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let wanted = columns
        .iter()
        .map(|column| {
            existing.iter().position(|name| name == root(column)).ok_or_else(|| Error::NoColumn {
                file: file.to_path_buf(),
                column: (*column).to_owned(),
                existing: existing.clone(),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let unread = |cause| FileError::new("read", file, cause);
    let mut handle = File::open(file).map_err(unread)?;
    for column in builder.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let name = column.column_path().parts().first();
        if columns.iter().any(|column| name.is_some_and(|name| name == root(column))) {
            if let found @ (Compression::BROTLI(_) | Compression::LZO) = column.compression() {
                return Err(Error::Compression { file: file.to_path_buf(), found: found.to_string() });
            }
            let (start, length) = column.byte_range();
            guard::pages(&mut handle, start, length).map_err(unread)?.map_err(|reason| damaged(file, reason))?;
        }
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    builder.with_batch_size(ROWS).with_projection(mask).build().map_err(|cause| damaged(file, cause))
}

/// What a file is that does not end as a parquet file does, where its first bytes tell another kind.
fn kind_of(file: &mut File) -> io::Result<Option<String>> {
    file.rewind()?;
    let mut first = Vec::new();
    file.take(512).read_to_end(&mut first)?;
    Ok(kind::of(&first).filter(|_| !first.starts_with(b"PAR1")).map(|kind| format!("it is {}", kind.found())))
}

/// The parquet crate asserts some of what a damaged file can break (a negative offset of a column). Nothing that it
/// was working on is used afterwards.
fn guarded<T>(file: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(damaged(file, "its metadata contradict themselves")))
}

fn damaged(file: &Path, reason: impl ToString) -> Error {
    Error::Parquet { file: file.to_path_buf(), reason: reason.to_string() }
}
