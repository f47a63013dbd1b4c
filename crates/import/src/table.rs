//! Rows as parquet in the layout of the Hugging Face hub.

use std::fs::File;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, FixedSizeListBuilder, Float32Builder, Float64Builder, Int64Builder, ListBuilder,
};
use arrow_array::{ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, StructArray};
use data::TaskKind;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::Result;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde_json::{Value, json};

use crate::prepare::{Encoded, Row, RowLabel};

/// A writer of one file; each batch becomes a row group.
pub(crate) fn writer(file: File, batch: &RecordBatch, task: TaskKind, classes: &[String]) -> Result<ArrowWriter<File>> {
    let features = json!({"info": {"features": features(task, classes)}});
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        // No image comes twice, and smallest and largest images mean nothing.
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(vec![KeyValue::new("huggingface".to_owned(), features.to_string())]))
        .build();
    ArrowWriter::try_new(file, batch.schema(), Some(properties))
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

/// What `datasets` calls the columns' types. It sorts nothing, and neither does this.
fn features(task: TaskKind, classes: &[String]) -> Value {
    let value = |dtype: &str| json!({"dtype": dtype, "_type": "Value"});
    let class = json!({"names": classes, "_type": "ClassLabel"});
    let image = json!({"_type": "Image"});
    match task {
        TaskKind::Classification => json!({"image": image, "label": class}),
        TaskKind::Detection => json!({
            "image_id": value("int64"),
            "image": image,
            "width": value("int32"),
            "height": value("int32"),
            "objects": {"feature": {
                "id": value("int64"),
                "area": value("float64"),
                "bbox": {"feature": value("float32"), "length": 4, "_type": "Sequence"},
                "category": class,
                "iscrowd": value("bool"),
            }, "_type": "Sequence"},
        }),
        TaskKind::Segmentation => json!({"image": image, "annotation": image}),
        TaskKind::CrowdCounting => json!({
            "image": image,
            "points": {"feature": {"feature": value("float32"), "_type": "Sequence"}, "_type": "Sequence"},
            "count": value("int64"),
            "orig_width": value("int32"),
            "orig_height": value("int32"),
        }),
    }
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
