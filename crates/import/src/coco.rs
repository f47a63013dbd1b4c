//! Annotations of COCO: a JSON file a split.

use serde::Deserialize;

use crate::error::Malformed;

/// Images, annotations and categories. Other keys, outlines among them, are not kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Instances {
    /// All images, in the order of the file.
    pub images: Vec<Image>,
    /// The objects of all images, in the order of the file.
    pub annotations: Vec<Annotation>,
    /// The classes.
    pub categories: Vec<Category>,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Image {
    /// What annotations call it.
    pub id: i64,
    /// Its file.
    pub file_name: String,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Annotation {
    /// Its own id.
    pub id: i64,
    /// The image that it is in.
    pub image_id: i64,
    /// Its class.
    pub category_id: i64,
    /// Left, top, width, height in pixels.
    pub bbox: [f64; 4],
    /// Pixels of its outline, where it has one.
    pub area: Option<f64>,
    /// 1 where it is a crowd, which detections are not held against.
    #[serde(default)]
    pub iscrowd: u8,
}

/// A class.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Category {
    /// What annotations call it. Not all numbers need to be used.
    pub id: i64,
    /// Its name.
    pub name: String,
}

impl Instances {
    /// The categories by id: their order is the order of the classes.
    pub fn classes(&self) -> Vec<Category> {
        let mut classes = self.categories.clone();
        classes.sort_by_key(|category| category.id);
        classes
    }
}

/// The instances in `json`.
///
/// # Errors
///
/// Where it is no such JSON (the message has the line and column), or an id comes twice.
pub fn parse(json: &[u8]) -> Result<Instances, Malformed> {
    let instances: Instances = serde_json::from_slice(json).map_err(|cause| {
        let at = format!("line {}, column {}", cause.line(), cause.column());
        let reason = cause.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default();
        Malformed::new(at, "JSON of COCO's instances", reason)
    })?;
    unique("image", instances.images.iter().map(|image| image.id).collect())?;
    unique("annotation", instances.annotations.iter().map(|annotation| annotation.id).collect())?;
    unique("category", instances.categories.iter().map(|category| category.id).collect())?;
    Ok(instances)
}

fn unique(what: &str, mut ids: Vec<i64>) -> Result<(), Malformed> {
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => {
            let id = pair.first().copied().unwrap_or_default();
            Err(Malformed::new(format!("{what} {id}"), "each id once", "it twice"))
        }
        None => Ok(()),
    }
}
