//! Masks in folders.

use anyhow::{Context, bail};
use data::decode::{LARGEST_IMAGE, MaskPixels, mask};
use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Ends of the names of files that could be masks, but are not read.
const OTHERS: [&str; 9] = ["npy", "npz", "tif", "tiff", "jpg", "jpeg", "bmp", "gif", "webp"];

/// The paths below `folder` of the PNG files in it, without hidden ones and those that systems add to archives; and what
/// the user must know of others.
pub(super) fn masks(folder: &Path) -> train::Result<(BTreeSet<PathBuf>, Option<String>)> {
    let (mut found, mut others) = (BTreeSet::new(), BTreeSet::new());
    let visible = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || !(name.starts_with('.') || name == "__MACOSX")
    };
    for entry in walkdir::WalkDir::new(folder).follow_links(true).into_iter().filter_entry(visible) {
        let entry = entry.with_context(|| format!("{}: cannot list the masks", folder.display()))?;
        if entry.file_type().is_file() {
            let is_png = entry.path().extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
            let files = if is_png { &mut found } else { &mut others };
            files.insert(entry.path().strip_prefix(folder)?.to_owned());
        }
    }
    match others.first() {
        _ if !found.is_empty() => {
            let could_be = |other: &&PathBuf| {
                let end = other.extension().unwrap_or_default();
                OTHERS.iter().any(|kind| end.eq_ignore_ascii_case(kind))
                    && !found.contains(&other.with_extension("png"))
            };
            let left: Vec<&PathBuf> = others.iter().filter(could_be).collect();
            let warning = left.first().map(|first| {
                let first = folder.join(first);
                format!("{} files are no PNG files, and not scored; the first: {}", left.len(), first.display())
            });
            Ok((found, warning))
        }
        None => bail!("{}: expected PNG files, found none", folder.display()),
        Some(other) => {
            bail!("{}: expected PNG files, found others alone, such as {}", folder.display(), other.display())
        }
    }
}

/// That each mask in `truth` has one in `predictions`, and the other way round.
pub(super) fn check_names(
    truth: (&Path, &BTreeSet<PathBuf>),
    predictions: (&Path, &BTreeSet<PathBuf>),
) -> train::Result<()> {
    let pairs =
        [("truth without a prediction", truth, predictions), ("a prediction without truth", predictions, truth)];
    for (what, (of, names), (other, known)) in pairs {
        let Some(name) = names.difference(known).next() else { continue };
        let (file, expected) = (of.join(name), other.join(name));
        let near =
            beside(&expected).map_or_else(|| "no such file".to_owned(), |near| format!("{near}, which is no PNG file"));
        bail!("{}: {what}: expected {}, found {near}", file.display(), expected.display());
    }
    Ok(())
}

/// The name of a file that differs from `path` in its extension alone.
fn beside(path: &Path) -> Option<String> {
    let mut files: Vec<PathBuf> =
        path.parent()?.read_dir().ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let near = files.iter().find(|file| file.file_stem() == path.file_stem())?;
    Some(near.file_name()?.to_string_lossy().into_owned())
}

/// A color of a palette.
pub(super) type Color = [u8; 3];

/// A mask of one value a pixel, and the colors of the values where it has a palette.
pub(super) struct Values {
    pub(super) height: usize,
    pub(super) width: usize,
    /// `[height, width]`
    pub(super) pixels: Vec<u8>,
    pub(super) palette: Option<Vec<Color>>,
}

/// Reads a mask. Of one whose three channels are equal, the value is that of each.
pub(super) fn read(path: &Path) -> train::Result<Values> {
    let mut file = Vec::new();
    files::read_pieces(path, |piece| file.extend_from_slice(piece))?;
    if !file.starts_with(b"\x89PNG") {
        bail!("{}: expected a PNG file, found {}", path.display(), data::kind::found(&file));
    }
    let decoded = mask(&file).map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))?;
    let MaskPixels { height, width, channels, pixels } = decoded;
    if channels == 1 {
        return Ok(Values { height, width, pixels, palette: palette(&file) });
    }
    let (pixels, _) = pixels.as_chunks::<3>();
    if let Some(index) = pixels.iter().position(|[red, green, blue]| red != green || green != blue) {
        bail!(
            "{}: expected one value a pixel, found the color {:?} at row {}, column {}\n  hint: write the index of each \
             pixel's class, gray or with a palette",
            path.display(),
            pixels[index],
            index / width,
            index % width
        );
    }
    Ok(Values { height, width, pixels: pixels.iter().map(|[value, ..]| *value).collect(), palette: None })
}

/// The colors of a PNG file's palette, where it has one.
fn palette(file: &[u8]) -> Option<Vec<Color>> {
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(file), png::Limits { bytes: LARGEST_IMAGE as usize });
    decoder.set_transformations(png::Transformations::IDENTITY);
    let reader = decoder.read_info().ok()?;
    let info = reader.info();
    let palette = info.palette.as_deref().filter(|_| info.color_type == png::ColorType::Indexed)?;
    Some(palette.as_chunks::<3>().0.to_vec())
}
