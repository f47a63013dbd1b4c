//! MNIST and its like: IDX files of images and of labels.

use data::{Image, Split, TaskKind};

use super::{Given, Layout, never_near};
use crate::error::{Error, InFile, Malformed, Result, or_kind};
use crate::release::{Item, Label, Part, Picture, Release};
use crate::tree::Tree;
use formats::archive::gunzip;
use formats::idx::parse;

pub(super) const IDX: Layout = Layout {
    name: "idx",
    looks_like: "{train,t10k}-images-idx3-ubyte, {train,t10k}-labels-idx1-ubyte, each with or without .gz",
    matches: |tree| find(tree, "train", "images", 3).is_some(),
    near: never_near,
    read,
};

fn read(tree: &Tree, given: &Given<'_>) -> Result<Release> {
    let classes = given.classes;
    let parts = vec![
        Part { split: Split::Train, items: items(tree, "train")? },
        Part { split: Split::Test, items: items(tree, "t10k")? },
    ];
    let labels = parts.iter().flat_map(|part| &part.items).filter_map(|item| match item.label {
        Label::Class(class) => Some(class),
        _ => None,
    });
    // The files have no names of classes: numbers, where no manifest has names.
    let count = labels.max().map_or(0, |class| class as usize + 1);
    if !classes.is_empty() && classes.len() < count {
        let reason = format!("expected labels of the manifest's {} classes, found {}", classes.len(), count - 1);
        return Err(Error::Release { place: tree.shown(""), reason });
    }
    let classes =
        if classes.is_empty() { (0..count).map(|class| class.to_string()).collect() } else { classes.to_vec() };
    Ok(Release { task: TaskKind::Classification, classes, void: Vec::new(), parts, notes: Vec::new() })
}

fn items(tree: &Tree, split: &str) -> Result<Vec<Item>> {
    let (images_file, images) = load(tree, split, "images", 3)?;
    let (labels_file, labels) = load(tree, split, "labels", 1)?;
    let images = parse(&images, 3).map_err(|cause| or_kind(cause, &images).of(&images_file))?;
    let labels = parse(&labels, 1).map_err(|cause| or_kind(cause, &labels).of(&labels_file))?;
    let &[count, height, width] = images.dims.as_slice() else { return Ok(Vec::new()) };
    if labels.values.len() != count {
        let expected = format!("{count} labels as there are images");
        return Err(Malformed::new("", expected, labels.values.len().to_string()).of(labels_file));
    }
    if height == 0 || width == 0 {
        return Err(Malformed::new("", "images with pixels", format!("{height}×{width}")).of(images_file));
    }
    let item = |((pixels, &label), row): ((&[u8], &u8), i64)| Item {
        id: row,
        picture: Picture::Pixels {
            place: format!("{images_file}: image {}", row + 1),
            image: Image { height, width, channels: 1, pixels: pixels.to_vec() },
        },
        size: None,
        label: Label::Class(u32::from(label)),
    };
    Ok(images.values.chunks_exact(height * width).zip(labels.values).zip(0..).map(item).collect())
}

/// The shown name and the bytes of a file, decompressed.
fn load(tree: &Tree, split: &str, what: &str, dimensions: u8) -> Result<(String, Vec<u8>)> {
    let file = find(tree, split, what, dimensions).ok_or_else(|| Error::Release {
        place: tree.shown(""),
        reason: format!("expected a file {split}-{what}-idx{dimensions}-ubyte, with or without .gz, found none"),
    })?;
    let (shown, bytes) = (tree.shown(&file), tree.read(&file)?);
    let bytes =
        if file.ends_with(".gz") { gunzip(&bytes).map_err(|cause| or_kind(cause, &bytes).of(&shown))? } else { bytes };
    Ok((shown, bytes))
}

fn find(tree: &Tree, split: &str, what: &str, dimensions: u8) -> Option<String> {
    // Some copies have a dot where the official names have a hyphen.
    let names = ['-', '.'].map(|mark| format!("{split}-{what}{mark}idx{dimensions}-ubyte"));
    names.into_iter().flat_map(|name| [format!("{name}.gz"), name]).find(|name| tree.has(name))
}
