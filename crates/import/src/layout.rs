//! Which files of a release are what: one module for each known structure of folders.

mod camvid;
mod cifar;
mod coco;
mod crowd;
mod folders;
mod idx;
mod voc;
mod yolo;

use std::collections::{BTreeMap, BTreeSet};

use data::Split;

use crate::error::{Error, Result};
use crate::release::{Item, Label, Part, Picture, Release};
use crate::tree::Tree;

/// A structure of folders.
pub struct Layout {
    /// Its name, as `--format` has it.
    pub name: &'static str,
    /// What it looks like, in words.
    pub looks_like: &'static str,
    matches: fn(&Tree) -> bool,
    /// What does not fit where a folder nearly has the structure.
    near: fn(&Tree) -> Option<String>,
    read: fn(&Tree, &Given<'_>) -> Result<Release>,
}

/// What the user says of a release beside its structure.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a> {
    /// The classes of the manifest; empty where there is none, or it has none.
    pub classes: &'a [String],
    /// What annotations of Pascal VOC call the first pixel, 0 or 1.
    pub first_pixel: Option<u8>,
}

/// All structures that are known.
pub static LAYOUTS: [Layout; 13] = [
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
    folders::NESTED_FOLDERS,
];

/// Reads the annotations of the release in `tree`: of the structure `format` where one is given, else
/// of the one that it has. The tree that is returned is of the folder that has the structure, as the release names its
/// files.
///
/// # Errors
///
/// Where it has no known structure, or several; where a file is missing or malformed, or an image comes twice.
pub fn read(tree: &Tree, format: Option<&str>, given: &Given<'_>) -> Result<(&'static str, Tree, Release)> {
    let (tree, layout) = recognize(tree, format)?;
    let mut release = (layout.read)(&tree, given)?;
    let missing = |reason: &str| Error::Release { place: tree.shown(""), reason: reason.to_owned() };
    for part in &release.parts {
        if part.items.is_empty() {
            return Err(missing(&format!("expected images in the {} split, found none", part.split)));
        }
    }
    let has = |split| release.parts.iter().any(|part| part.split == split);
    if !has(Split::Train) || !(has(Split::Validation) || has(Split::Test)) {
        let found: Vec<&str> = release.parts.iter().map(|part| part.split.name()).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(" and ") + " alone" };
        let others = others(&tree, &release).map(|others| format!("; {others}")).unwrap_or_default();
        return Err(missing(&format!("expected a train and a validation or test split, found {found}{others}")));
    }
    once(&tree, &release)?;
    let notes = [unread(&tree, &release), unused_classes(&release)];
    release.notes.extend(notes.into_iter().flatten());
    Ok((layout.name, tree, release))
}

/// Folders that are called as splits are, and of which the release says nothing.
fn others(tree: &Tree, release: &Release) -> Option<String> {
    let top = tree.folders_in("").into_iter();
    let inner =
        top.clone().flat_map(|above| tree.folders_in(above).into_iter().map(move |name| format!("{above}/{name}")));
    let is_other = |folder: &String| {
        let wanted = split(folder.rsplit('/').next().unwrap_or(folder));
        wanted.is_some_and(|wanted| release.parts.iter().all(|part| part.split != wanted))
    };
    let others: Vec<String> = top.map(str::to_owned).chain(inner).filter(is_other).collect();
    (!others.is_empty()).then(|| format!("{} is there, but not all that belongs to it", some(&others)))
}

/// That no image is in the release twice, in a split or in two.
fn once(tree: &Tree, release: &Release) -> Result<()> {
    let mut seen = BTreeMap::new();
    for part in &release.parts {
        for item in &part.items {
            let Picture::File(file) = &item.picture else { continue };
            if let Some((split, id)) = seen.insert(file, (part.split, item.id)) {
                let here = format!("image {id} of the {split} split and image {} of the {} split", item.id, part.split);
                let reason = format!("expected each image once, found it as {here}\n  hint: leave only one of them");
                return Err(Error::Release { place: tree.shown(file), reason });
            }
        }
    }
    Ok(())
}

/// Image files that the release does not use.
fn unread(tree: &Tree, release: &Release) -> Option<String> {
    let items = || release.parts.iter().flat_map(|part| &part.items);
    let pictures = items().filter_map(|item| match &item.picture {
        Picture::File(file) => Some(file.as_str()),
        Picture::Pixels { .. } => None,
    });
    let masks = items().filter_map(|item| if let Label::Mask(file) = &item.label { Some(file.as_str()) } else { None });
    let used: BTreeSet<&str> = pictures.chain(masks).collect();
    let others: Vec<&str> = tree.files().filter(|file| is_image(file) && !used.contains(file)).collect();
    let first = others.first()?;
    let shown = tree.shown(first);
    Some(format!("{} image files are in no split, and not read; the first: {shown}", others.len()))
}

