//! `datasets/<name>.toml`: what a data set is, and how its files are read; and `datasets/<name>.lock`:
//! which files exactly.

use std::path::Path;

use serde::de::Error as _;

use crate::scenes::Scenes;
use crate::stored::Stored;
use crate::task::TaskKind;
use crate::written::{Written, WrittenScenes};
use crate::{Error, Lock, Result};

/// A data set as its manifest describes it. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The name that tables and figures show.
    pub title: String,
    /// The licence of the images, or `unknown`.
    pub licence: String,
    /// How to cite the set.
    pub citation: String,
    /// Address of the page of the set.
    pub home: String,
    /// What a reader must know before comparing numbers: a part, derived, re-encoded.
    pub caveat: Option<String>,
    /// Where the examples come from.
    pub source: Source,
}

/// Where the examples of a set come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Files of its own.
    Stored(Box<Stored>),
    /// The images of another set, put together.
    Scenes(Scenes),
}

impl Manifest {
    /// Reads the manifest at `path`, and the lock beside it where there is one.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, is not TOML, or has an unknown key or a value that makes no
    /// sense (the message has the path, the line and the column); where manifest and lock
    /// contradict each other.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_text(path).map_err(|error| match error.cause.kind() {
            // Of a mistake in the manifest, not of a file that cannot be read.
            std::io::ErrorKind::InvalidData => {
                Error::Manifest { path: path.to_path_buf(), cause: toml::de::Error::custom(error.cause) }
            }
            _ => error.into(),
        })?;
        let mut manifest = Self::parse(&text).map_err(|cause| Error::Manifest { path: path.to_path_buf(), cause })?;
        if let (Source::Stored(stored), Some(lock)) = (&mut manifest.source, Lock::read(&Lock::beside(path))?) {
            lock.check(stored).map_err(|reason| Error::Lock { path: Lock::beside(path), reason })?;
            stored.files = lock.files;
            stored.check_files().map_err(|reason| Error::Lock { path: Lock::beside(path), reason })?;
        }
        Ok(manifest)
    }

    /// Reads the text of a manifest.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), but for the files.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        // Two kinds of manifests with keys of their own. What is no TOML is said by the reader of either.
        if toml::from_str::<toml::Table>(text).is_ok_and(|table| table.contains_key("scenes")) {
            let WrittenScenes { title, licence, citation, home, caveat, scenes } = toml::from_str(text)?;
            scenes.check().map_err(toml::de::Error::custom)?;
            return Ok(Self { title, licence, citation, home, caveat, source: Source::Scenes(scenes) });
        }
        let written: Written = toml::from_str(text)?;
        let columns = written.columns.of(written.task).map_err(toml::de::Error::custom)?;
        let stored = Stored {
            classes: written.classes,
            channels: written.channels,
            columns,
            tolerate: written.tolerate,
            splits: written.splits,
            hub: written.hub,
            files: written.files,
        };
        stored.check().map_err(toml::de::Error::custom)?;
        Ok(Self {
            title: written.title,
            licence: written.licence,
            citation: written.citation,
            home: written.home,
            caveat: written.caveat,
            source: Source::Stored(Box::new(stored)),
        })
    }

    /// The tasks that the set is for.
    pub fn tasks(&self) -> Vec<TaskKind> {
        match &self.source {
            Source::Stored(stored) => vec![stored.task()],
            Source::Scenes(_) => Scenes::TASKS.to_vec(),
        }
    }

    /// The files and how they are read, where the set has files of its own.
    pub fn stored(&self) -> Option<&Stored> {
        match &self.source {
            Source::Stored(stored) => Some(stored),
            Source::Scenes(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Carve, CarveSource, Validation};

    const GOOD: &str = r#"title = "Two"
task = "classification"
licence = "MIT"
citation = "nobody"
home = "https://example.org"
classes = ["cat", "dog"]

[columns]
image = "image"
label = "label"

[splits]
train = "train"
validation = { from = "train", fraction = 0.25, seed = 3 }
test = "test"
"#;

    fn parse(from: &str, to: &str) -> Result<Stored, String> {
        assert!(GOOD.contains(from));
        let manifest = Manifest::parse(&GOOD.replace(from, to)).map_err(|error| error.to_string())?;
        Ok(manifest.stored().unwrap().clone())
    }

    #[test]
    fn validation_is_a_folder_or_a_rule() {
        let carve = Carve { from: CarveSource::Train, fraction: 0.25, seed: 3 };
        assert_eq!(parse("", "").unwrap().splits.validation, Validation::Carved(carve));
        let folder = parse("{ from = \"train\", fraction = 0.25, seed = 3 }", "\"dev\"").unwrap();
        assert_eq!(folder.splits.validation, Validation::Folder("dev".to_owned()));
    }

    #[test]
    fn mistakes_are_named_where_they_are() {
        for (from, to, line, message) in [
            (
                "task = \"classification\"",
                "task = \"clasification\"",
                "line 2, column 8",
                "expected one of `classification`, `detection`",
            ),
            ("licence", "license", "line 3, column 1", "unknown field `license`, expected one of"),
            ("\"dog\"", "\"cat\"", "line 6, column 11", "expected different classes, found \"cat\" twice"),
            ("\"cat\", ", "", "", "`classes`: expected at least 2 classes, found 1"),
            ("label = ", "target = ", "line 10, column 1", "unknown field `target`, expected one of `image`, `label`"),
            ("label = ", "points = ", "", "`columns.points` is of crowd-counting, and the set is for classification"),
            ("label = \"label\"", "", "", "`columns.label` is missing, which classification needs"),
            ("\n[columns]", "channels = 2\n[columns]", "line 7, column 12", "expected 1 (gray) or 3 (RGB) channels"),
            ("fraction = 0.25", "fraction = 1.5", "line 14, column 43", "expected a fraction between 0 and 1"),
            ("from = \"train\"", "from = \"test\"", "line 14, column 23", "unknown variant `test`, expected `train`"),
            (", seed = 3", "", "line 14, column 14", "missing field `seed`"),
            ("{ from = \"train\", fraction = 0.25, seed = 3 }", "0.1", "line 14, column 14", "expected a folder or {"),
            ("test = \"test\"", "test = \"train\"", "line 12, column 1", "found \"train\" for two"),
        ] {
            let error = parse(from, to).unwrap_err();
            assert!(error.contains(line) && error.contains(message), "{to}: {error}");
        }
    }
}
