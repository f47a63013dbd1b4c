//! A project with a small data set, in a temporary folder.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use data::{Classification, Error, Options, Root};
use files::write_atomic;
use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

pub(crate) const MANIFEST: &str = r#"title = "Pets"
task = "classification"
licence = "MIT"
citation = "nobody"
home = "https://example.org"
classes = ["cat", "dog"]

[columns]
image = "image"
label = "label"

[splits]
train = "train"
validation = { from = "train", fraction = 0.25, seed = 0 }
test = "test"
"#;

/// A project in a temporary folder, with a small set named `pets`.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    /// With a manifest and no files.
    pub(crate) fn bare(manifest: &str) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        write_atomic(&project.path("datasets/pets.toml"), manifest.as_bytes()).unwrap();
        project
    }

    /// 8 training and 2 test images of 3×2 pixels, whose brightness tells them apart.
    pub(crate) fn new() -> Self {
        Self::with(MANIFEST)
    }

    pub(crate) fn with(manifest: &str) -> Self {
        let project = Self::bare(manifest);
        project.put("train", &batch(&grays(0..8), &[0, 1, 0, 1, 0, 1, 0, 1]));
        project.put("test", &batch(&grays(8..10), &[0, 1]));
        project
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn file(&self, split: &str) -> PathBuf {
        self.path(&format!("datasets/pets/default/{split}/0000.parquet"))
    }

    pub(crate) fn put(&self, split: &str, batch: &RecordBatch) {
        write_atomic(&self.file(split), &parquet(batch)).unwrap();
    }

    pub(crate) fn root(&self) -> Root {
        Root { folder: self.folder.path().to_path_buf(), external: None, memory: data::MEMORY }
    }

    pub(crate) fn open(&self) -> Result<Classification, Error> {
        Classification::open(&self.root(), "pets", Options::default())
    }

    /// What is said about the set, with `~` for the folder of the project.
    pub(crate) fn complaint(&self) -> String {
        self.tidy(&self.open().unwrap_err())
    }

    pub(crate) fn tidy(&self, error: &Error) -> String {
        error.to_string().replace(&self.folder.path().display().to_string(), "~")
    }
}

/// The project that these tests are in.
pub(crate) fn repository(external: Option<PathBuf>) -> Root {
    Root { folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), external, memory: data::MEMORY }
}

pub(crate) fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.into().write_to(&mut file, format).unwrap();
    file.into_inner()
}

pub(crate) fn gray(width: u32, height: u32, brightness: u8) -> Vec<u8> {
    encode(GrayImage::from_pixel(width, height, Luma([brightness])), ImageFormat::Png)
}

pub(crate) fn grays(brightness: std::ops::Range<u8>) -> Vec<Vec<u8>> {
    brightness.map(|brightness| gray(3, 2, brightness)).collect()
}

/// As Hugging Face lays them out.
pub(crate) fn images(files: Vec<Option<&[u8]>>) -> ArrayRef {
    let path: ArrayRef = Arc::new(StringArray::new_null(files.len()));
    let bytes: ArrayRef = Arc::new(BinaryArray::from(files));
    Arc::new(StructArray::try_from(vec![("bytes", bytes), ("path", path)]).unwrap())
}

pub(crate) fn batch(files: &[Vec<u8>], labels: &[i64]) -> RecordBatch {
    let files = images(files.iter().map(|file| Some(file.as_slice())).collect());
    columns([("image", files), ("label", Arc::new(Int64Array::from(labels.to_vec())))])
}

pub(crate) fn columns<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

pub(crate) fn parquet(batch: &RecordBatch) -> Vec<u8> {
    written(batch, None)
}

/// With names of the classes of `label`, as Hugging Face's `datasets` writes them.
pub(crate) fn named_parquet(batch: &RecordBatch, classes: &[&str]) -> Vec<u8> {
    let features = serde_json::json!({"info": {"features": {"label": {"names": classes, "_type": "ClassLabel"}}}});
    written(batch, Some(vec![KeyValue::new("huggingface".to_owned(), features.to_string())]))
}

fn written(batch: &RecordBatch, metadata: Option<Vec<KeyValue>>) -> Vec<u8> {
    let properties =
        WriterProperties::builder().set_compression(Compression::SNAPPY).set_key_value_metadata(metadata).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}
