//! Masks: a class for each pixel.

use super::Label;
use crate::columns::Batch;
use crate::decode::{self, MaskPixels};
use crate::reading::{Reading, Row};
use crate::scenes::Scene;
use crate::spool::{Span, Spool};
use crate::{Columns, Error, Fault, Mask, Result, TaskKind, VOID};
use std::fmt;

/// Where images and their masks are, and what the values of masks mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskColumns {
    /// Images.
    pub image: String,
    /// Masks: PNG files of one value a pixel, gray or with a palette, or of colors.
    pub mask: String,
    /// The byte of each class; 0, 1, 2, … where nothing is said.
    pub values: Option<Vec<u8>>,
    /// Bytes of pixels that belong to no class and are not judged.
    pub void: Vec<u8>,
    /// The color of each class, for masks that are colored. Without it their three channels must be equal, and
    /// are the byte.
    pub colours: Option<Vec<[u8; 3]>>,
    /// Colors of pixels that belong to no class and are not judged.
    pub void_colours: Vec<[u8; 3]>,
}

impl MaskColumns {
    /// What keys must have in common.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        let Self { values, void, colours, void_colours, .. } = self;
        if colours.is_none() && !void_colours.is_empty() {
            return Err("`columns.void_colours` needs `columns.colours` beside it".to_owned());
        }
        one_meaning("values", values.as_deref().unwrap_or_default(), void)?;
        one_meaning("colours", colours.as_deref().unwrap_or_default(), void_colours)
    }

    /// That there are values for `count` classes; else how many classes there should be.
    pub(crate) fn check_classes(&self, count: usize) -> std::result::Result<(), String> {
        match self {
            _ if !(1..=255).contains(&count) => Err("1 to 255 classes".to_owned()),
            Self { values: Some(values), .. } if values.len() != count => {
                Err(format!("{} classes, as `columns.values` has", values.len()))
            }
            Self { colours: Some(colours), .. } if colours.len() != count => {
                Err(format!("{} classes, as `columns.colours` has", colours.len()))
            }
            Self { values: None, colours: None, void, .. } => {
                let meant = void.iter().find(|value| usize::from(**value) < count);
                meant.map_or(Ok(()), |value| Err(format!("at most {value} classes, as {value} is void")))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn reading(&self) -> Vec<String> {
        let Self { mask, values, void, colours, void_colours, .. } = self;
        let mut reading = vec![mask.clone(), format!("void {void:?}")];
        reading.extend(values.iter().map(|values| format!("values {values:?}")));
        reading.extend(colours.iter().map(|colours| format!("colours {colours:?}, void {void_colours:?}")));
        reading
    }
}

/// That no value in `key` has two meanings.
fn one_meaning<T: Copy + Eq + fmt::Debug>(key: &str, values: &[T], void: &[T]) -> std::result::Result<(), String> {
    let all = [values, void].concat();
    match all.iter().enumerate().find(|(index, value)| all[..*index].contains(value)) {
        Some((_, value)) => Err(format!("`columns.{key}`: expected one meaning of each, found {value:?} twice")),
        None => Ok(()),
    }
}

impl Label for Mask {
    const TASK: TaskKind = TaskKind::Segmentation;
    type Columns = MaskColumns;
    type Raw = Span;

    fn of(columns: &Columns) -> Option<&MaskColumns> {
        match columns {
            Columns::Segmentation(columns) => Some(columns),
            _ => None,
        }
    }

    fn names(columns: &MaskColumns) -> Vec<&str> {
        vec![&columns.mask]
    }

    fn class_column(columns: &MaskColumns) -> Option<&str> {
        Some(&columns.mask)
    }

    fn read(
        reading: &Reading<'_, MaskColumns>,
        batch: &Batch<'_>,
        wanted: &dyn Fn(usize) -> bool,
        spool: &mut Spool,
    ) -> Result<Vec<Option<Span>>> {
        let column = &reading.columns.mask;
        let files = batch.files(column)?;
        let mut row = |index: usize| {
            let null = || Error::Null { place: batch.cell(index, column), expected: "the bytes of a mask" };
            spool.push(files.get(index).ok_or_else(null)?)
        };
        (0..batch.rows.num_rows()).map(|index| wanted(index).then(|| row(index)).transpose()).collect()
    }

    fn decode(reading: &Reading<'_, MaskColumns>, row: &Row<Span>, spool: &Spool) -> Result<Self> {
        let MaskColumns { mask: column, values, void, colours, void_colours, .. } = reading.columns;
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
                let class = colours.iter().position(|color| color == pixel).map(|class| class as u8);
                class.or_else(|| void_colours.iter().any(|color| color == pixel).then_some(VOID))
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
                    color => {
                        format!("color {color:?} at row {}, column {} of the mask", first / width, first % width)
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
