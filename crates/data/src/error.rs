//! What can be wrong with a data set, and where.

use std::fmt;
use std::path::PathBuf;

use files::FileError;

use crate::known::{Known, Places};
use crate::plausible::Implausible;
use crate::resize::LARGEST_SIDE;
use crate::scenes::WrongSetting;
use crate::{BoxForm, Channels, Resize, Split, TaskKind};

/// The result of reading a data set.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong with a data set. Rows count from 0 within their file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No manifest has this name.
    #[error("there is no data set {name:?}{known}")]
    UnknownDataset {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Known,
    },

    /// There are files, but nothing says what they are.
    #[error(
        "data set {name:?} has files in {}, but no manifest\n  hint: describe it in {}; the \
         manifests beside it are examples",
        found.display(), manifest.display()
    )]
    NoManifest {
        /// What was asked for.
        name: String,
        /// The folder of the files.
        found: PathBuf,
        /// Where the manifest should be.
        manifest: PathBuf,
    },

    /// A manifest that is not TOML, or has an unknown key or a value that makes no sense.
    #[error("cannot read the manifest {}: {cause}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Line, column and reason.
        cause: toml::de::Error,
    },

    /// A lock that does not belong to its manifest.
    #[error("{} contradicts its manifest: {reason}", path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// What they do not agree on, and what to do.
        reason: String,
    },

    /// A manifest without files.
    #[error(
        "data set {name:?} has a manifest, but no parquet files; looked for <split>/*.parquet in{places}\n  \
         hint: {}",
        files_hint(name, external.as_ref(), *hub)
    )]
    NoFiles {
        /// What was asked for.
        name: String,
        /// Where files could have been.
        places: Places,
        /// The folder that the environment names.
        external: Option<PathBuf>,
        /// Whether the hub has the set.
        hub: bool,
    },

    /// One split of a set has no files, where another has some.
    #[error(
        "the {split} split has no parquet files: expected {}/*.parquet\n  hint: all splits must \
         be in the same place; see `[splits]` in the manifest for the names of the folders",
        folder.display()
    )]
    NoSplit {
        /// The split.
        split: Split,
        /// The folder that it should be in.
        folder: PathBuf,
    },

    /// A file beside those that the manifest lists.
    #[error(
        "the manifest does not list {}\n  hint: add it to `[[files]]`, or move it away",
        file.display()
    )]
    UnlistedFile {
        /// The file.
        file: PathBuf,
    },

    /// A file that the manifest lists is not there.
    #[error("the manifest lists {}, which is not there\n  hint: get the set again", file.display())]
    MissingFile {
        /// The file.
        file: PathBuf,
    },

    /// A file with other bytes than the manifest says.
    #[error(
        "{} is damaged or another version: expected sha256 {expected}, found {found}\n  hint: get \
         the file again",
        file.display()
    )]
    Sha256 {
        /// The file.
        file: PathBuf,
        /// What the manifest says.
        expected: String,
        /// What the file has.
        found: String,
    },

    /// A file with more or fewer rows than the manifest says.
    #[error("{}: expected {expected} rows as in the manifest, found {found}", file.display())]
    Rows {
        /// The file.
        file: PathBuf,
        /// What the manifest says.
        expected: u64,
        /// What the file has.
        found: u64,
    },

    /// A file that is not parquet, or only a part of one.
    #[error(
        "cannot read {} as parquet: {reason}\n  hint: the file may be damaged or only a part; get \
         it again",
        file.display()
    )]
    Parquet {
        /// The file.
        file: PathBuf,
        /// What the parquet reader says.
        reason: String,
    },

    /// A compression that is not read.
    #[error(
        "{}: expected a parquet file that is not compressed, or with Snappy, Zstandard, gzip or LZ4, found {found}\n  hint: \
         write it anew; in Python, `pyarrow.parquet.write_table(pyarrow.parquet.read_table(OLD), NEW, \
         compression=\"zstd\")`",
        file.display()
    )]
    Compression {
        /// The file.
        file: PathBuf,
        /// What it is compressed with.
        found: String,
    },

    /// A column that the manifest names does not exist.
    #[error(
        "{}: there is no column {column:?}, the columns are {}\n  hint: name it in `[columns]` of \
         the manifest",
        file.display(), quoted(existing)
    )]
    NoColumn {
        /// The file.
        file: PathBuf,
        /// What the manifest says.
        column: String,
        /// The columns of the file.
        existing: Vec<String>,
    },

    /// A set of another task.
    #[error("data set {name:?} is for {found}, expected one for {expected}")]
    Task {
        /// The data set.
        name: String,
        /// What it was opened for.
        expected: TaskKind,
        /// What it is for.
        found: Tasks,
    },

    /// A setting of scenes that makes no sense, or does not fit the set that they are made of.
    #[error("data set {name:?}: {wrong}")]
    Scenes {
        /// The set of scenes.
        name: String,
        /// The setting.
        wrong: WrongSetting,
    },

    /// Other classes than the manifest, or another file, has; or not as many as the task needs.
    #[error("{}: the classes in the `huggingface` key: expected {expected}, found {found}", file.display())]
    Classes {
        /// The file.
        file: PathBuf,
        /// What they should be.
        expected: String,
        /// What they are.
        found: String,
    },

    /// No names of classes anywhere.
    #[error(
        "{}: there are no names of the classes of {column:?} in the `huggingface` key\n  hint: give `classes` in the \
         manifest",
        file.display()
    )]
    NoClasses {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
    },

    /// A value that makes no sense.
    #[error("{place}: expected {expected}, found {found}")]
    Value {
        /// Where.
        place: Cell,
        /// What makes sense.
        expected: String,
        /// What is there.
        found: String,
    },

    /// Boxes or points that are right only when read another way.
    #[error("data set {name:?}: {cause}, first in {place}\n  hint: {}", form_hint(cause))]
    Form {
        /// The data set.
        name: String,
        /// The first of its rows that tells.
        place: Box<Cell>,
        /// How they are read, and how they make sense.
        cause: Box<Implausible>,
    },

    /// A set for counting that does not say where anything is.
    #[error(
        "{}: there are no points: expected a column {column:?}, the columns are {}\n  hint: counting needs the position \
         of each head; `cargo xtask import` makes such a set of an official release",
        file.display(), quoted(existing)
    )]
    NoPoints {
        /// The file.
        file: PathBuf,
        /// What the manifest says.
        column: String,
        /// The columns of the file.
        existing: Vec<String>,
    },

    /// A column with values of another kind.
    #[error("{}: column {column:?}: expected {expected}, found {found}{}", file.display(), text_hint(expected, found))]
    ColumnType {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// What can be read.
        expected: &'static str,
        /// The type that the column has.
        found: String,
    },

    /// A row without an image or a label.
    #[error("{place}: expected {expected}, found null")]
    Null {
        /// Where.
        place: Cell,
        /// What is missing.
        expected: &'static str,
    },

    /// A label that is no index into the classes.
    #[error("{place}: expected a label from 0 to {}, found {found}", classes.saturating_sub(1))]
    Label {
        /// Where.
        place: Cell,
        /// The number of classes.
        classes: usize,
        /// The label.
        found: String,
    },

    /// Bytes that are no image that is read.
    #[error("{place}: cannot decode the image ({bytes} bytes): {reason}")]
    Image {
        /// Where.
        place: Cell,
        /// Length of what was to be decoded.
        bytes: usize,
        /// What the decoder says.
        reason: String,
    },

    /// An image of another size than the first training image.
    #[error(
        "{place}: expected an image of {}×{} pixels (height × width) as the first training image, \
         found {}×{}",
        expected[0], expected[1], found[0], found[1]
    )]
    Size {
        /// Where.
        place: Cell,
        /// Height and width of the first training image.
        expected: [usize; 2],
        /// Height and width of this one.
        found: [usize; 2],
    },

    /// A gray image among color images, or the other way round.
    #[error(
        "{place}: expected a {expected} image as the first training image, found {found}\n  hint: \
         `channels = 1` or `channels = 3` in the manifest converts all images"
    )]
    Color {
        /// Where.
        place: Cell,
        /// Of the first training image.
        expected: Channels,
        /// Of this one.
        found: Channels,
    },

    /// A split without a single example.
    #[error("the {split} split of data set {name:?} has no examples: expected at least one")]
    Empty {
        /// The data set.
        name: String,
        /// The split.
        split: Split,
    },

    /// A size that no image can get.
    #[error("expected sides of 1 to {LARGEST_SIDE} pixels to resize images to, found {found:?}")]
    Resize {
        /// What was asked for.
        found: Resize,
    },

    /// A limit of no training examples.
    #[error("expected a limit of at least 1 training example, found 0")]
    LimitZero,

    /// A file that cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A place in a parquet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The file.
    pub file: PathBuf,
    /// The row, from 0.
    pub row: usize,
    /// The column.
    pub column: String,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: row {}, column {:?}", self.file.display(), self.row, self.column)
    }
}

