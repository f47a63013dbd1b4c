//! What is wrong inside of a file.

/// What is wrong inside of a file that its reader does not know the name of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}expected {expected}, found {found}", if at.is_empty() { String::new() } else { format!("{at}: ") })]
pub struct Malformed {
    /// The line, key, object, variable or byte; empty where it is the whole file.
    pub at: String,
    /// What can be read.
    pub expected: String,
    /// What is there, and what to do about it.
    pub found: String,
}

impl Malformed {
    /// At `at`, `found` where there should be `expected`.
    pub fn new(at: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { at: at.into(), expected: expected.into(), found: found.into() }
    }
}
