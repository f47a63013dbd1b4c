//! Image data sets on the host: manifests, files, decoding and augmentation. No tensors.
//!
//! A set is a manifest, `datasets/<name>.toml`, and parquet files laid out as
//! `<name>/default/<split>/*.parquet`, the way the Hugging Face hub publishes them; or another set, whose images are put
//! together to [`scenes`].
//!
//! ```no_run
//! use data::{Classification, Options, Root, Split};
//!
//! let root = Root::from_env(".");
//! let set = Classification::open(&root, "fashion-mnist-12k", Options::default())?;
//! let example = set.example(Split::Train, 0)?;
//! println!("{:?} is a {}", example.image, set.classes()[example.label as usize]);
//! # Ok::<(), data::Error>(())
//! ```

pub mod augment;
mod carve;
pub mod coco;
mod columns;
mod dataset;
pub mod decode;
pub mod error;
mod example;
mod guard;
mod jpeg;
mod json;
pub mod kind;
mod known;
mod label;
mod lock;
mod malformed;
mod manifest;
mod pattern;
pub mod plausible;
mod reading;
mod resize;
mod root;
mod rows;
pub mod scenes;
mod set;
mod split;
mod spool;
mod statistics;
mod stored;
mod table;
mod task;
pub mod text;
mod written;

pub use dataset::{Dataset, sha256_of};
pub use error::{Error, Result};
pub use example::{Example, Image, Mask, Object, Point, VOID};
pub use label::{BoxColumns, BoxForm, ClassColumns, Label, MaskColumns, PointColumns};
pub use lock::{ExpectedFile, Lock};
pub use malformed::Malformed;
pub use manifest::{Manifest, Source};
pub use pattern::fits;
pub use reading::Warning;
pub use resize::Resize;
pub use root::{EXTERNAL_VARIABLE, MEMORY, MEMORY_VARIABLE, Root};
pub use set::{Classification, CrowdCounting, Detection, Options, Segmentation, Set};
pub use split::{Split, UnknownSplit};
pub use stored::{Carve, CarveSource, Channels, Columns, Fault, Hub, Splits, Stored, Validation};
pub use task::TaskKind;
