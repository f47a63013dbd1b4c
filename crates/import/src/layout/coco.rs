//! COCO: boxes of all images of a split in one JSON file.

use std::collections::BTreeMap;

use data::TaskKind;
use data::coco::{Image, Instances, instances};
use data::plausible::{Form, Meaning, Unit};

use super::{Given, Layout, parts, split, splits, stem};
use crate::error::{Error, InFile, Malformed, Result};
use crate::release::{Boxed, Item, Label, Picture, Release, Size};
use crate::tree::Tree;

pub(super) const COCO: Layout = Layout {
    name: "coco",
    looks_like: "annotations/instances_{train,val,test}*.json, and their images in <split>/, images/<split>/ or images/; \
                 or {train,val,test}/_annotations.coco.json beside the images",
    matches: |tree| lists(tree).next().is_some(),
    near,
    read,
};

/// What Roboflow calls the annotations of a folder of images.
const BESIDE: &str = "_annotations.coco.json";

/// The names of the splits, each once.
fn lists(tree: &Tree) -> impl Iterator<Item = &str> {
    let files = tree.files_in("annotations").into_iter();
    let listed = files.filter_map(|name| name.strip_prefix("instances_")?.strip_suffix(".json"));
    listed.chain(tree.folders_in("").into_iter().filter(|folder| tree.has(&format!("{folder}/{BESIDE}"))))
}

/// The annotations of a split.
fn file(tree: &Tree, list: &str) -> String {
    let beside = format!("{list}/{BESIDE}");
    if tree.has(&beside) { beside } else { format!("annotations/instances_{list}.json") }
}

fn near(tree: &Tree) -> Option<String> {
    let folders = ["".to_owned(), "annotations/".to_owned()];
    let splits = tree.folders_in("").into_iter().filter(|folder| split(folder).is_some());
    let mut folders = folders.into_iter().chain(splits.map(|split| format!("{split}/")));
    let json = folders.find_map(|folder| {
        let files = tree.files_in(folder.trim_end_matches('/'));
        Some(format!("{folder}{}", files.into_iter().find(|name| name.ends_with(".json"))?))
    })?;
    Some(format!(
        "{json} has another name or place: expected annotations/instances_train.json and \
         annotations/instances_val.json, or <split>/{BESIDE}"
    ))
}

fn read(tree: &Tree, _: &Given<'_>) -> Result<Release> {
    let mut first: Option<(String, BTreeMap<i64, String>)> = None;
    let parts = parts(splits(&tree.shown(""), lists(tree))?, |list| {
        let file = file(tree, list);
        let place = tree.shown(&file);
        let instances = instances(&tree.read(&file)?).map_err(|cause| cause.of(&place))?;
        let own = categories(&instances).map_err(|cause| cause.of(&place))?;
        let (other, known) = first.get_or_insert_with(|| (place.clone(), own.clone()));
        if let Some(reason) = difference(other, known, &own) {
            return Err(Error::Release { place, reason });
        }
        items(tree, list, &file, instances, &own)
    })?;
    let classes = first.map(|(_, classes)| classes.into_values().collect()).unwrap_or_default();
    Ok(Release { task: TaskKind::Detection, classes, void: Vec::new(), parts, notes: Vec::new() })
}

/// The classes in the order of their ids.
fn categories(instances: &Instances) -> Result<BTreeMap<i64, String>, Malformed> {
    let named = instances.categories.iter().enumerate().map(|(index, category)| {
        let missing = || Malformed::new(format!("categories[{index}]"), "the key `name`", "none");
        Ok((category.id, category.name.clone().ok_or_else(missing)?))
    });
    named.collect()
}

/// The first category that two files do not have in common.
fn difference(other: &str, known: &BTreeMap<i64, String>, own: &BTreeMap<i64, String>) -> Option<String> {
    let id = known.keys().chain(own.keys()).filter(|id| known.get(id) != own.get(id)).min()?;
    let name = |categories: &BTreeMap<i64, String>| {
        categories.get(id).map_or("no category".to_owned(), |name| format!("{name:?}"))
    };
    Some(format!("expected the categories of {other}: id {id} is {} there, found {}", name(known), name(own)))
}

