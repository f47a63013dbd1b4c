//! Labels against the image that they are of, and in the pixels of the image that is written.

use data::plausible::Meaning;
use data::{Fault, Mask};

use crate::error::Malformed;
use crate::release::{Boxed, Size};

/// Pixels that a box or a point may be outside by: annotations are rounded, and some count from 1.
/// A box is cut off there, a point moved to the border.
const ROUNDING: f64 = 1.0;

/// What a manifest could tolerate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Complaint {
    pub(crate) fault: Fault,
    pub(crate) file: String,
    pub(crate) cause: Malformed,
    /// How many images, boxes, pixels or points.
    pub(crate) count: usize,
}

/// An object as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Written {
    pub(crate) id: i64,
    pub(crate) class: u32,
    pub(crate) area: f64,
    /// Left, top, width, height: inside of the image however they are added.
    pub(crate) bbox: [f32; 4],
    pub(crate) crowd: bool,
}

/// Boxes of an image of size `from` in one of size `to`. What is outside of it is cut off, and what has
/// no area is left out; both with a complaint without a file.
pub(crate) fn boxes(
    objects: &[Boxed],
    counted: &str,
    meant: Meaning,
    from: Size,
    to: Size,
) -> (Vec<Written>, Vec<(Malformed, usize)>) {
    let (mut written, mut complaints) = (Vec::with_capacity(objects.len()), Vec::new());
    let (width, height) = (f64::from(from.width), f64::from(from.height));
    for object in objects {
        let at = || format!("{counted} {}", object.number);
        let [left, top, right, bottom] = meant.corners(object.numbers, [from.height as usize, from.width as usize]);
        let found = format!("columns {left} to {right}, rows {top} to {bottom}");
        let (x, w) = span(left, right, from.width, to.width);
        let (y, h) = span(top, bottom, from.height, to.height);
        if !(w > 0.0 && h > 0.0) {
            complaints.push((Malformed::new(at(), format!("a box with area in an image of {from}"), found), 1));
            continue;
        }
        if !(inside(left, width) && inside(right, width) && inside(top, height) && inside(bottom, height)) {
            complaints.push((Malformed::new(at(), format!("a box inside of an image of {from}"), found), 1));
        }
        let scale = f64::from(to.width) * f64::from(to.height) / (width * height);
        let area = object.area.map_or(f64::from(w) * f64::from(h), |area| area * scale);
        written.push(Written { id: object.id, class: object.class, area, bbox: [x, y, w, h], crowd: object.crowd });
    }
    (written, complaints)
}

/// Points of an image of size `from` in one of size `to`. Those outside are left out, with a complaint.
pub(crate) fn points(points: &[[f64; 2]], from: Size, to: Size) -> (Vec<[f32; 2]>, Vec<(Malformed, usize)>) {
    let (mut written, mut complaints) = (Vec::with_capacity(points.len()), Vec::new());
    for (&[x, y], number) in points.iter().zip(1..) {
        match (place(x, from.width, to.width), place(y, from.height, to.height)) {
            (Some(column), Some(row)) => written.push([column, row]),
            _ => {
                let expected = format!("a point inside of an image of {from}");
                complaints.push((Malformed::new(format!("point {number}"), expected, format!("[{x}, {y}]")), 1));
            }
        }
    }
    (written, complaints)
}

/// Complains of bytes that are not `known`, once for all of a mask.
pub(crate) fn mask(mask: &Mask, known: &[u8]) -> Option<(Malformed, usize)> {
    let mut is_known = [false; 256];
    for &byte in known {
        is_known[usize::from(byte)] = true;
    }
    let unknown = |byte: &u8| !is_known[usize::from(*byte)];
    let first = mask.classes.iter().position(unknown)?;
    let (row, column) = (first / mask.width.max(1), first % mask.width.max(1));
    let byte = mask.classes.get(first).copied().unwrap_or_default();
    let known = known.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let cause =
        Malformed::new(format!("row {row}, column {column} (from 0)"), format!("one of {known}"), byte.to_string());
    Some((cause, mask.classes.iter().filter(|byte| unknown(byte)).count()))
}

/// Begin and length of what is inside of an image's side. Their sum is not more than the side, in `f32`
/// as in `f64`.
fn span(low: f64, high: f64, from: u32, to: u32) -> (f32, f32) {
    let scaled = |at: f64| at.clamp(0.0, f64::from(from)) * f64::from(to) / f64::from(from);
    let begin = scaled(low) as f32;
    // What is left by rounding has no length.
    let mut length = if scaled(high) > scaled(low) { (scaled(high) - f64::from(begin)) as f32 } else { 0.0 };
    while f64::from(begin) + f64::from(length) > f64::from(to) {
        length = length.next_down();
    }
    (begin, length)
}

fn inside(at: f64, end: f64) -> bool {
    (-ROUNDING..=end + ROUNDING).contains(&at)
}

/// A coordinate in the image's new side, where it is inside of the old.
fn place(at: f64, from: u32, to: u32) -> Option<f32> {
    let scaled = (at * f64::from(to) / f64::from(from)) as f32;
    inside(at, f64::from(from)).then(|| scaled.clamp(0.0, (to as f32).next_down()))
}