/// Classes of boxes that no training box has.
fn unused_classes(release: &Release) -> Option<String> {
    let train = release.parts.iter().find(|part| part.split == Split::Train)?;
    let used: BTreeSet<u32> = train
        .items
        .iter()
        .flat_map(|item| if let Label::Objects { objects, .. } = &item.label { objects.as_slice() } else { &[] })
        .map(|object| object.class)
        .collect();
    let has_boxes = train.items.iter().any(|item| matches!(item.label, Label::Objects { .. }));
    let unused = release.classes.iter().zip(0..).filter(|(_, class)| !used.contains(class));
    let unused: Vec<String> = unused.map(|(name, _)| format!("{name:?}")).collect();
    (has_boxes && !unused.is_empty()).then(|| format!("no training image has an object of {}", some(&unused)))
}

/// What folders of images and of masks are not.
const NO_CLASSES: &str = "look like images and their masks, not like classes";

/// Two folders that are called as images and masks are.
fn images_and_masks<'a>(folders: &[&'a str]) -> Option<[&'a str; 2]> {
    const IMAGES: [&str; 8] = ["images", "image", "imgs", "img", "jpegimages", "leftimg8bit", "rgb", "inputs"];
    const MASKS: [&str; 8] = ["mask", "label", "annot", "segmentation", "gt", "groundtruth", "ground_truth", "target"];
    let lower = |folder: &str| folder.to_ascii_lowercase();
    let images = folders.iter().find(|folder| IMAGES.contains(&lower(folder).as_str()))?;
    let masks = folders.iter().find(|folder| MASKS.iter().any(|mask| lower(folder).starts_with(mask)))?;
    Some([images, masks])
}

/// The first of many.
fn some(all: &[impl AsRef<str>]) -> String {
    let first: Vec<&str> = all.iter().map(AsRef::as_ref).take(5).collect();
    let rest = all.len() - first.len();
    first.join(", ") + &if rest > 0 { format!(" and {rest} more") } else { String::new() }
}

/// The structure, and the folder that has it: often an archive has one folder with all in it.
fn recognize(tree: &Tree, format: Option<&str>) -> Result<(Tree, &'static Layout)> {
    let mut inner = tree.clone();
    loop {
        let wanted = LAYOUTS.iter().filter(|layout| format.is_none_or(|format| layout.name == format));
        let found: Vec<&Layout> = wanted.clone().filter(|layout| (layout.matches)(&inner)).collect();
        let path = || inner.path().to_path_buf();
        match (found.as_slice(), inner.folders_in("").as_slice()) {
            ([layout], _) => return Ok((inner, layout)),
            ([], [folder]) if inner.files_in("").is_empty() => inner = inner.inside(folder),
            ([], folders) => {
                let near =
                    wanted.clone().filter_map(|layout| Some(format!("{}: {}", layout.name, (layout.near)(&inner)?)));
                let near = near.chain(within(&inner, wanted.clone())).chain(archives(&inner)).collect();
                let looked_for = lines(wanted);
                let names: Vec<&str> = folders.iter().copied().chain(inner.files_in("")).take(8).collect();
                let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
                return Err(Error::UnknownLayout { path: path(), looked_for, found, near });
            }
            (several, _) => {
                let formats = several.iter().map(|layout| layout.name).collect();
                let looked_for = lines(several.iter().copied());
                return Err(Error::Ambiguous { path: path(), formats, looked_for });
            }
        }
    }
}

/// Folders in the folder that have a structure each.
fn within<'a>(tree: &Tree, wanted: impl Iterator<Item = &'a Layout> + Clone) -> Option<String> {
    let has_structure = |folder: &&str| wanted.clone().any(|layout| (layout.matches)(&tree.inside(folder)));
    let found: Vec<&str> = tree.folders_in("").into_iter().filter(has_structure).collect();
    (!found.is_empty()).then(|| format!("what is in {}: give one folder of these", some(&found)))
}

/// An archive that lies in the folder, in which the release may be.
fn archives(tree: &Tree) -> Option<String> {
    let kinds = [".zip", ".tar", ".tar.gz", ".tgz"];
    let file =
        tree.files_in("").into_iter().find(|name| kinds.iter().any(|kind| name.to_lowercase().ends_with(kind)))?;
    Some(format!("what is in {file}: give the archive in place of the folder, or unpack it"))
}

/// What structures look like, one on a line.
fn lines<'a>(layouts: impl Iterator<Item = &'a Layout>) -> String {
    let lines: Vec<String> = layouts.map(|layout| format!("    {}: {}", layout.name, layout.looks_like)).collect();
    lines.join("\n")
}

