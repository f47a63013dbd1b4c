//! The fully connected layer.

use crate::graph::{Edge, Gradient};
use crate::values::{check, engine_for};
use candle_core::{Result, Tensor, bail};

/// `x · weightᵀ + bias` with `x` `[n, in]`, `weight` `[out, in]`, `bias` `[out]`; the result is `[n, out]`.
///
/// As `torch.nn.functional.linear`.
///
/// # Errors
///
/// Where the shapes do not fit each other.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    check(NAME, "x", x, "[n, in]", 2)?;
    check(NAME, "weight", weight, "[out, in]", 2)?;
    let ((n, inputs), (outputs, weight_inputs)) = (x.dims2()?, weight.dims2()?);
    if inputs != weight_inputs {
        bail!("{NAME}: expected x [n, in] and weight [out, in], found {:?} and {:?}", x.dims(), weight.dims());
    }
    if let Some(bias) = bias {
        check(NAME, "bias", bias, "[out]", 1)?;
        if bias.dims() != [outputs] {
            bail!("{NAME}: expected weight [out, in] and bias [out], found {:?} and {:?}", weight.dims(), bias.dims());
        }
    }
    let engine = engine_for(NAME, x)?;
    let y = engine.take_values(engine.linear(x, weight, bias)?)?;
    let (x_edge, dx) = Edge::enter(engine, NAME, x)?;
    let (weight_edge, dweight) = Edge::enter(engine, NAME, weight)?;
    let (bias_edge, dbias) = match bias {
        Some(bias) => Edge::enter(engine, NAME, bias)?,
        None => (Edge::NONE, Gradient::new(engine)),
    };
    let dy = Gradient::new(engine);
    let edges = [&x_edge, &weight_edge, &bias_edge];
    let [tracks_x, tracks_weight, tracks_bias] = edges.map(Edge::is_tracked);
    let node = Edge::node(NAME, &edges, {
        let (x, weight, dy) = (x.clone(), weight.clone(), dy.clone());
        move || {
            let dy = dy.take(NAME)?;
            if tracks_bias {
                dbias.add_buffer(engine.column_sums(&dy, outputs)?)?;
            }
            if tracks_weight {
                dweight.add_buffer(engine.linear_weight_gradient(&dy, &x, outputs)?)?;
            }
            if tracks_x {
                dx.add_buffer(engine.linear_input_gradient(&dy, &weight, n)?)?;
            }
            Ok(())
        }
    })?;
    node.exit(NAME, y, (n, outputs), move |gradient| dy.add_values(gradient))
}

const NAME: &str = "linear";