fn items(
    tree: &Tree,
    list: &str,
    file: &str,
    instances: Instances,
    categories: &BTreeMap<i64, String>,
) -> Result<Vec<Item>> {
    let place = tree.shown(file);
    let classes: BTreeMap<i64, u32> = categories.keys().copied().zip(0..).collect();
    let mut images = Vec::new();
    for (index, image) in instances.images.into_iter().enumerate() {
        let missing = || Malformed::new(format!("images[{index}]"), "the key `file_name`", "none").of(&place);
        images.push((clean(image.file_name.as_deref().ok_or_else(missing)?), image));
    }
    images.sort_by(|a, b| a.0.cmp(&b.0));
    let folder = folder(tree, list, &place, &images)?;
    let mut objects: BTreeMap<i64, Vec<Boxed>> = images.iter().map(|(_, image)| (image.id, Vec::new())).collect();
    for (index, annotation) in instances.annotations.iter().enumerate() {
        let at = || format!("annotations[{index}] (id {})", annotation.id);
        let unknown = |key: &str, what: &str, id: i64| {
            Malformed::new(format!("{}.{key}", at()), format!("the id of {what} in the file"), id.to_string())
                .of(&place)
        };
        let class = annotation.category_id;
        let class = *classes.get(&class).ok_or_else(|| unknown("category_id", "a category", class))?;
        let image = annotation.image_id;
        let image = objects.get_mut(&image).ok_or_else(|| unknown("image_id", "an image", image))?;
        image.push(Boxed {
            id: annotation.id,
            number: annotation.id,
            class,
            numbers: annotation.bbox,
            area: annotation.area,
            crowd: annotation.iscrowd,
        });
    }
    let meant = Meaning { form: Form::Xywh, unit: Unit::Pixels };
    let item = |(name, image): &(String, Image)| {
        let picture = format!("{folder}{name}");
        if !tree.has(&picture) {
            let hint = elsewhere(tree, name).map(|found| format!("\n  hint: there is {found}")).unwrap_or_default();
            let reason = format!("expected a file as {place} says (image {}), found none{hint}", image.id);
            return Err(Error::Release { place: tree.shown(&picture), reason });
        }
        let objects = objects.remove(&image.id).unwrap_or_default();
        Ok(Item {
            id: image.id,
            picture: Picture::File(picture),
            size: image.width.zip(image.height).map(|(width, height)| Size { width, height }),
            label: Label::Objects { place: place.clone(), counted: "annotation", meant, objects },
        })
    };
    images.iter().map(item).collect()
}

/// A name in the form that the tree has: `./a.jpg` is `a.jpg`, and `train\a.jpg` is `train/a.jpg`.
fn clean(name: &str) -> String {
    let name = name.replace('\\', "/");
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." && parts.pop().is_some() {
            continue;
        }
        parts.push(part);
    }
    parts.join("/")
}

/// A file that could be meant by a name that is none: in another folder, in other letters, or of another kind.
pub(super) fn elsewhere(tree: &Tree, name: &str) -> Option<String> {
    let base = |name: &str| name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let wanted = base(name);
    let same = tree.files().find(|file| base(file) == wanted);
    let kind = || tree.files().find(|file| super::is_image(file) && stem(&base(file)) == stem(&wanted));
    let alike = || {
        let file = tree.files().find(|file| alike(&base(file)) == alike(&wanted))?;
        Some(format!(
            "{}, whose name is written in other characters (`%20`, or accents of their own)",
            tree.shown(file)
        ))
    };
    same.or_else(kind).map(|file| tree.shown(file)).or_else(alike)
}

/// A name as it looks: `%20` is a space, and a letter with an accent is one however Unicode composes it. Which accent it
/// is does not matter.
fn alike(name: &str) -> String {
    let (mut seen, mut rest) = (String::new(), name.chars());
    while let Some(letter) = rest.next() {
        let code = || u8::from_str_radix(rest.as_str().get(..2)?, 16).ok().filter(u8::is_ascii);
        match (letter, code()) {
            ('%', Some(code)) => {
                seen.push(code.into());
                rest.nth(1);
            }
            // An accent of its own goes onto the letter before.
            ('\u{300}'..='\u{36f}', _) => {
                seen.pop();
                seen.push('´');
            }
            ('\u{c0}'..='\u{24f}', _) => seen.push('´'),
            _ => seen.push(letter),
        }
    }
    seen
}

/// The folder that the images are in, empty or ending in `/`: the one that has the most of them.
fn folder(tree: &Tree, list: &str, place: &str, images: &[(String, Image)]) -> Result<String> {
    let known =
        [format!("{list}/"), format!("images/{list}/"), format!("{list}/images/"), "images/".to_owned(), String::new()];
    let Some((first, _)) = images.first() else { return Ok(String::new()) };
    let count = |folder: &String| images.iter().filter(|(name, _)| tree.has(&format!("{folder}{name}"))).count();
    // Of those with equally many, the first.
    let best = known.into_iter().map(|folder| (count(&folder), folder)).rev().max_by_key(|(count, _)| *count);
    match best {
        Some((1.., folder)) => Ok(folder),
        _ => {
            let hint = elsewhere(tree, first).map(|found| format!("\n  hint: there is {found}")).unwrap_or_default();
            let reason = format!("expected the image {first} in {list}/, images/{list}/ or images/, found none{hint}");
            Err(Error::Release { place: place.to_owned(), reason })
        }
    }
}
