//! Points of heads from MATLAB files.
//!
//! The coordinates stay as they are in the file, `[x, y]`, as in published work. MATLAB counts
//! pixels from 1 and puts the number on the pixel's middle, so they may be half a pixel too far
//! right and down; nothing in the releases says whether the annotators' tool did the same.

use crate::mat::{self, Variable};
use data::Malformed;

/// The points of a file of ShanghaiTech: `image_info{1,1}.location`, as many as `.number` says.
///
/// # Errors
///
/// Where it is no MAT file (see [`mat::parse`]), has other variables (the message lists them), or
/// the number is another.
pub fn shanghaitech(file: &[u8]) -> Result<Vec<[f64; 2]>, Malformed> {
    let variables = mat::parse(file)?;
    let info = variable(&variables, "image_info").and_then(|info| info.only_item());
    let points = info.and_then(|info| info.field("location")).and_then(mat::Value::pairs);
    let number = info.and_then(|info| info.field("number")).and_then(mat::Value::number);
    let (Some(points), Some(number)) = (points, number) else {
        let expected = "`image_info`, a cell 1×1 of struct 1×1 {location: numeric N×2, number: numeric 1×1}";
        return Err(Malformed::new("", expected, listed(&variables)));
    };
    if points.len() as f64 != number {
        let expected = format!("{number} points as `number` says");
        return Err(Malformed::new("image_info{1,1}.location", expected, points.len().to_string()));
    }
    Ok(points)
}

/// The points of a file of UCF-QNRF: `annPoints`.
///
/// # Errors
///
/// Where it is no MAT file (see [`mat::parse`]), or has other variables (the message lists them).
pub fn ucf_qnrf(file: &[u8]) -> Result<Vec<[f64; 2]>, Malformed> {
    let variables = mat::parse(file)?;
    variable(&variables, "annPoints")
        .and_then(mat::Value::pairs)
        .ok_or_else(|| Malformed::new("", "`annPoints`, numeric N×2", listed(&variables)))
}

fn variable<'a>(variables: &'a [Variable], name: &str) -> Option<&'a mat::Value> {
    variables.iter().find(|variable| variable.name == name).map(|variable| &variable.value)
}

fn listed(variables: &[Variable]) -> String {
    if variables.is_empty() {
        return "no variables".to_owned();
    }
    let all: Vec<String> =
        variables.iter().map(|variable| format!("`{}`, {}", variable.name, variable.value)).collect();
    all.join("; ")
}
