//! From a release to a set: all of it, or nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data::{Fault, Resize, Root, Source, Stored, TaskKind};
use files::{FileError, NewFolder, create_folder, hold, write_atomic};
use rayon::prelude::*;

use crate::check::Complaint;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::layout::Given;
use crate::options::Options;
use crate::prepare::{Row, RowLabel, Rules, prepare};
use crate::release::{Item, Release, Size};
use crate::tree::Tree;
use crate::{layout, manifest, pinned, sense};

/// Rows of a row group.
const GROUP_ROWS: usize = 100;

/// Bytes of images from which a row group ends before it has all its rows.
const GROUP_BYTES: usize = 1 << 26;

/// Images that are in memory decoded or waiting.
const AT_ONCE: usize = 20;

/// How names begin that files and folders have while they are written; see [`files`].
const WRITING: &str = ".writing-";

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
/// JPEG and PNG images keep the bytes of their files; others that are read ([`data::decode::READ`]) become PNG, of
/// the same pixels. Where images get another size, a JPEG is made anew with quality 95, and others as PNG.
///
/// What an import that was killed left behind is removed by the next one of the same name. Of two at once, the second
/// waits.
///
/// # Errors
///
/// Where there is such a set, the release or a manifest cannot be read, they contradict each other, or
/// a row is wrong and the manifest does not tolerate it. Then nothing is written.
pub fn import(root: &Root, name: &str, source: &Path, options: &Options) -> Result<Summary> {
    let folder = check_name(root, name)?;
    let waiting = || eprintln!("{name}: another process makes it; waiting for that to end");
    let above = folder.parent().unwrap_or(&folder);
    let _held = hold(above, waiting)?;
    // The other process may have made it.
    check_name(root, name)?;
    remove_left_over(above, Duration::ZERO)?;
    // Here others may be writing, for milliseconds.
    remove_left_over(&root.manifests(), Duration::from_secs(3600))?;
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
    let given = Given { classes, first_pixel: options.first_pixel };
    let (format, tree, release) = layout::read(&tree, options.format.as_deref(), &given)?;
    if options.first_pixel.is_some() && format != "voc" {
        let reason = format!("expected a release of the structure voc for `--first-pixel`, found {format}");
        return Err(Error::Release { place: tree.shown(""), reason });
    }
    check_classes(&tree, &release)?;
    if let Some(reason) = known.as_ref().and_then(|known| manifest::contradiction(known, &release)) {
        return Err(Error::Disagrees { manifest: manifest_path, reason });
    }
    let rules = Rules {
        mask_bytes: manifest::mask_bytes(known.as_ref(), &release),
        tolerate: known.as_ref().map_or_else(|| options.tolerate.clone(), |known| known.tolerate.clone()),
        resize: options.resize,
    };
    let notes = sense::check(&tree, &release, rules.tolerate.contains(&Fault::Box))?;

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
    let mut warnings = counts.warnings(&rules.tolerate, release.task);
    if release.task == TaskKind::Classification && counts.sizes.len() > 1 {
        let sizes = "images have several sizes, and classification needs one: import again with `--size`";
        warnings.push(sizes.to_owned());
    }
    warnings.extend(release.notes.into_iter().chain(notes));
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

/// Removes what killed imports were writing to `folder`, unless it is younger than `age`.
fn remove_left_over(folder: &Path, age: Duration) -> Result<()> {
    let unlisted = |cause| FileError::new("list", folder, cause);
    for entry in std::fs::read_dir(folder).map_err(unlisted)? {
        let path = entry.map_err(unlisted)?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(WRITING)) {
            continue;
        }
        let written = path.symlink_metadata().and_then(|metadata| Ok((metadata.is_dir(), metadata.modified()?)));
        // Who writes it may have ended just now.
        let Ok((is_folder, modified)) = written else { continue };
        if modified.elapsed().unwrap_or_default() >= age {
            #[expect(clippy::disallowed_methods, reason = "a program made it that was killed, and nobody can read it")]
            let removed = if is_folder { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(|cause| FileError::new("remove", &path, cause))?;
        }
    }
    Ok(())
}

/// What was seen over all splits.
#[derive(Default)]
struct Counts {
    /// Images that were neither JPEG nor PNG.
    converted: usize,
    /// Images that EXIF data turn.
    turned: usize,
    /// Whether any image had colors.
    colored: bool,
    /// The first two sizes of written images.
    sizes: Vec<Size>,
    /// What was tolerated: for each fault how often and the first.
    tolerated: BTreeMap<String, (usize, Complaint)>,
}

impl Counts {
    fn see(&mut self, row: Option<&Row>, complaints: Vec<Complaint>) {
        if let Some(row) = row {
            self.colored |= row.colored;
            self.converted += usize::from(row.converted);
            self.turned += usize::from(row.turned);
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
        if self.colored { 3 } else { 1 }
    }

    fn warnings(&self, tolerate: &[Fault], task: TaskKind) -> Vec<String> {
        let seen = tolerate.iter().filter_map(|fault| self.tolerated.get(&fault.to_string()));
        let tolerated = seen.map(|(count, first)| {
            let what = match first.fault {
                Fault::Image => "images were left out",
                Fault::Box => "boxes were cut off or left out",
                Fault::Mask => "pixels of masks are no class",
                Fault::Point => "points were left out",
            };
            format!("{count} {what}; the first: {}: {}", first.file, first.cause)
        });
        let mut warnings: Vec<String> = tolerated.collect();
        if self.converted > 0 {
            let kinds = "neither JPEG nor PNG, and were stored as PNG: of 8 bits a channel, without transparency, and of \
                         several pictures in a file the first";
            warnings.push(format!("{} images are {kinds}", self.converted));
        }
        if self.turned > 0 && task != TaskKind::Classification {
            let turned = "turned by their EXIF data: their annotations must be of the upright images";
            warnings.push(format!("{} images are {turned}", self.turned));
        }
        warnings
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
