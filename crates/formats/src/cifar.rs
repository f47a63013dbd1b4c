//! The binary version of CIFAR-10 and CIFAR-100.

use data::Malformed;

/// Rows and columns of an image.
pub const SIDE: usize = 32;

const PLANE: usize = SIDE * SIDE;

/// An image and its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The class: of CIFAR-100 the fine one.
    pub label: u8,
    /// `[32, 32, 3]`: red, green, blue.
    pub pixels: Vec<u8>,
}

/// The records of a file, each with `labels` bytes of labels (1 in CIFAR-10, 2 in CIFAR-100) before
/// its pixels, of which the last counts.
///
/// # Errors
///
/// Where the length is no multiple of a record's.
pub fn parse(file: &[u8], labels: usize) -> Result<Vec<Record>, Malformed> {
    let length = labels + 3 * PLANE;
    if file.is_empty() || !file.len().is_multiple_of(length) {
        let expected = format!("records of {length} bytes ({labels} of labels, 32×32×3 pixels)");
        return Err(Malformed::new("", expected, format!("{} bytes", file.len())));
    }
    let record = |bytes: &[u8]| {
        let (labels, planes) = bytes.split_at_checked(labels)?;
        let (red, rest) = planes.split_at_checked(PLANE)?;
        let (green, blue) = rest.split_at_checked(PLANE)?;
        let pixels = red.iter().zip(green).zip(blue).flat_map(|((&red, &green), &blue)| [red, green, blue]).collect();
        Some(Record { label: *labels.last()?, pixels })
    };
    let records: Option<Vec<Record>> = file.chunks_exact(length).map(record).collect();
    records.ok_or_else(|| Malformed::new("", "at least 1 byte of labels", labels.to_string()))
}
