//! Rows as parquet in the layout of the Hugging Face hub.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, FixedSizeListBuilder, Float32Builder, Float64Builder, Int64Builder, ListBuilder,
};
use arrow_array::{ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::Schema;
use data::TaskKind;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::prepare::{Encoded, Row, RowLabel};

/// The key of the types that `datasets` gives to columns.
const KEY: &str = "huggingface";

/// A writer of one file; each batch becomes a row group.
pub(crate) fn writer(file: File, batch: &RecordBatch, task: TaskKind, classes: &[String]) -> Result<ArrowWriter<File>> {
    let features = features(task, classes)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        // No image comes twice, and smallest and largest images mean nothing.
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(vec![KeyValue::new(KEY.to_owned(), features.clone())]))
        .build();
    // `datasets` looks for the key in the Arrow schema, others in the metadata of the file.
    let schema = Schema::clone(&batch.schema()).with_metadata(HashMap::from([(KEY.to_owned(), features)]));
    ArrowWriter::try_new(file, Arc::new(schema), Some(properties))
}

/// The rows as columns:
///
/// | task | columns |
/// |---|---|
/// | classification | `image`, `label` |
/// | detection | `image_id`, `image`, `width`, `height`, `objects: {id, area, bbox, category, iscrowd}` |
/// | segmentation | `image`, `annotation` |
/// | counting | `image`, `points`, `count`, `orig_width`, `orig_height` |
pub(crate) fn batch(rows: &[Row], task: TaskKind) -> Result<RecordBatch> {
    let image: ArrayRef = Arc::new(images(rows.iter().map(|row| &row.image))?);
    let whole = |numbers: Vec<u32>| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(rows.iter().zip(numbers).map(|(_, number)| number.cast_signed())))
    };
    let columns: Vec<(&str, ArrayRef)> = match task {
        TaskKind::Classification => {
            let labels =
                rows.iter().map(|row| if let RowLabel::Class(class) = row.label { i64::from(class) } else { 0 });
            vec![("image", image), ("label", Arc::new(Int64Array::from_iter_values(labels)))]
        }
        TaskKind::Detection => vec![
            ("image_id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.id)))),
            ("image", image),
            ("width", whole(rows.iter().map(|row| row.size.width).collect())),
            ("height", whole(rows.iter().map(|row| row.size.height).collect())),
            ("objects", Arc::new(objects(rows)?)),
        ],
        TaskKind::Segmentation => {
            let masks =
                rows.iter().filter_map(|row| if let RowLabel::Mask(mask) = &row.label { Some(mask) } else { None });
            vec![("image", image), ("annotation", Arc::new(images(masks)?))]
        }
        TaskKind::CrowdCounting => {
            let (points, counts) = points(rows);
            vec![
                ("image", image),
                ("points", points),
                ("count", counts),
                ("orig_width", whole(rows.iter().map(|row| row.original.width).collect())),
                ("orig_height", whole(rows.iter().map(|row| row.original.height).collect())),
            ]
        }
    };
    nullable(columns)
}

