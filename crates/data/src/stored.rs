//! What a manifest says of the files of a set, and how they are read.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use crate::label::{BoxColumns, ClassColumns, MaskColumns, PointColumns};
use crate::pattern::fits;
use crate::{ExpectedFile, Split, TaskKind};

/// Parquet files, and how they are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Names of the classes; a class is an index into them. Without them they are read from the
    /// `huggingface` key of the files. Empty for counting.
    pub classes: Vec<String>,
    /// Channels of the decoded images. Without it, images of classification stay as in the files,
    /// which must agree; those of other tasks are RGB.
    pub channels: Option<Channels>,
    /// The task that the set is for, and the columns that it needs.
    pub columns: Columns,
    /// What is left out, and counted, where it would else be an error.
    pub tolerate: Vec<Fault>,
    /// Which folders play which role.
    pub splits: Splits,
    /// Where the files can be fetched from.
    pub hub: Option<Hub>,
    /// The files as they must be: those of the lock where there is one. Where any are listed,
    /// these and no others are accepted.
    pub files: Vec<ExpectedFile>,
}

impl Stored {
    /// What keys must have in common.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.classes.is_empty() {
            self.columns
                .check_classes(self.classes.len())
                .map_err(|expected| format!("`classes`: expected {expected}, found {}", self.classes.len()))?;
        }
        if let Columns::Segmentation(columns) = &self.columns {
            columns.check()?;
        }
        let folders = self.splits.folders();
        if let Some(hub) = &self.hub {
            if let Some(unknown) = hub.files.keys().find(|folder| folders.iter().all(|(_, known)| known != folder)) {
                return Err(format!("`hub.files`: expected the folders in `[splits]`, found {unknown:?}"));
            }
            if let Some((_, missing)) = folders.iter().find(|(_, folder)| !hub.files.contains_key(*folder)) {
                return Err(format!("`hub.files`: there is nothing for the folder {missing:?} of `[splits]`"));
            }
        }
        self.check_files()
    }

    /// That the files that are listed are those that `[hub]` names.
    pub(crate) fn check_files(&self) -> Result<(), String> {
        for (folder, pattern) in self.hub.iter().flat_map(|hub| &hub.files) {
            let mut files = self.files.iter().filter(|file| file.path.split('/').next() == Some(folder));
            if let Some(other) = files.find(|file| !fits(pattern, file.source.as_ref().unwrap_or(&file.path))) {
                return Err(format!("`files`: {:?} is not {pattern:?} of `hub.files`", other.path));
            }
        }
        Ok(())
    }

    /// The task that the set is for.
    pub fn task(&self) -> TaskKind {
        self.columns.task()
    }

    /// Whether `fault` is left out and counted instead of being an error.
    pub fn tolerates(&self, fault: Fault) -> bool {
        self.tolerate.contains(&fault)
    }
}

/// Names of the parquet columns, and how their values are meant. A field of a struct is named with
/// a dot: `objects.bbox`. Images are JPEG, PNG, WebP, BMP, GIF or TIFF files, as `struct<bytes: binary, path: string>` or
/// `binary`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// An image and its class.
    Classification(ClassColumns),
    /// An image and boxes of objects.
    Detection(BoxColumns),
    /// An image and a mask of its size.
    Segmentation(MaskColumns),
    /// An image and points to be counted.
    CrowdCounting(PointColumns),
}

impl Columns {
    /// The task that needs such columns.
    pub fn task(&self) -> TaskKind {
        match self {
            Self::Classification(_) => TaskKind::Classification,
            Self::Detection(_) => TaskKind::Detection,
            Self::Segmentation(_) => TaskKind::Segmentation,
            Self::CrowdCounting(_) => TaskKind::CrowdCounting,
        }
    }

    /// The column of images.
    pub fn image(&self) -> &str {
        match self {
            Self::Classification(columns) => &columns.image,
            Self::Detection(columns) => &columns.image,
            Self::Segmentation(columns) => &columns.image,
            Self::CrowdCounting(columns) => &columns.image,
        }
    }

    /// That so many classes are as many as the task needs, and as the columns have values for; else what they should be.
    pub(crate) fn check_classes(&self, count: usize) -> Result<(), String> {
        match self {
            Self::Classification(_) if count < 2 => Err("at least 2 classes".to_owned()),
            Self::Detection(_) if count < 1 => Err("at least 1 class".to_owned()),
            Self::Segmentation(columns) => columns.check_classes(count),
            Self::CrowdCounting(_) if count > 0 => Err("none for counting".to_owned()),
            _ => Ok(()),
        }
    }

