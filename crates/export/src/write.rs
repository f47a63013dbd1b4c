//! Tables as files.

use crate::table::{Table, Values};
use anyhow::Result;
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::io::Write;
use std::sync::Arc;

/// Writes `table` as CSV, with its columns' names first. Numbers have as many digits as it takes to read the same number
/// again, times are in RFC 3339; where there is no value, nothing stands.
///
/// # Errors
///
/// Where `out` cannot be written.
pub fn csv(table: &Table, out: impl Write) -> Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(table.columns.iter().map(|column| &column.name))?;
    let rows = table.columns.first().map_or(0, |column| column.values.len());
    for row in 0..rows {
        writer.write_record(table.columns.iter().map(|column| cell(&column.values, row)))?;
    }
    Ok(writer.flush()?)
}

fn cell(values: &Values, row: usize) -> String {
    fn at<T: ToString>(values: &[Option<T>], row: usize) -> String {
        values.get(row).and_then(Option::as_ref).map(ToString::to_string).unwrap_or_default()
    }
    match values {
        Values::Text(values) => at(values, row),
        Values::Number(values) => at(values, row),
        Values::Whole(values) => at(values, row),
        Values::Flag(values) => at(values, row),
        Values::Time(values) => at(values, row),
    }
}

/// Writes `table` as Parquet: text as strings, numbers as `double`, counts as signed 64-bit integers, flags as booleans, times
/// as timestamps in microseconds of UTC, what is missing as null.
///
/// # Errors
///
/// Where `out` cannot be written.
pub fn parquet(table: &Table, out: impl Write + Send) -> Result<()> {
    let columns = table.columns.iter().map(|column| {
        let array: ArrayRef = match &column.values {
            Values::Text(values) => Arc::new(StringArray::from_iter(values)),
            Values::Number(values) => Arc::new(Float64Array::from_iter(values)),
            Values::Whole(values) => Arc::new(Int64Array::from_iter(values)),
            Values::Flag(values) => Arc::new(BooleanArray::from_iter(values)),
            Values::Time(values) => {
                let times = values.iter().map(|time| time.map(Timestamp::as_microsecond));
                Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("UTC"))
            }
        };
        (column.name.clone(), array, true)
    });
    let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?)).build();
    let mut writer = ArrowWriter::try_new(out, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}
