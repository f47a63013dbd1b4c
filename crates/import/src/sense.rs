//! Whether boxes and points are meant as their format says, before anything is written.

use std::collections::BTreeSet;

use data::plausible::{self, Implausible, Meaning, Unit};

use crate::check;
use crate::error::{Error, Result};
use crate::release::{Item, Label, Part, Picture, Release, Size};
use crate::tree::Tree;

/// Images of a split whose size is looked up where no annotation says it.
const LOOKED_UP: usize = 500;

/// Refuses a release where many boxes or points of a split make no sense, and nearly all do in another unit or form. What
/// is said of few.
/// `tolerated` are boxes that are outside of their image.
pub(crate) fn check(tree: &Tree, release: &Release, tolerated: bool) -> Result<Vec<String>> {
    let notes = release.parts.iter().map(|part| check_part(tree, part, tolerated)).collect::<Result<Vec<_>>>()?;
    Ok(notes.into_iter().flatten().chain(release.parts.iter().filter_map(twice)).collect())
}

/// Boxes that are in their image before, of the same class.
fn twice(part: &Part) -> Option<String> {
    let (mut count, mut first) = (0, None);
    for item in &part.items {
        let Label::Objects { place, counted, objects, .. } = &item.label else { continue };
        let mut seen = BTreeSet::new();
        for object in objects {
            if !seen.insert((object.class, object.numbers.map(f64::to_bits))) {
                count += 1;
                first.get_or_insert_with(|| format!("{place}: {counted} {}", object.number));
            }
        }
    }
    first.map(|first| format!("{count} boxes of the {} split are twice in their image; the first: {first}", part.split))
}

fn check_part(tree: &Tree, part: &Part, tolerated: bool) -> Result<Option<String>> {
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
        if !tolerated {
            outside(part, meant, &sized)
                .map_or(Ok(()), |reason| Err(Error::Release { place: place.clone(), reason }))?;
        }
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

/// That at least half of the boxes are outside of their image or have no area: then it is no few that are wrong.
fn outside(part: &Part, meant: Meaning, sized: &[(&Item, [usize; 2])]) -> Option<String> {
    let (mut wrong, mut total) = (0, 0);
    for (item, [height, width]) in sized {
        let Label::Objects { counted, objects, .. } = &item.label else { continue };
        let size = Size { width: *width as u32, height: *height as u32 };
        wrong += check::boxes(objects, counted, meant, size, size).1.len();
        total += objects.len();
    }
    (wrong > 1 && 2 * wrong >= total).then(|| {
        format!(
            "expected boxes {meant} in their image, found that {wrong} of {total} of the {} split are outside or have no area\n  \
             hint: write them anew, if they are in another unit, such as percent or thousandths of the sides, or in another \
             order, such as y before x",
            part.split
        )
    })
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