/// The columns, declared as ones that may have nulls, as `datasets` does whether they have any or not.
fn nullable(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// The type of a column, as `datasets` calls it. The order of fields is theirs in the file: `datasets` reads by it.
enum Feature<'a> {
    Value(&'static str),
    Image,
    Class(&'a [String]),
    /// Of the length, where all have the same.
    List(Box<Feature<'a>>, Option<usize>),
    /// A list of a struct is stored as a struct of lists.
    Struct(Vec<(&'static str, Feature<'a>)>),
}

impl Serialize for Feature<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let kind = match self {
            Self::Value(dtype) => {
                map.serialize_entry("dtype", dtype)?;
                "Value"
            }
            Self::Image => "Image",
            Self::Class(names) => {
                map.serialize_entry("names", names)?;
                "ClassLabel"
            }
            Self::List(inner, length) => {
                map.serialize_entry("feature", inner)?;
                if let Some(length) = length {
                    map.serialize_entry("length", length)?;
                }
                "Sequence"
            }
            Self::Struct(fields) => {
                for (name, feature) in fields {
                    map.serialize_entry(name, feature)?;
                }
                return map.end();
            }
        };
        map.serialize_entry("_type", kind)?;
        map.end()
    }
}

/// The `huggingface` key: what `datasets` calls the columns' types.
fn features(task: TaskKind, classes: &[String]) -> Result<String> {
    use Feature::{Class, Image, List, Struct, Value};
    let list = |inner, length| List(Box::new(inner), length);
    let columns = match task {
        TaskKind::Classification => vec![("image", Image), ("label", Class(classes))],
        TaskKind::Detection => {
            let object = vec![
                ("id", Value("int64")),
                ("area", Value("float64")),
                ("bbox", list(Value("float32"), Some(4))),
                ("category", Class(classes)),
                ("iscrowd", Value("bool")),
            ];
            vec![
                ("image_id", Value("int64")),
                ("image", Image),
                ("width", Value("int32")),
                ("height", Value("int32")),
                ("objects", list(Struct(object), None)),
            ]
        }
        TaskKind::Segmentation => vec![("image", Image), ("annotation", Image)],
        TaskKind::CrowdCounting => vec![
            ("image", Image),
            ("points", list(list(Value("float32"), None), None)),
            ("count", Value("int64")),
            ("orig_width", Value("int32")),
            ("orig_height", Value("int32")),
        ],
    };
    let info = Struct(vec![("info", Struct(vec![("features", Struct(columns))]))]);
    serde_json::to_string(&info).map_err(|cause| ParquetError::General(cause.to_string()))
}

fn images<'a>(images: impl Iterator<Item = &'a Encoded> + Clone) -> Result<StructArray> {
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(images.clone().map(|image| &image.bytes)));
    let path: ArrayRef = Arc::new(images.map(|image| image.name.as_deref()).collect::<StringArray>());
    Ok(nullable(vec![("bytes", bytes), ("path", path)])?.into())
}

fn objects(rows: &[Row]) -> Result<StructArray> {
    let mut id = ListBuilder::new(Int64Builder::new());
    let mut area = ListBuilder::new(Float64Builder::new());
    let mut bbox = ListBuilder::new(FixedSizeListBuilder::new(Float32Builder::new(), 4));
    let mut category = ListBuilder::new(Int64Builder::new());
    let mut crowd = ListBuilder::new(BooleanBuilder::new());
    for row in rows {
        let objects = if let RowLabel::Objects(objects) = &row.label { objects.as_slice() } else { &[] };
        for object in objects {
            id.values().append_value(object.id);
            area.values().append_value(object.area);
            bbox.values().values().append_slice(&object.bbox);
            bbox.values().append(true);
            category.values().append_value(i64::from(object.class));
            crowd.values().append_value(object.crowd);
        }
        id.append(true);
        area.append(true);
        bbox.append(true);
        category.append(true);
        crowd.append(true);
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(id.finish())),
        ("area", Arc::new(area.finish())),
        ("bbox", Arc::new(bbox.finish())),
        ("category", Arc::new(category.finish())),
        ("iscrowd", Arc::new(crowd.finish())),
    ];
    Ok(nullable(columns)?.into())
}

/// The points, and how many there are.
fn points(rows: &[Row]) -> (ArrayRef, ArrayRef) {
    let mut points = ListBuilder::new(ListBuilder::new(Float32Builder::new()));
    let mut counts = Int64Builder::new();
    for row in rows {
        let own = if let RowLabel::Points(points) = &row.label { points.as_slice() } else { &[] };
        for point in own {
            points.values().values().append_slice(point);
            points.values().append(true);
        }
        points.append(true);
        counts.append_value(own.len() as i64);
    }
    (Arc::new(points.finish()), Arc::new(counts.finish()))
}
