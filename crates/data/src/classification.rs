//! A data set of labelled images, decoded and in memory.

use crate::carve::{carve, limit as limited};
use crate::decode::{Shape, decode};
use crate::statistics::channel_statistics;
use crate::table::Table;
use crate::{Dataset, Error, Manifest, Result, Root, Split, Validation};

/// Labelled images of one size, decoded and in memory.
#[derive(Debug, Clone)]
pub struct Classification {
    manifest: Manifest,
    digest: String,
    shape: Shape,
    train: Examples,
    validation: Examples,
    test: Examples,
    mean: Vec<f32>,
    std: Vec<f32>,
}

#[derive(Debug, Clone)]
struct Examples {
    /// `[n, h, w, c]`
    images: Vec<u8>,
    /// `[n]`
    labels: Vec<u32>,
}

impl Classification {
    /// Finds, verifies and decodes the set `name`.
    ///
    /// # Errors
    ///
    /// Where it does not exist, where its manifest or a file cannot be read, or where an image or
    /// a label is not what the manifest says; see [`Error`].
    pub fn open(root: &Root, name: &str) -> Result<Self> {
        Self::open_limited(root, name, None)
    }

    /// As [`open`](Self::open), with at most `limit` training examples, of all classes in the same
    /// proportions. The examples of a smaller limit are among those of a larger one; validation
    /// and test stay whole. Mean and standard deviation are of the examples that remain.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and where the limit is 0.
    pub fn open_limited(root: &Root, name: &str, limit: Option<usize>) -> Result<Self> {
        if limit == Some(0) {
            return Err(Error::LimitZero);
        }
        let dataset = Dataset::find(root, name)?;
        // First, since it verifies the files: nothing else should have to explain a damaged one.
        let digest = dataset.digest()?;
        let reader = Reader { dataset: &dataset };

        let files = reader.tables(Split::Train)?;
        let all = rows(&files);
        let (mut train, carved) = match &dataset.manifest.splits.validation {
            Validation::Folder(_) => (all, None),
            Validation::Carved(rule) => {
                let (stay, taken) = carve(&labels(&files, &all), rule);
                (pick(&all, &stay), Some(pick(&all, &taken)))
            }
        };
        if let Some(limit) = limit {
            train = pick(&train, &limited(&labels(&files, &train), limit));
        }
        let shape = match train.first() {
            Some(&(file, row)) => Shape::of(&files[file], row, dataset.manifest.channels)?,
            None => return Err(reader.empty(Split::Train)),
        };
        let train = reader.examples(Split::Train, &files, &train, shape)?;
        let validation = match carved {
            Some(carved) => reader.examples(Split::Validation, &files, &carved, shape)?,
            None => reader.whole(Split::Validation, shape)?,
        };
        drop(files);
        let test = reader.whole(Split::Test, shape)?;

        let (mean, std) = channel_statistics(&train.images, shape.channels.count());
        Ok(Self { manifest: dataset.manifest, digest, shape, train, validation, test, mean, std })
    }

    /// What the set is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The identity of what was read, as [`Dataset::digest`] gives it. A limit does not change it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Number of examples in `split`: at least 1.
    pub fn len(&self, split: Split) -> usize {
        self.examples(split).labels.len()
    }

    /// Image `index` of `split`: bytes `[h, w, c]`. Training images are in the order of the
    /// files, without those that validation took.
    ///
    /// # Panics
    ///
    /// Where `index` is not below [`len`](Self::len).
    pub fn image(&self, split: Split, index: usize) -> &[u8] {
        &self.examples(split).images[index * self.shape.len()..][..self.shape.len()]
    }

    /// Class of image `index` of `split`: an index into `manifest().classes`.
    ///
    /// # Panics
    ///
    /// Where `index` is not below [`len`](Self::len).
    pub fn label(&self, split: Split, index: usize) -> u32 {
        self.examples(split).labels[index]
    }

    /// Height, width and channels (1 or 3) of every image.
    pub fn size(&self) -> (usize, usize, usize) {
        (self.shape.height, self.shape.width, self.shape.channels.count())
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.manifest.classes.len()
    }

    /// Mean of each channel over the training images, with 255 as 1: `[c]`.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Standard deviation of each channel over the training images, with 255 as 1: `[c]`.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    fn examples(&self, split: Split) -> &Examples {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }
}

struct Reader<'a> {
    dataset: &'a Dataset,
}

impl<'a> Reader<'a> {
    fn tables(&self, split: Split) -> Result<Vec<Table<'a>>> {
        let Manifest { columns, classes, .. } = &self.dataset.manifest;
        self.dataset
            .parts
            .iter()
            .filter(|part| part.split == split)
            .flat_map(|part| part.files.iter().map(move |file| (part, file)))
            .map(|(part, file)| {
                let expected = self.dataset.expected(part, file).and_then(|expected| expected.rows);
                Table::read(file, columns, classes.len(), expected)
            })
            .collect()
    }

    fn whole(&self, split: Split, shape: Shape) -> Result<Examples> {
        let tables = self.tables(split)?;
        self.examples(split, &tables, &rows(&tables), shape)
    }

    fn examples(&self, split: Split, tables: &[Table<'_>], rows: &[(usize, usize)], shape: Shape) -> Result<Examples> {
        if rows.is_empty() {
            return Err(self.empty(split));
        }
        let convert = self.dataset.manifest.channels.is_some();
        let images = decode(tables, rows, shape, convert)?;
        Ok(Examples { images, labels: labels(tables, rows) })
    }

    fn empty(&self, split: Split) -> Error {
        Error::Empty { name: self.dataset.name.clone(), split }
    }
}

/// All rows of `tables` as (table, row in it).
fn rows(tables: &[Table<'_>]) -> Vec<(usize, usize)> {
    let of = |(index, table): (usize, &Table<'_>)| (0..table.labels.len()).map(move |row| (index, row));
    tables.iter().enumerate().flat_map(of).collect()
}

fn labels(tables: &[Table<'_>], rows: &[(usize, usize)]) -> Vec<u32> {
    rows.iter().map(|&(table, row)| tables[table].labels[row]).collect()
}

fn pick(rows: &[(usize, usize)], indices: &[usize]) -> Vec<(usize, usize)> {
    indices.iter().map(|&index| rows[index]).collect()
}
