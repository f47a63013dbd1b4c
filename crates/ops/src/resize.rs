//! Maps of another size.

use crate::feature_map::FeatureMap;
use crate::values::elements;
use candle_core::{Result, bail};
use std::ops::Range;
use std::sync::Arc;

/// How [`resize`] finds a pixel's value; names as the modes of `torch.nn.functional.interpolate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The pixel `⌊i · in / out⌋`, computed in `f32`.
    Nearest,
    /// A weighted mean of the four pixels around a point.
    Bilinear {
        /// Whether the centers of the corner pixels lie upon each other (point `i · (in − 1) / (out − 1)`),
        /// or the corners of the images (point `max((i + ½) · in / out − ½, 0)`).
        align_corners: bool,
    },
}

/// The images of `x` `[n, h, w, c]` in the size `[h', w']`: `[n, h', w', c]`, as
/// `torch.nn.functional.interpolate(x, size=size, mode=…)`.
///
/// # Errors
///
/// Where a side of the input or of the result is 0, or memory is short.
pub fn resize(x: &FeatureMap, size: [usize; 2], mode: Resize) -> Result<FeatureMap> {
    let [n, in_h, in_w, c] = x.dims();
    let [out_h, out_w] = size;
    if [in_h, in_w, out_h, out_w].contains(&0) {
        bail!("{NAME}: expected sides of at least 1, found x {:?} and the size {size:?}", x.dims());
    }
    if size == x.size() {
        return Ok(x.unchanged());
    }
    let dims = [n, out_h, out_w, c];
    elements(NAME, x.dims())?;
    let len = elements(NAME, dims)?;
    let taps = Taps { c, rows: taps(mode, in_h, out_h)?, columns: taps(mode, in_w, out_w)?, size_in: x.size() };
    let engine = x.engine;
    let mut y = engine.allocate(len)?;
    engine.resize(&taps, &x.values, &mut y)?;
    let (gradient, values) = (x.gradient.clone(), x.values.len());
    FeatureMap::from_op(NAME, engine, &[&x.edge], dims, Arc::new(y), move |dy| {
        gradient.add(values, |dx, add| engine.resize_backward(&taps, &dy, dx, add))
    })
}

const NAME: &str = "resize";

/// What the rows and columns of the result read of a map of `c` channels.
#[derive(Debug)]
pub(crate) struct Taps {
    pub(crate) c: usize,
    pub(crate) rows: Vec<Tap>,
    pub(crate) columns: Vec<Tap>,
    /// `[h, w]` of the map that is read.
    pub(crate) size_in: [usize; 2],
}

/// What one row or column of the result reads: `(1 − share) · low + share · high`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tap {
    pub(crate) low: usize,
    /// `low` or its successor; `low` exactly where `share` is 0.
    pub(crate) high: usize,
    pub(crate) share: f32,
}

impl Tap {
    /// The weight of row or column `from`, one of the two.
    #[inline(always)]
    pub(crate) fn weight(&self, from: usize) -> f32 {
        if from == self.low { 1.0 - self.share } else { self.share }
    }
}

/// The taps that read row or column `from`: neighbors, as taps rise.
pub(crate) fn readers(taps: &[Tap], from: usize) -> Range<usize> {
    taps.partition_point(|tap| tap.high < from)..taps.partition_point(|tap| tap.low <= from)
}

/// The taps of `output` rows or columns in `input` ones, in rising order. In `f32` and in torch's order, so
/// that both round to the same pixel.
fn taps(mode: Resize, input: usize, output: usize) -> Result<Vec<Tap>> {
    let mut taps = Vec::new();
    if taps.try_reserve_exact(output).is_err() {
        bail!("{NAME}: no memory for a side of {output} pixels");
    }
    let ratio = input as f32 / output as f32;
    taps.extend((0..output).map(|i| {
        let point = match mode {
            Resize::Nearest => (i as f32 * ratio).floor(),
            Resize::Bilinear { align_corners: false } => (ratio * (i as f32 + 0.5) - 0.5).max(0.0),
            Resize::Bilinear { align_corners: true } if output == 1 => 0.0,
            Resize::Bilinear { align_corners: true } => (input - 1) as f32 / (output - 1) as f32 * i as f32,
        };
        let low = (point as usize).min(input - 1);
        let share = if low == input - 1 { 0.0 } else { (point - low as f32).clamp(0.0, 1.0) };
        Tap { low, high: if share > 0.0 { low + 1 } else { low }, share }
    }));
    Ok(taps)
}
