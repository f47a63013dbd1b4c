//! Whether boxes and points are meant as their format says, before anything is written.

use data::plausible::{self, Implausible, Unit};

use crate::error::{Error, Result};
use crate::release::{Item, Label, Part, Picture, Release};
use crate::tree::Tree;

/// Images of a split whose size is looked up where no annotation says it.
const LOOKED_UP: usize = 500;

/// Refuses a release where many boxes or points of a split make no sense, and nearly all do in another unit or form. What
/// is said of few.
pub(crate) fn check(tree: &Tree, release: &Release) -> Result<Vec<String>> {
    let notes = release.parts.iter().map(|part| check_part(tree, part));
    Ok(notes.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn check_part(tree: &Tree, part: &Part) -> Result<Option<String>> {
    let mut looked_up = 0;
    let mut sized: Vec<(&Item, [usize; 2])> = Vec::new();
    for item in part.items.iter().filter(|item| is_located(item)) {
        looked_up += usize::from(item.size.is_none());
        if looked_up > LOOKED_UP {
            break;
        }
        sized.extend(size(tree, item).map(|size| (item, size)));
    }
    // All boxes of a release are meant alike.
    let first = sized.iter().find_map(|(item, _)| match &item.label {
        Label::Objects { meant, place, .. } => Some((*meant, place)),
        _ => None,
    });
    if let Some((meant, place)) = first {
        let boxes = sized.iter().flat_map(|&(item, size)| {
            let objects = if let Label::Objects { objects, .. } = &item.label { objects.as_slice() } else { &[] };
            objects.iter().map(move |object| (object.numbers, size))
        });
        plausible::boxes(meant, boxes.clone()).map_err(|cause| implausible(place, cause))?;
        let (few, total) = (plausible::of_other_unit(meant, boxes.clone()), boxes.count());
        // Of boxes that are meant in parts of the image, those in pixels are outside of it.
        return Ok((few > 0 && meant.unit != Unit::Parts).then(|| {
            format!(
                "{few} of {total} boxes of the {} split are at the first 2 pixels of their image: are they meant as parts of \
                 its width and height?",
                part.split
            )
        }));
    }
    let points = sized.iter().flat_map(|&(item, size)| {
        let points = if let Label::Points { points, .. } = &item.label { points.as_slice() } else { &[] };
        points.iter().map(move |&point| (point, size))
    });
    let place = sized.iter().find_map(|(item, _)| match &item.label {
        Label::Points { place, .. } => Some(place.as_str()),
        _ => None,
    });
    plausible::points(points).map_err(|cause| implausible(place.unwrap_or_default(), cause))?;
    Ok(None)
}

fn implausible(place: &str, cause: Box<Implausible>) -> Error {
    Error::Implausible { place: place.to_owned(), cause }
}

fn is_located(item: &Item) -> bool {
    match &item.label {
        Label::Objects { objects, .. } => !objects.is_empty(),
        Label::Points { points, .. } => !points.is_empty(),
        Label::Class(_) | Label::Mask(_) => false,
    }
}

/// `[height, width]` of an image with boxes or points: as its annotation says, else as its file has.
fn size(tree: &Tree, item: &Item) -> Option<[usize; 2]> {
    match (&item.size, &item.picture) {
        (Some(size), _) => Some([size.height as usize, size.width as usize]),
        (None, Picture::Pixels { image, .. }) => Some([image.height, image.width]),
        // An image that cannot be read is complained about where it is decoded.
        (None, Picture::File(file)) => {
            let (height, width, _) = data::decode::header(&tree.read(file).ok()?).ok()?;
            Some([height, width])
        }
    }
}
