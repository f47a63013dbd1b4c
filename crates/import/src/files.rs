//! The parquet files of a split.

use std::fs::File;

use data::Split;
use files::NewFolder;
use parquet::arrow::ArrowWriter;

use crate::error::{Error, Result};
use crate::prepare::Row;
use crate::release::Release;
use crate::table;

/// The files of a split, one after the other.
pub(crate) struct Files<'a> {
    new: &'a mut NewFolder,
    split: &'static str,
    release: &'a Release,
    /// Bytes from which a file ends.
    limit: usize,
    writer: Option<ArrowWriter<File>>,
    number: usize,
    rows: usize,
}

impl<'a> Files<'a> {
    /// No file yet.
    pub(crate) fn begin(new: &'a mut NewFolder, split: Split, release: &'a Release, limit: usize) -> Self {
        Self { new, split: split.name(), release, limit, writer: None, number: 0, rows: 0 }
    }

    /// Adds a row group.
    pub(crate) fn add(&mut self, rows: &[Row]) -> Result<()> {
        let task = self.release.task;
        let split = self.split;
        let refused = |cause: parquet::errors::ParquetError| refused(split, &cause);
        let batch = table::batch(rows, task).map_err(refused)?;
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let file = self.new.file(&format!("{split}/{:04}.parquet", self.number))?;
                self.number += 1;
                table::writer(file, &batch, task, &self.release.classes).map_err(refused)?
            }
        };
        writer.write(&batch).map_err(refused)?;
        writer.flush().map_err(refused)?;
        self.rows += rows.len();
        if writer.bytes_written() >= self.limit {
            writer.close().map_err(refused)?;
        } else {
            self.writer = Some(writer);
        }
        Ok(())
    }

    /// Ends the last file; the number of rows.
    pub(crate) fn finish(self) -> Result<usize> {
        if let Some(writer) = self.writer {
            writer.close().map_err(|cause| refused(self.split, &cause))?;
        }
        Ok(self.rows)
    }
}

fn refused(split: &str, cause: &parquet::errors::ParquetError) -> Error {
    Error::Parquet { split: split.to_owned(), reason: cause.to_string() }
}
