//! What can go wrong with a fetch, and what to do about it.

use std::fmt;
use std::path::PathBuf;

use files::FileError;
use indicatif::DecimalBytes;

/// The result of a fetch.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with a fetch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A data set that does not exist, or whose manifest cannot be read.
    #[error(transparent)]
    Data(#[from] data::Error),

    /// A file of this machine.
    #[error(transparent)]
    File(#[from] FileError),

    /// An environment variable with a value that makes no sense.
    #[error("${name}: expected {expected}, found {found:?}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What it can be.
        expected: &'static str,
        /// What it is.
        found: String,
    },

    /// A token with characters that no token has.
    #[error("the token of {origin} has characters that no token has, such as spaces\n  hint: copy it again")]
    Token {
        /// The variable or the file that it is from.
        origin: String,
    },

    /// A set that is on no hub.
    #[error(
        "data set {name:?} cannot be fetched: its manifest has no `[hub]`\n  hint: get it from {home}, and either import \
         it, or put parquet files where ${} names a folder, as {name}/default/<split>/*.parquet",
        data::EXTERNAL_VARIABLE
    )]
    NotOnHub {
        /// The set.
        name: String,
        /// Address of the page of the set.
        home: String,
    },

    /// A file of the set's name that no fetch has made.
    #[error(
        "data set {name:?}: {} is there already, and neither a lock nor the manifest says that it is the hub's\n  hint: it \
         may have been imported; move it away to fetch the hub's",
        file.display()
    )]
    NotFetched {
        /// The set.
        name: String,
        /// The file.
        file: PathBuf,
    },

    /// A value in a manifest or a lock that makes no sense to the hub.
    #[error("{}: {key}: expected {expected}, found {found:?}", file.display())]
    Value {
        /// The manifest or the lock.
        file: PathBuf,
        /// The key.
        key: String,
        /// What it can be.
        expected: &'static str,
        /// What it is.
        found: String,
    },

    /// Two files that would have the same name.
    #[error(
        "{}: {first:?} and {second:?} of the repository would both be {path:?}\n  hint: make the pattern in `hub.files` \
         fit one of them, or list the files as `[[files]]` with `path` and `source`",
        file.display()
    )]
    Collision {
        /// The manifest or the lock.
        file: PathBuf,
        /// A file of the repository.
        first: String,
        /// Another.
        second: String,
        /// The name that both would have.
        path: String,
    },

    /// A pattern or a path that fits no file of the repository.
    #[error(
        "{}: {wanted}, and there is no such file in {repository}\n  hint: it has {there}",
        file.display()
    )]
    NothingThere {
        /// The manifest or the lock.
        file: PathBuf,
        /// The key, and the pattern or path that it names.
        wanted: String,
        /// The repository and the commit.
        repository: String,
        /// What the repository has.
        there: There,
    },

    /// A manifest or lock that says something else than the hub.
    #[error(
        "{}: `files.{key}` of {path:?}: expected {expected}, found {found} on the hub\n  hint: `hub.revision` may be \
         another than the one that the files were listed from",
        file.display()
    )]
    Disagreement {
        /// The manifest or the lock.
        file: PathBuf,
        /// `size` or `sha256`.
        key: &'static str,
        /// The file of the set.
        path: String,
        /// What the manifest says.
        expected: String,
        /// What the hub says.
        found: String,
    },

    /// The hub wants to know who asks, or does not let them in.
    #[error("the hub refuses {asked}: {answer}\n  hint: {hint}")]
    Refused {
        /// What was asked for.
        asked: String,
        /// Status and message.
        answer: String,
        /// What to do, with the addresses where to do it.
        hint: String,
    },

    /// The hub does not have what the manifest names.
    #[error("the hub has no {asked}: {answer}\n  hint: see `hub` and `files` in {} and its lock; {page} shows what there is", file.display())]
    NotFound {
        /// What was asked for.
        asked: String,
        /// Status and message.
        answer: String,
        /// Address of the page of the repository.
        page: String,
        /// The manifest.
        file: PathBuf,
    },

    /// An answer that is of no use, and would be the same again.
    #[error("asked {host} for {asked}, and cannot use its answer: {answer}")]
    Answer {
        /// Who answered.
        host: String,
        /// What was asked for.
        asked: String,
        /// Status and message, or what is wrong with it.
        answer: String,
    },

    /// All attempts failed.
    #[error("cannot get {asked}; gave up after {attempts} attempts, the last of which failed: {reason}{}", GOES_ON)]
    GaveUp {
        /// What was asked for.
        asked: String,
        /// How many attempts there were.
        attempts: u32,
        /// Why the last one failed.
        reason: String,
    },

    /// A file with other bytes than expected, twice.
    #[error(
        "{path}: expected {expected}, found {found}, even when it was fetched again from its begin; nothing was kept\n  \
         hint: the hub or something between serves other bytes than the manifest, the lock or the hub's listing names"
    )]
    Contents {
        /// The file of the set.
        path: String,
        /// Size or sha256 as it must be.
        expected: String,
        /// Size or sha256 as it is.
        found: String,
    },

    /// Nothing may be connected to, and something is missing.
    #[error(
        "HF_HUB_OFFLINE is set, and this is not here:{}\n  hint: unset it, or fetch where there is a network",
        lines(missing)
    )]
    Offline {
        /// What is missing.
        missing: Vec<String>,
    },

    /// The disk is too full.
    #[error(
        "{} needs {} more, with some to spare, and its disk has {} free\n  hint: free some space and run the same \
         command again",
        folder.display(), DecimalBytes(*needed), DecimalBytes(*free)
    )]
    Space {
        /// Where the files go.
        folder: PathBuf,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that there are.
        free: u64,
    },

    /// A client for HTTP cannot be made.
    #[error("cannot make a client for HTTP: {0}")]
    Client(String),
}

const GOES_ON: &str = "\n  hint: what was fetched is kept; the same command goes on from there";

impl Error {
    /// Whether something that the user wrote is at fault: an argument, a variable, a manifest.
    pub fn is_mistake(&self) -> bool {
        match self {
            Self::Data(cause) => matches!(
                cause,
                data::Error::UnknownDataset { .. }
                    | data::Error::NoManifest { .. }
                    | data::Error::Manifest { .. }
                    | data::Error::Lock { .. }
            ),
            Self::Variable { .. }
            | Self::Token { .. }
            | Self::NotOnHub { .. }
            | Self::NotFetched { .. }
            | Self::Value { .. }
            | Self::Collision { .. }
            | Self::NothingThere { .. }
            | Self::Disagreement { .. } => true,
            _ => false,
        }
    }
}

/// What a repository has, shortened.
#[derive(Debug)]
pub struct There(pub(crate) Vec<String>);

impl fmt::Display for There {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 20;
        if self.0.is_empty() {
            return f.write_str("no files at all");
        }
        f.write_str("these files:")?;
        self.0.iter().take(SHOWN).try_for_each(|path| write!(f, "\n    {path}"))?;
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n    and {more} more"),
        }
    }
}

/// Describes an error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn lines(items: &[String]) -> String {
    items.iter().map(|item| format!("\n    {item}")).collect()
}
