//! Rectified linear units, and sums of maps.

use crate::candle;
use crate::elementwise::{combine, combine2, rectify};
use crate::feature_map::{Body, FeatureMap, Values, mixed};
use crate::graph::{Edge, Gradient};
use crate::memory::Buffer;
use candle_core::{Result, bail};
use std::sync::Arc;

/// `max(x, 0)`; not-a-number stays so. The slope at exactly 0 is 0, as in torch.
///
/// # Errors
///
/// Where memory is short.
pub fn relu(x: &FeatureMap) -> Result<FeatureMap> {
    match x.body() {
        Body::Candle(tensor) => Ok(FeatureMap::candle(x.dims(), candle::relu(tensor)?)),
        Body::Kernels(values) => {
            activate("relu", x.dims(), values, Keep::Output, rectify, |y, dy| if y <= 0.0 { 0.0 } else { dy })
        }
    }
}

/// `min(max(x, 0), 6)`, as `torch.nn.functional.relu6`; not-a-number stays so. The slope at exactly 0 and 6
/// is 0.
///
/// # Errors
///
/// Where memory is short.
pub fn relu6(x: &FeatureMap) -> Result<FeatureMap> {
    match x.body() {
        Body::Candle(tensor) => Ok(FeatureMap::candle(x.dims(), candle::relu6(tensor)?)),
        Body::Kernels(values) => {
            let value = |x: f32| if x > 6.0 { 6.0 } else { rectify(x) };
            let slope = |y: f32, dy| if y <= 0.0 || y >= 6.0 { 0.0 } else { dy };
            activate("relu6", x.dims(), values, Keep::Output, value, slope)
        }
    }
}

/// `x` where it is positive, else `negative_slope · x`, as `torch.nn.functional.leaky_relu`. The slope at
/// exactly 0 is `negative_slope`.
///
/// # Errors
///
/// Where memory is short.
pub fn leaky_relu(x: &FeatureMap, negative_slope: f64) -> Result<FeatureMap> {
    match x.body() {
        Body::Candle(tensor) => Ok(FeatureMap::candle(x.dims(), candle::leaky_relu(tensor, negative_slope)?)),
        Body::Kernels(values) => {
            let slope = negative_slope as f32;
            // The result has the sign of x, unless the slope turns it.
            let keep = if slope >= 0.0 { Keep::Output } else { Keep::Input };
            let leak = move |sign: f32, value: f32| if sign > 0.0 { value } else { slope * value };
            activate("leaky_relu", x.dims(), values, keep, move |x| leak(x, x), leak)
        }
    }
}

/// What the gradient of an activation is computed from.
enum Keep {
    Input,
    Output,
}

/// `value` of each value of `x`; `gradient` gets what `keep` says, and the gradient of the result.
fn activate(
    op: &'static str,
    dims: [usize; 4],
    x: &Values,
    keep: Keep,
    value: impl Fn(f32) -> f32 + Sync,
    gradient: impl Fn(f32, f32) -> f32 + Send + Sync + 'static,
) -> Result<FeatureMap> {
    let mut y = Buffer::arbitrary(x.values.len())?;
    combine(x.kernels, &mut y, &x.values, |y, x| *y = value(x));
    let y = Arc::new(y);
    let kept = match keep {
        Keep::Input => x.values.clone(),
        Keep::Output => y.clone(),
    };
    let (kernels, dx) = (x.kernels, x.gradient.clone());
    x.then(op, dims, y, move |mut dy| {
        combine(kernels, &mut dy, &kept, |dy, kept| *dy = gradient(kept, *dy));
        dx.add_buffer(dy);
        Ok(())
    })
}

/// `a + b`, of equal shapes.
///
/// # Errors
///
/// Where the shapes differ.
pub fn add(a: &FeatureMap, b: &FeatureMap) -> Result<FeatureMap> {
    const NAME: &str = "add";
    if a.dims() != b.dims() {
        bail!("{NAME}: expected two maps of one shape, found {:?} and {:?}", a.dims(), b.dims());
    }
    let dims = a.dims();
    let (a, b) = match (a.body(), b.body()) {
        (Body::Candle(a), Body::Candle(b)) => return Ok(FeatureMap::candle(dims, (a + b)?)),
        (Body::Kernels(a), Body::Kernels(b)) if a.kernels == b.kernels => (a, b),
        _ => return mixed(NAME),
    };
    let kernels = a.kernels;
    let mut y = Buffer::arbitrary(a.values.len())?;
    combine2(kernels, &mut y, &a.values, &b.values, |y, a, b| *y = a + b);
    let dy = Gradient::default();
    let edge = Edge::node(NAME, &[&a.edge, &b.edge], {
        let dy = dy.clone();
        let wanted = [a, b].map(|x| x.edge.is_tracked().then(|| x.gradient.clone()));
        move || {
            let dy = dy.take(NAME)?;
            match wanted {
                [Some(a), Some(b)] => {
                    a.add(dy.len(), |da, add| {
                        combine(kernels, da, &dy, |da, dy| *da = if add { *da + dy } else { dy });
                        Ok(())
                    })?;
                    b.add_buffer(dy);
                }
                [Some(x), None] | [None, Some(x)] => x.add_buffer(dy),
                [None, None] => {}
            }
            Ok(())
        }
    })?;
    Ok(FeatureMap::kernels(dims, kernels, Arc::new(y), edge, dy))
}
