//! Image data sets on the host: manifests, files, decoding and augmentation. No tensors.
//!
//! A set is a manifest, `datasets/<name>.toml`, and parquet files laid out as
//! `<name>/default/<split>/*.parquet`, the way the Hugging Face hub publishes them.
//!
//! ```no_run
//! use data::{Classification, Root, Split};
//!
//! let root = Root::from_env(".");
//! let set = Classification::open(&root, "fashion-mnist-12k")?;
//! let (height, width, channels) = set.size();
//! assert_eq!(set.image(Split::Train, 0).len(), height * width * channels);
//! # Ok::<(), data::Error>(())
//! ```

pub mod augment;
mod carve;
mod classification;
mod dataset;
mod decode;
pub mod error;
mod example;
mod lock;
mod manifest;
mod root;
mod split;
mod statistics;
mod table;
mod written;

pub use classification::Classification;
pub use dataset::{Dataset, Part};
pub use error::{Error, Result};
pub use example::{Example, Image, Mask, Object, Point, VOID};
pub use lock::{ExpectedFile, Lock};
pub use manifest::{
    BoxForm, Carve, CarveSource, Channels, Columns, Fault, Hub, Manifest, Splits, TaskKind, Validation,
};
pub use root::{EXTERNAL_VARIABLE, Root};
pub use split::{Split, UnknownSplit};
