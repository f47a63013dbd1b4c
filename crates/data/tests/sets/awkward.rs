//! Parquet files as people really have them: read right, or an error that names cause, place and remedy.

use std::sync::Arc;

use arrow_array::builder::{Float32Builder, Int64Builder, ListBuilder};
use arrow_array::{ArrayRef, RecordBatch, StructArray};
use data::{Classification, CrowdCounting, Detection, Options, Split};
use files::write_atomic;
use image::{DynamicImage, ImageFormat, RgbImage};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::project::{MANIFEST, Project, batch, columns, encode, grays, images};

fn compressed(batch: &RecordBatch, compression: Compression) -> Vec<u8> {
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn usual_compressions_are_read() {
    let rows = batch(&grays(8..10), &[0, 1]);
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        let project = Project::new();
        write_atomic(&project.file("test"), &compressed(&rows, compression)).unwrap();
        let set = project.open().unwrap();
        assert_eq!(set.example(Split::Test, 1).unwrap().image.pixels, [9; 6], "{compression:?}");
    }
}

#[test]
fn other_compressions_are_named() {
    let mut file = compressed(&batch(&grays(8..10), &[0, 1]), Compression::UNCOMPRESSED);
    // In the footer, behind the name of the column: the compression, by its number twice, and the number of values.
    let (plain, brotli) = (b"\x05bytes\x15\x00\x16", b"\x05bytes\x15\x08\x16");
    let at = file.windows(plain.len()).rposition(|bytes| bytes == plain).unwrap();
    file[at..at + plain.len()].copy_from_slice(brotli);
    let project = Project::new();
    write_atomic(&project.file("test"), &file).unwrap();
    let complaint = project.complaint();
    assert!(complaint.starts_with("~/datasets/pets/default/test/0000.parquet: expected a parquet file"), "{complaint}");
    assert!(complaint.contains("gzip or LZ4, found BROTLI"), "{complaint}");
    assert!(complaint.contains("\n  hint: write it anew; in Python, `pyarrow.parquet.write_table("), "{complaint}");
}

