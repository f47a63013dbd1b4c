//! Makes the embedded part of Fashion-MNIST out of the official files:
//!
//! ```text
//! cargo run --release -p data --example embed_fashion_mnist -- DIR_WITH_IDX_GZ OUT
//! ```
//!
//! `DIR_WITH_IDX_GZ` has `train-images-idx3-ubyte.gz` and the three files that belong to it (on
//! Debian: `/usr/share/datasets/fashion-mnist` of the package `dataset-fashion-mnist`). Writes
//! `OUT/{train,test}/0000.parquet` and prints what the manifest has to say about them. The same
//! input gives the same bytes.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

const SIDE: usize = 28;
const CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// Folder, prefix of the official files, and how many images of each class are taken.
const SPLITS: [(&str, &str, usize); 2] = [("train", "train", 1200), ("test", "t10k", 500)];

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [source, out] = arguments.as_slice() else {
        anyhow::bail!("expected two arguments, DIR_WITH_IDX_GZ and OUT, found {}", arguments.len());
    };
    for (index, (folder, prefix, per_class)) in SPLITS.into_iter().enumerate() {
        let images = idx(&source.join(format!("{prefix}-images-idx3-ubyte.gz")), 3)?;
        let labels = idx(&source.join(format!("{prefix}-labels-idx1-ubyte.gz")), 1)?;
        ensure!(
            images.len() == labels.len() * SIDE * SIDE,
            "expected {SIDE}×{SIDE} bytes of image for each of {} labels, found {} bytes",
            labels.len(),
            images.len()
        );
        let rows = choose(&labels, per_class, index as u64)?;
        let file = parquet(&images, &labels, &rows)?;
        let path = format!("{folder}/0000.parquet");
        files::write_atomic(&out.join(&path), &file)?;
        let sha256 = files::hex(&Sha256::digest(&file));
        eprintln!("{path}: {} bytes", file.len());
        println!("[[files]]\npath = {path:?}\nrows = {}\nsha256 = {sha256:?}\n", rows.len());
    }
    Ok(())
}

/// The values of a gzipped IDX file of bytes with `dimensions` dimensions.
fn idx(path: &Path, dimensions: u8) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {} as gzip", path.display()))?;
    let header = 4 + 4 * usize::from(dimensions);
    ensure!(
        bytes.len() > header && bytes[..4] == [0, 0, 8, dimensions],
        "expected an IDX file of bytes with {dimensions} dimensions in {}",
        path.display()
    );
    Ok(bytes.split_off(header))
}

/// Rows with `per_class` of each class, in a random order.
fn choose(labels: &[u8], per_class: usize, split: u64) -> Result<Vec<usize>> {
    let mut rows = Vec::new();
    for class in 0..CLASSES.len() {
        let members: Vec<usize> = (0..labels.len()).filter(|&row| usize::from(labels[row]) == class).collect();
        ensure!(members.len() >= per_class, "class {class} has {} images, fewer than {per_class}", members.len());
        let order =
            random::permutation(members.len(), &mut random::stream(0, "embed fashion-mnist", &[split, class as u64]));
        rows.extend(order.into_iter().take(per_class).map(|position| members[position]));
    }
    let order = random::permutation(rows.len(), &mut random::stream(0, "embed fashion-mnist rows", &[split]));
    Ok(order.into_iter().map(|position| rows[position]).collect())
}

/// The smallest PNG file of an image, over the ways of filtering.
fn png(pixels: &[u8]) -> Result<Vec<u8>> {
    use FilterType::{Adaptive, Avg, NoFilter, Paeth, Sub, Up};
    let mut smallest: Option<Vec<u8>> = None;
    for filter in [NoFilter, Sub, Up, Avg, Paeth, Adaptive] {
        let mut file = Vec::new();
        PngEncoder::new_with_quality(&mut file, CompressionType::Best, filter).write_image(
            pixels,
            SIDE as u32,
            SIDE as u32,
            ExtendedColorType::L8,
        )?;
        if smallest.as_ref().is_none_or(|smallest| file.len() < smallest.len()) {
            smallest = Some(file);
        }
    }
    smallest.context("no filter was tried")
}

/// The file of `rows`, in the layout and with the metadata that Hugging Face's `datasets` writes.
fn parquet(images: &[u8], labels: &[u8], rows: &[usize]) -> Result<Vec<u8>> {
    let files: Vec<Vec<u8>> =
        rows.par_iter().map(|&row| png(&images[row * SIDE * SIDE..][..SIDE * SIDE])).collect::<Result<_>>()?;
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(&files));
    let path: ArrayRef = Arc::new(StringArray::new_null(rows.len()));
    let image: ArrayRef = Arc::new(StructArray::try_from(vec![("bytes", bytes), ("path", path)])?);
    let label: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|&row| i64::from(labels[row]))));
    let batch = RecordBatch::try_from_iter_with_nullable([("image", image, true), ("label", label, true)])?;

    let features = serde_json::json!({"info": {"features": {
        "image": {"_type": "Image"},
        "label": {"names": CLASSES, "_type": "ClassLabel"},
    }}});
    let properties = WriterProperties::builder()
        // The headers of all images are the same, which zstd finds across images.
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(19)?))
        // No image comes twice and smallest and largest images mean nothing.
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_data_page_size_limit(1 << 23)
        .set_data_page_row_count_limit(rows.len())
        .set_key_value_metadata(Some(vec![KeyValue::new("huggingface".to_owned(), features.to_string())]))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}
