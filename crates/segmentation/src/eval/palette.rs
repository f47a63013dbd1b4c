//! Palettes that give the same colors other values.

use super::files::{Color, Values};
use super::values::Meanings;
use data::VOID;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The values of the masks in a folder: how often they occur, and their colors where masks have palettes.
#[derive(Clone)]
pub(super) struct Side {
    /// Pixels of each value.
    pub(super) counts: [u64; 256],
    /// The color that the first mask with a palette gives to each value that occurs in it.
    colors: Vec<Option<(Color, PathBuf)>>,
    /// A value to which two masks give different colors.
    conflict: Option<String>,
}

impl Default for Side {
    fn default() -> Self {
        Self { counts: [0; 256], colors: vec![None; 256], conflict: None }
    }
}

impl Side {
    /// Adds the mask in `path`.
    pub(super) fn observe(&mut self, path: &Path, pixels: &[u8], palette: Option<&[Color]>) {
        let mut counts = [0u64; 256];
        for value in pixels {
            counts[usize::from(*value)] += 1;
        }
        let mut of_mask = Self { counts, ..Self::default() };
        for (value, color) in palette.into_iter().flatten().enumerate().filter(|(value, _)| counts[*value] > 0) {
            of_mask.colors[value] = Some((*color, path.to_owned()));
        }
        self.add(of_mask);
    }

    /// Both together.
    pub(super) fn add(&mut self, other: Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, other)| *count += other);
        for (value, (own, other)) in self.colors.iter_mut().zip(other.colors).enumerate() {
            match (&*own, &other) {
                (Some((color, first)), Some((another, second))) if color != another => {
                    let (first, second) = (first.display(), second.display());
                    self.conflict.get_or_insert_with(|| {
                        format!(
                            "the palettes of {first} and {second} give value {value} the colors {color:?} and {another:?}: the \
                             values of these masks may not mean the same classes"
                        )
                    });
                }
                (None, Some(_)) => *own = other,
                _ => {}
            }
        }
        if self.conflict.is_none() {
            self.conflict = other.conflict;
        }
    }

    /// The values that occur.
    pub(super) fn values(&self) -> Vec<u8> {
        (0..=u8::MAX).filter(|value| self.counts[usize::from(*value)] > 0).collect()
    }
}

/// Colors that are one class in a true mask and another in its prediction: for each its values in both, and the first such
/// prediction.
pub(super) type Moved = BTreeMap<(u8, u8, Color), PathBuf>;

/// Adds the colors of a pair of masks that are in both, once in each palette, and mean other classes.
pub(super) fn moved(moved: &mut Moved, truth: &Values, (path, prediction): (&Path, &Values), meanings: &Meanings) {
    let (Some(true_colors), Some(colors)) = (&truth.palette, &prediction.palette) else { return };
    let (true_classes, classes) = (meanings.of_truth(), meanings.of_predictions());
    let occurs = |mask: &Values| {
        let mut occurs = [false; 256];
        mask.pixels.iter().for_each(|value| occurs[usize::from(*value)] = true);
        occurs
    };
    let (in_truth, in_prediction) = (occurs(truth), occurs(prediction));
    let only = |colors: &[Color], color: &Color| colors.iter().filter(|other| *other == color).count() == 1;
    for (value, color) in true_colors.iter().enumerate().filter(|(value, _)| in_truth[*value]) {
        let Some(other) = colors.iter().position(|other| other == color).filter(|other| in_prediction[*other]) else {
            continue;
        };
        let (class, predicted) = (true_classes[value], classes[other]);
        if class != predicted && class != Some(VOID) && only(true_colors, color) && only(colors, color) {
            moved.entry((value as u8, other as u8, *color)).or_insert_with(|| path.to_owned());
        }
    }
}

/// What palettes say against the values: masks of one folder that differ, or truth and predictions that look the same and
/// are not.
pub(super) fn disagreements(truth: &Side, predictions: &Side, moved: &Moved) -> Vec<String> {
    let mut found: Vec<String> = [truth, predictions].into_iter().filter_map(|side| side.conflict.clone()).collect();
    if let Some(first) = moved.values().next() {
        let colors = moved.keys().take(4).map(|(value, other, [red, green, blue])| {
            format!("#{red:02x}{green:02x}{blue:02x} is {value} in the truth and {other} in predictions")
        });
        found.push(format!(
            "the palettes of truth and predictions give the same colors other values, and it is values that count: {}, first in \
             {}\n  hint: `--values` and `--prediction-values` say which value each class has",
            colors.collect::<Vec<_>>().join("; "),
            first.display()
        ));
    }
    found
}
