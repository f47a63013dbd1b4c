//! The rows of the files of a set, and the examples that they are decoded to.

use std::path::Path;

use rayon::prelude::*;

use crate::augment::Transform;
use crate::carve::{carve, limit};
use crate::dataset::Files;
use crate::decode::LARGEST_IMAGE;
use crate::error::Tasks;
use crate::label::Label;
use crate::reading::{Faults, Reading, Row};
use crate::spool::Spool;
use crate::table::Table;
use crate::{
    Channels, Error, Example, Fault, Image, Options, Resize, Result, Root, Split, Stored, TaskKind, Validation, decode,
};

/// The rows of a set that has files.
pub(crate) struct Rows<L: Label> {
    name: String,
    files: Files,
    columns: L::Columns,
    pub(crate) classes: Vec<String>,
    resize: Option<Resize>,
    /// Of each split.
    rows: [Vec<Row<L::Raw>>; 3],
    /// The encoded images.
    spool: Spool,
}

impl<L: Label> Rows<L> {
    /// Reads and checks the rows in `files` of the set `name`, all but the pixels.
    pub(crate) fn open(root: &Root, name: &str, files: Files, options: Options, faults: &Faults) -> Result<Self> {
        let paths: Vec<&Path> = files.all().map(|(_, path)| path).collect();
        let other = || {
            let found = Tasks(vec![files.stored.task()]);
            Error::Task { name: name.to_owned(), expected: L::TASK, found }
        };
        let columns = L::of(&files.stored.columns).ok_or_else(other)?.clone();
        let classes = class_names(L::class_column(&columns), &files.stored, &paths)?;
        let reading =
            Reading { name, manifest: &files.stored, columns: &columns, classes: &classes, files: &paths, faults };

        let mut spool = Spool::new(root.memory, root.cache());
        let roles = roles::<L>(&reading, &files, options.examples)?;
        let mut rows: [Vec<Row<L::Raw>>; 3] = Default::default();
        for (file, roles) in roles.iter().enumerate() {
            read_file::<L>(&reading, &files, file, roles, options.resize, &mut spool, &mut rows)?;
        }
        let channels = files.stored.channels;
        let channels = channels.or_else(|| (L::TASK != TaskKind::Classification).then_some(Channels::Rgb));
        settle_channels(&reading, channels, &mut rows)?;
        for rows in &mut rows {
            L::check(&reading, rows)?;
        }
        Ok(Self { name: name.to_owned(), files, columns, classes, resize: options.resize, rows, spool })
    }

    /// The rows of `split`.
    pub(crate) fn of(&self, split: Split) -> &[Row<L::Raw>] {
        &self.rows[split as usize]
    }

    /// `[height, width]` of example `index` of `split`.
    pub(crate) fn size(&self, split: Split, index: usize) -> [usize; 2] {
        resized(self.of(split)[index].size, self.resize)
    }

    /// Example `index` of `split`.
    pub(crate) fn example(&self, split: Split, index: usize) -> Result<Example<L>> {
        let faults = Faults::default();
        self.reading(&faults, |reading| decode_row::<L>(reading, &self.spool, &self.of(split)[index], self.resize))
    }

    /// All examples of `split` where they fit into `memory`, which shrinks by what they take. Rows that cannot be
    /// decoded are left out where that is tolerated.
    pub(crate) fn decode(
        &mut self,
        split: Split,
        memory: &mut u64,
        faults: &Faults,
    ) -> Result<Option<Vec<Example<L>>>> {
        let rows = std::mem::take(&mut self.rows[split as usize]);
        let (rows, examples) =
            self.reading(faults, |reading| decode_part::<L>(reading, &self.spool, rows, self.resize, memory))?;
        self.rows[split as usize] = rows;
        Ok(examples)
    }

    /// Frees the encoded images, once nothing is left to be decoded.
    pub(crate) fn free(&mut self) {
        self.spool = Spool::new(0, Default::default());
    }

    /// That every image has the size of the first training image.
    pub(crate) fn check_uniform(&self) -> Result<()> {
        let expected = self.size(Split::Train, 0);
        for split in Split::ALL {
            let differs = (0..self.of(split).len()).find(|index| self.size(split, *index) != expected);
            if let Some(index) = differs {
                let place = self.reading(&Faults::default(), |reading| {
                    reading.cell(&self.of(split)[index], self.files.stored.columns.image())
                });
                return Err(Error::Size { place, expected, found: self.size(split, index) });
            }
        }
        Ok(())
    }

