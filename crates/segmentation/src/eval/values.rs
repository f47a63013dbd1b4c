//! What the values of pixels mean.

use data::VOID;
use std::str::FromStr;

/// Values of pixels, as `--values` lists them: `0,255` or `7,8,11-13`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List(pub(super) Vec<u8>);

impl FromStr for List {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = |text: &str| {
            let wrong =
                || format!("expected values from 0 to 255 or ranges of them, such as 0,255 or 1-150, found `{text}`");
            text.trim().parse::<u8>().map_err(|_| wrong())
        };
        let mut values = Vec::new();
        for part in text.split(',') {
            match part.split_once('-') {
                None => values.push(value(part)?),
                Some((first, last)) => {
                    let (first, last) = (value(first)?, value(last)?);
                    if first > last {
                        return Err(format!("expected a range from the smaller value to the larger, found `{part}`"));
                    }
                    values.extend(first..=last);
                }
            }
        }
        let twice = values.iter().enumerate().find(|(index, value)| values[..*index].contains(value));
        match twice {
            Some((_, value)) => Err(format!("expected each value once, found {value} twice")),
            None => Ok(Self(values)),
        }
    }
}

/// What the values of true and of predicted pixels mean.
pub(super) struct Meanings {
    pub(super) classes: usize,
    /// The values of the classes in the truth, where they are not 0, 1, 2, ….
    pub(super) values: Option<Vec<u8>>,
    /// The same of the predictions.
    pub(super) of_predictions: Option<Vec<u8>>,
    /// Values of true pixels that are not judged.
    pub(super) ignored: Vec<u8>,
    /// Whether nobody asked for these to be left out.
    pub(super) by_default: bool,
}

impl Meanings {
    /// Of the options `--classes`, `--values`, `--prediction-values` and `--ignore`.
    ///
    /// # Errors
    ///
    /// Where they contradict each other.
    pub(super) fn new(
        classes: Option<u8>,
        values: Option<List>,
        of_predictions: Option<List>,
        ignore: Option<List>,
    ) -> Result<Self, String> {
        let (values, of_predictions) = (values.map(|list| list.0), of_predictions.map(|list| list.0));
        let count = classes.map(usize::from).or(values.as_ref().map(Vec::len)).unwrap_or_default();
        for (option, list) in [("--values", &values), ("--prediction-values", &of_predictions)] {
            if let Some(list) = list.as_ref().filter(|list| list.len() != count) {
                return Err(format!(
                    "`{option}`: expected a value for each of {count} classes, found {} values",
                    list.len()
                ));
            }
        }
        if count > 255 {
            return Err(format!("`--values`: expected at most 255 classes, found {count}"));
        }
        let is_class = |value: &u8| values.as_ref().is_some_and(|values| values.contains(value));
        let by_default = ignore.is_none();
        let ignored = match ignore {
            Some(list) => list.0,
            None => [VOID].into_iter().filter(|value| !is_class(value)).collect(),
        };
        match ignored.iter().find(|value| is_class(value)) {
            Some(value) => {
                Err(format!("`--ignore`: expected values of no class, found {value}, which is in `--values`"))
            }
            None => Ok(Self { classes: count, values, of_predictions, ignored, by_default }),
        }
    }

    /// The value that class `class` has in the truth.
    pub(super) fn value(&self, class: usize) -> u8 {
        value(self.values.as_deref(), class)
    }

    /// The class of each value in the truth; [`VOID`] of those that are not judged, none of others.
    pub(super) fn of_truth(&self) -> [Option<u8>; 256] {
        let mut classes = table(self.values.as_deref(), self.classes);
        for value in &self.ignored {
            classes[usize::from(*value)] = Some(VOID);
        }
        classes
    }

    /// The class of each value in predictions; none of others.
    pub(super) fn of_predictions(&self) -> [Option<u8>; 256] {
        table(self.of_predictions.as_deref(), self.classes)
    }
}

fn value(values: Option<&[u8]>, class: usize) -> u8 {
    values.map_or(class as u8, |values| values[class])
}

fn table(values: Option<&[u8]>, classes: usize) -> [Option<u8>; 256] {
    let mut table = [None; 256];
    for class in 0..classes {
        table[usize::from(value(values, class))] = Some(class as u8);
    }
    table
}

/// Values as an option takes them: `7,8,11-13`.
pub(super) fn as_option(values: &[u8]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = values;
    while let Some(first) = rest.first() {
        let run =
            rest.iter().enumerate().take_while(|(index, value)| usize::from(**value) == usize::from(*first) + index);
        let run = run.count();
        let (now, later) = rest.split_at(run);
        match now {
            [first, _, .., last] => parts.push(format!("{first}-{last}")),
            few => parts.extend(few.iter().map(ToString::to_string)),
        }
        rest = later;
    }
    parts.join(",")
}
