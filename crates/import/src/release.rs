//! What an official release has, before any image is read.

use std::fmt;

use data::plausible::Meaning;
use data::{Image, Split, TaskKind};

/// A release.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// The task that its labels are for.
    pub task: TaskKind,
    /// Names of the classes; none for counting.
    pub classes: Vec<String>,
    /// Bytes of masks that are no class and not judged.
    pub void: Vec<u8>,
    /// The splits that it has, in the order train, validation, test.
    pub parts: Vec<Part>,
    /// What was read in another way than one might think, or not at all.
    pub notes: Vec<String>,
}

/// A split.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it is for.
    pub split: Split,
    /// Its images, sorted by file name.
    pub items: Vec<Item>,
}

/// An image and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// A number that is the image's alone within its split.
    pub id: i64,
    /// The image.
    pub picture: Picture,
    /// The size that the annotation says it has.
    pub size: Option<Size>,
    /// What is known of it.
    pub label: Label,
}

/// Where the pixels of an image are.
#[derive(Debug, Clone, PartialEq)]
pub enum Picture {
    /// In an image file of the release.
    File(String),
    /// In a file of many.
    Pixels {
        /// The file, and which image of it.
        place: String,
        /// The image.
        image: Image,
    },
}

/// What is known of an image.
#[derive(Debug, Clone, PartialEq)]
pub enum Label {
    /// Its class.
    Class(u32),
    /// The objects in it.
    Objects {
        /// The file that they are from, for messages.
        place: String,
        /// What an object's `number` counts: `line`, `object`, `annotation`.
        counted: &'static str,
        /// How the numbers of boxes are meant.
        meant: Meaning,
        /// The objects.
        objects: Vec<Boxed>,
    },
    /// The file of its mask.
    Mask(String),
    /// Points in it.
    Points {
        /// The file that they are from, for messages.
        place: String,
        /// Columns and rows in pixels.
        points: Vec<[f64; 2]>,
    },
}

/// An object and its box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boxed {
    /// A number that is the object's alone within its split.
    pub id: i64,
    /// Which of its file it is.
    pub number: i64,
    /// Index into the classes.
    pub class: u32,
    /// The numbers of its box: the pixel in column x spans `[x, x + 1)`.
    pub numbers: [f64; 4],
    /// Pixels of its outline; of its box where nothing is said.
    pub area: Option<f64>,
    /// Whether detections of it are not judged.
    pub crowd: bool,
}

/// The size of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{} pixels (width × height)", self.width, self.height)
    }
}
