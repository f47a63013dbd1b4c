//! The manifest of an imported set: compared where there is one, written where not.

use data::{BoxColumns, BoxForm, ClassColumns, Columns, MaskColumns, PointColumns, Split, Stored, TaskKind};

use crate::options::Options;
use crate::release::Release;

/// The key by which a manifest and the release contradict each other, and both values.
pub(crate) fn contradiction(manifest: &Stored, release: &Release) -> Option<String> {
    if manifest.task() != release.task {
        return Some(format!("`task`: expected {}, found {}", manifest.task(), release.task));
    }
    if let Some((key, expected, found)) = columns(&manifest.columns) {
        return Some(format!("`columns.{key}`: expected {expected:?}, the import writes {found:?}"));
    }
    let classes = &manifest.classes;
    if !classes.is_empty() && *classes != release.classes {
        let both = classes.iter().zip(&release.classes).position(|(expected, found)| expected != found);
        let detail = match both {
            Some(index) => {
                format!("class {index}: expected {:?}, found {:?}", name(classes, index), name(&release.classes, index))
            }
            None => format!("expected {} classes, found {}", classes.len(), release.classes.len()),
        };
        return Some(format!("`classes`: {detail}"));
    }
    let has = |folder: &str| release.parts.iter().any(|part| part.split.name() == folder);
    let missing = manifest.splits.folders().into_iter().find(|(_, folder)| !has(folder));
    missing.map(|(split, folder)| {
        let found: Vec<&str> = release.parts.iter().map(|part| part.split.name()).collect();
        format!("`splits.{split}`: expected a folder {folder:?}, the import writes {}", found.join(", "))
    })
}

/// The text of a manifest for what was imported. `channels` is for classification, whose images
/// must have the same.
pub(crate) fn text(name: &str, format: &str, release: &Release, options: &Options, channels: usize) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut lines = vec![
        format!("# Made by `cargo xtask import` from a release of the structure {format}."),
        format!("title = {}", quoted(name)),
        format!("task = {}", quoted(&release.task.to_string())),
        "# Under which licence, how to cite the set, and its page: edit these three.".to_owned(),
        "licence = \"unknown\"".to_owned(),
        "citation = \"unknown\"".to_owned(),
        "home = \"unknown\"".to_owned(),
    ];
    let resized = options.resize.map(|resize| format!("images resized to {resize}"));
    let counted =
        options.first_pixel.filter(|_| format == "voc").map(|first| format!("boxes count pixels from {first}"));
    let caveats: Vec<String> = resized.into_iter().chain(counted).collect();
    if !caveats.is_empty() {
        lines.push("# What a reader must know before comparing numbers.".to_owned());
        lines.push(format!("caveat = {}", quoted(&caveats.join("; "))));
    }
    if !release.classes.is_empty() {
        lines.push(format!("classes = {}", toml::Value::from(release.classes.clone())));
    }
    if release.task == TaskKind::Classification {
        lines.push(format!("channels = {channels}"));
    }
    if !options.tolerate.is_empty() {
        let faults: Vec<String> = options.tolerate.iter().map(ToString::to_string).collect();
        lines.push("# What is left out and counted where it would else be an error.".to_owned());
        lines.push(format!("tolerate = {}", toml::Value::from(faults)));
    }
    lines.push("\n[columns]\nimage = \"image\"".to_owned());
    lines.push(match release.task {
        TaskKind::Classification => "label = \"label\"".to_owned(),
        TaskKind::Detection => {
            format!("boxes = \"{BOXES}\"\nform = \"{}\"\ncategory = \"{CATEGORY}\"\ncrowd = \"{CROWD}\"", BoxForm::Xywh)
        }
        TaskKind::Segmentation => {
            let bytes: Vec<i64> = release.void.iter().map(|&byte| i64::from(byte)).collect();
            format!(
                "mask = \"{MASK}\"\n# Bytes of masks that are no class and not judged.\nvoid = {}",
                toml::Value::from(bytes)
            )
        }
        TaskKind::CrowdCounting => format!("points = \"{POINTS}\"\ncount = \"{COUNT}\""),
    });
    lines.push("\n[splits]\ntrain = \"train\"".to_owned());
    let has = |split| release.parts.iter().any(|part| part.split == split);
    let carved = "validation = { from = \"train\", fraction = 0.1, seed = 0 }";
    match (has(Split::Validation), has(Split::Test)) {
        (true, true) => lines.push("validation = \"validation\"\ntest = \"test\"".to_owned()),
        (false, _) => lines.push(format!("{carved}\ntest = \"test\"")),
        (true, false) => {
            lines.push(
                "# The release has no labels for its test images: its validation split is read once, in the end."
                    .to_owned(),
            );
            lines.push(format!("{carved}\ntest = \"validation\""));
        }
    }
    lines.join("\n") + "\n"
}

/// Bytes that the masks may have.
pub(crate) fn mask_bytes(manifest: Option<&Stored>, release: &Release) -> Vec<u8> {
    let all = || (0..=254).take(release.classes.len()).collect::<Vec<u8>>();
    match manifest.map(|manifest| &manifest.columns) {
        Some(Columns::Segmentation(MaskColumns { values, void, .. })) => {
            [values.clone().unwrap_or_else(all).as_slice(), void.as_slice()].concat()
        }
        _ => [all().as_slice(), release.void.as_slice()].concat(),
    }
}

const BOXES: &str = "objects.bbox";
const CATEGORY: &str = "objects.category";
const CROWD: &str = "objects.iscrowd";
const MASK: &str = "annotation";
const POINTS: &str = "points";
const COUNT: &str = "count";

/// The first column that is not as it is written: key, the manifest's, the import's.
fn columns(columns: &Columns) -> Option<(&'static str, String, String)> {
    let form;
    let mut pairs = vec![("image", Some(columns.image()), "image")];
    match columns {
        Columns::Classification(ClassColumns { label, .. }) => pairs.push(("label", Some(label), "label")),
        Columns::Detection(BoxColumns { boxes, form: given, category, crowd, .. }) => {
            form = given.to_string();
            pairs.push(("boxes", Some(boxes), BOXES));
            pairs.push(("form", Some(&form), "xywh"));
            pairs.push(("category", Some(category), CATEGORY));
            pairs.push(("crowd", crowd.as_deref(), CROWD));
        }
        Columns::Segmentation(MaskColumns { mask, .. }) => pairs.push(("mask", Some(mask), MASK)),
        Columns::CrowdCounting(PointColumns { points, count, .. }) => {
            pairs.push(("points", Some(points), POINTS));
            pairs.push(("count", count.as_deref(), COUNT));
        }
    }
    pairs.into_iter().find_map(|(key, given, written)| {
        let given = given.filter(|given| *given != written)?;
        Some((key, given.to_owned(), written.to_owned()))
    })
}

fn name(classes: &[String], index: usize) -> &str {
    classes.get(index).map_or("", String::as_str)
}
