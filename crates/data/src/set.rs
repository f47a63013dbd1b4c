//! A data set, read and verified: images with their labels.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use rayon::prelude::*;

use crate::augment::Transform;
use crate::carve::{carve, limit};
use crate::decode::LARGEST_IMAGE;
use crate::label::Label;
use crate::reading::{Faults, Reading, Row};
use crate::spool::Spool;
use crate::statistics::{Statistics, channel_sums};
use crate::table::Table;
use crate::{
    Channels, Dataset, Error, Example, Fault, Image, Manifest, Mask, Object, Point, Resize, Result, Root, Split,
    TaskKind, Validation, Warning, decode,
};

/// Images with one class each.
pub type Classification = Set<u32>;
/// Images with boxes of objects.
pub type Detection = Set<Vec<Object>>;
/// Images with a mask each.
pub type Segmentation = Set<Mask>;
/// Images with points to be counted.
pub type CrowdCounting = Set<Vec<Point>>;

/// A data set, read and verified.
///
/// Decoded images are kept in memory where they fit [`Root::memory`]; else encoded ones are, as far as they fit, and
/// the rest in a file without a name. What an example is does not depend on it.
pub struct Set<L: Label> {
    dataset: Dataset,
    digest: String,
    classes: Vec<String>,
    options: Options,
    parts: [Part<L>; 3],
    spool: Spool,
    warnings: Vec<Warning>,
    statistics: Statistics,
}

/// Without the examples, which nobody would read.
impl<L: Label> fmt::Debug for Set<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [train, validation, test] = Split::ALL.map(|split| self.len(split));
        write!(f, "Set({}: {train} + {validation} + {test} examples)", self.dataset.name)
    }
}

/// The examples of a split.
struct Part<L: Label> {
    rows: Vec<Row<L::Raw>>,
    /// All examples, where they fit.
    decoded: Option<Vec<Example<L>>>,
}

impl<L: Label> Default for Part<L> {
    fn default() -> Self {
        Self { rows: Vec::new(), decoded: None }
    }
}

/// What is read of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// At most so many training examples, of all classes in the same proportions; validation and test stay whole.
    /// The examples of a smaller limit are among those of a larger one.
    pub examples: Option<usize>,
    /// What size images get, with their labels.
    pub resize: Option<Resize>,
}

/// Training examples that mean and standard deviation are taken of, where there are more than [`ALL_BELOW`].
const SAMPLE: usize = 1 << 12;
/// Up to so many, all are taken.
const ALL_BELOW: usize = 1 << 16;

impl<L: Label> Set<L> {
    /// Finds and verifies the set `name`, and decodes it where it fits the memory.
    ///
    /// # Errors
    ///
    /// Where it does not exist or is for another task, where its manifest or a file cannot be read, or where an image
    /// or a label is not what the manifest says and that is not tolerated; see [`Error`].
    pub fn open(root: &Root, name: &str, options: Options) -> Result<Self> {
        if options.examples == Some(0) {
            return Err(Error::LimitZero);
        }
        options.resize.map_or(Ok(()), Resize::check)?;
        let dataset = Dataset::find(root, name)?;
        if dataset.manifest.task() != L::TASK {
            return Err(Error::Task { name: name.to_owned(), expected: L::TASK, found: dataset.manifest.task() });
        }
        // First, since it verifies the files: nothing else should have to explain a damaged one.
        let digest = dataset.digest()?;
        let files: Vec<(Split, &Path)> = dataset.files().collect();
        let paths: Vec<&Path> = files.iter().map(|(_, path)| *path).collect();
        let classes = class_names::<L>(&dataset, &paths)?;
        let faults = Faults::default();
        let reading = Reading { name, manifest: &dataset.manifest, classes: &classes, files: &paths, faults: &faults };

        let mut spool = Spool::new(root.memory, root.cache());
        let roles = roles::<L>(&reading, &dataset, &files, options.examples)?;
        let mut rows: [Vec<Row<L::Raw>>; 3] = Default::default();
        for (file, roles) in roles.iter().enumerate() {
            read_file::<L>(&reading, &dataset, file, roles, options.resize, &mut spool, &mut rows)?;
        }
        let channels = dataset.manifest.channels;
        let channels = channels.or_else(|| (L::TASK != TaskKind::Classification).then_some(Channels::Rgb));
        settle_channels(&reading, channels, &mut rows)?;
        for rows in &mut rows {
            L::check(&reading, rows)?;
        }

        let mut memory = root.memory;
        let mut parts: [Part<L>; 3] = Default::default();
        for ((part, rows), split) in parts.iter_mut().zip(rows).zip(Split::ALL) {
            *part = decode_part(&reading, &spool, rows, options.resize, &mut memory)?;
            if part.rows.is_empty() {
                return Err(Error::Empty { name: name.to_owned(), split });
            }
        }
        if parts.iter().all(|part| part.decoded.is_some()) {
            spool = Spool::new(0, root.cache());
        }
        let warnings = faults.warnings();
        let mut set =
            Self { dataset, digest, classes, options, parts, spool, warnings, statistics: Statistics::default() };
        set.statistics = set.training_statistics()?;
        Ok(set)
    }

