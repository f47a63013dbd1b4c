//! A data set, read and verified: images with their labels.

use std::borrow::Cow;
use std::fmt;

use rayon::prelude::*;

use crate::decode::LARGEST_IMAGE;
use crate::label::Label;
use crate::reading::Faults;
use crate::rows::{Rows, decoded_bytes, resized, resized_example};
use crate::scenes::{Generator, Scenes, WrongSetting};
use crate::statistics::{Statistics, channel_sums};
use crate::{
    Channels, Dataset, Error, Example, Manifest, Mask, Object, Point, Resize, Result, Root, Source, Split, Warning,
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
    name: String,
    manifest: Manifest,
    digest: String,
    classes: Vec<String>,
    origin: Origin<L>,
    /// All examples of each split, where they fit.
    decoded: [Option<Vec<Example<L>>>; 3],
    warnings: Vec<Warning>,
    statistics: Statistics,
}

/// What examples are made of.
enum Origin<L: Label> {
    Rows(Box<Rows<L>>),
    Scenes(Box<Generator>, Options),
}

/// Without the examples, which nobody would read.
impl<L: Label> fmt::Debug for Set<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [train, validation, test] = Split::ALL.map(|split| self.len(split));
        write!(f, "Set({}: {train} + {validation} + {test} examples)", self.name)
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
        let dataset = Dataset::find(root, name)?.of_task(L::TASK)?;
        // First, since it verifies the files: nothing else should have to explain a damaged one.
        let digest = dataset.digest()?;
        let Dataset { manifest, files, .. } = dataset;
        let faults = Faults::default();
        let (mut origin, classes) = match &manifest.source {
            Source::Stored(_) => {
                let rows = Rows::open(root, name, files, options, &faults)?;
                let classes = rows.classes.clone();
                (Origin::Rows(Box::new(rows)), classes)
            }
            Source::Scenes(scenes) => {
                check_resized(name, scenes, options.resize)?;
                let generator = Generator::open(root, name, scenes)?;
                (Origin::Scenes(Box::new(generator), options), scenes.class_names(L::TASK))
            }
        };
        let mut memory = root.memory;
        let mut decoded: [Option<Vec<Example<L>>>; 3] = Default::default();
        for (split, decoded) in Split::ALL.into_iter().zip(&mut decoded) {
            *decoded = origin.decode(split, &mut memory, &faults)?;
            if origin.len(split) == 0 {
                return Err(Error::Empty { name: name.to_owned(), split });
            }
        }
        if let Origin::Rows(rows) = &mut origin
            && decoded.iter().all(Option::is_some)
        {
            rows.free();
        }
        let (name, warnings) = (name.to_owned(), faults.warnings());
        let statistics = Statistics::default();
        let mut set = Self { name, manifest, digest, classes, origin, decoded, warnings, statistics };
        set.statistics = set.training_statistics()?;
        Ok(set)
    }

    /// What the set is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
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
        self.origin.len(split)
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
        match &self.decoded[split as usize] {
            Some(decoded) => Ok(Cow::Borrowed(&decoded[index])),
            None => self.origin.example(split, index).map(Cow::Owned),
        }
    }

    /// `[height, width]` of example `index` of `split`.
    ///
    /// # Panics
    ///
    /// Where `index` is not below [`len`](Self::len).
    pub fn size(&self, split: Split, index: usize) -> [usize; 2] {
        match &self.origin {
            Origin::Rows(rows) => rows.size(split, index),
            Origin::Scenes(generator, options) => resized(generator.scenes.size, options.resize),
        }
    }

    /// How many images of validation and test have no more pixels together than `batch` windows of `size` (`[height, width]`),
    /// were they all as large as the largest: from 1 to `batch`.
    pub fn evaluated_at_once(&self, batch: usize, size: [usize; 2]) -> usize {
        let pixels = |[height, width]: [usize; 2]| height * width;
        let of_split = |split| (0..self.len(split)).map(move |index| pixels(self.size(split, index)));
        let largest = [Split::Validation, Split::Test].into_iter().flat_map(of_split).max().unwrap_or(0).max(1);
        (batch * pixels(size) / largest).clamp(1, batch.max(1))
    }

    /// Height, width and channels of every image.
    ///
    /// # Errors
    ///
    /// Where an image has another size than the first training image.
    pub fn uniform_size(&self) -> Result<(usize, usize, usize)> {
        if let Origin::Rows(rows) = &self.origin {
            rows.check_uniform()?;
        }
        let [height, width] = self.size(Split::Train, 0);
        Ok((height, width, self.channels().count()))
    }

    /// Channels of every image.
    pub fn channels(&self) -> Channels {
        match &self.origin {
            Origin::Rows(rows) => rows.of(Split::Train)[0].channels,
            Origin::Scenes(..) => Channels::Rgb,
        }
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
        let rows = match &self.origin {
            Origin::Rows(rows) => rows.of(split),
            // Scenes have no class of their own, and are not opened as if they had.
            Origin::Scenes(..) => &[],
        };
        rows[index].raw
    }
}

/// That scenes are not too large once they were resized.
fn check_resized(name: &str, scenes: &Scenes, resize: Option<Resize>) -> Result<()> {
    let [height, width] = resized(scenes.size, resize);
    if height as u64 * width as u64 * 3 <= LARGEST_IMAGE {
        return Ok(());
    }
    let expected = format!("scenes of at most {LARGEST_IMAGE} bytes after they were resized");
    let wrong = WrongSetting::new("size", expected, format!("{height}×{width} pixels (height × width)"));
    Err(Error::Scenes { name: name.to_owned(), wrong })
}

impl<L: Label> Origin<L> {
    fn len(&self, split: Split) -> usize {
        match self {
            Self::Rows(rows) => rows.of(split).len(),
            Self::Scenes(generator, options) => {
                let examples = generator.scenes.examples.of(split);
                // Scenes are independent draws: any of them are like all of them.
                options.examples.filter(|_| split == Split::Train).map_or(examples, |limit| examples.min(limit))
            }
        }
    }

    fn example(&self, split: Split, index: usize) -> Result<Example<L>> {
        match self {
            Self::Rows(rows) => rows.example(split, index),
            Self::Scenes(generator, options) => Ok(resized_example(generator.example(split, index)?, options.resize)),
        }
    }

    /// All examples of `split` where they fit into `memory`, which shrinks by what they take.
    fn decode(&mut self, split: Split, memory: &mut u64, faults: &Faults) -> Result<Option<Vec<Example<L>>>> {
        let (generator, options) = match self {
            Self::Rows(rows) => return rows.decode(split, memory, faults),
            Self::Scenes(generator, options) => (generator, options),
        };
        let bytes = decoded_bytes::<L>(resized(generator.scenes.size, options.resize), Channels::Rgb);
        let len = self.len(split);
        let Some(rest) = memory.checked_sub(bytes.saturating_mul(len as u64)) else { return Ok(None) };
        *memory = rest;
        let examples: Vec<_> = (0..len).into_par_iter().map(|index| self.example(split, index)).collect();
        // In order, so that the error does not depend on the number of threads.
        Ok(Some(examples.into_iter().collect::<Result<_>>()?))
    }
}
