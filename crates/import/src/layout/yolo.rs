//! YOLO: boxes in text files, as parts of the image's width and height.

use data::TaskKind;
use data::plausible::{Form, Meaning, Unit};

use super::{Given, Layout, has_extension, images, is_image, names, no_others, parts, split, splits, stem};
use crate::error::{Error, InFile, Malformed, Result};
use crate::release::{Boxed, Item, Label, Picture, Release};
use crate::tree::Tree;
use formats::yolo::{parse_labels, parse_yaml};

pub(super) const YOLO: Layout = Layout {
    name: "yolo",
    looks_like: "images/{train,val,test}/*.jpg, labels/{train,val,test}/*.txt; or {train,val,test}/{images,labels}/; or \
                 {train,val,test}/ with both; and data.yaml or classes.txt",
    matches: |tree| shape(tree).is_some(),
    near: |tree| {
        let both = tree.has_folder("images") && tree.has_folder("labels");
        let flat = both.then(|| "images and labels have no folders train and val, or test, in them".to_owned());
        let named = || {
            let train = tree.folders_in("").into_iter().find(|folder| split(folder) == Some(data::Split::Train))?;
            let beside =
                tree.files_in(train).into_iter().any(is_label) && tree.files_in(train).into_iter().any(is_image);
            beside.then(|| {
                format!("{train} has labels beside its images, but there is no {CLASSES} with the names of the classes")
            })
        };
        flat.or_else(named)
    },
    read,
};

/// What lists of classes are called.
const CLASSES: &str = "classes.txt";

/// Where the files of a split are.
#[derive(Clone, Copy)]
enum Shape {
    /// images/train, labels/train.
    Outer,
    /// train/images, train/labels, as Roboflow has it.
    Inner,
    /// All in train, as labelImg has it.
    Beside,
}

impl Shape {
    /// The folders of the images and of the labels of a split.
    fn folders(self, split: &str) -> [String; 2] {
        match self {
            Self::Outer => [format!("images/{split}"), format!("labels/{split}")],
            Self::Inner => [format!("{split}/images"), format!("{split}/labels")],
            Self::Beside => [split.to_owned(), split.to_owned()],
        }
    }
}

/// Where the files are, and the names of the folders of the splits.
fn shape(tree: &Tree) -> Option<(Shape, Vec<&str>)> {
    let of_splits = |folder: &str| tree.folders_in(folder).into_iter().filter(|name| split(name).is_some());
    let has = |shape: Shape, split: &str| shape.folders(split).iter().all(|folder| tree.has_folder(folder));
    let outer: Vec<&str> = of_splits("labels").filter(|split| has(Shape::Outer, split)).collect();
    if !outer.is_empty() {
        return Some((Shape::Outer, outer));
    }
    let inner: Vec<&str> = of_splits("").filter(|split| has(Shape::Inner, split)).collect();
    if !inner.is_empty() {
        return Some((Shape::Inner, inner));
    }
    let beside = |folder: &&str| tree.files_in(folder).into_iter().any(is_label);
    let beside: Vec<&str> = of_splits("").filter(beside).collect();
    let has_names = yaml(tree).next().is_some() || lists(tree, Shape::Beside, &beside).next().is_some();
    (!beside.is_empty() && has_names).then_some((Shape::Beside, beside))
}

fn is_label(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    base != CLASSES && has_extension(base, "txt")
}

fn yaml(tree: &Tree) -> impl Iterator<Item = &str> {
    tree.files_in("").into_iter().filter(|name| name.ends_with(".yaml") || name.ends_with(".yml"))
}

/// Lists of classes, where programs put them.
fn lists<'a>(tree: &'a Tree, shape: Shape, splits: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    let folders =
        splits.iter().flat_map(move |split| shape.folders(split)).chain(splits.iter().map(ToString::to_string));
    let folders = ["labels".to_owned()].into_iter().chain(folders).map(|folder| format!("{folder}/{CLASSES}"));
    [CLASSES.to_owned()].into_iter().chain(folders).filter(|file| tree.has(file))
}