    /// What the set is.
    pub fn manifest(&self) -> &Manifest {
        &self.dataset.manifest
    }

    /// The identity of what was read, as [`Dataset::digest`] gives it. Options do not change it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Names of the classes; none for counting.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// What was wrong, and tolerated.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Number of examples in `split`: at least 1.
    pub fn len(&self, split: Split) -> usize {
        self.parts[split as usize].rows.len()
    }

    /// Whether `split` has no examples, which [`Set::open`] does not allow.
    pub fn is_empty(&self, split: Split) -> bool {
        self.len(split) == 0
    }

    /// Example `index` of `split`. Training examples are in the order of the files, without those that validation
    /// took.
    ///
    /// # Errors
    ///
    /// Where the example is not kept decoded, and cannot be read or decoded.
    ///
    /// # Panics
    ///
    /// Where `index` is not below [`len`](Self::len).
    pub fn example(&self, split: Split, index: usize) -> Result<Cow<'_, Example<L>>> {
        let part = &self.parts[split as usize];
        if let Some(decoded) = &part.decoded {
            return Ok(Cow::Borrowed(&decoded[index]));
        }
        let paths: Vec<&Path> = self.dataset.files().map(|(_, path)| path).collect();
        let faults = Faults::default();
        let reading = Reading {
            name: &self.dataset.name,
            manifest: &self.dataset.manifest,
            classes: &self.classes,
            files: &paths,
            faults: &faults,
        };
        decode_row(&reading, &self.spool, &part.rows[index], self.options.resize).map(Cow::Owned)
    }

    /// `[height, width]` of example `index` of `split`.
    ///
    /// # Panics
    ///
    /// Where `index` is not below [`len`](Self::len).
    pub fn size(&self, split: Split, index: usize) -> [usize; 2] {
        resized(self.parts[split as usize].rows[index].size, self.options.resize)
    }

    /// Height, width and channels of every image.
    ///
    /// # Errors
    ///
    /// Where an image has another size than the first training image.
    pub fn uniform_size(&self) -> Result<(usize, usize, usize)> {
        let expected = self.size(Split::Train, 0);
        for split in Split::ALL {
            let differs = (0..self.len(split)).find(|index| self.size(split, *index) != expected);
            if let Some(index) = differs {
                let (file, row) = self.parts[split as usize].rows[index].place;
                let file = self.dataset.files().nth(file).map(|(_, file)| file.to_path_buf()).unwrap_or_default();
                let column = self.dataset.manifest.columns.image().to_owned();
                let place = crate::error::Cell { file, row, column };
                return Err(Error::Size { place, expected, found: self.size(split, index) });
            }
        }
        Ok((expected[0], expected[1], self.channels().count()))
    }

    /// Channels of every image.
    pub fn channels(&self) -> Channels {
        self.parts[0].rows[0].channels
    }

    /// Mean of each channel over the training images, with 255 as 1: `[c]`. Of more than 65,536 images it is taken of
    /// 4,096, drawn at random with a fixed seed.
    pub fn mean(&self) -> &[f32] {
        &self.statistics.mean
    }

    /// Standard deviation of each channel over the same images, with 255 as 1: `[c]`.
    pub fn std(&self) -> &[f32] {
        &self.statistics.std
    }

    fn training_statistics(&self) -> Result<Statistics> {
        let total = self.len(Split::Train);
        let indices: Vec<usize> = if total > ALL_BELOW {
            let order = random::permutation(total, &mut random::stream(0, "channel statistics", &[]));
            order.into_iter().take(SAMPLE).collect()
        } else {
            (0..total).collect()
        };
        let channels = self.channels().count();
        let sums: Vec<_> = indices
            .par_iter()
            .map(|&index| Ok(channel_sums(&self.example(Split::Train, index)?.image.pixels, channels)))
            .collect();
        Ok(Statistics::of(sums.into_iter().collect::<Result<Vec<_>>>()?, channels))
    }
}

impl Set<u32> {
    /// Class of example `index` of `split`: an index into [`classes`](Self::classes).
    ///
    /// # Panics
    ///
    /// Where `index` is not below [`len`](Self::len).
    pub fn label(&self, split: Split, index: usize) -> u32 {
        self.parts[split as usize].rows[index].raw
    }
}

