//! Points to be counted.

use super::{Label, ROUNDING};
use crate::columns::Batch;
use crate::reading::{Reading, Row};
use crate::scenes::Scene;
use crate::spool::Spool;
use crate::{Columns, Error, Fault, Point, Result, TaskKind, plausible};

/// Where images and their points are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointColumns {
    /// Images.
    pub image: String,
    /// For each object its `[x, y]` in pixels of the image.
    pub points: String,
    /// The number of points, held against them.
    pub count: Option<String>,
}

impl PointColumns {
    pub(crate) fn reading(&self) -> Vec<String> {
        vec![self.points.clone()]
    }
}

impl Label for Vec<Point> {
    const TASK: TaskKind = TaskKind::CrowdCounting;
    type Columns = PointColumns;
    type Raw = Vec<Point>;

    fn of(columns: &Columns) -> Option<&PointColumns> {
        match columns {
            Columns::CrowdCounting(columns) => Some(columns),
            _ => None,
        }
    }

    fn names(PointColumns { points, count, .. }: &PointColumns) -> Vec<&str> {
        std::iter::once(points).chain(count).map(String::as_str).collect()
    }

    fn class_column(_: &PointColumns) -> Option<&str> {
        None
    }

    fn read(
        reading: &Reading<'_, PointColumns>,
        batch: &Batch<'_>,
        wanted: &dyn Fn(usize) -> bool,
        _: &mut Spool,
    ) -> Result<Vec<Option<Vec<Point>>>> {
        let PointColumns { points: column, count, .. } = reading.columns;
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

    fn check(reading: &Reading<'_, PointColumns>, rows: &mut [Row<Vec<Point>>]) -> Result<()> {
        let column = &reading.columns.points;
        let check = |rows: &[Row<Vec<Point>>]| {
            plausible::points(
                rows.iter().flat_map(|row| row.raw.iter().map(move |point| (point.map(f64::from), row.size))),
            )
        };
        check(rows).map_err(|cause| {
            let name = reading.name.to_owned();
            let first = rows.iter().position(|row| check(std::slice::from_ref(row)).is_err()).unwrap_or(0);
            Error::Form { name, place: Box::new(reading.cell(&rows[first], column)), cause }
        })?;
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

    fn decode(_: &Reading<'_, PointColumns>, row: &Row<Vec<Point>>, _: &Spool) -> Result<Self> {
        Ok(row.raw.clone())
    }

    fn of_scene(scene: &Scene) -> Option<Self> {
        Some(scene.points())
    }
}
