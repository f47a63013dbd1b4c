//! What can go wrong, and what to do about it.

use settings::Mistake;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// Settings that do not fit what they configure, or not each other.
    #[error("{kind}: {mistake}")]
    Settings {
        /// What is configured, for example ``method `wrs` ``.
        kind: String,
        /// Key, what was expected and what was found.
        mistake: Mistake,
    },
    /// A saved state that is not of this optimizer.
    #[error("optimizer state: {0}")]
    State(String),
    /// A parameter that is not as its user expects it.
    #[error("parameter `{name}`: {message}")]
    Parameter {
        /// Name of the parameter.
        name: String,
        /// What was expected and what was found.
        message: String,
    },
}

impl Error {
    pub(crate) fn parameter(name: &str, message: impl Into<String>) -> Self {
        Self::Parameter { name: name.into(), message: message.into() }
    }

    /// A mistake in the settings of `kind`.
    pub fn settings(kind: impl Into<String>, mistake: Mistake) -> Self {
        Self::Settings { kind: kind.into(), mistake }
    }
}
