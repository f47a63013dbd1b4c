//! Pascal VOC: boxes in XML files, splits as lists or folders.

use std::collections::{BTreeMap, BTreeSet};

use data::plausible::{Form, Meaning, Unit};
use data::{Split, TaskKind};

use super::coco::elsewhere;
use super::{Given, Layout, has_extension, hint_at, images, is_image, split, splits, stem};
use crate::error::{Error, InFile, Malformed, Result};
use crate::release::{Boxed, Item, Label, Part, Picture, Release, Size};
use crate::tree::Tree;
use formats::voc::{Annotation, parse, parse_list};

pub(super) const VOC: Layout = Layout {
    name: "voc",
    looks_like: "JPEGImages/*.jpg, Annotations/*.xml, ImageSets/Main/{train,val,trainval,test}.txt; or \
                 {train,val,test}/*.xml beside the images",
    matches: |tree| has_lists(tree) || folders(tree).next().is_some(),
    near: |tree| {
        let lists = tree.has_folder("Annotations").then(|| {
            "Annotations is there, but not ImageSets/Main with a train.txt and a val.txt or test.txt, lists of the \
             images of each split"
                .to_owned()
        });
        let deeper = || {
            let mut splits = tree.folders_in("").into_iter().filter(|folder| split(folder).is_some());
            let first = |split| Some((split, tree.files_under(split).into_iter().find(|file| is_xml(file))?));
            let (split, file) = splits.find_map(first)?;
            Some(format!("{split}/{file} is not right in {split}, beside its image"))
        };
        lists.or_else(deeper)
    },
    read,
};

fn has_lists(tree: &Tree) -> bool {
    tree.has_folder("Annotations") && tree.has_folder("ImageSets/Main")
}

fn is_xml(name: &str) -> bool {
    has_extension(name, "xml")
}

/// The folders of splits that have annotations in them.
fn folders(tree: &Tree) -> impl Iterator<Item = &str> {
    let folders = tree.folders_in("").into_iter().filter(|folder| split(folder).is_some());
    folders.filter(|folder| tree.files_in(folder).into_iter().any(is_xml))
}

/// An image and its annotation.
struct Entry {
    image: String,
    xml: String,
    annotation: Annotation,
}

fn read(tree: &Tree, given: &Given<'_>) -> Result<Release> {
    let mut notes = Vec::new();
    let mut read = Vec::new();
    let files = if has_lists(tree) { listed(tree, &mut notes)? } else { beside(tree)? };
    for (split, files) in files {
        let entry = |(image, xml): (String, String)| {
            let annotation = parse(&tree.xml(&xml)?).map_err(|cause| cause.of(tree.shown(&xml)))?;
            Ok(Entry { image, xml, annotation })
        };
        read.push((split, files.into_iter().map(entry).collect::<Result<Vec<_>>>()?));
    }
    let mut entries: Vec<&mut Entry> = read.iter_mut().flat_map(|(_, entries)| entries).collect();
    let (unit, note) = settle(tree, &mut entries, given.first_pixel)?;
    notes.extend(note);
    // In the order of their names, as the development kit has them, where no manifest has another.
    let mut classes = given.classes.to_vec();
    if classes.is_empty() {
        let objects = read.iter().flat_map(|(_, entries)| entries).flat_map(|entry| &entry.annotation.objects);
        classes = objects.map(|object| object.class.clone()).collect();
        classes.sort();
        classes.dedup();
    }
    let mut id = 0;
    let parts = read.into_iter().map(|(split, entries)| {
        let items = entries.into_iter().zip(0..).map(|(entry, row)| {
            let label = label(tree, &entry, &classes, Meaning { form: Form::Xyxy, unit }, &mut id)?;
            let size = entry.annotation.size.map(|(width, height)| Size { width, height });
            Ok(Item { id: row, picture: Picture::File(entry.image), size, label })
        });
        Ok(Part { split, items: items.collect::<Result<_>>()? })
    });
    let parts = parts.collect::<Result<_>>()?;
    Ok(Release { task: TaskKind::Detection, classes, void: Vec::new(), parts, notes })
}

/// The files of an image and of its annotation.
type Files = Vec<(String, String)>;

/// The images that the lists name.
fn listed(tree: &Tree, notes: &mut Vec<String>) -> Result<Vec<(Split, Files)>> {
    let mut images: BTreeMap<&str, &str> = BTreeMap::new();
    for name in tree.files_in("JPEGImages").into_iter().filter(|name| is_image(name)) {
        if let Some(other) = images.insert(stem(name), name) {
            let reason = format!("expected one image for each annotation, found {other} and {name} for the same");
            return Err(Error::Release { place: tree.shown("JPEGImages"), reason });
        }
    }
    let mut splits = Vec::new();
    for (split, names) in lists(tree)? {
        let files = names.into_iter().map(|name| {
            let image = images.get(name.as_str()).ok_or_else(|| {
                let is_file = images.contains_key(stem(&name));
                let elsewhere =
                    || elsewhere(tree, &format!("{name}.jpg")).map(|file| format!("\n  hint: there is {file}"));
                let hint = if is_file {
                    "\n  hint: lists name images without the ends of their names".to_owned()
                } else {
                    elsewhere().unwrap_or_default()
                };
                let reason = format!("expected an image {name}.jpg as the lists say, found none{hint}");
                Error::Release { place: tree.shown("JPEGImages"), reason }
            })?;
            let (image, xml) = (format!("JPEGImages/{image}"), xml(tree, &name));
            if !tree.has(&xml) {
                let reason = format!("expected its annotation {}, found none{}", tree.shown(&xml), hint_at(tree, &xml));
                return Err(Error::Release { place: tree.shown(&image), reason });
            }
            Ok((image, xml))
        });
        splits.push((split, files.collect::<Result<Files>>()?));
    }
    let used: BTreeSet<&str> = splits.iter().flat_map(|(_, files)| files).map(|(_, xml)| xml.as_str()).collect();
    let annotations = tree.files_in("Annotations").into_iter().filter(|name| is_xml(name));
    let others: Vec<String> =
        annotations.map(|name| format!("Annotations/{name}")).filter(|file| !used.contains(file.as_str())).collect();
    if let Some(first) = others.first() {
        let first = tree.shown(first);
        notes.push(format!("{} annotations are in no list of ImageSets/Main; the first: {first}", others.len()));
    }
    Ok(splits)
}

