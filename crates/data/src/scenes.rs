//! Scenes: the images of a set of garments, several of them put on a textured ground.
//!
//! Such a set is made, not read, so its boxes, masks and points are exact; one set is for detection, segmentation and
//! counting. Scene `index` of a split is a pure function of the seed, the split, the index and the garments, of which each
//! split has its own. Its bits are the same on every machine: they depend on sums, products and quotients only, never on
//! functions of which libraries round the last bit differently.
//!
//! Scenes exist because real sets with boxes, masks and points cannot be distributed with the repository. A `Label`
//! says what it takes from a scene; code that uses a `Set` does not know where examples come from.

mod garment;
mod generator;
mod ground;
mod scene;

use rand::RngExt;
use random::Rng;
use serde::Deserialize;

use crate::dataset::Files;
use crate::{Error, Result, Root, Source, Split, TaskKind};

pub use generator::Generator;
pub use scene::Scene;

/// What makes scenes, in digests: raised whenever the same settings give other pixels or labels.
pub const VERSION: u32 = 1;

/// The part of each object's pixels that stays visible, at least.
pub const LEAST_VISIBLE: f64 = 0.4;

/// `[scenes]` of a manifest: what scenes are made of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenes {
    /// The name of the set that garments are from: gray images of one size on black, each of one class.
    pub from: String,
    /// The classes of objects.
    pub classes: Vec<SceneClass>,
    /// `[height, width]` in pixels.
    pub size: [usize; 2],
    /// The smallest and the largest number of objects; there are fewer where no place is found for one.
    pub objects: [u32; 2],
    /// The smallest and the largest factor between the size of a garment's image and its size in a scene.
    pub scale: [f32; 2],
    /// The seed of all scenes.
    pub seed: u64,
    /// Numbers of scenes.
    pub examples: Examples,
}

/// A class of objects, which joins classes of garments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneClass {
    /// Its name.
    pub name: String,
    /// Names of classes of the set that garments are from.
    pub of: Vec<String>,
}

/// The number of scenes in each split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examples {
    /// Of training garments.
    pub train: usize,
    /// Of validation garments.
    pub validation: usize,
    /// Of test garments.
    pub test: usize,
}

impl Examples {
    /// The number of scenes in `split`.
    pub fn of(&self, split: Split) -> usize {
        match split {
            Split::Train => self.train,
            Split::Validation => self.validation,
            Split::Test => self.test,
        }
    }
}

/// A setting that makes no sense, or does not fit the garments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`scenes.{key}`: expected {expected}, found {found}")]
pub struct WrongSetting {
    /// Its name in `[scenes]`.
    pub key: String,
    /// What makes sense.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl WrongSetting {
    pub(crate) fn new(key: &str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { key: key.to_owned(), expected: expected.into(), found: found.into() }
    }
}

/// The class of masks where no object is.
const BACKGROUND: &str = "background";

/// The longest side of a scene.
const LARGEST_SIDE: usize = 1 << 12;

/// Objects in a scene, at most: each has a byte of its own.
const MOST_OBJECTS: u32 = 255;

/// Scenes in a split, at most.
const MOST_EXAMPLES: usize = 1 << 24;

impl Scenes {
    /// The tasks that scenes are for.
    pub const TASKS: [TaskKind; 3] = [TaskKind::Detection, TaskKind::Segmentation, TaskKind::CrowdCounting];

    /// Names of the classes of labels: of masks, `background` comes first; points have none.
    pub fn class_names(&self, task: TaskKind) -> Vec<String> {
        let objects = self.classes.iter().map(|class| class.name.clone());
        match task {
            TaskKind::Detection => objects.collect(),
            TaskKind::Segmentation => std::iter::once(BACKGROUND.to_owned()).chain(objects).collect(),
            TaskKind::Classification | TaskKind::CrowdCounting => Vec::new(),
        }
    }