/// The names of the classes: the manifest's, or those that all files have.
fn class_names<L: Label>(dataset: &Dataset, files: &[&Path]) -> Result<Vec<String>> {
    let manifest = &dataset.manifest;
    let Some(column) = L::class_column(&manifest.columns) else { return Ok(Vec::new()) };
    let wrong = |file: &Path, expected: &str, found: &[String]| {
        Err(Error::Classes { file: file.to_path_buf(), expected: expected.to_owned(), found: format!("{found:?}") })
    };
    let mut first: Option<Vec<String>> = None;
    for file in files {
        let Some(names) = Table::open(file, None)?.class_names(column) else { continue };
        match &first {
            None => first = Some(names),
            Some(first) if *first != names => return wrong(file, &format!("{first:?} as in the first file"), &names),
            Some(_) => {}
        }
    }
    let Some(path) = files.first() else { return Ok(manifest.classes.clone()) };
    match first {
        None if manifest.classes.is_empty() => {
            Err(Error::NoClasses { file: path.to_path_buf(), column: column.to_owned() })
        }
        None => Ok(manifest.classes.clone()),
        Some(found) if manifest.classes.is_empty() => match manifest.check_classes(&found) {
            Ok(()) => Ok(found),
            Err(expected) => wrong(path, &expected, &found),
        },
        // Names may be spelled another way, but neither be more nor stand in another order.
        Some(found) => {
            let moved = |(index, name): (usize, &String)| {
                manifest.classes.iter().position(|other| other == name).is_some_and(|at| at != index)
            };
            if found.len() != manifest.classes.len() || found.iter().enumerate().any(moved) {
                return wrong(path, &format!("{:?} as in the manifest", manifest.classes), &found);
            }
            Ok(manifest.classes.clone())
        }
    }
}

/// For each file and row, the split that has it.
fn roles<L: Label>(
    reading: &Reading<'_>,
    dataset: &Dataset,
    files: &[(Split, &Path)],
    examples: Option<usize>,
) -> Result<Vec<Vec<Option<Split>>>> {
    let mut roles = Vec::new();
    let mut strata: Vec<u32> = Vec::new();
    let carved = matches!(dataset.manifest.splits.validation, Validation::Carved(_));
    for &(split, file) in files {
        let table = Table::open(file, dataset.expected_rows(file))?;
        let rows = table.rows() as usize;
        roles.push(vec![Some(split); rows]);
        if split == Split::Train && (carved || examples.is_some()) {
            let before = strata.len();
            L::strata(reading, table, &mut strata)?;
            strata.resize(before + rows, 0);
        }
    }
    // The rows of train in order, as (file, row).
    let train: Vec<(usize, usize)> = files
        .iter()
        .enumerate()
        .filter(|(_, (split, _))| *split == Split::Train)
        .flat_map(|(file, _)| (0..roles[file].len()).map(move |row| (file, row)))
        .collect();
    let mut stay: Vec<usize> = (0..train.len()).collect();
    if let Validation::Carved(rule) = &dataset.manifest.splits.validation {
        let (left, taken) = carve(&strata, rule);
        for index in taken {
            let (file, row) = train[index];
            roles[file][row] = Some(Split::Validation);
        }
        stay = left;
    }
    if let Some(examples) = examples {
        let strata: Vec<u32> = stay.iter().map(|&index| strata[index]).collect();
        let chosen: std::collections::BTreeSet<usize> =
            limit(&strata, examples).into_iter().map(|position| stay[position]).collect();
        for index in stay {
            if !chosen.contains(&index) {
                let (file, row) = train[index];
                roles[file][row] = None;
            }
        }
    }
    Ok(roles)
}

