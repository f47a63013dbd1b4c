//! Whether boxes and points are meant as their reader takes them: one check for all readers.
//!
//! Numbers in another unit or order give wrong boxes without any error, or with an error for some boxes, which hides
//! that all are wrong. So where many make no sense as they are read, and nearly all do another way, that way is named.

use std::fmt;

/// What the four numbers of a box are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Left, top, width, height.
    Xywh,
    /// Left, top, right, bottom.
    Xyxy,
    /// Middle (x, y), width, height.
    Cxcywh,
}

/// What numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Pixels of the image.
    Pixels,
    /// The same of left, top, right, bottom that count pixels from 1 and include the last, as Pascal VOC does.
    PixelsFrom1,
    /// Parts of the image's width and height, from 0 to 1.
    Parts,
}

/// How the four numbers of a box are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// What they are.
    pub form: Form,
    /// What they count.
    pub unit: Unit,
}

impl Meaning {
    /// Left, top, right, bottom in pixels of an image of `[height, width]`.
    pub fn corners(self, [a, b, c, d]: [f64; 4], size: [usize; 2]) -> [f64; 4] {
        let [x, y] = match self.unit {
            Unit::Pixels | Unit::PixelsFrom1 => [1.0, 1.0],
            Unit::Parts => [size[1] as f64, size[0] as f64],
        };
        let [left, top, right, bottom] = match self.form {
            Form::Xywh => [a, b, a + c, b + d],
            Form::Xyxy => [a, b, c, d],
            Form::Cxcywh => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
        };
        let before = if self.unit == Unit::PixelsFrom1 { 1.0 } else { 0.0 };
        [left * x - before, top * y - before, right * x, bottom * y]
    }

    /// Whether a box makes no sense with this meaning.
    fn is_wrong(self, numbers: [f64; 4], size: [usize; 2]) -> bool {
        let corners @ [left, top, right, bottom] = self.corners(numbers, size);
        let [height, width] = size.map(|side| side as f64);
        let inside = left >= -ROUNDING && top >= -ROUNDING && right <= width + ROUNDING && bottom <= height + ROUNDING;
        let sound = corners.iter().all(|corner| corner.is_finite()) && right > left && bottom > top && inside;
        !sound || self.unit != Unit::Parts && in_corner(corners, size)
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.form {
            Form::Xywh => "left, top, width, height",
            Form::Xyxy => "left, top, right, bottom",
            Form::Cxcywh => "middle x, middle y, width, height",
        };
        write!(f, "[{form}] {}", self.unit)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pixels => "in pixels",
            Self::PixelsFrom1 => "in pixels from 1",
            Self::Parts => "as parts of the image's width and height",
        })
    }
}

/// Numbers that are meant another way than they are read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {what} that are {meant}, found that {wrong} of {total} make no sense so, {}", self.remark())]
pub struct Implausible {
    /// Boxes or points.
    pub what: &'static str,
    /// How they are read, in words.
    pub meant: String,
    /// How they make sense, in words.
    pub other: String,
    /// The other meaning of boxes.
    pub meaning: Option<Meaning>,
    /// How many make no sense as they are read.
    pub wrong: usize,
    /// The same of all with the other meaning; `None` where it is these alone that have the other meaning.
    pub wrong_as_other: Option<usize>,
    /// All of them.
    pub total: usize,
}

impl Implausible {
    fn remark(&self) -> String {
        let other = &self.other;
        self.wrong_as_other.map_or_else(|| format!("but as {other}"), |wrong| format!("and {wrong} as {other}"))
    }
}

/// Pixels that a box or a point may be outside by: annotations are rounded.
const ROUNDING: f64 = 1.0;

/// Whether the corners of a box are all within what parts of an image's sides can be, at its first pixels. An image of
/// a few pixels may have such boxes.
fn in_corner([left, top, right, bottom]: [f64; 4], size: [usize; 2]) -> bool {
    size.iter().all(|&side| side > 8) && left <= 1.0 && top <= 1.0 && right <= 2.0 && bottom <= 2.0
}

/// More than one in twenty of all make no sense, not just a single one, and with the other meaning only a tenth of
/// these.
fn is_other(total: usize, wrong: usize, wrong_as_other: usize) -> bool {
    wrong * 20 > total && (wrong > 1 || total == 1) && wrong_as_other * 10 < wrong
}

/// More than one in twenty of all, and not just a single one.
fn is_part(total: usize, part: usize) -> bool {
    part * 20 > total && part > 1
}

/// How many boxes make no sense as they are `meant`, but do in the other unit: of those that are meant in pixels, these
/// are all at the first pixels of their image.
pub fn of_other_unit(meant: Meaning, boxes: impl Iterator<Item = ([f64; 4], [usize; 2])>) -> usize {
    let unit = if meant.unit == Unit::Parts { Unit::Pixels } else { Unit::Parts };
    let other = Meaning { unit, ..meant };
    boxes.filter(|&(numbers, size)| meant.is_wrong(numbers, size) && !other.is_wrong(numbers, size)).count()
}

