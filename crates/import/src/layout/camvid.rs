//! CamVid as the SegNet tutorial published it: masks of 11 classes.

use data::TaskKind;

use super::{
    Given, Layout, NO_CLASSES, hint_at, images, images_and_masks, is_image, no_others, parts, split, splits, stem,
};
use crate::error::{Error, Result};
use crate::release::{Item, Label, Picture, Release};
use crate::tree::Tree;

pub(super) const CAMVID: Layout = Layout {
    name: "camvid",
    looks_like: "{train,val,test}/*.png, {train,val,test}annot/*.png of one byte a pixel",
    matches: |tree| tree.has_folder("train") && tree.has_folder("trainannot"),
    near,
    read,
};

/// Images and masks of another structure: only this one has masks.
fn near(tree: &Tree) -> Option<String> {
    let folders = ["".to_owned()].into_iter();
    let splits =
        tree.folders_in("").into_iter().filter(|folder| split(folder).is_some()).map(|split| format!("{split}/"));
    let pair = folders.chain(splits).find_map(|above| {
        let inner = tree.folders_in(above.trim_end_matches('/'));
        let [images, masks] = images_and_masks(&inner)?.map(|name| format!("{above}{name}"));
        let has_masks = tree.files_under(&masks).into_iter().any(is_image);
        has_masks.then(|| format!("{images} and {masks} {NO_CLASSES}"))
    });
    let is_mask = |file: &&str| is_image(file) && stem(file).ends_with("_mask");
    let beside = || Some(format!("{} looks like a mask", tree.files().find(is_mask)?));
    let found = pair.or_else(beside)?;
    Some(format!(
        "{found}: put images into train and val, masks of the same names into trainannot and valannot, and the classes into \
         a manifest"
    ))
}

const CLASSES: [&str; 11] =
    ["Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist"];

/// Not one of the eleven.
const UNLABELED: u8 = 11;

fn read(tree: &Tree, given: &Given<'_>) -> Result<Release> {
    let (classes, void) = match given.classes {
        [] => (CLASSES.map(str::to_owned).to_vec(), vec![UNLABELED]),
        known => (known.to_vec(), Vec::new()),
    };
    let parts = parts(splits(&tree.shown(""), tree.folders_in(""))?, |folder| items(tree, folder))?;
    Ok(Release { task: TaskKind::Segmentation, classes, void, parts, notes: Vec::new() })
}

fn items(tree: &Tree, folder: &str) -> Result<Vec<Item>> {
    let masks = format!("{folder}annot");
    let images = images(tree, folder)?;
    let stems: Vec<&str> = images.iter().map(|(image, _)| stem(image)).collect();
    let expected: Vec<String> = stems.iter().map(|stem| tree.any_case(format!("{masks}/{stem}.png"))).collect();
    if let Some(((image, _), mask)) = images.iter().zip(&expected).find(|(_, mask)| !tree.has(mask)) {
        let reason = format!("expected a mask {}, found none{}", tree.shown(mask), hint_at(tree, mask));
        return Err(Error::Release { place: tree.shown(&format!("{folder}/{image}")), reason });
    }
    no_others(tree, &masks, is_image, &expected)?;
    check_list(tree, folder, &stems)?;
    let item = |((image, id), mask): ((&str, i64), String)| {
        let picture = Picture::File(format!("{folder}/{image}"));
        Item { id, picture, size: None, label: Label::Mask(mask) }
    };
    Ok(images.into_iter().zip(expected).map(item).collect())
}

/// That a list beside the folder, `train.txt`, has the images that are in it: each line begins with
/// the path of one on the author's machine.
fn check_list(tree: &Tree, folder: &str, stems: &[&str]) -> Result<()> {
    let list = format!("{folder}.txt");
    if !tree.has(&list) {
        return Ok(());
    }
    let text = tree.text(&list)?;
    let listed = text.lines().filter_map(|line| line.split_whitespace().next());
    let mut listed: Vec<&str> = listed.map(|path| stem(path.rsplit('/').next().unwrap_or(path))).collect();
    listed.sort_unstable();
    let mut stems = stems.to_vec();
    stems.sort_unstable();
    let missing =
        |list: &[&str], other: &[&str]| list.iter().find(|name| !other.contains(name)).map(ToString::to_string);
    let reason = match (missing(&listed, &stems), missing(&stems, &listed)) {
        (None, None) => return Ok(()),
        (Some(name), _) => format!("expected the images of the folder {folder:?}, found {name:?}, which is not in it"),
        (_, Some(name)) => format!("expected the images of the folder {folder:?}, {name:?} is missing"),
    };
    Err(Error::Release { place: tree.shown(&list), reason })
}
