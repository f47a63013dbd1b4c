//! A manifest as TOML has it.

use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::ExpectedFile;
use crate::label::{BoxColumns, BoxForm, ClassColumns, MaskColumns, PointColumns};
use crate::scenes::Scenes;
use crate::stored::{Channels, Columns, Fault, Hub, Splits, Validation};
use crate::task::TaskKind;

/// The manifest of a set with files: which columns there are depends on the task.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    pub(crate) title: String,
    pub(crate) task: TaskKind,
    pub(crate) licence: String,
    pub(crate) citation: String,
    pub(crate) home: String,
    pub(crate) caveat: Option<String>,
    #[serde(default, deserialize_with = "classes")]
    pub(crate) classes: Vec<String>,
    pub(crate) channels: Option<Channels>,
    pub(crate) columns: WrittenColumns,
    #[serde(default)]
    pub(crate) tolerate: Vec<Fault>,
    #[serde(deserialize_with = "splits")]
    pub(crate) splits: Splits,
    pub(crate) hub: Option<Hub>,
    #[serde(default)]
    pub(crate) files: Vec<ExpectedFile>,
}

/// The manifest of a set of scenes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenScenes {
    pub(crate) title: String,
    pub(crate) licence: String,
    pub(crate) citation: String,
    pub(crate) home: String,
    pub(crate) caveat: Option<String>,
    pub(crate) scenes: Scenes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenColumns {
    pub(crate) image: String,
    pub(crate) label: Option<String>,
    pub(crate) boxes: Option<String>,
    pub(crate) form: Option<BoxForm>,
    pub(crate) category: Option<String>,
    pub(crate) crowd: Option<String>,
    pub(crate) mask: Option<String>,
    pub(crate) values: Option<Vec<u8>>,
    #[serde(default)]
    pub(crate) void: Vec<u8>,
    pub(crate) colours: Option<Vec<[u8; 3]>>,
    #[serde(default)]
    pub(crate) void_colours: Vec<[u8; 3]>,
    pub(crate) points: Option<String>,
    pub(crate) count: Option<String>,
}

impl WrittenColumns {
    /// The columns of `task`: all that it needs, and none of another task.
    pub(crate) fn of(self, task: TaskKind) -> Result<Columns, String> {
        use TaskKind::{Classification, CrowdCounting, Detection, Segmentation};
        for (key, owner, given) in [
            ("label", Classification, self.label.is_some()),
            ("boxes", Detection, self.boxes.is_some()),
            ("form", Detection, self.form.is_some()),
            ("category", Detection, self.category.is_some()),
            ("crowd", Detection, self.crowd.is_some()),
            ("mask", Segmentation, self.mask.is_some()),
            ("values", Segmentation, self.values.is_some()),
            ("void", Segmentation, !self.void.is_empty()),
            ("colours", Segmentation, self.colours.is_some()),
            ("void_colours", Segmentation, !self.void_colours.is_empty()),
            ("points", CrowdCounting, self.points.is_some()),
            ("count", CrowdCounting, self.count.is_some()),
        ] {
            if given && owner != task {
                return Err(format!("`columns.{key}` is of {owner}, and the set is for {task}"));
            }
        }
        let needed = |key: &str| format!("`columns.{key}` is missing, which {task} needs");
        let image = self.image;
        Ok(match task {
            Classification => {
                Columns::Classification(ClassColumns { image, label: self.label.ok_or_else(|| needed("label"))? })
            }
            Detection => Columns::Detection(BoxColumns {
                image,
                boxes: self.boxes.ok_or_else(|| needed("boxes"))?,
                form: self.form.ok_or_else(|| needed("form"))?,
                category: self.category.ok_or_else(|| needed("category"))?,
                crowd: self.crowd,
            }),
            Segmentation => Columns::Segmentation(MaskColumns {
                image,
                mask: self.mask.ok_or_else(|| needed("mask"))?,
                values: self.values,
                void: self.void,
                colours: self.colours,
                void_colours: self.void_colours,
            }),
            CrowdCounting => Columns::CrowdCounting(PointColumns {
                image,
                points: self.points.ok_or_else(|| needed("points"))?,
                count: self.count,
            }),
        })
    }
}

fn classes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let classes = Vec::<String>::deserialize(deserializer)?;
    if classes.is_empty() {
        return Err(de::Error::custom("expected at least 1 class, found none"));
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