/// Appends the rows of a file to those of their splits.
fn read_file<L: Label>(
    reading: &Reading<'_>,
    dataset: &Dataset,
    file: usize,
    roles: &[Option<Split>],
    resize: Option<Resize>,
    spool: &mut Spool,
    rows: &mut [Vec<Row<L::Raw>>; 3],
) -> Result<()> {
    let path = reading.files[file];
    let image = dataset.manifest.columns.image();
    let mut columns = vec![image];
    columns.extend(L::columns(&dataset.manifest.columns));
    let table = Table::open(path, dataset.expected_rows(path))?;
    table
        .stream(&columns, |batch| {
            let role = |index: usize| roles.get(batch.first + index).copied().flatten();
            let labels = L::read(reading, &batch, &|index| role(index).is_some(), spool)?;
            let files = batch.files(image)?;
            for (index, raw) in labels.into_iter().enumerate() {
                let (Some(raw), Some(split)) = (raw, role(index)) else { continue };
                let null = || Error::Null { place: batch.cell(index, image), expected: "the bytes of an image" };
                let bytes = files.get(index).ok_or_else(null)?;
                let place = (file, batch.first + index);
                match decode::header(bytes) {
                    Ok((height, width, channels)) => {
                        let [tall, wide] = resized([height, width], resize);
                        if tall as u64 * wide as u64 * 3 > LARGEST_IMAGE {
                            let expected = format!("an image of at most {LARGEST_IMAGE} bytes after it was resized");
                            let found = format!("{tall}×{wide} pixels (height × width)");
                            return Err(Error::Value { place: batch.cell(index, image), expected, found });
                        }
                        let image = spool.push(bytes)?;
                        rows[split as usize].push(Row { place, size: [height, width], channels, image, raw });
                    }
                    Err(reason) => {
                        let error = || Error::Image { place: batch.cell(index, image), bytes: bytes.len(), reason };
                        if !reading.manifest.tolerates(Fault::Image) {
                            return Err(error());
                        }
                        reading.faults.add(Fault::Image, 1, place, error);
                    }
                }
            }
            Ok(())
        })
        .map_err(|error| match error {
            Error::NoColumn { file, column, existing } if L::TASK == TaskKind::CrowdCounting && column != image => {
                Error::NoPoints { file, column, existing }
            }
            error => error,
        })
}

/// Gives all rows the channels that images are decoded to: `channels`, or those of the first training image.
fn settle_channels<R>(reading: &Reading<'_>, channels: Option<Channels>, rows: &mut [Vec<Row<R>>; 3]) -> Result<()> {
    let Some(expected) = channels.or_else(|| rows[0].first().map(|row| row.channels)) else { return Ok(()) };
    for row in rows.iter_mut().flatten() {
        if channels.is_none() && row.channels != expected {
            let place = reading.cell(row, reading.manifest.columns.image());
            return Err(Error::Colour { place, expected, found: row.channels });
        }
        row.channels = expected;
    }
    Ok(())
}

/// Decodes `rows` where they fit into `memory`, which shrinks by what they take.
fn decode_part<L: Label>(
    reading: &Reading<'_>,
    spool: &Spool,
    rows: Vec<Row<L::Raw>>,
    resize: Option<Resize>,
    memory: &mut u64,
) -> Result<Part<L>> {
    let masks = u64::from(L::TASK == TaskKind::Segmentation);
    let bytes = |row: &Row<L::Raw>| {
        let [height, width] = resized(row.size, resize);
        height as u64 * width as u64 * (row.channels.count() as u64 + masks)
    };
    let needed: u64 = rows.iter().map(bytes).sum();
    let fits = needed <= *memory;
    let decide = [Fault::Image, Fault::Mask].into_iter().any(|fault| reading.manifest.tolerates(fault));
    if !fits && !decide {
        return Ok(Part { rows, decoded: None });
    }
    let decoded: Vec<Result<Option<Example<L>>>> = rows
        .par_iter()
        .map(|row| decode_row(reading, spool, row, resize).map(|example| fits.then_some(example)))
        .collect();
    let (mut kept, mut examples) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    // In order, so that the error does not depend on the number of threads.
    for (row, decoded) in rows.into_iter().zip(decoded) {
        match decoded {
            Ok(example) => {
                kept.push(row);
                examples.extend(example);
            }
            Err(error @ Error::Image { .. }) => reading.tolerate(Fault::Image, 1, &row, || error)?,
            Err(error) => return Err(error),
        }
    }
    if fits {
        *memory -= needed;
    }
    Ok(Part { rows: kept, decoded: fits.then_some(examples) })
}

fn decode_row<L: Label>(
    reading: &Reading<'_>,
    spool: &Spool,
    row: &Row<L::Raw>,
    resize: Option<Resize>,
) -> Result<Example<L>> {
    let image: Image = decode::image(&spool.get(row.image)?, row.channels).map_err(|reason| Error::Image {
        place: reading.cell(row, reading.manifest.columns.image()),
        bytes: row.image.len(),
        reason,
    })?;
    let label = L::decode(reading, row, spool)?;
    Ok(match resize {
        None => Example { image, label },
        Some(resize) => {
            let view = resize.view(row.size);
            Example { label: label.follow(&view), image: Transform::from(view).image(&image) }
        }
    })
}

fn resized(size: [usize; 2], resize: Option<Resize>) -> [usize; 2] {
    resize.map_or(size, |resize| resize.view(size).size)
}