#[test]
fn what_is_no_parquet_file_is_named() {
    for (bytes, expected) in [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n".as_slice(), "it is a Git LFS pointer"),
        (b"<!DOCTYPE html><html>404</html>", "it is a web page (HTML)"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0", "it is a gzip file"),
        (b"", "it is an empty file"),
        (b"PAR1 and then nothing", "it does not end as a parquet file does"),
    ] {
        let project = Project::new();
        write_atomic(&project.file("test"), bytes).unwrap();
        let complaint = project.complaint();
        assert!(complaint.contains(expected) && complaint.contains("\n  hint: "), "{complaint}");
    }
}

#[test]
fn images_of_other_kinds_are_read_or_named() {
    let pixels = RgbImage::from_fn(3, 2, |x, y| image::Rgb([(x * 80) as u8, (y * 90) as u8, 7]));
    let manifest = format!("channels = 3\n{MANIFEST}");
    for format in [ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Gif] {
        let project = Project::with(&manifest);
        let file = DynamicImage::ImageRgb8(pixels.clone());
        let file = if format == ImageFormat::Gif { DynamicImage::ImageRgba8(file.to_rgba8()) } else { file };
        project.put("test", &batch(&[encode(file, format)], &[0]));
        let set: Classification = project.open().unwrap();
        assert_eq!(set.example(Split::Test, 0).unwrap().image.pixels, *pixels.as_raw(), "{format:?}");
    }
    let project = Project::new();
    project.put("test", &batch(&[b"\0\0\0\x18ftypheic\0\0\0\0".to_vec()], &[0]));
    let complaint = project.complaint();
    assert!(complaint.contains("cannot decode the image (16 bytes): a HEIC image\n  hint: convert it"), "{complaint}");
    // A phone's JPEG has data behind its end.
    let project = Project::with(&manifest);
    let behind = [encode(pixels, ImageFormat::Jpeg), b"\xff\xda\0\x02SEFT".to_vec()].concat();
    project.put("test", &batch(&[behind], &[0]));
    project.open().unwrap();
}

/// A manifest for another task than classification.
fn manifest(task: &str, lines: &str) -> String {
    let text = MANIFEST.replace("label = \"label\"", lines).replace("task = \"classification\"", task);
    if task.contains("crowd") { text.replace("classes = [\"cat\", \"dog\"]\n", "") } else { text }
}

/// Rows with a photo of 40×30 pixels and a list of tuples each.
fn rows<const N: usize>(tuples: &[[f32; N]]) -> (ArrayRef, ArrayRef, usize) {
    let photo = encode(RgbImage::new(40, 30), ImageFormat::Png);
    let mut lists = ListBuilder::new(ListBuilder::new(Float32Builder::new()));
    for _ in 0..4 {
        for tuple in tuples {
            lists.values().values().append_slice(tuple);
            lists.values().append(true);
        }
        lists.append(true);
    }
    (images(vec![Some(&photo); 4]), Arc::new(lists.finish()), tuples.len())
}

fn boxes(form: &str, tuples: &[[f32; 4]]) -> String {
    let lines = format!("boxes = \"objects.bbox\"\nform = \"{form}\"\ncategory = \"objects.category\"");
    let project = Project::bare(&manifest("task = \"detection\"", &lines));
    let (photos, boxes, count) = rows(tuples);
    let mut categories = ListBuilder::new(Int64Builder::new());
    for _ in 0..4 {
        categories.values().append_slice(&vec![0; count]);
        categories.append(true);
    }
    let fields: Vec<(&str, ArrayRef)> = vec![("bbox", boxes), ("category", Arc::new(categories.finish()))];
    let objects: ArrayRef = Arc::new(StructArray::try_from(fields).unwrap());
    for split in ["train", "test"] {
        project.put(split, &columns([("image", photos.clone()), ("objects", objects.clone())]));
    }
    Detection::open(&project.root(), "pets", Options::default())
        .map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn boxes_in_another_unit_are_refused() {
    for form in ["xywh", "xyxy"] {
        let parts = boxes(form, &[[0.1, 0.2, 0.4, 0.5], [0.0, 0.0, 1.0, 1.0]]);
        assert!(parts.contains("make no sense so, and 0 as [left, top, "), "{parts}");
        assert!(parts.contains("as parts of the image's width and height, first in "), "{parts}");
        assert!(parts.contains(": row 1, column \"objects.bbox\"\n  hint: write the files anew"), "{parts}");
    }
    let middles = boxes("xywh", &[[20.0, 15.0, 38.0, 28.0], [35.0, 25.0, 10.0, 10.0]]);
    assert!(middles.contains("and 0 as [middle x, middle y, width, height] in pixels"), "{middles}");
    assert_eq!(boxes("xywh", &[[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 40.0, 30.0]]), "");
    assert_eq!(boxes("xywh", &[]), "");
}

#[test]
fn points_in_another_unit_or_order_are_refused() {
    let points = |tuples: &[[f32; 2]]| {
        let project = Project::bare(&manifest("task = \"crowd-counting\"", "points = \"points\""));
        let (photos, points, _) = rows(tuples);
        for split in ["train", "test"] {
            project.put(split, &columns([("image", photos.clone()), ("points", points.clone())]));
        }
        let set = CrowdCounting::open(&project.root(), "pets", Options::default());
        set.map_or_else(|error| error.to_string(), |_| String::new())
    };
    let parts = points(&[[0.1, 0.2], [0.5, 0.9]]);
    assert!(parts.contains("and 0 as parts of the image's width and height"), "{parts}");
    let swapped = points(&[[29.0, 38.0], [3.0, 36.0]]);
    assert!(swapped.contains("and 0 as [y, x] in pixels"), "{swapped}");
    assert_eq!(points(&[[1.0, 2.0], [39.0, 29.0]]), "");
}
