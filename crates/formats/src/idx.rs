//! IDX files of bytes, as MNIST's.

use data::Malformed;

/// An array of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array<'a> {
    /// Length of each dimension.
    pub dims: Vec<usize>,
    /// As many as the dimensions say, the last dimension fastest.
    pub values: &'a [u8],
}

/// The array in an uncompressed file.
///
/// # Errors
///
/// Where it is no IDX file of bytes, or has other than `dimensions` dimensions, or another length
/// than they say.
pub fn parse(file: &[u8], dimensions: u8) -> Result<Array<'_>, Malformed> {
    let expected = format!("an IDX file of bytes with {dimensions} dimensions");
    let header = 4 + 4 * usize::from(dimensions);
    if !file.starts_with(&[0, 0, 8, dimensions]) {
        let magic: Vec<String> = file.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        return Err(Malformed::new("", expected, format!("the first bytes {}", magic.join(" "))));
    }
    let (Some(header), Some(values)) = (file.get(4..header), file.get(header..)) else {
        return Err(Malformed::new("", expected, format!("{} bytes", file.len())));
    };
    let dims: Vec<usize> = header.as_chunks().0.iter().map(|&length| u32::from_be_bytes(length) as usize).collect();
    let count = dims.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
    if count != Some(values.len()) {
        let dims: Vec<String> = dims.iter().map(usize::to_string).collect();
        return Err(Malformed::new("", format!("{} bytes of values", dims.join("×")), values.len().to_string()));
    }
    Ok(Array { dims, values })
}
