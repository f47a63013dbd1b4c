//! What can be wrong with a release, and where.

use std::path::PathBuf;

use data::plausible::Implausible;
use data::{Fault, Resize};
use files::FileError;

pub use data::Malformed;

/// The result of an import.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The file that something is wrong in.
pub(crate) trait InFile {
    /// The same as an error of a place in `file`.
    fn of(self, file: impl Into<String>) -> Error;
}

impl InFile for Malformed {
    fn of(self, file: impl Into<String>) -> Error {
        Error::Malformed { file: file.into(), cause: self }
    }
}

/// `cause`, or what the file with these bytes is in truth where they tell: such as a web page in place of a download.
pub(crate) fn or_kind(cause: Malformed, file: &[u8]) -> Malformed {
    let other = data::kind::of(file).filter(|kind| kind.name != "a MAT file");
    other.map_or(cause.clone(), |kind| Malformed::new("", cause.expected, kind.found()))
}

/// Why a release cannot be imported. Lines, objects and rows count from 1, bytes from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that is not what its name says.
    #[error("{file}: {cause}")]
    Malformed {
        /// The file.
        file: String,
        /// Where in it, and what.
        cause: Malformed,
    },

    /// What the manifest could tolerate, and does not.
    #[error("{file}: {cause}\n  hint: {}", tolerate_hint(*fault))]
    Fault {
        /// What it is called in the manifest.
        fault: Fault,
        /// The file.
        file: String,
        /// Where in it, and what.
        cause: Malformed,
    },

    /// Files that do not belong together, or of which some are missing.
    #[error("{place}: {reason}")]
    Release {
        /// The file or folder.
        place: String,
        /// What was expected, and what was found.
        reason: String,
    },

    /// A folder with the structure of no known release.
    #[error("{}: the structure of no known release; looked for\n{looked_for}\n  found {found}{}", path.display(),
            nearest(near))]
    UnknownLayout {
        /// The folder or archive.
        path: PathBuf,
        /// Each format and what it looks like, one on a line.
        looked_for: String,
        /// The first names in the folder.
        found: String,
        /// Structures that the folder nearly has, and what does not fit.
        near: Vec<String>,
    },

    /// A folder with the structure of several releases.
    #[error("{}: the structure of {}\n{looked_for}\n  hint: choose with `--format`", path.display(),
            formats.join(" and of "))]
    Ambiguous {
        /// The folder or archive.
        path: PathBuf,
        /// What it could be.
        formats: Vec<&'static str>,
        /// What each looks like, one on a line.
        looked_for: String,
    },

    /// Boxes or points that are right only when read another way.
    #[error("{place}: {cause}\n  hint: write the annotations anew with {} that are {}", cause.what, cause.meant)]
    Implausible {
        /// A file or folder of annotations.
        place: String,
        /// How they are read, and how they make sense.
        cause: Box<Implausible>,
    },

    /// An annotation that counts pixels from 0 where the format counts from 1.
    #[error(
        "{file}: {object}: expected a box that begins at pixel 1 or later, as Pascal VOC counts, found {found}: {count} \
             boxes of the release begin before it\n  hint: `--first-pixel 0` where the release counts pixels from 0, which \
             moves each box by a pixel; `--first-pixel 1` where these are mistakes, which are cut off"
    )]
    FirstPixel {
        /// The first such file.
        file: String,
        /// Which object of it.
        object: String,
        /// Its corners.
        found: String,
        /// How many boxes begin before pixel 1.
        count: usize,
    },

    /// A name that can be no file name of a manifest.
    #[error("expected a name of letters, digits, `-`, `_` and `.` that begins with a letter or digit, found {0:?}")]
    Name(String),

    /// There is such a set.
    #[error("data set {name:?} exists in {}\n  hint: move it away, or import under another name", path.display())]
    Exists {
        /// The name.
        name: String,
        /// Its files.
        path: PathBuf,
    },

    /// A manifest that describes something else than the release.
    #[error("the release contradicts {}: {reason}\n  hint: edit the manifest, or import under another name",
            manifest.display())]
    Disagrees {
        /// The manifest.
        manifest: PathBuf,
        /// The key, what the manifest says, and what the release has.
        reason: String,
    },

    /// A size that cuts off parts of images, and so labels.
    #[error("expected a size that whole images get, found {0}\n  hint: a set is read with this size, not imported")]
    Cropped(Resize),

    /// `--tolerate` where a manifest decides.
    #[error("expected `tolerate` in {}, found the option `--tolerate`\n  hint: what is tolerated is part of the set: \
             write it there", manifest.display())]
    TolerateTwice {
        /// The manifest.
        manifest: PathBuf,
    },

    /// What the parquet writer refuses.
    #[error("cannot write the {split} split as parquet: {reason}")]
    Parquet {
        /// Folder of the split.
        split: String,
        /// What the writer says.
        reason: String,
    },

    /// A manifest that cannot be read.
    #[error(transparent)]
    Data(#[from] data::Error),

    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Error {
    /// Whether something that the user wrote is at fault, an argument or a manifest, and not the release.
    pub fn is_mistake(&self) -> bool {
        let data_mistake = |cause: &data::Error| {
            matches!(
                cause,
                data::Error::UnknownDataset { .. } | data::Error::Manifest { .. } | data::Error::Lock { .. }
            )
        };
        match self {
            Self::Name(_) | Self::Exists { .. } | Self::Disagrees { .. } | Self::TolerateTwice { .. } => true,
            Self::Data(cause) => data_mistake(cause),
            _ => false,
        }
    }
}

fn nearest(near: &[String]) -> String {
    if near.is_empty() {
        return "\n  hint: give the folder that has one of these in it".to_owned();
    }
    let near: String = near.iter().map(|near| format!("\n  nearly {near}")).collect();
    near + "\n  hint: change what does not fit in a copy, or give another folder"
}

fn tolerate_hint(fault: Fault) -> String {
    let effect = match fault {
        Fault::Image => "leaves out and counts such images",
        Fault::Box => "cuts off what is outside, leaves out what has no area, and counts both",
        Fault::Mask => "makes such pixels void, and counts them",
        Fault::Point => "leaves out and counts such points",
    };
    format!("`tolerate = [\"{fault}\"]` in the manifest, or `--tolerate {fault}` where there is none, {effect}")
}
