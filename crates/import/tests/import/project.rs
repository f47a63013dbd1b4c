//! A project of its own, releases, and the sets that were made of them.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::PathBuf;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch, StructArray};
use data::{Root, Stored};
use files::write_atomic;
use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage};
use import::{Options, Summary, import};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The files of a release.
#[derive(Clone, Default)]
pub(crate) struct Release(pub(crate) BTreeMap<String, Vec<u8>>);

impl Release {
    pub(crate) fn put(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(name.into(), bytes.into());
    }

    pub(crate) fn with(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.put(name, bytes);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        assert!(self.0.remove(name).is_some(), "{name}");
        self
    }
}

/// A project with nothing in it but an empty folder of manifests.
pub(crate) struct Project(tempfile::TempDir);

impl Project {
    pub(crate) fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        files::create_folder(&project.path("datasets")).unwrap();
        project
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn root(&self) -> Root {
        Root { external: None, ..Root::from_env(self.0.path()) }
    }

    /// The release as a folder.
    pub(crate) fn folder(&self, name: &str, release: &Release) -> PathBuf {
        for (file, bytes) in &release.0 {
            write_atomic(&self.path(name).join(file), bytes).unwrap();
        }
        self.path(name)
    }

    pub(crate) fn manifest(&self, name: &str, text: &str) {
        write_atomic(&self.path(&format!("datasets/{name}.toml")), text.as_bytes()).unwrap();
    }

    pub(crate) fn read_manifest(&self, name: &str) -> Stored {
        self.root().manifest(name).unwrap().stored().unwrap().clone()
    }

    /// Imports the release as the set `name`.
    pub(crate) fn import(&self, name: &str, release: &Release, options: &Options) -> import::Result<Summary> {
        let folder = self.folder(&format!("release-{name}"), release);
        import(&self.root(), name, &folder, options)
    }

    /// Takes half of the training images for validation, so that a set of few images can be opened.
    pub(crate) fn carve_half(&self, name: &str) {
        let text = files::read_text(&self.path(&format!("datasets/{name}.toml"))).unwrap();
        assert!(text.contains("fraction = 0.1"), "{text}");
        self.manifest(name, &text.replace("fraction = 0.1", "fraction = 0.5"));
    }

    pub(crate) fn file(&self, name: &str, split: &str) -> PathBuf {
        self.path(&format!("datasets/.cache/{name}/default/{split}/0000.parquet"))
    }

    /// The rows of a split.
    pub(crate) fn rows(&self, name: &str, split: &str) -> RecordBatch {
        let file = std::fs::File::open(self.file(name, split)).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
        let [batch] = batches.as_slice() else { panic!("{} batches", batches.len()) };
        batch.clone()
    }

    /// The `huggingface` key of a split's file.
    pub(crate) fn features(&self, name: &str, split: &str) -> serde_json::Value {
        let file = std::fs::File::open(self.file(name, split)).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let entries = builder.metadata().file_metadata().key_value_metadata().unwrap();
        let entry = entries.iter().find(|entry| entry.key == "huggingface").unwrap();
        serde_json::from_str(entry.value.as_ref().unwrap()).unwrap()
    }

    /// The complaint about a release, after which there must be nothing; without the project's path.
    pub(crate) fn complaint(&self, name: &str, release: &Release, options: &Options) -> String {
        let before = self.manifests();
        let error = self.import(name, release, options).unwrap_err().to_string();
        assert_eq!(self.manifests(), before, "no manifest is written: {error}");
        assert!(!self.path(&format!("datasets/.cache/{name}/default")).exists(), "no files are written: {error}");
        if let Ok(left) = std::fs::read_dir(self.path(&format!("datasets/.cache/{name}"))) {
            let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, [".lock"], "nothing is left over: {error}");
        }
        error.replace(&self.0.path().display().to_string(), "~")
    }

    fn manifests(&self) -> Vec<String> {
        self.root().names().unwrap()
    }
}

/// Files and names in a column of images.
pub(crate) fn images(rows: &RecordBatch, column: &str) -> Vec<(Vec<u8>, Option<String>)> {
    let column: &StructArray = rows.column_by_name(column).unwrap().as_struct();
    let bytes = column.column_by_name("bytes").unwrap().as_binary::<i32>();
    let paths = column.column_by_name("path").unwrap().as_string::<i32>();
    bytes.iter().zip(paths).map(|(bytes, path)| (bytes.unwrap().to_vec(), path.map(str::to_owned))).collect()
}

pub(crate) fn names(rows: &RecordBatch) -> Vec<String> {
    images(rows, "image").into_iter().map(|(_, name)| name.unwrap()).collect()
}

pub(crate) fn integers(rows: &RecordBatch, column: &str) -> Vec<i64> {
    let column = rows.column_by_name(column).unwrap();
    match column.as_primitive_opt::<Int64Type>() {
        Some(values) => values.values().to_vec(),
        None => column.as_primitive::<Int32Type>().values().iter().map(|&value| i64::from(value)).collect(),
    }
}

/// The numbers in each row of a column of lists of lists.
pub(crate) fn nested(column: &dyn Array) -> Vec<Vec<Vec<f32>>> {
    let numbers = |list: &dyn Array| list.as_primitive::<Float32Type>().values().to_vec();
    let outer = column.as_list::<i32>();
    let inner = |row: Option<arrow_array::ArrayRef>| {
        let row = row.unwrap();
        match row.as_list_opt::<i32>() {
            Some(lists) => lists.iter().map(|list| numbers(&list.unwrap())).collect(),
            None => row.as_fixed_size_list().iter().map(|list| numbers(&list.unwrap())).collect(),
        }
    };
    outer.iter().map(inner).collect()
}

/// An image file whose first pixel is `value`.
pub(crate) fn picture(width: u32, height: u32, value: u8, format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| Rgb([value, (x * 3) as u8, (y * 5) as u8]));
    encode(&DynamicImage::ImageRgb8(image), format)
}

pub(crate) fn jpeg(width: u32, height: u32, value: u8) -> Vec<u8> {
    picture(width, height, value, ImageFormat::Jpeg)
}

pub(crate) fn gray_png(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let image = GrayImage::from_raw(width, height, pixels.to_vec()).unwrap();
    encode(&DynamicImage::ImageLuma8(image), ImageFormat::Png)
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}
