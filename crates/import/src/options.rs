//! How a release is imported.

use data::{Fault, Resize};

/// How a release is imported.
#[derive(Debug, Clone)]
pub struct Options {
    /// The name of a [layout](crate::layout::LAYOUTS); recognized where it is not given.
    pub format: Option<String>,
    /// Another size for all images; [`Resize::Cover`] is for readers alone.
    pub resize: Option<Resize>,
    /// What is left out and counted, where there is no manifest that says so.
    pub tolerate: Vec<Fault>,
    /// What annotations of Pascal VOC call the first pixel: 0 or 1. Where nothing is said it is 1, as in the official
    /// releases, and an annotation that begins at 0 is an error.
    pub first_pixel: Option<u8>,
    /// Bytes from which a parquet file ends.
    pub file_bytes: usize,
}

impl Default for Options {
    /// A recognized structure, images as they are, nothing tolerated, files of 500 MB.
    fn default() -> Self {
        Self { format: None, resize: None, tolerate: Vec::new(), first_pixel: None, file_bytes: 500_000_000 }
    }
}
