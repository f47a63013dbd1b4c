//! The activations that operations pass to each other.

use crate::engine::{Buffer, Compute};
use crate::graph::{Edge, Gradient, is_no_grad};
use crate::values::{check, engine_for, with_values};
use candle_core::{Result, Tensor, bail};
use std::sync::Arc;

/// An activation: `n` images of `h` × `w` pixels with `c` channels each, `f32`, a pixel's channels side by
/// side (NHWC).
///
/// Made from a candle tensor and turned back into one by [`FeatureMap::from_tensor`] and
/// [`FeatureMap::to_tensor`]; gradients pass in both directions. Cloning is free.
#[derive(Debug, Clone)]
pub struct FeatureMap {
    dims: [usize; 4],
    pub(crate) engine: Compute,
    pub(crate) values: Arc<Buffer>,
    /// Its place in the graph.
    pub(crate) edge: Edge,
    /// Where the gradient of the values is collected.
    pub(crate) gradient: Gradient,
}

const ENTER: &str = "FeatureMap::from_tensor";
const EXIT: &str = "FeatureMap::to_tensor";

impl FeatureMap {
    /// The images of `x` `[n, h, w, c]`.
    ///
    /// # Errors
    ///
    /// Where `x` is not of that shape, not `f32`, or not on the CPU.
    pub fn from_tensor(x: &Tensor) -> Result<Self> {
        check(ENTER, "x", x, "[n, h, w, c]", 4)?;
        let (n, h, w, c) = x.dims4()?;
        let engine = engine_for(ENTER, x)?;
        let values = Arc::new(with_values(ENTER, x, |x| engine.upload(x))??);
        let (edge, gradient) = Edge::enter(engine, ENTER, x)?;
        Ok(Self { dims: [n, h, w, c], engine, values, edge, gradient })
    }

    /// The images of `x` `[n, c, h, w]`, candle's layout.
    ///
    /// # Errors
    ///
    /// Where `x` is not of that shape or not `f32`.
    pub fn from_nchw(x: &Tensor) -> Result<Self> {
        check("FeatureMap::from_nchw", "x", x, "[n, c, h, w]", 4)?;
        Self::from_tensor(&x.permute((0, 2, 3, 1))?)
    }

    /// A tensor `[n, h, w, c]`.
    ///
    /// # Errors
    ///
    /// Where memory is short.
    pub fn to_tensor(&self) -> Result<Tensor> {
        let (gradient, values) = (self.gradient.clone(), self.engine.download(&self.values)?);
        self.edge.exit(EXIT, values, self.dims.as_slice(), move |dy| gradient.add_values(dy))
    }

    /// A tensor `[n, c, h, w]`, candle's layout (a view with strides).
    ///
    /// # Errors
    ///
    /// Where memory is short.
    pub fn to_nchw(&self) -> Result<Tensor> {
        self.to_tensor()?.permute((0, 3, 1, 2))
    }

    /// `[n, h, w, c]`.
    #[must_use]
    pub fn dims(&self) -> [usize; 4] {
        self.dims
    }

    /// `c`.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.dims[3]
    }

    /// `[h, w]`.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        [self.dims[1], self.dims[2]]
    }

    /// This map as the result of an operation that changes nothing.
    pub(crate) fn unchanged(&self) -> Self {
        let mut map = self.clone();
        if is_no_grad() {
            map.edge = Edge::NONE;
        }
        map
    }

    /// The result `y` of an operation on maps and parameters with the edges `inputs`; `backward` gets its gradient and
    /// adds to those of the inputs.
    pub(crate) fn from_op(
        op: &'static str,
        engine: Compute,
        inputs: &[&Edge],
        dims: [usize; 4],
        y: Arc<Buffer>,
        backward: impl FnOnce(Buffer) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let gradient = Gradient::new(engine);
        let edge = Edge::node(op, inputs, {
            let gradient = gradient.clone();
            move || backward(gradient.take(op)?)
        })?;
        Ok(Self { dims, engine, values: y, edge, gradient })
    }

    /// A map without a history.
    pub(crate) fn constant(engine: Compute, dims: [usize; 4], y: Buffer) -> Self {
        Self { dims, engine, values: Arc::new(y), edge: Edge::NONE, gradient: Gradient::new(engine) }
    }

    /// The gradient to add to; none where nothing needs it.
    pub(crate) fn wanted(&self) -> Option<Gradient> {
        self.edge.is_tracked().then(|| self.gradient.clone())
    }
}

/// The engine of all `maps`, of which there is at least one.
pub(crate) fn common_engine(op: &str, first: &FeatureMap, others: &[&FeatureMap]) -> Result<Compute> {
    if let Some(other) = others.iter().find(|other| other.engine.name() != first.engine.name()) {
        let [a, b] = [first, other].map(|map| map.engine.name());
        bail!("{op}: expected maps of one set of kernels, found maps of {a} and {b}");
    }
    Ok(first.engine)
}
