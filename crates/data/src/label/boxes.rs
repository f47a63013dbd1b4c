//! Boxes of objects.

use super::{Label, ROUNDING, class};
use crate::columns::Batch;
use crate::plausible::{self, Form, Meaning, Unit};
use crate::reading::{Reading, Row};
use crate::scenes::Scene;
use crate::spool::Spool;
use crate::{Columns, Error, Fault, Object, Result, TaskKind};
use serde::Deserialize;
use std::fmt;

/// Where images and the boxes of their objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxColumns {
    /// Images.
    pub image: String,
    /// For each object four numbers.
    pub boxes: String,
    /// What the four numbers are.
    pub form: BoxForm,
    /// For each object its class, of any integer type.
    pub category: String,
    /// For each object whether it is a crowd that detections are not held against.
    pub crowd: Option<String>,
}

impl BoxColumns {
    pub(crate) fn reading(&self) -> Vec<String> {
        let Self { boxes, form, category, crowd, .. } = self;
        let crowd = crowd.iter().map(|crowd| format!("crowd {crowd}"));
        [format!("{form} {boxes}"), category.clone()].into_iter().chain(crowd).collect()
    }
}

/// What the four numbers of a box are, in pixels of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoxForm {
    /// Left, top, width, height, as in COCO.
    Xywh,
    /// Left, top, right, bottom.
    Xyxy,
}

impl BoxForm {
    pub(crate) fn meaning(self) -> Meaning {
        let form = match self {
            Self::Xywh => Form::Xywh,
            Self::Xyxy => Form::Xyxy,
        };
        Meaning { form, unit: Unit::Pixels }
    }

    /// The form that a manifest can have for what numbers mean.
    pub(crate) fn of(meaning: Meaning) -> Option<Self> {
        [Self::Xywh, Self::Xyxy].into_iter().find(|form| form.meaning() == meaning)
    }
}

impl fmt::Display for BoxForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Xywh => "xywh",
            Self::Xyxy => "xyxy",
        })
    }
}

impl Label for Vec<Object> {
    const TASK: TaskKind = TaskKind::Detection;
    type Columns = BoxColumns;
    type Raw = Vec<Object>;

    fn of(columns: &Columns) -> Option<&BoxColumns> {
        match columns {
            Columns::Detection(columns) => Some(columns),
            _ => None,
        }
    }

    fn names(BoxColumns { boxes, category, crowd, .. }: &BoxColumns) -> Vec<&str> {
        [boxes, category].into_iter().chain(crowd).map(String::as_str).collect()
    }

    fn class_column(columns: &BoxColumns) -> Option<&str> {
        Some(&columns.category)
    }

    fn read(
        reading: &Reading<'_, BoxColumns>,
        batch: &Batch<'_>,
        wanted: &dyn Fn(usize) -> bool,
        _: &mut Spool,
    ) -> Result<Vec<Option<Vec<Object>>>> {
        let BoxColumns { boxes, form, category, crowd, .. } = reading.columns;
        let corners = batch.tuple_lists::<4>(boxes)?;
        let classes = batch.integer_lists(category)?;
        let crowds = crowd.as_ref().map(|crowd| batch.integer_lists(crowd)).transpose()?;
        let row = |index: usize| {
            let null = |column: &str| Error::Null { place: batch.cell(index, column), expected: "a list" };
            let corners = corners.get(index).ok_or_else(|| null(boxes))?;
            let classes = classes.get(index).ok_or_else(|| null(category))?;
            let crowds = match (&crowds, crowd) {
                (Some(crowds), Some(crowd)) => Some(crowds.get(index).ok_or_else(|| null(crowd))?),
                _ => None,
            };
            let lengths = [Some(classes.len()), crowds.map(<[_]>::len)];
            if let Some(found) = lengths.into_iter().flatten().find(|length| *length != corners.len()) {
                let (expected, found) = (format!("{} items as in {boxes:?}", corners.len()), found.to_string());
                return Err(Error::Value { place: batch.cell(index, category), expected, found });
            }
            let object = |(item, (corners, class_of)): (usize, (&Option<[f32; 4]>, &Option<i64>))| {
                let [a, b, c, d] = corners.ok_or_else(|| Error::Value {
                    place: batch.cell(index, boxes),
                    expected: format!("four numbers for object {item}"),
                    found: "something else".to_owned(),
                })?;
                let corners = match form {
                    BoxForm::Xywh => [a, b, a + c, b + d],
                    BoxForm::Xyxy => [a, b, c, d],
                };
                let class = class(reading, *class_of, || batch.cell(index, category))?;
                let ignore =
                    crowds.and_then(|crowds| crowds.get(item).copied().flatten()).is_some_and(|crowd| crowd != 0);
                Ok(Object { class, corners, ignore })
            };
            corners.iter().zip(classes).enumerate().map(object).collect()
        };
        (0..batch.rows.num_rows()).map(|index| wanted(index).then(|| row(index)).transpose()).collect()
    }