fn read(tree: &Tree, _: &Given<'_>) -> Result<Release> {
    let (shape, names) = shape(tree).unwrap_or((Shape::Outer, Vec::new()));
    let (mut id, mut notes) = (0, Vec::new());
    let classes = classes(tree, shape, &names, &mut notes)?;
    let parts = parts(splits(&tree.shown(""), names)?, |split| {
        items(tree, shape.folders(split), classes.len(), &mut id, &mut notes)
    })?;
    Ok(Release { task: TaskKind::Detection, classes, void: Vec::new(), parts, notes })
}

fn classes(tree: &Tree, shape: Shape, splits: &[&str], notes: &mut Vec<String>) -> Result<Vec<String>> {
    let mut all: Vec<&str> = yaml(tree).collect();
    // The usual name decides where there are several.
    if let Some(usual) = all.iter().find(|name| ["data.yaml", "data.yml"].contains(*name)).copied() {
        all = vec![usual];
    }
    if let [file] = all.as_slice() {
        let classes = parse_yaml(&tree.text(file)?).map_err(|cause| cause.of(tree.shown(file)))?;
        for list in lists(tree, shape, splits) {
            if names(&tree.text(&list)?) != classes {
                let (file, list) = (tree.shown(file), tree.shown(&list));
                notes.push(format!("{list} has other classes, or in another order, than {file}, which was believed"));
            }
        }
        return Ok(classes);
    }
    let mut first: Option<(String, Vec<String>)> = None;
    for file in lists(tree, shape, splits) {
        let own = names(&tree.text(&file)?);
        let (other, known) = first.get_or_insert_with(|| (file.clone(), own.clone()));
        if *known != own {
            let reason = format!("expected the classes of {}, found others", tree.shown(other));
            return Err(Error::Release { place: tree.shown(&file), reason });
        }
    }
    first.map(|(_, classes)| classes).ok_or_else(|| {
        let found = if all.is_empty() { "neither".to_owned() } else { all.join(", ") };
        let reason = format!("expected `data.yaml` or `{CLASSES}` with the names of the classes, found {found}");
        Error::Release { place: tree.shown(""), reason }
    })
}

fn items(
    tree: &Tree,
    [folder, labels]: [String; 2],
    classes: usize,
    id: &mut i64,
    notes: &mut Vec<String>,
) -> Result<Vec<Item>> {
    let images = images(tree, &folder)?;
    let label = |image: &str| tree.any_case(format!("{labels}/{}.txt", stem(image)));
    let expected: Vec<String> = images.iter().map(|(image, _)| label(image)).collect();
    no_others(tree, &labels, is_label, &expected)?;
    let without = images.iter().zip(&expected).filter(|(_, file)| !tree.has(file));
    let without: Vec<&str> = without.map(|((image, _), _)| *image).collect();
    if let Some(first) = without.first() {
        let first = tree.shown(&format!("{folder}/{first}"));
        let count = without.len();
        notes.push(format!("{count} images have no label file, and count as ones without objects; the first: {first}"));
    }
    let meant = Meaning { form: Form::Cxcywh, unit: Unit::Parts };
    let item = |((image, row), file): ((&str, i64), String)| {
        let place = tree.shown(&file);
        // An image without objects has no file.
        let text = if tree.has(&file) { tree.text(&file)? } else { String::new() };
        let mut objects = Vec::new();
        for object in parse_labels(&text).map_err(|cause| cause.of(&place))? {
            if object.class as usize >= classes {
                let expected = format!("a class from 0 to {}", classes.saturating_sub(1));
                let at = format!("line {}", object.line);
                return Err(Malformed::new(at, expected, object.class.to_string()).of(&place));
            }
            let (number, numbers) = (object.line as i64, object.numbers);
            objects.push(Boxed { id: *id, number, class: object.class, numbers, area: None, crowd: false });
            *id += 1;
        }
        let label = Label::Objects { place, counted: "line", meant, objects };
        Ok(Item { id: row, picture: Picture::File(format!("{folder}/{image}")), size: None, label })
    };
    images.into_iter().zip(expected).map(item).collect()
}
