//! Rectified linear units, and sums of maps.

use crate::candle;
use crate::elementwise::{combine, combine2, rectify};
use crate::feature_map::{Body, FeatureMap, mixed};
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
    const NAME: &str = "relu";
    let dims = x.dims();
    let x = match x.body() {
        Body::Candle(x) => return Ok(FeatureMap::candle(dims, candle::relu(x)?)),
        Body::Kernels(x) => x,
    };
    let mut y = Buffer::arbitrary(x.values.len())?;
    combine(x.kernels, &mut y, &x.values, |y, x| *y = rectify(x));
    let y = Arc::new(y);
    x.then(NAME, dims, y.clone(), {
        let (kernels, gradient) = (x.kernels, x.gradient.clone());
        move |mut dy| {
            combine(kernels, &mut dy, &y, |dy, y| *dy = if y > 0.0 { *dy } else { 0.0 });
            gradient.add_buffer(dy);
            Ok(())
        }
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
    let mut y = Buffer::arbitrary(a.values.len())?;
    combine2(a.kernels, &mut y, &a.values, &b.values, |y, a, b| *y = a + b);
    let dy = Gradient::default();
    let edge = Edge::node(NAME, &[&a.edge, &b.edge], {
        let dy = dy.clone();
        let wanted = [a, b].map(|x| x.edge.is_tracked().then(|| x.gradient.clone()));
        move || {
            let dy = dy.take(NAME)?;
            match wanted {
                [Some(a), Some(b)] => {
                    a.add_buffer(Buffer::copy(&dy)?);
                    b.add_buffer(dy);
                }
                [Some(x), None] | [None, Some(x)] => x.add_buffer(dy),
                [None, None] => {}
            }
            Ok(())
        }
    })?;
    Ok(FeatureMap::kernels(dims, a.kernels, Arc::new(y), edge, dy))
}
