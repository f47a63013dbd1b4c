//! From a release to a set: all of it, or nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use data::{Fault, Resize, Root, Source, Stored, TaskKind};
use rayon::prelude::*;
use record::fs::{NewFolder, create_folder, hold, write_atomic};

use crate::check::Complaint;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::prepare::{Row, RowLabel, Rules, prepare};
use crate::release::{Item, Release, Size};
use crate::tree::Tree;
use crate::{layout, manifest, pinned};

/// Rows of a row group.
const GROUP_ROWS: usize = 100;

/// Bytes of images from which a row group ends before it has all its rows.
const GROUP_BYTES: usize = 1 << 26;

/// Images that are in memory decoded or waiting.
const AT_ONCE: usize = 20;

/// How a release is imported.
#[derive(Debug, Clone)]
pub struct Options {
    /// The name of a [layout](crate::layout::LAYOUTS); recognised where it is not given.
    pub format: Option<String>,
    /// Another size for all images; [`Resize::Cover`] is for readers alone.
    pub resize: Option<Resize>,
    /// What is left out and counted, where there is no manifest that says so.
    pub tolerate: Vec<Fault>,
    /// Bytes from which a parquet file ends.
    pub file_bytes: usize,
}

impl Default for Options {
    /// A recognised structure, images as they are, nothing tolerated, files of 500 MB.
    fn default() -> Self {
        Self { format: None, resize: None, tolerate: Vec::new(), file_bytes: 500_000_000 }
    }
}

/// What was imported.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The structure that the release has.
    pub format: &'static str,
    /// Folder of the files.
    pub folder: PathBuf,
    /// The manifest, where it was written.
    pub manifest: Option<PathBuf>,
    /// What a row's items are: `boxes`, `points`, or nothing.
    pub items: Option<&'static str>,
    /// For each split its name, rows and items.
    pub splits: Vec<(String, usize, usize)>,
    /// What the user must know.
    pub warnings: Vec<String>,
}

/// Reads the release in `source`, a folder or an archive, and writes the set `name` to
/// `datasets/.cache/<name>/default`, and `datasets/<name>.toml` where there is none. The same release
/// gives the same bytes.
///
/// Images keep the bytes of their files. Where they get another size, a JPEG is made anew with quality
/// 95, and a PNG as PNG.
///
/// # Errors
///
/// Where there is such a set, the release or a manifest cannot be read, they contradict each other, or
/// a row is wrong and the manifest does not tolerate it. Then nothing is written.
pub fn import(root: &Root, name: &str, source: &Path, options: &Options) -> Result<Summary> {
    let folder = check_name(root, name)?;
    let waiting = || eprintln!("{name}: another process makes it; waiting for that to end");
    let _held = hold(folder.parent().unwrap_or(&folder), waiting)?;
    let manifest_path = root.manifests().join(format!("{name}.toml"));
    let known = if manifest_path.is_file() { Some(known(root, name, &manifest_path)?) } else { None };
    if known.is_some() && !options.tolerate.is_empty() {
        return Err(Error::TolerateTwice { manifest: manifest_path });
    }
    if let Some(resize @ Resize::Cover(_)) = options.resize {
        return Err(Error::Cropped(resize));
    }
    let scratch = root.cache();
    create_folder(&scratch)?;
    let tree = Tree::open(source, &scratch)?;
    let classes = known.as_ref().map(|known| known.classes.as_slice()).unwrap_or_default();
    let (format, tree, release) = layout::read(&tree, options.format.as_deref(), classes)?;
    check_classes(&tree, &release)?;
    if let Some(reason) = known.as_ref().and_then(|known| manifest::contradiction(known, &release)) {
        return Err(Error::Disagrees { manifest: manifest_path, reason });
    }
    let rules = Rules {
        mask_bytes: manifest::mask_bytes(known.as_ref(), &release),
        tolerate: known.as_ref().map_or_else(|| options.tolerate.clone(), |known| known.tolerate.clone()),
        resize: options.resize,
    };

    let mut new = NewFolder::begin(&folder)?;
    let mut counts = Counts::default();
    let mut splits = Vec::new();
    for part in &release.parts {
        let files = Files::begin(&mut new, part.split, &release, options.file_bytes);
        let (rows, items) = write(&tree, &part.items, &rules, files, &mut counts)?;
        if rows == 0 {
            let reason = format!("expected an image in the {} split that can be decoded, found none", part.split);
            return Err(Error::Release { place: tree.shown(""), reason });
        }
        splits.push((part.split.name().to_owned(), rows, items));
    }
    if let Some(known) = &known {
        pinned::check(known, &manifest_path, new.growing(), &release)?;
    }
    let text = known.is_none().then(|| manifest::text(name, format, &release, options, counts.channels()));
    // A manifest without files stops nobody from importing again; files without a manifest would.
    if let Some(text) = &text {
        if manifest_path.exists() {
            let reason = "expected no manifest as when the import began, found one\n  hint: import again".to_owned();
            return Err(Error::Disagrees { manifest: manifest_path, reason });
        }
        write_atomic(&manifest_path, text.as_bytes())?;
    }
    new.publish()?;
    let items = match release.task {
        TaskKind::Detection => Some("boxes"),
        TaskKind::CrowdCounting => Some("points"),
        TaskKind::Classification | TaskKind::Segmentation => None,
    };
    let mut warnings = counts.warnings(&rules.tolerate);
    if release.task == TaskKind::Classification && counts.sizes.len() > 1 {
        let sizes = "images have several sizes, and classification needs one: import again with `--size`";
        warnings.push(sizes.to_owned());
    }
    Ok(Summary { format, folder, manifest: text.map(|_| manifest_path), items, splits, warnings })
}

