//! What speaks against the meaning that the values of pixels are taken to have.

use super::palette::Side;
use super::values::{Meanings, as_option};
use crate::metric::Confusion;

/// A value with no meaning, in the truth or in predictions.
pub(super) struct Unknown {
    pub(super) value: u8,
    /// The file, and where in it.
    pub(super) file: String,
    pub(super) row: usize,
    pub(super) column: usize,
}

/// The label ids of the 19 classes of Cityscapes that are evaluated.
const CITYSCAPES: [u8; 19] = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33];
/// Those of the others.
const CITYSCAPES_IGNORED: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 255];

/// The error of a true pixel whose value is neither that of a class nor ignored.
pub(super) fn unknown_in_truth(unknown: &Unknown, meanings: &Meanings, truth: &Side) -> String {
    let Unknown { value, file, row, column } = unknown;
    let (classes, ignored) = (meanings.classes, &meanings.ignored);
    if meanings.values.is_some() {
        let all = sorted(ignored.iter().chain([value]));
        return format!(
            "{file}: expected a value of `--values` or an ignored one, found {value} at row {row}, column {column}\n  hint: \
             `--ignore {}` leaves such pixels out, if they are of no class",
            as_option(&all)
        );
    }
    let seen = truth.values();
    let others: Vec<u8> = seen.iter().copied().filter(|value| !ignored.contains(value)).collect();
    let highest = others.last().map_or(0, |value| usize::from(*value));
    let hint = if classes == CITYSCAPES.len() && highest <= 33 && highest > classes {
        format!(
            "the label ids of Cityscapes are `--values {} --ignore {}`",
            as_option(&CITYSCAPES),
            as_option(&CITYSCAPES_IGNORED)
        )
    } else if highest == classes {
        let ignore =
            if ignored.contains(&0) { as_option(ignored) } else { as_option(&sorted(ignored.iter().chain([&0]))) };
        format!(
            "`--values 1-{classes} --ignore {ignore}` if the classes are counted from 1, as those of ADE20K, and 0 is none; \
             `--classes {}` if 0 is a class, too",
            classes + 1
        )
    } else if others.len() == classes || seen.len() == classes {
        let values = if seen.len() == classes { &seen } else { &others };
        format!("`--values {}` if these are the values of the classes, in their order", as_option(values))
    } else {
        "`--values` lists the value of each class, and `--ignore` those of no class".to_owned()
    };
    format!(
        "{file}: expected classes below {classes} or an ignored value, found {value} at row {row}, column {column}; the values of \
         the true masks are {}\n  hint: {hint}",
        as_option(&seen)
    )
}

/// The error of a predicted pixel whose value is not that of a class, though its true one is.
pub(super) fn unknown_in_predictions(unknown: &Unknown, meanings: &Meanings, predictions: &Side) -> String {
    let Unknown { value, file, row, column } = unknown;
    let seen = predictions.values();
    let expected = match &meanings.of_predictions {
        Some(_) => "a value of `--prediction-values`".to_owned(),
        None => format!("classes below {}", meanings.classes),
    };
    let hint = match &meanings.values {
        _ if meanings.of_predictions.is_some() => String::new(),
        Some(values) if seen.iter().all(|value| values.contains(value)) => {
            format!("\n  hint: `--prediction-values {}` if they mean what they mean in the truth", as_option(values))
        }
        _ if seen.len() == meanings.classes => {
            format!("\n  hint: `--prediction-values {}` if these are the values of the classes", as_option(&seen))
        }
        _ => "\n  hint: `--prediction-values` lists the value of each class".to_owned(),
    };
    format!(
        "{file}: expected {expected}, found {value} at row {row}, column {column}; the values of the predicted masks are {}{hint}",
        as_option(&seen)
    )
}

