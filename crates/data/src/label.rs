//! What is known of an image, for each task: how it is read, checked, and decoded.
//!
//! There is one kind of set and four kinds of label: `Set<L>` finds, verifies, streams, decodes and stores; a `Label`
//! says which columns it needs, how it is checked against its image, and how a view of the image changes it. A view
//! consists of integers (the size that an image is resized to, and the window that is cut out), so image, boxes,
//! masks and points share one geometry, and only visible pixels are computed. Colors change before padding, which
//! stays black.

use crate::augment::Follow;
use crate::columns::Batch;
use crate::decode::{self, MaskPixels};
use crate::error::Cell;
use crate::reading::{Reading, Row};
use crate::scenes::Scene;
use crate::spool::{Span, Spool};
use crate::table::Table;
use crate::{BoxForm, Columns, Error, Fault, Mask, Object, Point, Result, TaskKind, VOID, plausible};

/// The label of an example: a class (`u32`), objects ([`Vec<Object>`]), a [`Mask`], or points ([`Vec<Point>`]).
///
/// Each is a way to read the columns of a set, or the truth of a scene; its functions take what only this crate has.
pub trait Label: Follow + Clone + Send + Sync {
    /// The task of sets with such labels.
    const TASK: TaskKind;
    /// What is kept of a row until it is decoded.
    type Raw: Clone + Send + Sync;

    /// The columns beside the image, those that may be missing in a manifest only where they are given.
    fn columns(columns: &Columns) -> Vec<&str>;

    /// The column whose classes have names, where there are classes.
    fn class_column(columns: &Columns) -> Option<&str>;

    /// Appends the class of each row of `table`, where a choice of rows keeps the proportions of classes.
    fn strata(_reading: &Reading<'_>, _table: Table<'_>, _strata: &mut Vec<u32>) -> Result<()> {
        Ok(())
    }

    /// The labels in `batch`, of the rows for which `wanted` says so.
    fn read(
        reading: &Reading<'_>,
        batch: &Batch<'_>,
        wanted: &dyn Fn(usize) -> bool,
        spool: &mut Spool,
    ) -> Result<Vec<Option<Self::Raw>>>;

    /// Holds labels against the sizes of their images.
    fn check(_reading: &Reading<'_>, _rows: &mut [Row<Self::Raw>]) -> Result<()> {
        Ok(())
    }

    /// The label of an image as it is in its file, before anything is resized.
    fn decode(reading: &Reading<'_>, row: &Row<Self::Raw>, spool: &Spool) -> Result<Self>;

    /// What is known of a scene, where there are scenes with such labels.
    fn of_scene(_scene: &Scene) -> Option<Self> {
        None
    }
}

impl Label for u32 {
    const TASK: TaskKind = TaskKind::Classification;
    type Raw = u32;

    fn columns(columns: &Columns) -> Vec<&str> {
        match columns {
            Columns::Classification { label, .. } => vec![label],
            _ => Vec::new(),
        }
    }

    fn class_column(columns: &Columns) -> Option<&str> {
        Self::columns(columns).first().copied()
    }

    fn strata(reading: &Reading<'_>, table: Table<'_>, strata: &mut Vec<u32>) -> Result<()> {
        let columns = Self::columns(&reading.manifest.columns);
        table.stream(&columns, |batch| {
            let labels = Self::read(reading, &batch, &|_| true, &mut Spool::new(0, Default::default()))?;
            strata.extend(labels.into_iter().flatten());
            Ok(())
        })
    }

    fn read(
        reading: &Reading<'_>,
        batch: &Batch<'_>,
        wanted: &dyn Fn(usize) -> bool,
        _: &mut Spool,
    ) -> Result<Vec<Option<u32>>> {
        let [column] = *Self::columns(&reading.manifest.columns) else { return Ok(Vec::new()) };
        let labels = batch.integers(column)?;
        let label = |(index, label): (usize, &Option<i64>)| {
            wanted(index).then(|| class(reading, *label, || batch.cell(index, column))).transpose()
        };
        labels.iter().enumerate().map(label).collect()
    }

    fn decode(_: &Reading<'_>, row: &Row<u32>, _: &Spool) -> Result<u32> {
        Ok(row.raw)
    }
}

impl Label for Vec<Object> {
    const TASK: TaskKind = TaskKind::Detection;
    type Raw = Vec<Object>;

    fn columns(columns: &Columns) -> Vec<&str> {
        match columns {
            Columns::Detection { boxes, category, crowd, .. } => {
                [boxes, category].into_iter().chain(crowd).map(String::as_str).collect()
            }
            _ => Vec::new(),
        }
    }

    fn class_column(columns: &Columns) -> Option<&str> {
        Self::columns(columns).get(1).copied()
    }