    fn check(reading: &Reading<'_, BoxColumns>, rows: &mut [Row<Vec<Object>>]) -> Result<()> {
        let BoxColumns { boxes, form, .. } = reading.columns;
        check_form(reading, *form, rows)?;
        for row in rows {
            let mut kept = Vec::with_capacity(row.raw.len());
            for (item, object) in row.raw.iter().enumerate() {
                let fault = box_fault(object.corners, row.size);
                if let Some(expected) = fault {
                    let [left, top, right, bottom] = object.corners;
                    let found = format!("{left}, {top} to {right}, {bottom} for object {item}");
                    let place = reading.cell(row, boxes);
                    reading.tolerate(Fault::Box, 1, row, || Error::Value { place, expected, found })?;
                }
                let corners = clip(object.corners, row.size);
                if has_area(corners) {
                    kept.push(Object { corners, ..*object });
                }
            }
            row.raw = kept;
        }
        Ok(())
    }

    fn decode(_: &Reading<'_, BoxColumns>, row: &Row<Vec<Object>>, _: &Spool) -> Result<Self> {
        Ok(row.raw.clone())
    }

    fn of_scene(scene: &Scene) -> Option<Self> {
        Some(scene.objects())
    }
}

/// Refuses boxes of which many make no sense as the manifest reads them, and nearly all do another way.
fn check_form(reading: &Reading<'_, BoxColumns>, form: BoxForm, rows: &[Row<Vec<Object>>]) -> Result<()> {
    let numbers = |[left, top, right, bottom]: [f32; 4]| {
        let [left, top, right, bottom] = [left, top, right, bottom].map(f64::from);
        match form {
            BoxForm::Xywh => [left, top, right - left, bottom - top],
            BoxForm::Xyxy => [left, top, right, bottom],
        }
    };
    let check = |rows: &[Row<Vec<Object>>]| {
        let objects = rows.iter().flat_map(|row| row.raw.iter().map(move |object| (numbers(object.corners), row.size)));
        plausible::boxes(form.meaning(), objects)
    };
    check(rows).map_err(|cause| {
        let name = reading.name.to_owned();
        // Where no image tells by itself, all do together.
        let first = rows.iter().position(|row| check(std::slice::from_ref(row)).is_err()).unwrap_or(0);
        Error::Form { name, place: Box::new(reading.cell(&rows[first], &reading.columns.boxes)), cause }
    })
}

/// What should be, where a box has no area or leaves the image.
fn box_fault(corners: [f32; 4], [height, width]: [usize; 2]) -> Option<String> {
    let [left, top, right, bottom] = corners;
    let inside =
        left >= -ROUNDING && top >= -ROUNDING && right <= width as f32 + ROUNDING && bottom <= height as f32 + ROUNDING;
    if !(has_area(corners) && corners.iter().all(|value| value.is_finite())) {
        Some("a box with an area".to_owned())
    } else if !inside {
        Some(format!("a box in an image of {width}×{height} pixels (width × height)"))
    } else if !has_area(clip(corners, [height, width])) {
        Some("a box with an area in the image".to_owned())
    } else {
        None
    }
}

fn has_area([left, top, right, bottom]: [f32; 4]) -> bool {
    right > left && bottom > top
}

fn clip([left, top, right, bottom]: [f32; 4], [height, width]: [usize; 2]) -> [f32; 4] {
    let (height, width) = (height as f32, width as f32);
    [left.clamp(0.0, width), top.clamp(0.0, height), right.clamp(0.0, width), bottom.clamp(0.0, height)]
}