/// What a set is for, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tasks(pub Vec<TaskKind>);

impl fmt::Display for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(", "))
    }
}

fn files_hint(name: &str, external: Option<&PathBuf>, hub: bool) -> String {
    let variable = crate::EXTERNAL_VARIABLE;
    let own = match external {
        None => format!("set {variable} to a folder that has {name}/default/<split>/*.parquet in it"),
        Some(folder) => format!(
            "{variable} is {}: put the files there as {name}/default/<split>/*.parquet, or set it \
             to the folder that has them",
            folder.display()
        ),
    };
    let get = if hub {
        format!("`cargo xtask fetch {name}` gets it from the Hugging Face hub")
    } else {
        format!("`cargo xtask import {name} DIR` makes it of an official release")
    };
    format!("{get}; or {own}")
}

fn text_hint(expected: &str, found: &str) -> &'static str {
    if expected.contains("integers") && found.ends_with("Utf8") {
        "\n  hint: write numbers in place of texts, such as the place of the name in the list of classes, from 0"
    } else {
        ""
    }
}

fn form_hint(cause: &Implausible) -> String {
    match cause.meaning.and_then(BoxForm::of) {
        Some(form) => format!("say `form = \"{form}\"` in the manifest"),
        None => format!("write the files anew with {} that are {}", cause.what, cause.meant),
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
