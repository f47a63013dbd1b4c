//! COCO: boxes of all images of a split in one JSON file.

use std::collections::BTreeMap;

use data::TaskKind;

use super::{Layout, parts, splits};
use crate::coco::{Category, Image, Instances, parse};
use crate::error::{Error, Malformed, Result};
use crate::release::{Boxed, Item, Label, Picture, Release, Size};
use crate::tree::Tree;

pub(super) const COCO: Layout = Layout {
    name: "coco",
    looks_like: "annotations/instances_{train,val,test}*.json, and their images in <split>/, images/<split>/ or images/",
    matches: |tree| lists(tree).next().is_some(),
    read,
};

fn lists(tree: &Tree) -> impl Iterator<Item = &str> {
    let files = tree.files_in("annotations").into_iter();
    files.filter_map(|name| name.strip_prefix("instances_")?.strip_suffix(".json"))
}

fn read(tree: &Tree, _: &[String]) -> Result<Release> {
    let mut classes: Option<(String, Vec<Category>)> = None;
    let parts = parts(splits(&tree.shown("annotations"), lists(tree))?, |list| {
        let file = format!("annotations/instances_{list}.json");
        let instances = parse(&tree.read(&file)?).map_err(|cause| cause.of(tree.shown(&file)))?;
        let own = instances.classes();
        let (first, known) = classes.get_or_insert_with(|| (tree.shown(&file), own.clone()));
        if *known != own {
            let reason = format!("expected the categories of {first}, found others");
            return Err(Error::Release { place: tree.shown(&file), reason });
        }
        items(tree, list, &file, instances)
    })?;
    let classes = classes.map(|(_, classes)| classes).unwrap_or_default();
    let classes = classes.into_iter().map(|category| category.name).collect();
    Ok(Release { task: TaskKind::Detection, classes, void: Vec::new(), parts })
}

fn items(tree: &Tree, list: &str, file: &str, mut instances: Instances) -> Result<Vec<Item>> {
    let place = tree.shown(file);
    let classes: BTreeMap<i64, u32> = instances.classes().iter().map(|category| category.id).zip(0..).collect();
    instances.images.sort_by(|a, b| a.file_name.cmp(&b.file_name));
    let folder = folder(tree, list, &place, &instances.images)?;
    let mut objects: BTreeMap<i64, Vec<Boxed>> = instances.images.iter().map(|image| (image.id, Vec::new())).collect();
    for annotation in instances.annotations {
        let at = || format!("annotation {}", annotation.id);
        let unknown = |what: &str, id: i64| {
            Malformed::new(at(), format!("the id of {what} in the file"), id.to_string()).of(&place)
        };
        let class =
            *classes.get(&annotation.category_id).ok_or_else(|| unknown("a category", annotation.category_id))?;
        let image = objects.get_mut(&annotation.image_id).ok_or_else(|| unknown("an image", annotation.image_id))?;
        let crowd = match annotation.iscrowd {
            0 => false,
            1 => true,
            other => return Err(Malformed::new(at(), "0 or 1 as `iscrowd`", other.to_string()).of(&place)),
        };
        let [x, y, width, height] = annotation.bbox;
        image.push(Boxed {
            id: annotation.id,
            number: annotation.id,
            class,
            corners: [x, y, x + width, y + height],
            area: annotation.area,
            crowd,
        });
    }
    let mut item = |image: &Image| {
        let picture = format!("{folder}{}", image.file_name);
        if !tree.has(&picture) {
            let reason = format!("expected a file as {place} says (image {}), found none", image.id);
            return Err(Error::Release { place: tree.shown(&picture), reason });
        }
        let objects = objects.remove(&image.id).unwrap_or_default();
        Ok(Item {
            id: image.id,
            picture: Picture::File(picture),
            size: Some(Size { width: image.width, height: image.height }),
            label: Label::Objects { place: place.clone(), counted: "annotation", relative: false, objects },
        })
    };
    instances.images.iter().map(&mut item).collect()
}

/// The folder that the images are in, empty or ending in `/`: the first that has the first of them.
fn folder(tree: &Tree, list: &str, place: &str, images: &[Image]) -> Result<String> {
    let known = [format!("{list}/"), format!("images/{list}/"), "images/".to_owned(), String::new()];
    let Some(first) = images.first() else { return Ok(String::new()) };
    known.iter().find(|folder| tree.has(&format!("{folder}{}", first.file_name))).cloned().ok_or_else(|| {
        let reason =
            format!("expected the image {} in {list}/, images/{list}/ or images/, found none", first.file_name);
        Error::Release { place: place.to_owned(), reason }
    })
}
