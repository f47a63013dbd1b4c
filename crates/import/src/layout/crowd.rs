//! ShanghaiTech and UCF-QNRF: points of heads in MATLAB files.

use data::TaskKind;

use super::{Layout, has_extension, hint_at, images, never_near, no_others, parts, splits, stem};
use crate::error::{Error, InFile, Malformed, Result, or_kind};
use crate::release::{Item, Label, Picture, Release};
use crate::tree::Tree;
use formats::crowd::{shanghaitech, ucf_qnrf};

pub(super) const SHANGHAITECH_A: Layout = Layout {
    name: "shanghaitech-a",
    looks_like: "part_A/ or part_A_final/ with {train,test}_data in it",
    matches: |tree| part(tree, 'a').is_some(),
    near: never_near,
    read: |tree, _| read_part(tree, 'a'),
};

pub(super) const SHANGHAITECH_B: Layout = Layout {
    name: "shanghaitech-b",
    looks_like: "part_B/ or part_B_final/ with {train,test}_data in it",
    matches: |tree| part(tree, 'b').is_some(),
    near: never_near,
    read: |tree, _| read_part(tree, 'b'),
};

pub(super) const SHANGHAITECH: Layout = Layout {
    name: "shanghaitech",
    looks_like: "{train,test}_data/images/IMG_1.jpg, {train,test}_data/{ground-truth,ground_truth}/GT_IMG_1.mat",
    matches: |tree| tree.has_folder("train_data/images"),
    near: |tree| {
        let found = tree.has_folder("train_data");
        found.then(|| "train_data has no folder `images` with images in it".to_owned())
    },
    read: |tree, _| read_shanghaitech(tree, ""),
};

pub(super) const UCF_QNRF: Layout = Layout {
    name: "ucf-qnrf",
    looks_like: "{Train,Test}/img_0001.jpg, {Train,Test}/img_0001_ann.mat",
    matches: |tree| tree.files_in("Train").iter().any(|name| is_qnrf(name)),
    near: |tree| {
        let found = tree.files_under("").into_iter().find(|name| is_qnrf(name))?;
        Some(format!("{found} is not in a folder `Train` or `Test`"))
    },
    read: |tree, _| read_ucf_qnrf(tree),
};

fn is_qnrf(name: &str) -> bool {
    has_extension(name, "mat") && stem(name).ends_with("_ann")
}

fn part(tree: &Tree, letter: char) -> Option<&str> {
    let known = [format!("part_{letter}"), format!("part_{letter}_final")];
    let is_part = |folder: &&str| known.contains(&folder.to_ascii_lowercase());
    tree.folders_in("")
        .into_iter()
        .filter(is_part)
        .find(|folder| tree.has_folder(&format!("{folder}/train_data/images")))
}

fn read_part(tree: &Tree, letter: char) -> Result<Release> {
    read_shanghaitech(tree, &part(tree, letter).map(|part| format!("{part}/")).unwrap_or_default())
}

/// The part in the folder `above`, which is empty or ends in `/`.
fn read_shanghaitech(tree: &Tree, above: &str) -> Result<Release> {
    let folders =
        tree.folders_in(above.trim_end_matches('/')).into_iter().filter_map(|folder| folder.strip_suffix("_data"));
    release(splits(&tree.shown(above), folders)?, |split| {
        let folder = format!("{above}{split}_data");
        let known = ["ground-truth", "ground_truth"].map(|truth| format!("{folder}/{truth}"));
        let truth = known.iter().find(|truth| tree.has_folder(truth)).ok_or_else(|| Error::Release {
            place: tree.shown(&folder),
            reason: "expected a folder `ground-truth` or `ground_truth`, found none".to_owned(),
        })?;
        let annotation = |image: &str| match image.rsplit_once('/') {
            Some((inner, image)) => format!("{truth}/{inner}/GT_{image}.mat"),
            None => format!("{truth}/GT_{image}.mat"),
        };
        read_points(tree, [&format!("{folder}/images"), truth], annotation, shanghaitech)
    })
}

fn read_ucf_qnrf(tree: &Tree) -> Result<Release> {
    release(splits(&tree.shown(""), tree.folders_in(""))?, |folder| {
        read_points(tree, [folder, folder], |image| format!("{folder}/{image}_ann.mat"), ucf_qnrf)
    })
}

fn release(splits: Vec<(data::Split, &str)>, items: impl FnMut(&str) -> Result<Vec<Item>>) -> Result<Release> {
    let parts = parts(splits, items)?;
    Ok(Release { task: TaskKind::CrowdCounting, classes: Vec::new(), void: Vec::new(), parts, notes: Vec::new() })
}

/// From a file to points, columns before rows.
type Parse = fn(&[u8]) -> Result<Vec<[f64; 2]>, Malformed>;

/// Images of the first folder, whose annotations are in the second.
fn read_points(
    tree: &Tree,
    [folder, truth]: [&str; 2],
    annotation: impl Fn(&str) -> String,
    parse: Parse,
) -> Result<Vec<Item>> {
    let images = images(tree, folder)?;
    let expected: Vec<String> = images.iter().map(|(image, _)| tree.any_case(annotation(stem(image)))).collect();
    no_others(tree, truth, |file| has_extension(file, "mat"), &expected)?;
    let item = |((image, id), file): ((&str, i64), String)| {
        let place = tree.shown(&file);
        if !tree.has(&file) {
            let reason = format!("expected its annotation {place}, found none{}", hint_at(tree, &file));
            return Err(Error::Release { place: tree.shown(&format!("{folder}/{image}")), reason });
        }
        let bytes = tree.read(&file)?;
        let points = parse(&bytes).map_err(|cause| or_kind(cause, &bytes).of(&place))?;
        let picture = Picture::File(format!("{folder}/{image}"));
        Ok(Item { id, picture, size: None, label: Label::Points { place, points } })
    };
    images.into_iter().zip(expected).map(item).collect()
}
