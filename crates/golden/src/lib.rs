//! Golden vectors: what reference programs compute, made by `tools/make_*golden.py`, for tests to match. Only tests depend
//! on this crate, so it panics where they would.
//!
//! A crate's vectors are committed in its `tests/golden`. Vectors of other seeds are read where the environment variable
//! `WRS_BENCH_GOLDEN` names a folder that has a folder for the crate, `<crate>/<file>`, as the scripts write them:
//!
//! ```text
//! for script in tools/make_*golden.py; do python3 $script ~/golden/7 7; done
//! WRS_BENCH_GOLDEN=~/golden/7 cargo test --workspace golden
//! ```
//!
//! A file of [`Vectors`] has results in `f64`, rounded to `f32`, and how far PyTorch is from them in `f32`.
//! [`Vectors::assert_close`] tells by this what is wrong from what is rounded; `tools/golden.py` has the reasons.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How often PyTorch's own error a result may be from `f64`.
const FACTOR: f64 = 2.0;

/// What may be added to this, relative to the largest value of the tensor: two units in the last place. Half a one is the
/// rounding of the file, and another that of the result; the rest is for tensors of few values, which PyTorch has
/// exactly at times.
const FLOOR: f64 = 2.0 * f32::EPSILON as f64;

/// The file `name` of the crate in `crate_folder` (its `CARGO_MANIFEST_DIR`): in `$WRS_BENCH_GOLDEN/<crate>` where it is
/// there, else the committed one.
pub fn path(crate_folder: &str, name: &str) -> PathBuf {
    let others = std::env::var_os("WRS_BENCH_GOLDEN").map(PathBuf::from);
    if let Some(folder) = &others {
        assert!(folder.is_dir(), "WRS_BENCH_GOLDEN: expected a folder, found none at {}", folder.display());
    }
    path_among(others.as_deref(), Path::new(crate_folder), name)
}

fn path_among(others: Option<&Path>, crate_folder: &Path, name: &str) -> PathBuf {
    let other = others.map(|folder| folder.join(crate_folder.file_name().unwrap()).join(name));
    other.filter(|path| path.exists()).unwrap_or_else(|| crate_folder.join("tests/golden").join(name))
}

/// A file of tensors, with the settings of the cases that they are of.
pub struct Vectors {
    path: PathBuf,
    bytes: Vec<u8>,
    metadata: BTreeMap<String, Value>,
}

impl Vectors {
    /// Those of the file that [`path`] says.
    pub fn open(crate_folder: &str, name: &str) -> Self {
        let path = path(crate_folder, name);
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let json = |(key, text): (String, String)| (key, serde_json::from_str(&text).unwrap());
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().map(json).collect();
        Self { path, bytes, metadata }
    }

    /// The settings of each case whose name begins with `prefix`, by name.
    pub fn cases(&self, prefix: &str) -> impl Iterator<Item = (&str, &Value)> {
        let cases = self.metadata.iter().filter(move |(case, _)| *case != "errors" && case.starts_with(prefix));
        cases.map(|(case, settings)| (case.as_str(), settings))
    }

