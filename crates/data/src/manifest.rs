//! `datasets/<name>.toml`: what a data set is, and how its files are read.

use std::fmt;
use std::path::Path;

use serde::de::{self, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A data set as its manifest describes it. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name that tables and figures show.
    pub title: String,
    /// The task that the set is for.
    pub task: TaskKind,
    /// The licence of the images, or `unknown`.
    pub licence: String,
    /// How to cite the set.
    pub citation: String,
    /// Address of the page of the set.
    pub home: String,
    /// What a reader must know before comparing numbers: a part, derived, re-encoded.
    pub caveat: Option<String>,
    /// Names of the classes; a label is an index into them.
    #[serde(deserialize_with = "classes")]
    pub classes: Vec<String>,
    /// Channels of the decoded images. Without it they stay as in the files, which must agree.
    pub channels: Option<Channels>,
    /// Names of the parquet columns.
    pub columns: Columns,
    /// Which folders play which role.
    #[serde(deserialize_with = "splits")]
    pub splits: Splits,
    /// The files as they must be. Where any are listed, these and no others are accepted.
    #[serde(default)]
    pub files: Vec<ExpectedFile>,
}

impl Manifest {
    /// Reads the manifest at `path`.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, is not TOML, or has an unknown key or a value that makes no
    /// sense; the message has the path, the line and the column.
    pub fn read(path: &Path) -> Result<Self> {
        let text = record::fs::read_text(path)?;
        toml::from_str(&text).map_err(|cause| Error::Manifest { path: path.to_path_buf(), cause })
    }
}

/// The tasks that a set can be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// One label for each image; all images of one size.
    Classification,
}

/// Names of the parquet columns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// JPEG or PNG files: `struct<bytes: binary, path: string>`, or `binary`.
    pub image: String,
    /// Class indices, of any integer type.
    pub label: String,
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
    Grey,
    /// Red, green, blue.
    Rgb,
}

impl Channels {
    /// 1 or 3.
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grey => "grey",
            Self::Rgb => "RGB",
        })
    }
}

impl TryFrom<i64> for Channels {
    type Error = String;

    fn try_from(count: i64) -> Result<Self, String> {
        match count {
            1 => Ok(Self::Grey),
            3 => Ok(Self::Rgb),
            _ => Err(format!("expected 1 (grey) or 3 (RGB) channels, found {count}")),
        }
    }
}

/// What a file must be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFile {
    /// Folder and name, such as `train/0000.parquet`.
    pub path: String,
    /// Number of rows.
    pub rows: Option<u64>,
    /// SHA-256 of the file in lower-case hexadecimal.
    pub sha256: Option<String>,
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

fn classes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let classes = Vec::<String>::deserialize(deserializer)?;
    if classes.len() < 2 {
        return Err(de::Error::custom(format!("expected at least 2 classes, found {}", classes.len())));
    }
    match classes.iter().enumerate().find(|(index, class)| classes[..*index].contains(class)) {
        Some((_, class)) => Err(de::Error::custom(format!("expected different classes, found {class:?} twice"))),
        None => Ok(classes),
    }
}

fn splits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Splits, D::Error> {
    let splits = Splits::deserialize(deserializer)?;
    let shared = match &splits.validation {
        Validation::Folder(folder) if *folder == splits.train || *folder == splits.test => Some(folder),
        _ if splits.train == splits.test => Some(&splits.test),
        _ => None,
    };
    match shared {
        Some(folder) => {
            Err(de::Error::custom(format!("expected a folder of its own for each split, found {folder:?} for two")))
        }
        None => Ok(splits),
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

#[cfg(test)]
mod tests {
    use super::*;

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

    fn parse(from: &str, to: &str) -> Result<Manifest, String> {
        assert!(GOOD.contains(from));
        toml::from_str(&GOOD.replace(from, to)).map_err(|error| error.to_string())
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
            ("task = \"classification\"", "task = \"clasification\"", "line 2, column 8", "expected `classification`"),
            ("licence", "license", "line 3, column 1", "unknown field `license`, expected one of"),
            ("\"dog\"", "\"cat\"", "line 6, column 11", "expected different classes, found \"cat\" twice"),
            ("\"cat\", ", "", "line 6, column 11", "expected at least 2 classes, found 1"),
            ("label = ", "target = ", "line 10, column 1", "unknown field `target`, expected `image` or `label`"),
            ("\n[columns]", "channels = 2\n[columns]", "line 7, column 12", "expected 1 (grey) or 3 (RGB) channels"),
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