/// Holds boxes, each with the `[height, width]` of its image, against how they are `meant`.
///
/// # Errors
///
/// Where many make no sense so, and nearly all do another way, or these do in another unit.
pub fn boxes(
    meant: Meaning,
    boxes: impl Iterator<Item = ([f64; 4], [usize; 2])> + Clone,
) -> Result<(), Box<Implausible>> {
    let wrong = |meaning: Meaning| boxes.clone().filter(|&(numbers, size)| meaning.is_wrong(numbers, size)).count();
    let (total, found) = (boxes.clone().count(), wrong(meant));
    if found * 20 <= total {
        return Ok(());
    }
    // The likeliest first: the form that the format has, in another unit.
    let units = match meant.unit {
        Unit::Pixels | Unit::PixelsFrom1 => [Unit::Pixels, Unit::Parts],
        Unit::Parts => [Unit::Parts, Unit::Pixels],
    };
    let forms = [Form::Xywh, Form::Xyxy, Form::Cxcywh];
    let others = units.into_iter().flat_map(|unit| forms.map(|form| Meaning { form, unit }));
    // From 0 or from 1 is a pixel, and no other meaning.
    let others = others.filter(|other| other.form != meant.form || other.unit != units[0]);
    let others = std::iter::once(Meaning { form: meant.form, unit: units[1] }).chain(others);
    let mut others = others.map(|other| (wrong(other), other));
    let what = "boxes";
    if let Some((as_other, other)) = others.find(|&(as_other, _)| is_other(total, found, as_other)) {
        let (meaning, wrong_as_other, other) = (Some(other), Some(as_other), other.to_string());
        let meant = meant.to_string();
        return Err(Box::new(Implausible { what, meant, other, meaning, wrong: found, wrong_as_other, total }));
    }
    let part = of_other_unit(meant, boxes.clone());
    if !is_part(total, part) {
        return Ok(());
    }
    let other = Meaning { form: meant.form, unit: units[1] }.to_string();
    let meant = meant.to_string();
    Err(Box::new(Implausible { what, meant, other, meaning: None, wrong: part, wrong_as_other: None, total }))
}

