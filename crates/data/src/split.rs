//! The three roles that examples play.

use std::fmt;
use std::str::FromStr;

/// What a part of a data set is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// What the weights are fitted to.
    Train,
    /// What settings are chosen by.
    Validation,
    /// What is read once, for the number that is reported.
    Test,
}

impl Split {
    /// All three, in the order train, validation, test.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// `train`, `validation` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a split (`train`, `validation` or `test`), found {0:?}")]
pub struct UnknownSplit(pub String);

impl FromStr for Split {
    type Err = UnknownSplit;

    fn from_str(text: &str) -> Result<Self, UnknownSplit> {
        Self::ALL.into_iter().find(|split| split.name() == text).ok_or_else(|| UnknownSplit(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for split in Split::ALL {
            assert_eq!(split.to_string().parse(), Ok(split));
        }
        assert_eq!(
            "val".parse::<Split>().unwrap_err().to_string(),
            "expected a split (`train`, `validation` or `test`), found \"val\""
        );
    }
}
