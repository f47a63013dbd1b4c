//! Whether settings make sense, in the words that all tasks say it in.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// That the value of `key` lies in `range`.
///
/// # Errors
///
/// The key, what was expected there, and what was found.
pub fn within<T: PartialOrd + Display>(key: &str, value: T, range: RangeInclusive<T>) -> Result<(), String> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(format!("`{key}`: expected {} to {}, found {value}", range.start(), range.end())),
    }
}

/// That the value of `key` is one of `allowed`.
///
/// # Errors
///
/// The key, what was expected there, and what was found.
pub fn among<T: PartialEq + Display>(key: &str, value: T, allowed: &[T]) -> Result<(), String> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let words: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    let expected = match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => words.concat(),
    };
    Err(format!("`{key}`: expected {expected}, found {value}"))
}

/// That the key `examples` of a task leaves some.
///
/// # Errors
///
/// The key, what was expected there, and what was found.
pub fn at_least_one_example(examples: Option<usize>) -> Result<(), String> {
    match examples {
        Some(0) => Err("`examples`: expected at least 1, found 0".to_owned()),
        _ => Ok(()),
    }
}