/// Holds points, each `[x, y]` with the `[height, width]` of its image, against that they are meant in pixels.
///
/// # Errors
///
/// Where many make no sense so, and nearly all do as parts of the image's sides, or as `[y, x]`.
pub fn points(points: impl Iterator<Item = ([f64; 2], [usize; 2])> + Clone) -> Result<(), Box<Implausible>> {
    let outside = |[x, y]: [f64; 2], [height, width]: [usize; 2]| {
        let inside = |at: f64, side: usize| (-ROUNDING..=side as f64 + ROUNDING).contains(&at);
        !(inside(x, width) && inside(y, height))
    };
    let parts = |[x, y]: [f64; 2], size: [usize; 2]| {
        size.iter().all(|&side| side > 8) && [x, y].iter().all(|at| (0.0..=1.0).contains(at))
    };
    let count = |is_wrong: &dyn Fn([f64; 2], [usize; 2]) -> bool| {
        points.clone().filter(|&(point, size)| is_wrong(point, size)).count()
    };
    let total = points.clone().count();
    let wrong = count(&|point, size| outside(point, size) || parts(point, size));
    let as_parts = count(&|point, size| !parts(point, size));
    let swapped = count(&|[x, y], size| outside([y, x], size) || parts([x, y], size));
    let (wrong_as_other, other) = if as_parts <= swapped {
        (as_parts, "parts of the image's width and height".to_owned())
    } else {
        (swapped, "[y, x] in pixels".to_owned())
    };
    let (what, meant) = ("points", "[x, y] in pixels".to_owned());
    if is_other(total, wrong, wrong_as_other) {
        let wrong_as_other = Some(wrong_as_other);
        return Err(Box::new(Implausible { what, meant, other, meaning: None, wrong, wrong_as_other, total }));
    }
    let part = total - as_parts;
    if !is_part(total, part) {
        return Ok(());
    }
    let other = "parts of the image's width and height".to_owned();
    Err(Box::new(Implausible { what, meant, other, meaning: None, wrong: part, wrong_as_other: None, total }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: [usize; 2] = [480, 640];

    fn meaning(form: Form, unit: Unit) -> Meaning {
        Meaning { form, unit }
    }

    /// The numbers for the corners of a box.
    fn numbers(meant: Meaning, [left, top, right, bottom]: [f64; 4]) -> [f64; 4] {
        let [x, y] = if meant.unit == Unit::Parts { [640.0, 480.0] } else { [1.0, 1.0] };
        let [left, top, right, bottom] = [left / x, top / y, right / x, bottom / y];
        match meant.form {
            Form::Xywh => [left, top, right - left, bottom - top],
            Form::Xyxy => [left, top, right, bottom],
            Form::Cxcywh => [(left + right) / 2.0, (top + bottom) / 2.0, right - left, bottom - top],
        }
    }

    fn all() -> impl Iterator<Item = Meaning> {
        let forms = [Form::Xywh, Form::Xyxy, Form::Cxcywh];
        forms.into_iter().flat_map(|form| [Unit::Pixels, Unit::Parts].map(|unit| meaning(form, unit)))
    }

    proptest! {
        #[test]
        fn boxes_are_plausible_as_they_are_and_never_in_another_unit(
            corners in prop::collection::vec((0.0..600.0_f64, 0.0..440.0_f64, 3.0..40.0_f64, 3.0..40.0_f64), 1..40),
        ) {
            let corners = corners.into_iter().map(|(x, y, w, h)| [x, y, x + w, y + h]);
            for meant in all() {
                let given: Vec<_> = corners.clone().map(|corners| (numbers(meant, corners), SIZE)).collect();
                prop_assert_eq!(boxes(meant, given.iter().copied()), Ok(()));
                for read in all().filter(|read| read.unit != meant.unit) {
                    let found = boxes(read, given.iter().copied()).unwrap_err();
                    prop_assert_eq!(found.meaning.unwrap().unit, meant.unit);
                }
            }
        }

        #[test]
        fn points_are_plausible_in_pixels_alone(
            given in prop::collection::vec([2.0..640.0_f64, 2.0..480.0_f64], 1..40),
        ) {
            prop_assert_eq!(points(given.iter().map(|&point| (point, SIZE))), Ok(()));
            let parts = given.iter().map(|[x, y]| ([x / 640.0, y / 480.0], SIZE));
            prop_assert!(points(parts).unwrap_err().other.contains("parts"));
        }
    }

    #[test]
    fn other_forms_are_named() {
        let corners = [[105.0, 106.0, 125.0, 116.0], [120.0, 110.0, 600.0, 400.0], [400.0, 300.0, 500.0, 450.0]];
        for (read, meant) in [(Form::Xywh, Form::Xyxy), (Form::Xyxy, Form::Xywh), (Form::Xywh, Form::Cxcywh)] {
            let meant = meaning(meant, Unit::Pixels);
            let given = corners.map(|corners| (numbers(meant, corners), SIZE));
            let found = boxes(meaning(read, Unit::Pixels), given.into_iter()).unwrap_err();
            assert_eq!(found.meaning, Some(meant), "{found}");
        }
        let found = points([([10.0, 600.0], SIZE), ([400.0, 600.0], SIZE)].into_iter()).unwrap_err();
        assert_eq!(
            found.to_string(),
            "expected points that are [x, y] in pixels, found that 2 of 2 make no sense so, and 0 as [y, x] in pixels"
        );
    }

    #[test]
    fn a_part_in_another_unit_is_counted() {
        let pixels = |count| std::iter::repeat_n(([100.0, 110.0, 200.0, 220.0], SIZE), count);
        let parts = |count| std::iter::repeat_n(([0.25, 0.25, 0.5, 0.5], SIZE), count);
        let wild = || std::iter::once(([600.0, 10.0, 100.0, 20.0], SIZE));
        for form in [Form::Xywh, Form::Xyxy, Form::Cxcywh] {
            let found = boxes(meaning(form, Unit::Pixels), pixels(6).chain(parts(6)).chain(wild())).unwrap_err();
            assert_eq!((found.wrong, found.total), (6, 13));
            assert!(found.to_string().ends_with("as parts of the image's width and height"), "{found}");
            let found = boxes(meaning(form, Unit::Parts), pixels(4).chain(parts(9))).unwrap_err();
            assert_eq!((found.wrong, found.wrong_as_other), (4, None));
            assert!(found.to_string().ends_with("in pixels"), "{found}");
            let few = pixels(60).chain(parts(2));
            assert_eq!(boxes(meaning(form, Unit::Pixels), few.clone()), Ok(()));
            assert_eq!(of_other_unit(meaning(form, Unit::Pixels), few), 2);
        }
        let crowd = [([100.0, 200.0], SIZE), ([0.5, 0.25], SIZE), ([300.0, 20.0], SIZE), ([0.75, 0.5], SIZE)];
        assert_eq!(
            points(crowd.into_iter()).unwrap_err().to_string(),
            "expected points that are [x, y] in pixels, found that 2 of 4 make no sense so, but as parts of the image's \
             width and height"
        );
    }

    #[test]
    fn a_few_wrong_boxes_are_no_other_form() {
        let good = std::iter::repeat_n(([10.0, 10.0, 20.0, 20.0], SIZE), 30);
        let wild = [([600.0, 10.0, 100.0, 20.0], SIZE)];
        assert_eq!(boxes(meaning(Form::Xywh, Unit::Pixels), good.chain(wild)), Ok(()));
        assert_eq!(boxes(meaning(Form::Xywh, Unit::Pixels), std::iter::empty()), Ok(()));
        // Of images of a few pixels, boxes are small.
        assert_eq!(boxes(meaning(Form::Xywh, Unit::Pixels), std::iter::once(([0.0, 0.0, 1.0, 1.0], [4, 4]))), Ok(()));
    }
}
