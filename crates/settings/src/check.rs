//! Checks of a value that was read.

use crate::mistake::{Mistake, one_of};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// That the value of `key` is in `range`.
///
/// # Errors
///
/// The key, what was expected there, and what was found.
pub fn within<T: PartialOrd + Display>(key: &str, value: T, range: RangeInclusive<T>) -> Result<(), Mistake> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(Mistake::new(key, format!("{} to {}", range.start(), range.end()), value)),
    }
}

/// That the value of `key` is one of `allowed`.
///
/// # Errors
///
/// The key, what was expected there, and what was found.
pub fn among<T: PartialEq + Display>(key: &str, value: T, allowed: &[T]) -> Result<(), Mistake> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(Mistake::new(key, one_of(&allowed.iter().map(ToString::to_string).collect::<Vec<_>>()), value))
}

/// That the number at `key` is finite and at least `least`.
///
/// # Errors
///
/// The key, what was expected there, and what was found.
pub fn at_least(key: &str, value: f64, least: f64) -> Result<(), Mistake> {
    match value.is_finite() && value >= least {
        true => Ok(()),
        false => Err(Mistake::new(key, format!("a number of at least {least}"), value)),
    }
}

/// That the number at `key` is finite and above `bound`.
///
/// # Errors
///
/// The key, what was expected there, and what was found.
pub fn above(key: &str, value: f64, bound: f64) -> Result<(), Mistake> {
    match value.is_finite() && value > bound {
        true => Ok(()),
        false => Err(Mistake::new(key, format!("a number above {bound}"), value)),
    }
}

/// That the number at `key` is at least 0 and below 1.
///
/// # Errors
///
/// The key, what was expected there, and what was found.
pub fn share(key: &str, value: f64) -> Result<(), Mistake> {
    match (0.0..1.0).contains(&value) {
        true => Ok(()),
        false => Err(Mistake::new(key, "a number of at least 0 and below 1", value)),
    }
}
