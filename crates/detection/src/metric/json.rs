//! Boxes of annotations and results in COCO's JSON.

use super::{Boxes, Found, Truth};
use anyhow::{Context, Result, anyhow, ensure};
use data::Malformed;
use data::coco::{Annotation, Detection, Image, Instances, detections, instances};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// What a file of annotations and one of results say.
#[derive(Debug, Clone, PartialEq)]
pub struct Files {
    /// The objects and the detections.
    pub boxes: Boxes,
    /// The ids of the categories, ascending: a class is an index into them.
    pub categories: Vec<i64>,
    /// Width and height in pixels of each image, where the file has them.
    pub sizes: Vec<Option<[f64; 2]>>,
    /// A file that several images have, where there is one.
    pub file_twice: Option<String>,
}

/// Reads objects from the file `annotations` and detections of them from `results`, both as COCO has them
/// (<https://cocodataset.org/#format-data>, <https://cocodataset.org/#format-results>); keys that boxes do not need are
/// passed over.
///
/// # Errors
///
/// Where a file cannot be read, is not such JSON, has an id twice, names an image or a category that `annotations`
/// does not list, or has a box of negative size.
pub fn read(annotations: &Path, results: &Path) -> Result<Files> {
    let (instances, detections) = rayon::join(|| parse(annotations, instances), || parse(results, detections));
    let (instances, detections) = (instances?, detections?);
    let ids = Ids::of(&instances);
    let mut truths = Vec::with_capacity(instances.annotations.len());
    for (index, annotation) in instances.annotations.iter().enumerate() {
        let truth = ids.truth(annotation);
        let place = || format!("{}: annotations[{index}] (id {})", annotations.display(), annotation.id);
        truths.push(truth.with_context(place)?);
    }
    let mut found = Vec::with_capacity(detections.len());
    for (index, detection) in detections.iter().enumerate() {
        found.push(ids.found(detection).with_context(|| format!("{}: [{index}]", results.display()))?);
    }
    let images = u32::try_from(ids.images.len()).context("too many images")?;
    let mut categories: Vec<i64> = instances.categories.iter().map(|category| category.id).collect();
    categories.sort_unstable();
    let mut listed: Vec<&Image> = instances.images.iter().collect();
    listed.sort_unstable_by_key(|image| image.id);
    let size = |image: &Image| Some([image.width?.into(), image.height?.into()]);
    let mut names = BTreeSet::new();
    let mut twice = listed.iter().filter_map(|image| image.file_name.as_ref()).filter(|name| !names.insert(*name));
    let file_twice = twice.next().cloned();
    let sizes = listed.into_iter().map(size).collect();
    Ok(Files { boxes: Boxes { images, truths, found }, categories, sizes, file_twice })
}

fn parse<T>(path: &Path, parse: fn(&[u8]) -> Result<T, Malformed>) -> Result<T> {
    let file = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {file}"))?;
    parse(&bytes).map_err(|mistake| anyhow!("{file}: {mistake}"))
}

/// Images and categories by their ids, counted in the order of the ids.
struct Ids {
    images: HashMap<i64, u32>,
    categories: HashMap<i64, u32>,
}

impl Ids {
    fn of(instances: &Instances) -> Self {
        Self {
            images: count(instances.images.iter().map(|image| image.id).collect()),
            categories: count(instances.categories.iter().map(|category| category.id).collect()),
        }
    }

    fn truth(&self, annotation: &Annotation) -> Result<Truth> {
        let bounds @ [_, _, width, height] = sized(annotation.bbox)?;
        let area = annotation.area.unwrap_or(width * height);
        ensure!(area >= 0.0, "area: expected 0 or more, found {area}");
        let (image, class) = (self.image(annotation.image_id)?, self.category(annotation.category_id)?);
        Ok(Truth { image, class, bounds, area, ignore: annotation.iscrowd })
    }

    fn found(&self, detection: &Detection) -> Result<Found> {
        let (image, class) = (self.image(detection.image_id)?, self.category(detection.category_id)?);
        Ok(Found { image, class, bounds: sized(detection.bbox)?, score: detection.score })
    }

    fn image(&self, id: i64) -> Result<u32> {
        let expected = || anyhow!("image_id: expected the id of an image of the annotations, found {id}");
        self.images.get(&id).copied().ok_or_else(expected)
    }

    fn category(&self, id: i64) -> Result<u32> {
        let expected = || anyhow!("category_id: expected the id of a category of the annotations, found {id}");
        self.categories.get(&id).copied().ok_or_else(expected)
    }
}

fn count(mut ids: Vec<i64>) -> HashMap<i64, u32> {
    ids.sort_unstable();
    ids.into_iter().zip(0..).collect()
}

fn sized(bounds @ [_, _, width, height]: [f64; 4]) -> Result<[f64; 4]> {
    let expected = "bbox: expected left, top, width and height, both of 0 or more, found";
    ensure!(width >= 0.0 && height >= 0.0, "{expected} {bounds:?}");
    Ok(bounds)
}
