//! YOLO: boxes in text files, as parts of the image's width and height.

use data::TaskKind;

use super::{Layout, images, names, no_others, parts, splits, stem};
use crate::error::{Error, Malformed, Result};
use crate::release::{Boxed, Item, Label, Picture, Release};
use crate::tree::Tree;
use crate::yolo::{parse_labels, parse_yaml};

pub(super) const YOLO: Layout = Layout {
    name: "yolo",
    looks_like: "images/{train,val,test}/*.jpg, labels/{train,val,test}/*.txt, data.yaml or classes.txt",
    matches: |tree| tree.has_folder("images") && tree.has_folder("labels"),
    read,
};

fn read(tree: &Tree, _: &[String]) -> Result<Release> {
    let classes = classes(tree)?;
    let mut id = 0;
    let parts = parts(splits(&tree.shown("labels"), tree.folders_in("labels"))?, |split| {
        items(tree, split, classes.len(), &mut id)
    })?;
    Ok(Release { task: TaskKind::Detection, classes, void: Vec::new(), parts })
}

fn classes(tree: &Tree) -> Result<Vec<String>> {
    if tree.has("data.yaml") {
        return parse_yaml(&tree.text("data.yaml")?).map_err(|cause| cause.of(tree.shown("data.yaml")));
    }
    let list = ["classes.txt", "labels/classes.txt"].into_iter().find(|file| tree.has(file));
    let list = list.ok_or_else(|| Error::Release {
        place: tree.shown(""),
        reason: "expected `data.yaml` or `classes.txt` with the names of the classes, found neither".to_owned(),
    })?;
    Ok(names(&tree.text(list)?))
}

fn items(tree: &Tree, split: &str, classes: usize, id: &mut i64) -> Result<Vec<Item>> {
    let folder = format!("images/{split}");
    let images = images(tree, &folder);
    let stems: Vec<&str> = images.iter().map(|(image, _)| stem(image)).collect();
    no_others(tree, &format!("labels/{split}"), "txt", &stems)?;
    let item = |(image, row): (&str, i64)| {
        let file = format!("labels/{split}/{}.txt", stem(image));
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
            let (number, corners) = (object.line as i64, object.corners);
            objects.push(Boxed { id: *id, number, class: object.class, corners, area: None, crowd: false });
            *id += 1;
        }
        let label = Label::Objects { place, counted: "line", relative: true, objects };
        Ok(Item { id: row, picture: Picture::File(format!("{folder}/{image}")), size: None, label })
    };
    images.into_iter().map(item).collect()
}