    fn tensor(&self, name: &str, dtype: Dtype) -> (Vec<usize>, Vec<u8>) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap_or_else(|e| panic!("{}: {name}: {e}", self.path.display()));
        assert_eq!(view.dtype(), dtype, "{}: {name}", self.path.display());
        (view.shape().to_vec(), view.data().to_vec())
    }

    /// Shape and values of an `f32` tensor.
    pub fn floats(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let (shape, bytes) = self.tensor(name, Dtype::F32);
        (shape, bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect())
    }

    /// Shape and values of an `f64` tensor.
    pub fn doubles(&self, name: &str) -> (Vec<usize>, Vec<f64>) {
        let (shape, bytes) = self.tensor(name, Dtype::F64);
        (shape, bytes.as_chunks().0.iter().map(|value| f64::from_le_bytes(*value)).collect())
    }

    /// Shape and values of a tensor of small whole numbers.
    pub fn bytes(&self, name: &str) -> (Vec<usize>, Vec<u8>) {
        self.tensor(name, Dtype::U8)
    }

    /// PyTorch's own error at the tensor `name`: the largest distance that a value has from `f64` if computed in `f32`.
    pub fn error(&self, name: &str) -> f64 {
        let error = self.metadata.get("errors").and_then(|errors| errors[name].as_f64());
        error.unwrap_or_else(|| panic!("{}: expected an error of {name}, found none", self.path.display()))
    }

    /// Asserts that `found` is the tensor `name`, up to twice PyTorch's own error and two units in the last place of the
    /// largest value. `by` says what computed it.
    pub fn assert_close(&self, by: &str, name: &str, found: &[f32]) {
        self.assert_near(by, name, found, 0.0);
    }

    /// The same, but `share` of the largest value farther, for what has errors beside rounding.
    pub fn assert_near(&self, by: &str, name: &str, found: &[f32], share: f64) {
        let (_, expected) = self.floats(name);
        assert_eq!(found.len(), expected.len(), "{by}: {name}");
        let largest = expected.iter().fold(0.0, |most, value| value.abs().max(most));
        let tolerance = FACTOR * self.error(name) + (FLOOR + share) * f64::from(largest);
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let distance = (f64::from(*found) - f64::from(*expected)).abs();
            // Not a number is not close.
            assert!(
                distance <= tolerance,
                "{by}: {name}: value {index}: found {found}, expected {expected} as in {}; they are {distance:e} from each \
                 other, of at most {tolerance:e}; the largest value is {largest}",
                self.path.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;
    use std::collections::HashMap;

    const EXPECTED: [f32; 3] = [1.0, -8.0, 1e-9];
    const ERROR: f64 = 1e-4;

    /// A file with `EXPECTED` as `case/y`, where PyTorch is `ERROR` off, and as `case/exact`, where it is not.
    fn vectors() -> Vectors {
        let bytes: Vec<u8> = EXPECTED.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = |name| (name, TensorView::new(Dtype::F32, vec![EXPECTED.len()], &bytes).unwrap());
        let metadata = [("case", r#"{"stride": 2}"#), ("errors", r#"{"case/y": 1e-4, "case/exact": 0.0}"#)];
        let strings: HashMap<_, _> = metadata.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        let bytes = safetensors::serialize(["case/y", "case/exact"].map(view), Some(strings)).unwrap();
        let json = |(key, text): (&str, &str)| (key.to_owned(), serde_json::from_str(text).unwrap());
        Vectors { path: "test".into(), bytes, metadata: metadata.map(json).into() }
    }

    /// Whether `check` accepts `EXPECTED` with `error` added to the value at `index`.
    fn catch(index: usize, error: f64, check: impl Fn(&Vectors, &[f32]) + std::panic::RefUnwindSafe) -> bool {
        let mut found = EXPECTED;
        found[index] = (f64::from(found[index]) + error) as f32;
        std::panic::catch_unwind(|| check(&vectors(), &found)).is_ok()
    }

    fn is_close(index: usize, error: f64) -> bool {
        catch(index, error, |vectors, found| vectors.assert_close("a test", "case/y", found))
    }

    #[test]
    fn twice_the_error_is_close_and_more_is_not() {
        for index in 0..EXPECTED.len() {
            for sign in [-1.0, 1.0] {
                assert!(is_close(index, sign * 1.99 * ERROR), "value {index}");
                assert!(!is_close(index, sign * 2.1 * ERROR), "value {index}");
            }
            assert!(!is_close(index, f64::NAN) && !is_close(index, f64::INFINITY), "value {index}");
        }
    }

    #[test]
    fn two_units_in_the_last_place_are_close_to_what_pytorch_has_exactly() {
        let unit = 8.0 * f64::from(f32::EPSILON);
        let close = |error: f64, share| catch(0, error, |v, found| v.assert_near("a test", "case/exact", found, share));
        assert!(close(0.0, 0.0) && close(2.0 * unit, 0.0) && !close(3.0 * unit, 0.0));
        assert!(close(10.0 * unit, 1e-5) && !close(1000.0 * unit, 1e-5));
    }

    #[test]
    #[should_panic(expected = "test: expected an error of case/z, found none")]
    fn a_tensor_without_an_error_is_named() {
        vectors().error("case/z");
    }

    #[test]
    fn errors_are_no_case() {
        let vectors = vectors();
        let cases: Vec<_> = vectors.cases("").map(|(case, settings)| (case, settings["stride"].as_u64())).collect();
        assert_eq!(cases, [("case", Some(2))]);
    }

    #[test]
    fn another_file_of_the_crate_comes_first() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = |others, name| path_among(others, here, name);
        assert_eq!(found(here.parent(), "Cargo.toml"), here.join("Cargo.toml"));
        assert_eq!(found(here.parent(), "x.json"), here.join("tests/golden/x.json"));
        assert_eq!(found(None, "Cargo.toml"), here.join("tests/golden/Cargo.toml"));
    }
}
