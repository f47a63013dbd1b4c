//! What speaks against the meaning that boxes are taken to have.

use crate::metric::{Boxes, Files, Found, MOST, Truth, beyond as indices_beyond, coco};
use std::collections::BTreeSet;

/// Left, top, width and height.
type Bounds = [f64; 4];

/// Detections that COCO does not count.
pub(super) fn beyond(boxes: &Boxes) -> Option<String> {
    let beyond = indices_beyond(boxes);
    let images: BTreeSet<u32> = beyond.iter().map(|index| boxes.found[*index].image).collect();
    (!beyond.is_empty()).then(|| {
        format!(
            "{} detections, in {} of {} images, do not count: of an image's detections of a category, COCO counts the {MOST} with \
             the highest scores",
            beyond.len(),
            images.len(),
            boxes.images
        )
    })
}

/// Objects and images that are there more than once.
pub(super) fn twice(files: &Files) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let same = |truth: &&Truth| !seen.insert((truth.image, truth.class, truth.bounds.map(f64::to_bits)));
    let objects = files.boxes.truths.iter().filter(same).count();
    let objects = (objects > 0).then(|| {
        format!(
            "{objects} objects are twice in their image, with the same category and box: one of the two is never found"
        )
    });
    let file = files.file_twice.as_ref();
    let file = file.map(|name| format!("{name} is the file of several images, which are scored one by one"));
    objects.into_iter().chain(file).collect()
}

/// What looks wrong with boxes that have an AP of `ap50` at an IoU of 0.5.
pub(super) fn of(files: &Files, ap50: Option<f64>) -> Vec<String> {
    let Boxes { truths, found, .. } = &files.boxes;
    if truths.is_empty() || found.is_empty() {
        return Vec::new();
    }
    let warnings = units(files);
    if !warnings.is_empty() {
        return warnings;
    }
    let ap50 = ap50.unwrap_or_default();
    let sides = [("objects", outside(truths.iter().map(|truth| (truth.image, truth.bounds)), files))];
    let sides = sides
        .into_iter()
        .chain([("detections", outside(found.iter().map(|found| (found.image, found.bounds)), files))]);
    let mut warnings: Vec<String> = sides.filter_map(|(name, outside)| corners(name, outside?)).collect();
    if warnings.is_empty() {
        warnings.extend(better_as_corners(files, ap50).or_else(|| nothing_found(files, ap50)));
    }
    warnings
}

/// Boxes in parts of the image, where pixels are meant: all of them, or several and more than one in a hundred.
fn units(files: &Files) -> Vec<String> {
    let Boxes { truths, found, .. } = &files.boxes;
    let small = |[left, top, width, height]: &Bounds| left.max(*top) <= 1.5 && (left + width).max(top + height) <= 1.5;
    let objects = truths.iter().map(|truth| truth.bounds).filter(small).count();
    let detections = found.iter().map(|found| found.bounds).filter(small).count();
    let large = files.sizes.iter().flatten().any(|[width, height]| width.max(*height) > 2.0);
    let warning = |what: &str, which: &str| {
        format!(
            "{what} lie within 1.5 pixels of the corner of their image: they look like parts of its width and height, where \
             pixels are meant\n  hint: multiply {which}by both"
        )
    };
    match (objects == truths.len(), detections == found.len()) {
        // Of images that small, or of unknown size.
        (true, true) if !large => return Vec::new(),
        (true, true) => return vec![warning("all objects and detections", "")],
        (true, false) => return vec![warning("all objects", "")],
        (false, true) => return vec![warning("all detections", "")],
        (false, false) => {}
    }
    let sides = [("objects", objects, truths.len()), ("detections", detections, found.len())];
    let parts = sides.into_iter().filter(|(_, part, all)| *part > 1 && part * 100 > *all);
    parts.map(|(what, part, all)| warning(&format!("{part} of {all} {what}"), "those ")).collect()
}

/// How many boxes reach out of their image, and how many there are: of images whose size is known, and where all of them
/// would make sense as corners.
fn outside(boxes: impl Iterator<Item = (u32, Bounds)>, files: &Files) -> Option<(usize, usize)> {
    let (mut outside, mut all) = (0, 0);
    for (image, [left, top, right, bottom]) in boxes {
        let Some([width, height]) = files.sizes.get(image as usize).copied().flatten() else { continue };
        if right < left || bottom < top || right > width + 1.0 || bottom > height + 1.0 {
            return None;
        }
        all += 1;
        outside += usize::from(left + right > 1.05 * width || top + bottom > 1.05 * height);
    }
    Some((outside, all))
}

fn corners(name: &str, (outside, all): (usize, usize)) -> Option<String> {
    (outside > 0 && 4 * outside >= all).then(|| {
        format!(
            "{outside} of {all} {name} reach out of their image, and none would if `bbox` were left, top, right and bottom, where \
             left, top, width and height are meant"
        )
    })
}

/// Detections that fit the objects better as corners.
fn better_as_corners(files: &Files, ap50: f64) -> Option<String> {
    let Boxes { images, truths, found } = &files.boxes;
    if !found.iter().all(|Found { bounds: [left, top, right, bottom], .. }| right >= left && bottom >= top) {
        return None;
    }
    let sized = |found: &Found| {
        let [left, top, right, bottom] = found.bounds;
        Found { bounds: [left, top, right - left, bottom - top], ..*found }
    };
    let found = found.iter().map(sized).collect();
    let other = at_half(&Boxes { images: *images, truths: truths.clone(), found });
    (other >= 0.1 && other > 2.0 * ap50).then(|| {
        format!(
            "AP at an IoU of 0.5 is {ap50:.3}, and would be {other:.3} if `bbox` of the detections were left, top, right and \
             bottom, where left, top, width and height are meant"
        )
    })
}

/// Not one detection that finds an object.
fn nothing_found(files: &Files, ap50: f64) -> Option<String> {
    if ap50 > 0.0 || files.boxes.truths.iter().all(|truth| truth.ignore) {
        return None;
    }
    let Boxes { images, truths, found } = &files.boxes;
    let truths = truths.iter().map(|truth| Truth { class: 0, ..*truth }).collect();
    let found = found.iter().map(|found| Found { class: 0, ..*found }).collect();
    let other = at_half(&Boxes { images: *images, truths, found });
    let reason = if other >= 0.1 {
        format!(
            "and would have an AP of {other:.3} if all categories were one: are ids of categories those of the annotations?"
        )
    } else {
        "nor of any other: are they of these images, in pixels of the original ones?".to_owned()
    };
    Some(format!("no detection has an IoU of 0.5 with an object of its category, {reason}"))
}

fn at_half(boxes: &Boxes) -> f64 {
    coco(boxes).statistics[1].unwrap_or_default()
}
