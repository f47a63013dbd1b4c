//! How a run can fail.

use record::StoreError;
use settings::Mistake;
use std::path::Path;

/// What a task's functions return.
pub type Result<T> = anyhow::Result<T>;

/// Why a run has no record.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spec asks for something that does not exist.
    #[error("{section}: {mistake}")]
    Spec {
        /// The part of the spec: `task`, `train`, `optimizer`, `schedule`, `method` or `rest_decay`.
        section: &'static str,
        /// Key, what was expected and what was found.
        mistake: Mistake,
    },
    /// The data set that the spec names cannot be used.
    #[error("dataset: {0}")]
    Dataset(String),
    /// The run was asked to stop; its checkpoint goes on from there.
    #[error("interrupted; the same command goes on from the checkpoint")]
    Interrupted,
    /// A file of the run is damaged, or another version wrote it, or it cannot be read or written.
    #[error(transparent)]
    Store(#[from] record::StoreError),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl Error {
    pub(crate) fn content(path: &Path, message: impl ToString) -> Self {
        Self::Store(StoreError::Content { path: path.into(), message: message.to_string() })
    }

    pub(crate) fn spec(section: &'static str, mistake: Mistake) -> Self {
        Self::Spec { section, mistake }
    }

    /// As [`Error::spec`], where `error` is a mistake in a table of settings.
    pub(crate) fn settings(section: &'static str, error: regularize::Error) -> Self {
        match error {
            regularize::Error::Settings { mistake, .. } => Self::spec(section, mistake),
            other => other.into(),
        }
    }

    /// The exit code of a task binary.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Spec { .. } | Self::Dataset(_) => 2,
            Self::Interrupted => 75,
            Self::Store(_) | Self::Other(_) => 1,
        }
    }
}

impl From<files::FileError> for Error {
    fn from(error: files::FileError) -> Self {
        Self::Store(error.into())
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Other(error.into())
    }
}

impl From<regularize::Error> for Error {
    fn from(error: regularize::Error) -> Self {
        Self::Other(error.into())
    }
}
