//! Which files of a release are what: one module for each known structure of folders.

mod camvid;
mod cifar;
mod coco;
mod crowd;
mod folders;
mod idx;
mod voc;
mod yolo;

use data::Split;

use crate::error::{Error, Result};
use crate::release::{Part, Release};
use crate::tree::Tree;

/// A structure of folders.
pub struct Layout {
    /// Its name, as `--format` has it.
    pub name: &'static str,
    /// What it looks like, in words.
    pub looks_like: &'static str,
    matches: fn(&Tree) -> bool,
    read: fn(&Tree, &[String]) -> Result<Release>,
}

/// All structures that are known.
pub static LAYOUTS: [Layout; 12] = [
    crowd::SHANGHAITECH_A,
    crowd::SHANGHAITECH_B,
    crowd::SHANGHAITECH,
    crowd::UCF_QNRF,
    camvid::CAMVID,
    voc::VOC,
    coco::COCO,
    yolo::YOLO,
    cifar::CIFAR10,
    cifar::CIFAR100,
    idx::IDX,
    folders::FOLDERS,
];

/// Reads the annotations of the release in `tree`: of the structure `format` where one is given, else
/// of the one that it has. `classes` are those of the manifest, where there is one that has any. The
/// tree that is returned is of the folder that has the structure, as the release names its files.
///
/// # Errors
///
/// Where it has no known structure, or several; where a file is missing or malformed.
pub fn read(tree: &Tree, format: Option<&str>, classes: &[String]) -> Result<(&'static str, Tree, Release)> {
    let (tree, layout) = recognise(tree, format)?;
    let release = (layout.read)(&tree, classes)?;
    let missing = |reason: &str| Error::Release { place: tree.shown(""), reason: reason.to_owned() };
    for part in &release.parts {
        if part.items.is_empty() {
            return Err(missing(&format!("expected images in the {} split, found none", part.split)));
        }
    }
    let has = |split| release.parts.iter().any(|part| part.split == split);
    if !has(Split::Train) || !(has(Split::Validation) || has(Split::Test)) {
        let found: Vec<&str> = release.parts.iter().map(|part| part.split.name()).collect();
        return Err(missing(&format!("expected a train and a validation or test split, found {}", found.join(", "))));
    }
    Ok((layout.name, tree, release))
}

/// The structure, and the folder that has it: often an archive has one folder with all in it.
fn recognise(tree: &Tree, format: Option<&str>) -> Result<(Tree, &'static Layout)> {
    let mut inner = tree.clone();
    loop {
        let wanted = LAYOUTS.iter().filter(|layout| format.is_none_or(|format| layout.name == format));
        let found: Vec<&Layout> = wanted.clone().filter(|layout| (layout.matches)(&inner)).collect();
        let path = || inner.path().to_path_buf();
        match (found.as_slice(), inner.folders_in("").as_slice()) {
            ([layout], _) => return Ok((inner, layout)),
            ([], [folder]) if inner.files_in("").is_empty() => inner = inner.inside(folder),
            ([], folders) => {
                let lines: Vec<String> =
                    wanted.map(|layout| format!("    {}: {}", layout.name, layout.looks_like)).collect();
                let names: Vec<&str> = folders.iter().copied().chain(inner.files_in("")).take(8).collect();
                let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
                return Err(Error::UnknownLayout { path: path(), looked_for: lines.join("\n"), found });
            }
            (several, _) => {
                let formats = several.iter().map(|layout| layout.name).collect();
                return Err(Error::Ambiguous { path: path(), formats });
            }
        }
    }
}

/// The split that a folder or list is of: `train`, `val`, `valid`, `validation` or `test`, in any case
/// and with or without a year.
fn split(name: &str) -> Option<Split> {
    match name.trim_end_matches(|letter: char| letter.is_ascii_digit()).to_ascii_lowercase().as_str() {
        "train" => Some(Split::Train),
        "val" | "valid" | "validation" => Some(Split::Validation),
        "test" => Some(Split::Test),
        _ => None,
    }
}

/// The splits that `names` are of, in the order train, validation, test; other names are left out.
fn splits<'a>(place: &str, names: impl IntoIterator<Item = &'a str>) -> Result<Vec<(Split, &'a str)>> {
    let mut found: Vec<_> = names.into_iter().filter_map(|name| Some((split(name)?, name))).collect();
    found.sort_unstable();
    match found.windows(2).find_map(|pair| if let [a, b] = pair { (a.0 == b.0).then_some((a, b)) } else { None }) {
        Some(((split, a), (_, b))) => {
            let reason = format!("expected one {split} split, found {a} and {b}\n  hint: leave only one in a copy");
            Err(Error::Release { place: place.to_owned(), reason })
        }
        None => Ok(found),
    }
}

/// Reads each split.
fn parts(
    splits: Vec<(Split, &str)>,
    mut items: impl FnMut(&str) -> Result<Vec<crate::release::Item>>,
) -> Result<Vec<Part>> {
    splits.into_iter().map(|(split, name)| Ok(Part { split, items: items(name)? })).collect()
}

/// Whether a file's name is that of an image.
fn is_image(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png"))
}

/// The names of the images right in `folder`, and their ids, in order.
fn images<'a>(tree: &'a Tree, folder: &str) -> Vec<(&'a str, i64)> {
    tree.files_in(folder).into_iter().filter(|name| is_image(name)).zip(0..).collect()
}

/// A name without its extension.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// The names in a file with one on each line.
fn names(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// That each file of `folder` with the extension belongs to one of `stems`.
fn no_others(tree: &Tree, folder: &str, extension: &str, stems: &[&str]) -> Result<()> {
    let with = |name: &&str| name.rsplit_once('.').is_some_and(|(_, found)| found == extension);
    match tree.files_in(folder).into_iter().filter(with).find(|name| !stems.contains(&stem(name))) {
        Some(name) => Err(Error::Release {
            place: tree.shown(&format!("{folder}/{name}")),
            reason: "expected an image that it belongs to, found none".to_owned(),
        }),
        None => Ok(()),
    }
}
