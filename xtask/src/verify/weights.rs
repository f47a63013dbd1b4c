//! The weights of two trainings, value by value.

use anyhow::{Context, Result};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeSet;
use std::path::Path;

/// The first tensor, by name, that differs between the files at `one` and `other`, and how.
pub(super) fn first_difference(one: &Path, other: &Path) -> Result<Option<(String, String)>> {
    let [one, other] = [one, other].map(|path| {
        std::fs::read(path).map(|bytes| (path, bytes)).with_context(|| format!("cannot read {}", path.display()))
    });
    let ((one_path, one), (other_path, other)) = (one?, other?);
    let parsed = |path: &Path, bytes| {
        SafeTensors::deserialize(bytes).with_context(|| format!("{} is no safetensors file", path.display()))
    };
    let (one, other) = (parsed(one_path, &one)?, parsed(other_path, &other)?);
    let names: BTreeSet<&str> = one.names().into_iter().chain(other.names()).collect();
    for name in names {
        let how = match (one.tensor(name), other.tensor(name)) {
            (Ok(one), Ok(other)) if one.shape() != other.shape() || one.dtype() != other.dtype() => {
                format!("{:?} {:?} and {:?} {:?}", one.dtype(), one.shape(), other.dtype(), other.shape())
            }
            (Ok(one), Ok(other)) if one.data() == other.data() => continue,
            (Ok(one), Ok(other)) if one.dtype() == Dtype::F32 => values(one.data(), other.data()),
            (Ok(_), Ok(_)) => "other bytes".to_owned(),
            (Ok(_), Err(_)) => "something and nothing".to_owned(),
            (Err(_), _) => "nothing and something".to_owned(),
        };
        return Ok(Some((name.to_owned(), how)));
    }
    Ok(None)
}

/// How many values differ in bits, and the first that does.
fn values(one: &[u8], other: &[u8]) -> String {
    let floats =
        |bytes: &[u8]| -> Vec<f32> { bytes.as_chunks().0.iter().map(|bits| f32::from_le_bytes(*bits)).collect() };
    let (one, other) = (floats(one), floats(other));
    let differing: Vec<usize> = (0..one.len()).filter(|i| one[*i].to_bits() != other[*i].to_bits()).collect();
    let first = differing.first().copied().unwrap_or_default();
    let many = format!("{} of {} values", differing.len(), one.len());
    format!("{many}, of which number {first} is {:?} and {:?}", one[first], other[first])
}
