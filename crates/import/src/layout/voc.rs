//! Pascal VOC: boxes in XML files, splits as lists.

use std::collections::BTreeMap;

use data::{Split, TaskKind};

use super::{Layout, is_image, stem};
use crate::error::{Error, Malformed, Result};
use crate::release::{Boxed, Item, Label, Part, Picture, Release, Size};
use crate::tree::Tree;
use crate::voc::{Annotation, parse, parse_list};

pub(super) const VOC: Layout = Layout {
    name: "voc",
    looks_like: "JPEGImages/*.jpg, Annotations/*.xml, ImageSets/Main/{train,val,trainval,test}.txt",
    matches: |tree| tree.has_folder("Annotations") && tree.has_folder("ImageSets/Main"),
    read,
};

fn read(tree: &Tree, classes: &[String]) -> Result<Release> {
    let images: BTreeMap<&str, &str> =
        tree.files_in("JPEGImages").into_iter().filter(|name| is_image(name)).map(|name| (stem(name), name)).collect();
    let mut read = Vec::new();
    for (split, list) in lists(tree)? {
        read.push((split, annotations(tree, &list)?));
    }
    // In the order of their names, as the development kit has them, where no manifest has another.
    let mut classes = classes.to_vec();
    if classes.is_empty() {
        let objects = read.iter().flat_map(|(_, list)| list).flat_map(|(_, annotation)| &annotation.objects);
        classes = objects.map(|object| object.class.clone()).collect();
        classes.sort();
        classes.dedup();
    }
    let mut id = 0;
    let parts = read.into_iter().map(|(split, list)| {
        let items = list.into_iter().zip(0..).map(|((name, annotation), row)| {
            let image = images.get(name.as_str()).ok_or_else(|| Error::Release {
                place: tree.shown("JPEGImages"),
                reason: format!("expected an image {name}.jpg as the lists say, found none"),
            })?;
            let label = label(tree, &name, &annotation, &classes, &mut id)?;
            let size = annotation.size.map(|(width, height)| Size { width, height });
            Ok(Item { id: row, picture: Picture::File(format!("JPEGImages/{image}")), size, label })
        });
        Ok(Part { split, items: items.collect::<Result<_>>()? })
    });
    let parts = parts.collect::<Result<_>>()?;
    Ok(Release { task: TaskKind::Detection, classes, void: Vec::new(), parts })
}

/// The splits and the names in their lists, sorted. `trainval` is train and val together, so it counts
/// only where they are not there; a test list without annotations is no split.
fn lists(tree: &Tree) -> Result<Vec<(Split, Vec<String>)>> {
    let file = |list: &str| format!("ImageSets/Main/{list}.txt");
    let train = if tree.has(&file("train")) && tree.has(&file("val")) {
        vec![(Split::Train, "train"), (Split::Validation, "val")]
    } else {
        let known = ["trainval", "train"].into_iter().find(|list| tree.has(&file(list)));
        known.map(|list| (Split::Train, list)).into_iter().chain([(Split::Validation, "val")]).collect()
    };
    let mut lists = Vec::new();
    for (split, list) in train.into_iter().chain([(Split::Test, "test")]).filter(|(_, list)| tree.has(&file(list))) {
        let mut names: Vec<String> = parse_list(&tree.text(&file(list))?).into_iter().map(str::to_owned).collect();
        names.sort();
        if let Some(twice) = names.windows(2).find(|pair| pair.first() == pair.last()).and_then(|pair| pair.first()) {
            let reason = format!("expected each image once, found {twice} twice");
            return Err(Error::Release { place: tree.shown(&file(list)), reason });
        }
        if split != Split::Test || names.iter().any(|name| tree.has(&xml(name))) {
            lists.push((split, names));
        }
    }
    Ok(lists)
}

fn annotations(tree: &Tree, names: &[String]) -> Result<Vec<(String, Annotation)>> {
    let read = |name: &String| {
        let file = xml(name);
        let annotation = parse(&tree.text(&file)?).map_err(|cause| cause.of(tree.shown(&file)))?;
        Ok((name.clone(), annotation))
    };
    names.iter().map(read).collect()
}

fn label(tree: &Tree, name: &str, annotation: &Annotation, classes: &[String], id: &mut i64) -> Result<Label> {
    let place = tree.shown(&xml(name));
    let objects = annotation.objects.iter().zip(1..).map(|(object, number)| {
        let class = classes.iter().position(|class| *class == object.class).ok_or_else(|| {
            let expected = format!("one of the classes {}", classes.join(", "));
            Malformed::new(format!("object {number}"), expected, format!("{:?}", object.class)).of(&place)
        })?;
        let boxed = Boxed {
            id: *id,
            number,
            class: class as u32,
            corners: object.corners,
            area: None,
            crowd: object.difficult,
        };
        *id += 1;
        Ok(boxed)
    });
    let objects = objects.collect::<Result<_>>()?;
    Ok(Label::Objects { place, counted: "object", relative: false, objects })
}

fn xml(name: &str) -> String {
    format!("Annotations/{name}.xml")
}
