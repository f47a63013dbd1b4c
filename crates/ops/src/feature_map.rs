//! The activations that operations pass to each other.

use crate::graph::{Edge, Gradient, is_no_grad};
use crate::kernels::Kernels;
use crate::memory::Buffer;
use crate::values::{check, recorded, with_values};
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
    body: Body,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Values of this crate's kernels.
    Kernels(Values),
    /// A candle tensor `[n, h, w, c]`, on whichever device.
    Candle(Tensor),
}

/// Values in memory, and their place in the graph.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    pub(crate) kernels: Kernels,
    pub(crate) values: Arc<Buffer>,
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
    /// Where `x` is not of that shape or not `f32`.
    pub fn from_tensor(x: &Tensor) -> Result<Self> {
        check(ENTER, "x", x, "[n, h, w, c]", 4)?;
        let dims = x.dims4()?;
        let dims = [dims.0, dims.1, dims.2, dims.3];
        let kernels = Kernels::current()?;
        if kernels == Kernels::Candle || !x.device().is_cpu() {
            return Ok(Self::candle(dims, recorded(x)));
        }
        let values = Arc::new(with_values(ENTER, x, Buffer::copy)??);
        let (edge, gradient) = Edge::enter(ENTER, x)?;
        Ok(Self { dims, body: Body::Kernels(Values { kernels, values, edge, gradient }) })
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
        match &self.body {
            Body::Candle(x) => Ok(recorded(x)),
            Body::Kernels(x) => {
                let gradient = x.gradient.clone();
                x.edge.exit(EXIT, x.values.to_vec(), self.dims.as_slice(), move |dy| {
                    gradient.add_buffer(Buffer::copy(dy)?);
                    Ok(())
                })
            }
        }
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

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    /// Wraps a tensor `[n, h, w, c]` of candle's own operations.
    pub(crate) fn candle(dims: [usize; 4], tensor: Tensor) -> Self {
        Self { dims, body: Body::Candle(recorded(&tensor)) }
    }

    /// This map as the result of an operation that changes nothing.
    pub(crate) fn unchanged(&self) -> Self {
        let mut map = self.clone();
        match &mut map.body {
            Body::Candle(tensor) => *tensor = recorded(tensor),
            Body::Kernels(values) if is_no_grad() => values.edge = Edge::NONE,
            Body::Kernels(_) => {}
        }
        map
    }

    /// The result of an operation on kernels.
    ///
    /// `gradient` is where consumers add, and what the operation's node reads; `edge` is the node.
    pub(crate) fn kernels(
        dims: [usize; 4],
        kernels: Kernels,
        values: Arc<Buffer>,
        edge: Edge,
        gradient: Gradient,
    ) -> Self {
        Self { dims, body: Body::Kernels(Values { kernels, values, edge, gradient }) }
    }
}

impl Values {
    /// The result `y` of an operation on this map alone; `backward` gets its gradient.
    pub(crate) fn then(
        &self,
        op: &'static str,
        dims: [usize; 4],
        y: Arc<Buffer>,
        backward: impl FnOnce(Buffer) -> Result<()> + Send + 'static,
    ) -> Result<FeatureMap> {
        let dy = Gradient::default();
        let edge = Edge::node(op, &[&self.edge], {
            let dy = dy.clone();
            move || backward(dy.take(op)?)
        })?;
        Ok(FeatureMap::kernels(dims, self.kernels, y, edge, dy))
    }
}

/// The error of an operation on maps of which some are candle's and some are not.
pub(crate) fn mixed<T>(op: &str) -> Result<T> {
    bail!("{op}: expected maps of one device and one set of kernels")
}
