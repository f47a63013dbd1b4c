//! A folder for each class.

use std::collections::{BTreeMap, BTreeSet};

use data::{Split, TaskKind};

use super::{Layout, NO_CLASSES, has_extension, images_and_masks, is_image, parts, some, split, splits};
use crate::error::{Error, Result};
use crate::release::{Item, Label, Picture, Release};
use crate::tree::Tree;

pub(super) const FOLDERS: Layout = Layout {
    name: "folders",
    looks_like: "{train,val,test}/<class>/*.jpg, *.png or other images, at least 2 classes; those in folders in it, too",
    matches: |tree| train(tree).is_some_and(|train| misfit(tree, train).is_none()),
    near,
    read: |tree, _| read(tree, |image| image.split_once('/').map(|(class, _)| class)),
};

pub(super) const NESTED_FOLDERS: Layout = Layout {
    name: "nested-folders",
    looks_like: "{train,val,test}/<group>/<class>/*.jpg, *.png or other images: classes <group>/<class>",
    matches: |tree| {
        let fits = |train: &str| tree.folders_in(train).len() == 1 || misfit(tree, train).is_none();
        train(tree).is_some_and(|train| fits(train) && is_nested(tree, train))
    },
    near: super::never_near,
    read: |tree, _| read(tree, |image| image.rsplit_once('/').map(|(class, _)| class)),
};

fn train(tree: &Tree) -> Option<&str> {
    tree.folders_in("").into_iter().find(|name| split(name) == Some(Split::Train))
}

/// The images of a split, without its folder.
fn pictures<'a>(tree: &'a Tree, folder: &str) -> Vec<&'a str> {
    tree.files_under(folder).into_iter().filter(|name| is_image(name)).collect()
}

/// Why the folders in `train` are no classes.
fn misfit(tree: &Tree, train: &str) -> Option<String> {
    let mut classes = tree.folders_in(train);
    let pictures = pictures(tree, train);
    let has_image: BTreeSet<&str> = pictures.iter().filter_map(|image| Some(image.split_once('/')?.0)).collect();
    if let Some(class) = tree.empty_folders_in(train).first() {
        return Some(format!("{train}/{class} has no file"));
    }
    if let Some(class) = classes.iter().find(|class| !has_image.contains(*class)) {
        let files = tree.files_under(&format!("{train}/{class}"));
        return Some(format!("{train}/{class} has no image, but {}", some(&files)));
    }
    if classes.len() < 2 {
        let found = classes.pop().map_or("none".to_owned(), |class| format!("{train}/{class} alone"));
        return Some(format!("expected a folder for each of at least 2 classes in {train}, found {found}"));
    }
    images_and_masks(&classes).map(|[images, masks]| format!("{train}/{images} and {train}/{masks} {NO_CLASSES}"))
}

/// Whether no image is right in a folder of the split, and one of these has several folders of images.
fn is_nested(tree: &Tree, train: &str) -> bool {
    let mut inner: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for image in pictures(tree, train) {
        let Some((group, rest)) = image.split_once('/') else { return false };
        let Some((class, _)) = rest.rsplit_once('/') else { return false };
        inner.entry(group).or_default().insert(class);
    }
    inner.values().any(|classes| classes.len() > 1)
}

fn near(tree: &Tree) -> Option<String> {
    if let Some(train) = train(tree) {
        // Only where it could be of classes at all.
        let files = tree.files_under(train);
        if files.iter().any(|file| has_extension(file, "xml")) {
            return None;
        }
        let (flat, deep): (Vec<&str>, Vec<&str>) = pictures(tree, train).iter().partition(|image| !image.contains('/'));
        if !flat.is_empty() && tree.folders_in(train).is_empty() {
            let list = files.iter().find(|file| has_extension(file, "csv"));
            let list = list.map(|list| format!("; lists such as {list} are not read")).unwrap_or_default();
            return Some(format!("{} images are in {train}, but in no folder of a class{list}", flat.len()));
        }
        return misfit(tree, train).filter(|_| !deep.is_empty() || tree.folders_in(train).len() > 1);
    }
    let classes = tree.folders_in("");
    let has_image = |class: &&str| tree.files_in(class).into_iter().any(is_image);
    (classes.len() > 1 && classes.iter().all(has_image) && images_and_masks(&classes).is_none()).then(|| {
        format!(
            "{} are folders of images, but in no split: make folders train and test with them in it",
            some(&classes)
        )
    })
}

