//! A folder for each class.

use data::TaskKind;

use super::{Layout, images, is_image, parts, split, splits};
use crate::error::{Error, Result};
use crate::release::{Item, Label, Picture, Release};
use crate::tree::Tree;

pub(super) const FOLDERS: Layout = Layout {
    name: "folders",
    looks_like: "{train,val,test}/<class>/*.jpg or *.png, at least 2 classes",
    matches: |tree| {
        let train = tree.folders_in("").into_iter().find(|name| split(name) == Some(data::Split::Train));
        train.is_some_and(|train| {
            let classes = tree.folders_in(train);
            let has_image = |class: &&str| tree.files_in(&format!("{train}/{class}")).into_iter().any(is_image);
            classes.len() > 1 && classes.iter().all(has_image)
        })
    },
    read,
};

fn read(tree: &Tree, _: &[String]) -> Result<Release> {
    let splits = splits(&tree.shown(""), tree.folders_in(""))?;
    let train = splits.first().map_or("", |(_, folder)| folder);
    let classes: Vec<String> = tree.folders_in(train).into_iter().map(str::to_owned).collect();
    let parts = parts(splits.clone(), |folder| items(tree, folder, train, &classes))?;
    Ok(Release { task: TaskKind::Classification, classes, void: Vec::new(), parts })
}

fn items(tree: &Tree, folder: &str, train: &str, classes: &[String]) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for name in tree.folders_in(folder) {
        let class = classes.iter().position(|class| class == name).ok_or_else(|| Error::Release {
            place: tree.shown(&format!("{folder}/{name}")),
            reason: format!("expected a class that {train}/ has, found another"),
        })?;
        let folder = format!("{folder}/{name}");
        for (image, _) in images(tree, &folder) {
            let picture = Picture::File(format!("{folder}/{image}"));
            items.push(Item { id: items.len() as i64, picture, size: None, label: Label::Class(class as u32) });
        }
    }
    Ok(items)
}