/// For the terminal.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.format, self.folder.display())?;
        for (split, rows, items) in &self.splits {
            let items = self.items.map(|name| format!(", {items} {name}")).unwrap_or_default();
            writeln!(f, "  {split}: {rows} images{items}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        match &self.manifest {
            Some(path) => write!(f, "wrote {}; edit what is unknown", path.display()),
            None => f.write_str("as the manifest says"),
        }
    }
}

/// Where the set goes, unless there is one.
fn check_name(root: &Root, name: &str) -> Result<PathBuf> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !plain || !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err(Error::Name(name.to_owned()));
    }
    let (embedded, cache) = (root.manifests(), root.cache());
    let places = root.external.iter().chain([&embedded, &cache]).map(|place| place.join(name).join("default"));
    match places.into_iter().find(|place| place.symlink_metadata().is_ok()) {
        Some(path) => Err(Error::Exists { name: name.to_owned(), path }),
        None => Ok(root.downloads(name)),
    }
}

/// What the manifest says of the files.
fn known(root: &Root, name: &str, manifest: &Path) -> Result<Stored> {
    match root.manifest(name)?.source {
        Source::Stored(stored) => Ok(*stored),
        Source::Scenes(scenes) => {
            let reason = format!("expected a set with files, found one that is made of {:?}", scenes.from);
            Err(Error::Disagrees { manifest: manifest.to_path_buf(), reason })
        }
    }
}

/// That a manifest could have these classes.
fn check_classes(tree: &Tree, release: &Release) -> Result<()> {
    let found = release.classes.len();
    let wanted = match release.task {
        TaskKind::Classification => 2..=usize::MAX,
        TaskKind::Detection => 1..=usize::MAX,
        TaskKind::Segmentation => 1..=255,
        TaskKind::CrowdCounting => 0..=0,
    };
    let mut names: Vec<&str> = release.classes.iter().map(String::as_str).collect();
    names.sort_unstable();
    let twice = names.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair.first()).flatten());
    let reason = match twice {
        Some(name) => format!("expected different classes, found {name:?} twice"),
        None if !wanted.contains(&found) => {
            format!("expected at least {} classes for {}, found {found}", wanted.start(), release.task)
        }
        None => return Ok(()),
    };
    Err(Error::Release { place: tree.shown(""), reason })
}

/// What was seen over all splits.
#[derive(Default)]
struct Counts {
    /// Whether any image had colours.
    coloured: bool,
    /// The first two sizes of written images.
    sizes: Vec<Size>,
    /// What was tolerated: for each fault how often and the first.
    tolerated: BTreeMap<String, (usize, Complaint)>,
}

impl Counts {
    fn see(&mut self, row: Option<&Row>, complaints: Vec<Complaint>) {
        if let Some(row) = row {
            self.coloured |= row.coloured;
            if self.sizes.len() < 2 && !self.sizes.contains(&row.size) {
                self.sizes.push(row.size);
            }
        }
        for complaint in complaints {
            let count = complaint.count;
            let entry = self.tolerated.entry(complaint.fault.to_string()).or_insert((0, complaint));
            entry.0 += count;
        }
    }

    fn channels(&self) -> usize {
        if self.coloured { 3 } else { 1 }
    }

    fn warnings(&self, tolerate: &[Fault]) -> Vec<String> {
        let seen = tolerate.iter().filter_map(|fault| self.tolerated.get(&fault.to_string()));
        seen.map(|(count, first)| {
            let what = match first.fault {
                Fault::Image => "images were left out",
                Fault::Box => "boxes were cut off or left out",
                Fault::Mask => "pixels of masks are no class",
                Fault::Point => "points were left out",
            };
            format!("{count} {what}; the first: {}: {}", first.file, first.cause)
        })
        .collect()
    }
}

/// Writes the files of a split; returns its rows and items.
fn write(
    tree: &Tree,
    items: &[Item],
    rules: &Rules,
    mut files: Files<'_>,
    counts: &mut Counts,
) -> Result<(usize, usize)> {
    let (mut counted, mut group, mut bytes) = (0, Vec::new(), 0);
    for some in items.chunks(AT_ONCE) {
        let prepared: Vec<Result<_>> = some.par_iter().map(|item| prepare(tree, item, rules)).collect();
        for result in prepared {
            let (row, complaints) = result?;
            counts.see(row.as_ref(), complaints);
            let Some(row) = row else { continue };
            counted += match &row.label {
                RowLabel::Objects(objects) => objects.len(),
                RowLabel::Points(points) => points.len(),
                RowLabel::Class(_) | RowLabel::Mask(_) => 0,
            };
            bytes += row.image.bytes.len();
            group.push(row);
            if group.len() == GROUP_ROWS || bytes >= GROUP_BYTES {
                files.add(&group)?;
                group.clear();
                bytes = 0;
            }
        }
    }
    if !group.is_empty() {
        files.add(&group)?;
    }
    Ok((files.finish()?, counted))
}
