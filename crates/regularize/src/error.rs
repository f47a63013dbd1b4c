//! What can go wrong, and what to do about it.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// No such optimizer, schedule or method.
    #[error("unknown {kind} `{name}`{}; known are {}", near(name, known), known.join(", "))]
    Unknown {
        /// What was looked for.
        kind: &'static str,
        /// The name given.
        name: String,
        /// The names there are.
        known: Vec<&'static str>,
    },
    /// Settings that do not fit what they configure.
    #[error("{kind}: {message}")]
    Settings {
        /// What is configured, for example ``method `wrs` ``.
        kind: String,
        /// Key, what was expected and what was found.
        message: String,
    },
    /// An optimizer and a method that make no sense together.
    #[error("method `{method}` does not go with optimizer `{optimizer}`: {reason}")]
    Combination {
        /// Name of the optimizer.
        optimizer: &'static str,
        /// Name of the method.
        method: &'static str,
        /// Why, and what to use instead.
        reason: &'static str,
    },
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

    pub(crate) fn settings(kind: impl Into<String>, message: impl ToString) -> Self {
        Self::Settings { kind: kind.into(), message: message.to_string() }
    }
}

/// A suggestion, where a known name is a few typing mistakes away from `name`.
fn near(name: &str, known: &[&'static str]) -> String {
    let distance = |other: &&'static str| strsim::damerau_levenshtein(name, other);
    match known.iter().min_by_key(|other| distance(other)) {
        Some(best) if distance(best) <= 1 + name.chars().count() / 3 => format!(", did you mean `{best}`?"),
        _ => String::new(),
    }
}