/// The split that a folder or list is of: `train`, `training`, `val`, `valid`, `validation`, `test` or `testing`, in any
/// case and with or without a year.
fn split(name: &str) -> Option<Split> {
    match name.trim_end_matches(|letter: char| letter.is_ascii_digit()).to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "val" | "valid" | "validation" => Some(Split::Validation),
        "test" | "testing" => Some(Split::Test),
        _ => None,
    }
}

/// The splits that `names` are of, in the order train, validation, test; other names are left out.
fn splits<'a>(place: &str, names: impl IntoIterator<Item = &'a str>) -> Result<Vec<(Split, &'a str)>> {
    let names: Vec<&str> = names.into_iter().collect();
    let mut found: Vec<_> = names.iter().filter_map(|name| Some((split(name)?, *name))).collect();
    found.sort_unstable();
    if found.is_empty() && !names.is_empty() {
        let reason = format!("expected splits that are called train, val and test, found {}", some(&names));
        return Err(Error::Release { place: place.to_owned(), reason });
    }
    match found.windows(2).find_map(|pair| if let [a, b] = pair { (a.0 == b.0).then_some((a, b)) } else { None }) {
        Some(((split, a), (_, b))) => {
            let reason = format!("expected one {split} split, found {a} and {b}\n  hint: leave only one in a copy");
            Err(Error::Release { place: place.to_owned(), reason })
        }
        None => Ok(found),
    }
}

/// Reads each split.
fn parts(splits: Vec<(Split, &str)>, mut items: impl FnMut(&str) -> Result<Vec<Item>>) -> Result<Vec<Part>> {
    splits.into_iter().map(|(split, name)| Ok(Part { split, items: items(name)? })).collect()
}

/// Whether a file's name is that of an image, even of a kind that is not read: then it is named.
fn is_image(name: &str) -> bool {
    const KINDS: [&str; 25] = [
        "jpg", "jpeg", "jpe", "jfif", "pjpeg", "pjp", "png", "webp", "bmp", "dib", "gif", "tif", "tiff", "heic",
        "heif", "avif", "jxl", "jp2", "j2k", "ppm", "pgm", "pbm", "tga", "psd", "exr",
    ];
    name.rsplit_once('.').is_some_and(|(_, extension)| KINDS.contains(&extension.to_ascii_lowercase().as_str()))
}

/// The names of the images in `folder` and in the folders in it, and their ids, in order. Each has a name of its own
/// without the extension, since its annotation has that name.
fn images<'a>(tree: &'a Tree, folder: &str) -> Result<Vec<(&'a str, i64)>> {
    let images: Vec<&str> = tree.files_under(folder).into_iter().filter(|name| is_image(name)).collect();
    let mut stems: BTreeMap<&str, &str> = BTreeMap::new();
    for &image in &images {
        if let Some(other) = stems.insert(stem(image), image) {
            let reason = format!("expected one image for each annotation, found {other} and {image} for the same");
            return Err(Error::Release { place: tree.shown(folder), reason });
        }
    }
    Ok(images.into_iter().zip(0..).collect())
}

/// A name without its extension.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Whether a file's name ends so, in any case.
fn has_extension(name: &str, wanted: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case(wanted))
}

/// A hint at a file that has the name of `file`, which is missing, but for its end.
fn hint_at(tree: &Tree, file: &str) -> String {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let is_near = |other: &&str| {
        let end = other.strip_prefix(stem(name));
        end.is_some_and(|end| !end.starts_with(|letter: char| letter.is_ascii_alphanumeric()))
    };
    let near = tree.files_in(folder).into_iter().find(is_near);
    near.map(|near| format!("\n  hint: there is {near}, which has to be {name}")).unwrap_or_default()
}

/// The names in a file with one on each line.
fn names(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// That each file of `folder` and of the folders in it that is an annotation is one of those `expected`.
fn no_others(tree: &Tree, folder: &str, is_annotation: impl Fn(&str) -> bool, expected: &[String]) -> Result<()> {
    let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
    let files = tree.files_under(folder).into_iter().map(|name| format!("{folder}/{name}"));
    let others: Vec<String> = files.filter(|file| is_annotation(file) && !expected.contains(file.as_str())).collect();
    let Some(first) = others.first() else { return Ok(()) };
    let count = if others.len() > 1 { format!("; so are {} in all", others.len()) } else { String::new() };
    Err(Error::Release {
        place: tree.shown(first),
        reason: format!("expected an image that the annotation belongs to, found none{count}"),
    })
}

/// Nothing: there is no way in which a folder nearly has the structure.
fn never_near(_: &Tree) -> Option<String> {
    None
}