fn read(tree: &Tree, class_of: fn(&str) -> Option<&str>) -> Result<Release> {
    let splits = splits(&tree.shown(""), tree.folders_in(""))?;
    let train = splits.first().map_or("", |(_, folder)| folder);
    let images = pictures(tree, train);
    let classes: BTreeSet<&str> = images.iter().filter_map(|image| class_of(image)).collect();
    let classes: Vec<String> = classes.into_iter().map(str::to_owned).collect();
    let parts = parts(splits.clone(), |folder| items(tree, folder, train, &classes, class_of))?;
    let mut notes = Vec::new();
    for (_, folder) in &splits {
        notes.extend(no_images(tree, folder));
        notes.extend(missing(tree, folder, &classes, class_of));
        notes.extend(deeper(tree, folder, class_of));
    }
    Ok(Release { task: TaskKind::Classification, classes, void: Vec::new(), parts, notes })
}

fn items(
    tree: &Tree,
    folder: &str,
    train: &str,
    classes: &[String],
    class_of: fn(&str) -> Option<&str>,
) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for image in pictures(tree, folder) {
        // An image beside the folders of classes is counted as one that is not read.
        let Some(name) = class_of(image) else { continue };
        let class = classes.iter().position(|class| class == name).ok_or_else(|| Error::Release {
            place: tree.shown(&format!("{folder}/{name}")),
            reason: format!("expected a class that {train}/ has, found another"),
        })?;
        let picture = Picture::File(format!("{folder}/{image}"));
        items.push(Item { id: items.len() as i64, picture, size: None, label: Label::Class(class as u32) });
    }
    let images = pictures(tree, folder).len();
    if items.is_empty() && images > 0 {
        let reason = format!(
            "expected images in folders of their classes, found that {images} images are in none\n  hint: leave out this \
             folder, if their classes are not known"
        );
        return Err(Error::Release { place: tree.shown(folder), reason });
    }
    Ok(items)
}

/// Files that are no images, but for those that systems put into every folder.
fn no_images(tree: &Tree, folder: &str) -> Option<String> {
    let known = ["Thumbs.db", "desktop.ini", "Icon\r"];
    let base = |file: &&str| file.rsplit('/').next().is_some_and(|base| known.contains(&base));
    let files = tree.files_under(folder).into_iter();
    let others: Vec<&str> = files.filter(|file| file.contains('/') && !is_image(file) && !base(file)).collect();
    let first = others.first()?;
    Some(format!(
        "{} files are no images by their names; the first: {}",
        others.len(),
        tree.shown(&format!("{folder}/{first}"))
    ))
}

/// Classes that a split has no image of.
fn missing(tree: &Tree, folder: &str, classes: &[String], class_of: fn(&str) -> Option<&str>) -> Option<String> {
    let images = pictures(tree, folder);
    let has: BTreeSet<&str> = images.iter().filter_map(|image| class_of(image)).collect();
    let without: Vec<&String> = classes.iter().filter(|class| !has.contains(class.as_str())).collect();
    (!without.is_empty()).then(|| format!("{} has no image of {}", tree.shown(folder), some(&without)))
}

/// Images in folders in the folders of classes.
fn deeper(tree: &Tree, folder: &str, class_of: fn(&str) -> Option<&str>) -> Option<String> {
    let is_deeper = |image: &&str| class_of(image).is_some_and(|class| image[class.len() + 1..].contains('/'));
    let deeper: Vec<&str> = pictures(tree, folder).into_iter().filter(is_deeper).collect();
    let first = deeper.first()?;
    Some(format!(
        "{} images are in folders in the folder of their class, which they count as; the first: {}",
        deeper.len(),
        tree.shown(&format!("{folder}/{first}"))
    ))
}