/// Classes that no true pixel has, where other pixels are not judged; or that many are not, though nobody asked for it.
///
/// # Errors
///
/// Where a single class would be judged, and nobody asked to leave the other pixels out.
pub(super) fn absent(meanings: &Meanings, truth: &Side) -> Result<Option<String>, String> {
    let pixels = |value: u8| truth.counts[usize::from(value)];
    let (judged, all) = (meanings.of_truth(), truth.counts.iter().sum::<u64>());
    let ignored: Vec<u8> = meanings.ignored.iter().copied().filter(|value| pixels(*value) > 0).collect();
    let occurs = |class: usize| {
        let value = meanings.value(class);
        judged[usize::from(value)] == Some(class as u8) && pixels(value) > 0
    };
    let absent: Vec<usize> = (0..meanings.classes).filter(|class| !occurs(*class)).collect();
    let left_out: u64 = ignored.iter().map(|value| pixels(*value)).sum();
    let share = 100.0 * left_out as f64 / all as f64;
    if absent.is_empty() && meanings.by_default && 4 * left_out > all {
        let value = as_option(&ignored);
        return Ok(Some(format!(
            "{left_out} of {all} true pixels ({share:.1} %), those of value {value}, are not judged\n  hint: `--ignore {value}` if \
             they are of no class, else `--values` lists the value of each class"
        )));
    }
    let (Some(first), false) = (absent.first(), ignored.is_empty()) else { return Ok(None) };
    let which = match absent.len() {
        1 => format!("class {first}"),
        2..=8 => format!("classes {}", absent.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        more => format!("class {first} and {} others", more - 1),
    };
    let hint = match (absent.as_slice(), ignored.as_slice()) {
        ([class], [value]) if meanings.value(*class) != *value => {
            let values: Vec<u8> = (0..meanings.classes)
                .map(|other| if other == *class { *value } else { meanings.value(other) })
                .collect();
            format!("`--values {}` if {value} is class {class}", as_option(&values))
        }
        _ => "`--values` lists the value of each class".to_owned(),
    };
    let message = format!(
        "no true pixel that is judged has {which}, while {left_out} of {all} ({share:.1} %), those of value {}, are not \
         judged\n  hint: {hint}",
        as_option(&ignored)
    );
    if meanings.by_default && meanings.classes > 1 && absent.len() + 1 >= meanings.classes {
        let value = as_option(&ignored);
        return Err(format!(
            "expected true pixels of several classes: {message}; `--ignore {value}` if {value} is none"
        ));
    }
    Ok(Some(message))
}

/// Whether the predictions agree with the truth far better under other names of their classes.
pub(super) fn renamed(meanings: &Meanings, confusion: &Confusion) -> Option<String> {
    let classes = meanings.classes as u8;
    let mut cells: Vec<(u64, u8, u8)> = (0..classes)
        .flat_map(|truth| (0..classes).map(move |predicted| (truth, predicted)))
        .map(|(truth, predicted)| (confusion.count(truth, predicted), truth, predicted))
        .filter(|(count, ..)| *count > 0)
        .collect();
    let all: u64 = cells.iter().map(|(count, ..)| count).sum();
    let right: u64 = cells.iter().filter(|(_, truth, predicted)| truth == predicted).map(|(count, ..)| count).sum();
    // The largest first: each class gets one name.
    cells.sort_by_key(|(count, truth, predicted)| (std::cmp::Reverse(*count), *truth, *predicted));
    let (mut pairs, mut named) = (Vec::<(u64, u8, u8)>::new(), 0);
    for cell in cells {
        if pairs.iter().all(|pair| pair.1 != cell.1 && pair.2 != cell.2) {
            named += cell.0;
            pairs.push(cell);
        }
    }
    let wrong = pairs.iter().any(|(_, truth, predicted)| truth != predicted);
    let shifted = |by: i16| -> u64 {
        let moved = pairs.iter().filter(|(_, truth, predicted)| i16::from(*truth) - i16::from(*predicted) == by);
        moved.map(|(count, ..)| count).sum()
    };
    let (higher, lower) = (10 * shifted(1) >= 9 * named, 10 * shifted(-1) >= 9 * named);
    // One class more or less is a common mistake, which a poor network has, too.
    let (least, factor) = if higher || lower { (all.div_ceil(5), 5) } else { (all.div_ceil(2), 2) };
    if !wrong || named < least || named < factor * right {
        return None;
    }
    let how = if higher {
        "each predicted class is counted one higher, as if only the truth counted from 1".to_owned()
    } else if lower {
        "each predicted class is counted one lower, as if only the predictions counted from 1".to_owned()
    } else {
        let names = pairs.iter().filter(|(_, truth, predicted)| truth != predicted).take(4);
        let names: Vec<String> = names.map(|(_, truth, predicted)| format!("{predicted} means {truth}")).collect();
        format!("predicted classes had other numbers: {}", names.join(", "))
    };
    let share = |part: u64| 100.0 * part as f64 / all as f64;
    Some(format!(
        "predictions agree with the truth in {:.1} % of the pixels, and would in {:.1} % if {how}\n  hint: `--values` and \
         `--prediction-values` say which value each class has",
        share(right),
        share(named)
    ))
}

/// Whether the values of predictions fit the truth's meaning as well as their own.
pub(super) fn ambiguous(meanings: &Meanings, predictions: &Side) -> Option<String> {
    let values = meanings.values.as_ref().filter(|_| meanings.of_predictions.is_none())?;
    let seen = predictions.values();
    let fits = seen.iter().all(|value| values.contains(value));
    let differs = seen.iter().any(|value| values.get(usize::from(*value)) != Some(value));
    (fits && differs).then(|| {
        format!(
            "the values of predictions, {}, are taken for classes counted from 0, though each is in `--values`, too\n  hint: \
             `--prediction-values {}` if they mean what they mean in the truth, `--prediction-values 0-{}` if not",
            as_option(&seen),
            as_option(values),
            meanings.classes - 1
        )
    })
}

fn sorted<'v>(values: impl Iterator<Item = &'v u8>) -> Vec<u8> {
    let mut values: Vec<u8> = values.copied().collect();
    values.sort_unstable();
    values.dedup();
    values
}