    fn reading<T>(&self, faults: &Faults, then: impl FnOnce(&Reading<'_, L::Columns>) -> T) -> T {
        let Self { name, files: Files { stored, .. }, columns, classes, .. } = self;
        let paths: Vec<&Path> = self.files.all().map(|(_, path)| path).collect();
        then(&Reading { name, manifest: stored, columns, classes, files: &paths, faults })
    }
}

/// The names of the classes: the manifest's, or those that all files have.
fn class_names(column: Option<&str>, manifest: &Stored, files: &[&Path]) -> Result<Vec<String>> {
    let Some(column) = column else { return Ok(Vec::new()) };
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
        Some(found) if manifest.classes.is_empty() => match manifest.columns.check_classes(found.len()) {
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
    reading: &Reading<'_, L::Columns>,
    of: &Files,
    examples: Option<usize>,
) -> Result<Vec<Vec<Option<Split>>>> {
    let files: Vec<(Split, &Path)> = of.all().collect();
    let mut roles = Vec::new();
    let mut strata: Vec<u32> = Vec::new();
    let carved = matches!(of.stored.splits.validation, Validation::Carved(_));
    for &(split, file) in &files {
        let table = Table::open(file, of.expected_rows(file))?;
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
    if let Validation::Carved(rule) = &of.stored.splits.validation {
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
    reading: &Reading<'_, L::Columns>,
    files: &Files,
    file: usize,
    roles: &[Option<Split>],
    resize: Option<Resize>,
    spool: &mut Spool,
    rows: &mut [Vec<Row<L::Raw>>; 3],
) -> Result<()> {
    let path = reading.files[file];
    let image = files.stored.columns.image();
    let mut columns = vec![image];
    columns.extend(L::names(reading.columns));
    let table = Table::open(path, files.expected_rows(path))?;
    table
        .stream(&columns, |batch| {
            let role = |index: usize| roles.get(batch.first + index).copied().flatten();
            let labels = L::read(reading, &batch, &|index| role(index).is_some(), spool)?;
            let images = batch.files(image)?;
            for (index, raw) in labels.into_iter().enumerate() {
                let (Some(raw), Some(split)) = (raw, role(index)) else { continue };
                let null = || Error::Null { place: batch.cell(index, image), expected: "the bytes of an image" };
                let bytes = images.get(index).ok_or_else(null)?;
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
fn settle_channels<C, R>(
    reading: &Reading<'_, C>,
    channels: Option<Channels>,
    rows: &mut [Vec<Row<R>>; 3],
) -> Result<()> {
    let Some(expected) = channels.or_else(|| rows[0].first().map(|row| row.channels)) else { return Ok(()) };
    for row in rows.iter_mut().flatten() {
        if channels.is_none() && row.channels != expected {
            let place = reading.cell(row, reading.manifest.columns.image());
            return Err(Error::Color { place, expected, found: row.channels });
        }
        row.channels = expected;
    }
    Ok(())
}

/// The rows of a split that stay, and their examples where they are kept.
type Decoded<L> = (Vec<Row<<L as Label>::Raw>>, Option<Vec<Example<L>>>);

/// Decodes `rows` where they fit into `memory`, which shrinks by what they take.
fn decode_part<L: Label>(
    reading: &Reading<'_, L::Columns>,
    spool: &Spool,
    rows: Vec<Row<L::Raw>>,
    resize: Option<Resize>,
    memory: &mut u64,
) -> Result<Decoded<L>> {
    let bytes = |row: &Row<L::Raw>| decoded_bytes::<L>(resized(row.size, resize), row.channels);
    let needed: u64 = rows.iter().map(bytes).sum();
    let fits = needed <= *memory;
    let decide = [Fault::Image, Fault::Mask].into_iter().any(|fault| reading.manifest.tolerates(fault));
    if !fits && !decide {
        return Ok((rows, None));
    }
    let decoded: Vec<Result<Option<Example<L>>>> = rows
        .par_iter()
        .map(|row| decode_row::<L>(reading, spool, row, resize).map(|example| fits.then_some(example)))
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
    Ok((kept, fits.then_some(examples)))
}

fn decode_row<L: Label>(
    reading: &Reading<'_, L::Columns>,
    spool: &Spool,
    row: &Row<L::Raw>,
    resize: Option<Resize>,
) -> Result<Example<L>> {
    let image: Image = decode::image(&spool.get(row.image)?, row.channels).map_err(|reason| Error::Image {
        place: reading.cell(row, reading.manifest.columns.image()),
        bytes: row.image.len(),
        reason,
    })?;
    Ok(resized_example(Example { image, label: L::decode(reading, row, spool)? }, resize))
}

/// What `resize` makes of an example.
pub(crate) fn resized_example<L: Label>(example: Example<L>, resize: Option<Resize>) -> Example<L> {
    let Some(resize) = resize else { return example };
    let view = resize.view([example.image.height, example.image.width]);
    Example { label: example.label.follow(&view), image: Transform::from(view).image(&example.image) }
}

/// Bytes that a decoded example takes.
pub(crate) fn decoded_bytes<L: Label>([height, width]: [usize; 2], channels: Channels) -> u64 {
    let mask = u64::from(L::TASK == TaskKind::Segmentation);
    height as u64 * width as u64 * (channels.count() as u64 + mask)
}

pub(crate) fn resized(size: [usize; 2], resize: Option<Resize>) -> [usize; 2] {
    resize.map_or(size, |resize| resize.view(size).size)
}
