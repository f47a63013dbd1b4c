//! Whether settings make sense that all tasks have.

use settings::Mistake;

/// That the key `examples` of a task leaves some.
///
/// # Errors
///
/// The key, what was expected there, and what was found.
pub fn at_least_one_example(examples: Option<usize>) -> Result<(), Mistake> {
    match examples {
        Some(0) => Err(Mistake::new("examples", "at least 1", 0)),
        _ => Ok(()),
    }
}
