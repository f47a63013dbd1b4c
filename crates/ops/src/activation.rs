//! Rectified linear units, and sums of maps.

use crate::feature_map::{FeatureMap, common_engine};
use candle_core::{Result, bail};
use std::sync::Arc;

/// `max(x, 0)`; not-a-number stays so. The slope at exactly 0 is 0, as in torch.
///
/// # Errors
///
/// Where memory is short.
pub fn relu(x: &FeatureMap) -> Result<FeatureMap> {
    activate("relu", x, Activation::Relu)
}

/// `min(max(x, 0), 6)`, as `torch.nn.functional.relu6`; not-a-number stays so. The slope at exactly 0 and 6
/// is 0.
///
/// # Errors
///
/// Where memory is short.
pub fn relu6(x: &FeatureMap) -> Result<FeatureMap> {
    activate("relu6", x, Activation::Relu6)
}

/// `x` where it is positive, else `negative_slope · x`, as `torch.nn.functional.leaky_relu`. The slope at
/// exactly 0 is `negative_slope`.
///
/// # Errors
///
/// Where memory is short.
pub fn leaky_relu(x: &FeatureMap, negative_slope: f64) -> Result<FeatureMap> {
    activate("leaky_relu", x, Activation::LeakyRelu { negative_slope: negative_slope as f32 })
}

/// A function of each value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Activation {
    Relu,
    Relu6,
    LeakyRelu { negative_slope: f32 },
}

/// What the gradient of an activation is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Input,
    Output,
}

impl Activation {
    /// What [`activate_backward`](crate::engine::Engine::activate_backward) needs.
    pub(crate) fn keeps(self) -> Keep {
        match self {
            // The result would have the other sign.
            Self::LeakyRelu { negative_slope } if negative_slope < 0.0 => Keep::Input,
            _ => Keep::Output,
        }
    }
}

fn activate(op: &'static str, x: &FeatureMap, f: Activation) -> Result<FeatureMap> {
    let engine = x.engine;
    let mut y = engine.allocate(x.values.len())?;
    engine.activate(f, &x.values, &mut y)?;
    let y = Arc::new(y);
    let kept = match f.keeps() {
        Keep::Input => x.values.clone(),
        Keep::Output => y.clone(),
    };
    let gradient = x.gradient.clone();
    FeatureMap::from_op(op, engine, &[&x.edge], x.dims(), y, move |mut dy| {
        engine.activate_backward(f, &kept, &mut dy)?;
        gradient.add_buffer(dy)
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
    let engine = common_engine(NAME, a, &[b])?;
    let mut y = engine.allocate(a.values.len())?;
    engine.add(&a.values, &b.values, &mut y)?;
    let wanted = [a.wanted(), b.wanted()];
    FeatureMap::from_op(NAME, engine, &[&a.edge, &b.edge], a.dims(), Arc::new(y), move |dy| match wanted {
        [Some(a), Some(b)] => {
            a.add(dy.len(), |da, add| if add { engine.add_assign(da, &dy) } else { engine.assign(da, &dy) })?;
            b.add_buffer(dy)
        }
        [Some(x), None] | [None, Some(x)] => x.add_buffer(dy),
        [None, None] => Ok(()),
    })
}