    /// What decides how labels are read from given files: a part of a set's identity.
    pub(crate) fn reading(&self) -> Vec<String> {
        match self {
            Self::Classification(columns) => columns.reading(),
            Self::Detection(columns) => columns.reading(),
            Self::Segmentation(columns) => columns.reading(),
            Self::CrowdCounting(columns) => columns.reading(),
        }
    }
}

/// What can be wrong with a row and be tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// An image that cannot be decoded: its row is left out.
    Image,
    /// A box without area, or outside of the image: outside parts are cut off, and what has no
    /// area is left out.
    Box,
    /// A byte of a mask that is no class: void.
    Mask,
    /// A point outside of the image: left out.
    Point,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Image => "image",
            Self::Box => "box",
            Self::Mask => "mask",
            Self::Point => "point",
        })
    }
}

/// Where a set can be fetched from: a data set of the Hugging Face hub.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// Owner and name, such as `uoft-cs/cifar10`.
    pub repository: String,
    /// The commit, in 40 hexadecimal digits; or a branch, whose commit of the first fetch the lock
    /// records.
    pub revision: String,
    /// For each folder of the set, the files of the repository that go there, with `*` for any part
    /// of a name: `train = "data/train-*.parquet"`.
    pub files: BTreeMap<String, String>,
}

impl Hub {
    /// Whether `revision` is a commit, not a branch.
    pub fn is_pinned(&self) -> bool {
        self.revision.len() == 40 && self.revision.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

/// The folders under `<name>/default/` that play the three roles.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splits {
    /// Folder of the training images.
    pub train: String,
    /// Where the validation images come from.
    pub validation: Validation,
    /// Folder of the test images.
    pub test: String,
}

impl Splits {
    /// The splits that have folders, in the order train, validation, test.
    pub fn folders(&self) -> Vec<(Split, &str)> {
        let mut folders = vec![(Split::Train, self.train.as_str())];
        if let Validation::Folder(folder) = &self.validation {
            folders.push((Split::Validation, folder));
        }
        folders.push((Split::Test, &self.test));
        folders
    }
}

/// Where the validation images come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Validation {
    /// A folder of their own, written `validation = "folder"`.
    Folder(String),
    /// A part of another split, written `validation = { from = "train", fraction = 0.1, seed = 0 }`.
    Carved(Carve),
}

/// A stratified part of another split.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carve {
    /// The split that loses the examples.
    pub from: CarveSource,
    /// The part of each class that is taken: between 0 and 1, both excluded.
    #[serde(deserialize_with = "fraction")]
    pub fraction: f64,
    /// The seed of the choice.
    pub seed: u64,
}

/// The splits that validation images can be carved from. Not test: it is read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CarveSource {
    /// The training split.
    Train,
}

/// Channels of decoded images, written 1 or 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub enum Channels {
    /// One.
    Gray,
    /// Red, green, blue.
    Rgb,
}

impl Channels {
    /// 1 or 3.
    pub fn count(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
        }
    }

    /// What a set's digest calls it, which never changes.
    pub(crate) fn reading(self) -> &'static str {
        match self {
            Self::Gray => "grey",
            Self::Rgb => "RGB",
        }
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gray => "gray",
            Self::Rgb => "RGB",
        })
    }
}

impl TryFrom<i64> for Channels {
    type Error = String;

    fn try_from(count: i64) -> Result<Self, String> {
        match count {
            1 => Ok(Self::Gray),
            3 => Ok(Self::Rgb),
            _ => Err(format!("expected 1 (gray) or 3 (RGB) channels, found {count}")),
        }
    }
}

impl<'de> Deserialize<'de> for Validation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        // By hand, since an untagged enum would answer "did not match any variant".
        impl<'de> Visitor<'de> for Either {
            type Value = Validation;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a folder or { from = \"train\", fraction = 0.1, seed = 0 }")
            }

            fn visit_str<E: de::Error>(self, folder: &str) -> Result<Validation, E> {
                Ok(Validation::Folder(folder.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Validation, A::Error> {
                Carve::deserialize(MapAccessDeserializer::new(map)).map(Validation::Carved)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

fn fraction<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let fraction = f64::deserialize(deserializer)?;
    if fraction > 0.0 && fraction < 1.0 {
        Ok(fraction)
    } else {
        Err(de::Error::custom(format!("expected a fraction between 0 and 1, found {fraction}")))
    }
}
