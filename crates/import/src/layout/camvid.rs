//! CamVid as the SegNet tutorial published it: masks of 11 classes.

use data::TaskKind;

use super::{Given, Layout, images, is_image, never_near, no_others, parts, splits, stem};
use crate::error::{Error, Result};
use crate::release::{Item, Label, Picture, Release};
use crate::tree::Tree;

pub(super) const CAMVID: Layout = Layout {
    name: "camvid",
    looks_like: "{train,val,test}/*.png, {train,val,test}annot/*.png of one byte a pixel",
    matches: |tree| tree.has_folder("train") && tree.has_folder("trainannot"),
    near: never_near,
    read,
};

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
    let expected: Vec<String> = stems.iter().map(|stem| format!("{masks}/{stem}.png")).collect();
    no_others(tree, &masks, is_image, &expected)?;
    check_list(tree, folder, &stems)?;
    let item = |(image, id): (&str, i64)| {
        let mask = format!("{masks}/{}.png", stem(image));
        if !tree.has(&mask) {
            let reason = format!("expected a mask {}, found none", tree.shown(&mask));
            return Err(Error::Release { place: tree.shown(&format!("{folder}/{image}")), reason });
        }
        Ok(Item { id, picture: Picture::File(format!("{folder}/{image}")), size: None, label: Label::Mask(mask) })
    };
    images.into_iter().map(item).collect()
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