/// The images beside their annotations, as Roboflow and labelImg have them.
fn beside(tree: &Tree) -> Result<Vec<(Split, Files)>> {
    let splits = splits(&tree.shown(""), folders(tree))?;
    let files = splits.into_iter().map(|(split, folder)| {
        let pictures = images(tree, folder)?;
        let by_stem: BTreeMap<&str, &str> = pictures.iter().map(|(name, _)| (stem(name), *name)).collect();
        let annotations = tree.files_under(folder).into_iter().filter(|name| is_xml(name));
        let files = annotations.map(|name| {
            let image = by_stem.get(stem(name)).ok_or_else(|| Error::Release {
                place: tree.shown(&format!("{folder}/{name}")),
                reason: "expected an image that the annotation belongs to, found none".to_owned(),
            })?;
            Ok((format!("{folder}/{image}"), format!("{folder}/{name}")))
        });
        Ok((split, files.collect::<Result<Files>>()?))
    });
    files.collect()
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
        if split != Split::Test || names.iter().any(|name| tree.has(&xml(tree, name))) {
            lists.push((split, names));
        }
    }
    Ok(lists)
}

/// How the corners of all boxes are meant: from `first_pixel`, which is 1 unless one of them begins before it; and what the
/// user must know of it.
fn settle(tree: &Tree, entries: &mut [&mut Entry], first_pixel: Option<u8>) -> Result<(Unit, Option<String>)> {
    let objects =
        || entries.iter().flat_map(|entry| entry.annotation.objects.iter().map(move |object| (entry, object)));
    // Parts of the image's sides begin before 1, too: they are told apart where all boxes are known.
    let in_pixels = objects().any(|(_, object)| object.corners.iter().any(|&corner| corner > 1.0));
    let at_zero =
        || objects().filter(|(_, object)| object.corners.iter().take(2).any(|corner| (0.0..1.0).contains(corner)));
    match (first_pixel, at_zero().next()) {
        (None, Some((entry, object))) if in_pixels => {
            let position = entry.annotation.objects.iter().position(|other| std::ptr::eq(other, object));
            let [left, top, right, bottom] = object.corners;
            Err(Error::FirstPixel {
                file: tree.shown(&entry.xml),
                object: format!("object {}", position.unwrap_or(0) + 1),
                found: format!("xmin {left}, ymin {top}, xmax {right}, ymax {bottom}"),
                count: at_zero().count(),
            })
        }
        (Some(0), _) => {
            // Whether the last pixel is in the box shows where a box ends with its image, or within a pixel.
            let excluded = objects().any(|(entry, object)| {
                let size = entry.annotation.size;
                let [_, _, right, bottom] = object.corners;
                right.fract() != 0.0
                    || bottom.fract() != 0.0
                    || size.is_some_and(|(width, height)| right >= f64::from(width) || bottom >= f64::from(height))
            });
            if !excluded {
                for object in entries.iter_mut().flat_map(|entry| &mut entry.annotation.objects) {
                    object.corners.iter_mut().skip(2).for_each(|corner| *corner += 1.0);
                }
            }
            let end = if excluded { "before" } else { "with" };
            Ok((Unit::Pixels, Some(format!("boxes count pixels from 0, and end {end} their xmax and ymax"))))
        }
        _ => Ok((Unit::PixelsFrom1, None)),
    }
}

fn label(tree: &Tree, entry: &Entry, classes: &[String], meant: Meaning, id: &mut i64) -> Result<Label> {
    let place = tree.shown(&entry.xml);
    let objects = entry.annotation.objects.iter().zip(1..).map(|(object, number)| {
        let class = classes.iter().position(|class| *class == object.class).ok_or_else(|| {
            let expected = format!("one of the classes {}", classes.join(", "));
            Malformed::new(format!("object {number}"), expected, format!("{:?}", object.class)).of(&place)
        })?;
        let boxed = Boxed {
            id: *id,
            number,
            class: class as u32,
            numbers: object.corners,
            area: None,
            crowd: object.difficult,
        };
        *id += 1;
        Ok(boxed)
    });
    let objects = objects.collect::<Result<_>>()?;
    Ok(Label::Objects { place, counted: "object", meant, objects })
}

fn xml(tree: &Tree, name: &str) -> String {
    tree.any_case(format!("Annotations/{name}.xml"))
}
