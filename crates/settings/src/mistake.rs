//! What is wrong with a setting.

use crate::near::nearest;
use serde::de::{Expected, Unexpected};
use std::fmt;

/// What is wrong with a setting, from where it is found to where it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Its dotted key in the section, such as `model.resnet.depth`; `None` where it is the section that is wrong.
    pub key: Option<String>,
    /// What was expected there.
    pub expected: String,
    /// What was found there.
    pub found: String,
    /// What to do about it, where that does not follow from the rest.
    pub hint: Option<String>,
}

impl Mistake {
    /// At `key`, `found` in place of what was `expected`.
    pub fn new(key: impl Into<String>, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self { key: Some(key.into()), ..Self::of_all(expected, found) }
    }

    /// In the section as a whole, `found` in place of what was `expected`.
    pub fn of_all(expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self { key: None, expected: expected.to_string(), found: found.to_string(), hint: None }
    }

    /// A name that is none of `known`.
    pub fn unknown<'a>(key: impl Into<String>, name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        let near = nearest(name, known.clone()).map(|near| format!("did you mean `{near}`?"));
        let names: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
        Self { hint: near, ..Self::new(key, one_of(&names), format!("`{name}`")) }
    }

    /// A key that is none of `known`.
    pub fn unknown_key<'a>(key: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        let mistake = Self::unknown(key, key, known);
        let expected = match mistake.expected.as_str() {
            "" => "no key".into(),
            known => format!("the key {known}"),
        };
        Self { expected, found: "one that is not known".into(), ..mistake }
    }

    /// With a hint.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same, where its key is one of the table at `outer`.
    pub fn inside(mut self, outer: &str) -> Self {
        self.key = Some(self.key.map_or_else(|| outer.to_owned(), |key| format!("{outer}.{key}")));
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "`{key}`: ")?;
        }
        write!(f, "expected {}, found {}", self.expected, self.found)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Mistake {}

/// What a struct says while it is read.
impl serde::de::Error for Mistake {
    /// A message that is not of this crate's making: a value that a struct refuses.
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::of_all("another value", message)
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::of_all(in_words(&expected.to_string()), found(unexpected))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::of_all(expected, format!("{length} values"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self { key: None, ..Self::unknown("", variant, expected.iter().copied()) }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown_key(field, expected.iter().copied())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of_all(format!("a key `{field}`"), "none")
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::of_all(format!("one key `{field}`"), "two")
    }
}

/// A type as a reader of a configuration knows it.
fn in_words(rust: &str) -> &str {
    match rust {
        "f32" | "f64" => "a number",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of at least 0",
        "a boolean" => "true or false",
        "a string" => "a text",
        other => other,
    }
}

fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => serde_json::Value::from(value).to_string(),
        Unexpected::Str(text) => format!("{text:?}"),
        Unexpected::Unit | Unexpected::Option => "none".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a table".into(),
        other => other.to_string(),
    }
}

/// `names` as a choice.
pub(crate) fn one_of(names: &[String]) -> String {
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}