    fn read(
        reading: &Reading<'_>,
        batch: &Batch<'_>,
        wanted: &dyn Fn(usize) -> bool,
        _: &mut Spool,
    ) -> Result<Vec<Option<Vec<Object>>>> {
        let Columns::Detection { boxes, form, category, crowd, .. } = &reading.manifest.columns else {
            return Ok(Vec::new());
        };
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

    fn check(reading: &Reading<'_>, rows: &mut [Row<Vec<Object>>]) -> Result<()> {
        let Columns::Detection { boxes, form, .. } = &reading.manifest.columns else { return Ok(()) };
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

    fn decode(_: &Reading<'_>, row: &Row<Vec<Object>>, _: &Spool) -> Result<Self> {
        Ok(row.raw.clone())
    }

    fn of_scene(scene: &Scene) -> Option<Self> {
        Some(scene.objects())
    }
}

/// Refuses boxes of which many make no sense as the manifest reads them, and nearly all do another way.
fn check_form(reading: &Reading<'_>, form: BoxForm, rows: &[Row<Vec<Object>>]) -> Result<()> {
    let numbers = |[left, top, right, bottom]: [f32; 4]| {
        let [left, top, right, bottom] = [left, top, right, bottom].map(f64::from);
        match form {
            BoxForm::Xywh => [left, top, right - left, bottom - top],
            BoxForm::Xyxy => [left, top, right, bottom],
        }
    };
    let objects = rows.iter().flat_map(|row| row.raw.iter().map(move |object| (numbers(object.corners), row.size)));
    plausible::boxes(form.meaning(), objects).map_err(|cause| Error::Form { name: reading.name.to_owned(), cause })
}

/// Pixels that a box or a point may be outside by: annotations are rounded.
const ROUNDING: f32 = 1.0;

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

impl Label for Mask {
    const TASK: TaskKind = TaskKind::Segmentation;
    type Raw = Span;

    fn columns(columns: &Columns) -> Vec<&str> {
        match columns {
            Columns::Segmentation { mask, .. } => vec![mask],
            _ => Vec::new(),
        }
    }

    fn class_column(columns: &Columns) -> Option<&str> {
        Self::columns(columns).first().copied()
    }

    fn read(
        reading: &Reading<'_>,
        batch: &Batch<'_>,
        wanted: &dyn Fn(usize) -> bool,
        spool: &mut Spool,
    ) -> Result<Vec<Option<Span>>> {
        let [column] = *Self::columns(&reading.manifest.columns) else { return Ok(Vec::new()) };
        let files = batch.files(column)?;
        let mut row = |index: usize| {
            let null = || Error::Null { place: batch.cell(index, column), expected: "the bytes of a mask" };
            spool.push(files.get(index).ok_or_else(null)?)
        };
        (0..batch.rows.num_rows()).map(|index| wanted(index).then(|| row(index)).transpose()).collect()
    }

    fn decode(reading: &Reading<'_>, row: &Row<Span>, spool: &Spool) -> Result<Self> {
        let Columns::Segmentation { mask: column, values, void, colours, void_colours, .. } = &reading.manifest.columns
        else {
            return Ok(Self { height: 0, width: 0, classes: Vec::new() });
        };
        let place = || reading.cell(row, column);
        let MaskPixels { height, width, channels, pixels } = decode::mask(&spool.get(row.raw)?)
            .map_err(|reason| Error::Image { place: place(), bytes: row.raw.len(), reason })?;
        if [height, width] != row.size {
            let size = |[height, width]: [usize; 2]| format!("{height}×{width}");
            let expected = format!("a mask of {} pixels (height × width) as its image", size(row.size));
            return Err(Error::Value { place: place(), expected, found: size([height, width]) });
        }
        let bytes = meanings(reading.classes.len(), values.as_deref(), void);
        let class = |pixel: &[u8]| match (pixel, colours) {
            ([byte], _) => bytes[usize::from(*byte)],
            (_, Some(colours)) => {
                let class = colours.iter().position(|colour| colour == pixel).map(|class| class as u8);
                class.or_else(|| void_colours.iter().any(|colour| colour == pixel).then_some(VOID))
            }
            ([red, green, blue], None) if red == green && green == blue => bytes[usize::from(*red)],
            _ => None,
        };
        let classes: Vec<Option<u8>> = pixels.chunks_exact(channels).map(class).collect();
        if let Some(first) = classes.iter().position(Option::is_none) {
            let unknown = classes.iter().filter(|class| class.is_none()).count();
            reading.tolerate(Fault::Mask, unknown, row, || Error::Value {
                place: place(),
                expected: format!("one of {} classes, or void", reading.classes.len()),
                found: match &pixels[first * channels..][..channels] {
                    [byte] => format!("{byte} at row {}, column {} of the mask", first / width, first % width),
                    colour => {
                        format!("colour {colour:?} at row {}, column {} of the mask", first / width, first % width)
                    }
                },
            })?;
        }
        let classes = classes.into_iter().map(|class| class.unwrap_or(VOID)).collect();
        Ok(Self { height, width, classes })
    }

    fn of_scene(scene: &Scene) -> Option<Self> {
        Some(scene.mask())
    }
}

/// What each byte of a mask means.
fn meanings(classes: usize, values: Option<&[u8]>, void: &[u8]) -> [Option<u8>; 256] {
    let mut meanings = [None; 256];
    for class in 0..classes.min(255) {
        let value = values.map_or(class, |values| values.get(class).copied().map_or(class, usize::from));
        meanings[value] = Some(class as u8);
    }
    for &value in void {
        meanings[usize::from(value)] = Some(VOID);
    }
    meanings
}

impl Label for Vec<Point> {
    const TASK: TaskKind = TaskKind::CrowdCounting;
    type Raw = Vec<Point>;

    fn columns(columns: &Columns) -> Vec<&str> {
        match columns {
            Columns::CrowdCounting { points, count, .. } => {
                std::iter::once(points).chain(count).map(String::as_str).collect()
            }
            _ => Vec::new(),
        }
    }

    fn class_column(_: &Columns) -> Option<&str> {
        None
    }

    fn read(
        reading: &Reading<'_>,
        batch: &Batch<'_>,
        wanted: &dyn Fn(usize) -> bool,
        _: &mut Spool,
    ) -> Result<Vec<Option<Vec<Point>>>> {
        let Columns::CrowdCounting { points: column, count, .. } = &reading.manifest.columns else {
            return Ok(Vec::new());
        };
        let points = batch.tuple_lists::<2>(column)?;
        let counts = count.as_ref().map(|count| Ok::<_, Error>((count, batch.integers(count)?))).transpose()?;
        let row = |index: usize| {
            let null = || Error::Null { place: batch.cell(index, column), expected: "a list" };
            let found = points.get(index).ok_or_else(null)?;
            let point = |(item, point): (usize, &Option<Point>)| {
                point.ok_or_else(|| Error::Value {
                    place: batch.cell(index, column),
                    expected: format!("two numbers for point {item}"),
                    found: "something else".to_owned(),
                })
            };
            let points = found.iter().enumerate().map(point).collect::<Result<Vec<Point>>>()?;
            if let Some((column, counts)) = &counts
                && counts.get(index).copied().flatten() != Some(points.len() as i64)
            {
                let found = counts.get(index).copied().flatten().map_or("null".to_owned(), |count| count.to_string());
                let expected = format!("{}, the number of points", points.len());
                return Err(Error::Value { place: batch.cell(index, column), expected, found });
            }
            Ok(points)
        };
        (0..batch.rows.num_rows()).map(|index| wanted(index).then(|| row(index)).transpose()).collect()
    }

    fn check(reading: &Reading<'_>, rows: &mut [Row<Vec<Point>>]) -> Result<()> {
        let Columns::CrowdCounting { points: column, .. } = &reading.manifest.columns else { return Ok(()) };
        let points = rows.iter().flat_map(|row| row.raw.iter().map(move |point| (point.map(f64::from), row.size)));
        plausible::points(points).map_err(|cause| Error::Form { name: reading.name.to_owned(), cause })?;
        for row in rows {
            let (height, width) = (row.size[0] as f32, row.size[1] as f32);
            let inside = |value: f32, end: f32| value >= -ROUNDING && value <= end + ROUNDING;
            let mut kept = Vec::with_capacity(row.raw.len());
            for (item, &[x, y]) in row.raw.iter().enumerate() {
                if inside(x, width) && inside(y, height) {
                    kept.push([x.clamp(0.0, width.next_down()), y.clamp(0.0, height.next_down())]);
                    continue;
                }
                let expected = format!("a point in an image of {width}×{height} pixels (width × height)");
                let found = format!("{x}, {y} for point {item}");
                let place = reading.cell(row, column);
                reading.tolerate(Fault::Point, 1, row, || Error::Value { place, expected, found })?;
            }
            row.raw = kept;
        }
        Ok(())
    }

    fn decode(_: &Reading<'_>, row: &Row<Vec<Point>>, _: &Spool) -> Result<Self> {
        Ok(row.raw.clone())
    }

    fn of_scene(scene: &Scene) -> Option<Self> {
        Some(scene.points())
    }
}

fn class(reading: &Reading<'_>, value: Option<i64>, place: impl Fn() -> Cell) -> Result<u32> {
    let classes = reading.classes.len();
    let value = value.ok_or_else(|| Error::Null { place: place(), expected: "a label" })?;
    u32::try_from(value).ok().filter(|class| (*class as usize) < classes).ok_or_else(|| Error::Label {
        place: place(),
        classes,
        found: value.to_string(),
    })
}