    /// What is wrong with a setting whatever the garments are.
    pub(crate) fn check(&self) -> Result<(), WrongSetting> {
        let wrong = |key: &str, expected: &str, found: String| Err(WrongSetting::new(key, expected, found));
        let names: Vec<&str> = self.classes.iter().map(|class| class.name.as_str()).collect();
        if !(1..=254).contains(&names.len()) {
            return wrong("classes", "1 to 254 classes", names.len().to_string());
        }
        if let Some(name) = twice(&names) {
            return wrong("classes", "different names", format!("{name:?} twice"));
        }
        if names.contains(&BACKGROUND) {
            return wrong("classes", "names of objects", format!("{BACKGROUND:?}, which masks have beside them"));
        }
        if let Some(class) = self.classes.iter().find(|class| class.of.is_empty()) {
            return wrong("classes", "at least one class of garments", format!("none for {:?}", class.name));
        }
        let garments: Vec<&str> = self.classes.iter().flat_map(|class| &class.of).map(String::as_str).collect();
        if let Some(name) = twice(&garments) {
            return wrong("classes", "each class of garments once", format!("{name:?} twice"));
        }
        if !self.size.iter().all(|side| (1..=LARGEST_SIDE).contains(side)) {
            return wrong("size", &format!("sides of 1 to {LARGEST_SIDE} pixels"), format!("{:?}", self.size));
        }
        let [least, most] = self.objects;
        if !(1 <= least && least <= most && most <= MOST_OBJECTS) {
            let expected = format!("two numbers from 1 to {MOST_OBJECTS}, the smaller first");
            return wrong("objects", &expected, format!("{:?}", self.objects));
        }
        let [smallest, largest] = self.scale;
        if !(0.1 <= smallest && smallest <= largest && largest <= 10.0) {
            return wrong("scale", "two factors from 0.1 to 10, the smaller first", format!("{:?}", self.scale));
        }
        for split in Split::ALL {
            let examples = self.examples.of(split);
            if !(1..=MOST_EXAMPLES).contains(&examples) {
                let expected = format!("1 to {MOST_EXAMPLES} scenes");
                return wrong(&format!("examples.{split}"), &expected, examples.to_string());
            }
        }
        Ok(())
    }

    /// The files of the garments, for the set of scenes `name`.
    pub(crate) fn source_files(&self, root: &Root, name: &str) -> Result<Files> {
        let wrong = |found: String| {
            let expected = "a set for classification with files of its own";
            Error::Scenes { name: name.to_owned(), wrong: WrongSetting::new("from", expected, found) }
        };
        let from = &self.from;
        let manifest = root.manifest(from).map_err(|error| match error {
            Error::UnknownDataset { known, .. } => wrong(format!("{from:?}, which there is not{known}")),
            error => error,
        })?;
        match &manifest.source {
            Source::Scenes(_) => Err(wrong(format!("{from:?}, which is derived itself"))),
            Source::Stored(stored) if stored.task() != TaskKind::Classification => {
                Err(wrong(format!("{from:?}, which is for {}", stored.task())))
            }
            Source::Stored(stored) => Files::find(root, from, stored),
        }
    }

    /// All that decides what is made of given garments. Names of classes are prose; not those that garments are
    /// chosen by, nor what those mean, `garments`.
    pub(crate) fn settings(&self, garments: &[String]) -> Vec<String> {
        let Self { from: _, classes, size, objects, scale, seed, examples } = self;
        let joined: Vec<&[String]> = classes.iter().map(|class| class.of.as_slice()).collect();
        vec![
            format!("scenes of version {VERSION}"),
            format!("classes {joined:?} of {garments:?}"),
            format!("size {size:?}"),
            format!("objects {objects:?}"),
            format!("scale {scale:?}"),
            format!("seed {seed}"),
            format!("examples {:?}", Split::ALL.map(|split| examples.of(split))),
        ]
    }
}

fn twice<'a>(names: &[&'a str]) -> Option<&'a str> {
    names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)).map(|(_, name)| *name)
}

/// From `least` to `most`, evenly.
fn between(least: f32, most: f32, rng: &mut Rng) -> f32 {
    least + (most - least) * rng.random::<f32>()
}
