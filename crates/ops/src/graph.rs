//! How the operations of this crate join candle's graph.
//!
//! Candle's backward pass allocates a tensor of zeros for each edge of the graph and adds the edge's
//! gradient to it. For large activations that costs more than the arithmetic. An edge between two
//! operations of this crate therefore is a candle tensor of *one* value, which only carries the order of
//! computation, while values and gradients travel beside it in buffers: the first gradient is written, the
//! second added in place, and a buffer is freed as soon as it has been used. Whatever candle computes
//! before, between and behind (and the gradients of parameters) stays candle's.
//!
//! As in torch, an operation's gradient can be taken once: what it needs is freed on the way.

use crate::engine::{Buffer, Compute};
use crate::values::{output, values};
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, TensorId, bail};
use kernels::scoped;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

thread_local! {
    static NO_GRAD: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` without recording gradients for the operations of this crate that it starts on this thread,
/// as `torch.no_grad`: nothing is kept for a backward pass, and layers may be computed in one go.
///
/// Like `Kernels::scope` and `backward` it holds for a thread. A thread that waits for a parallel loop may
/// take up other work of its rayon pool: passes that run at the same time need pools of their own.
pub fn no_grad<R>(work: impl FnOnce() -> R) -> R {
    scoped(&NO_GRAD, true, work)
}

/// The gradients of all variables that `loss` (a scalar) depends on, as `loss.backward()` gives them.
///
/// Faster for large weights: candle adds each gradient of a variable to a tensor of zeros, which costs more
/// than the optimizer's step. Here the gradients of variables that go directly into operations of this crate
/// are handed over as they are.
///
/// # Errors
///
/// Those of `loss.backward()`, and where the gradient was taken already.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let (gradients, collected) = collect(|| loss.backward());
    let mut gradients = gradients?;
    for (variable, gradient) in collected.into_iter().flat_map(|collected| collected.gradients) {
        let gradient = match gradients.remove(&variable) {
            // The part that came through operations of candle.
            Some(part) => (part + gradient)?,
            None => gradient,
        };
        gradients.insert(&variable, gradient);
    }
    Ok(gradients)
}

/// Runs `work` and collects the gradients of variables meanwhile; afterwards nothing is collected any more,
/// also where `work` panics.
fn collect<R>(work: impl FnOnce() -> R) -> (R, Option<Collected>) {
    struct Restore(Option<Collected>);
    impl Drop for Restore {
        fn drop(&mut self) {
            COLLECTED.set(self.0.take());
        }
    }
    let _restore = Restore(COLLECTED.replace(Some(Collected::default())));
    let result = work();
    (result, COLLECTED.take())
}

/// Gradients of variables, in the order in which they came.
#[derive(Default)]
struct Collected {
    gradients: Vec<(Tensor, Tensor)>,
    places: HashMap<TensorId, usize>,
}

thread_local! {
    /// Where [`backward`] collects, while it runs.
    static COLLECTED: RefCell<Option<Collected>> = const { RefCell::new(None) };
}

impl Collected {
    fn add(&mut self, variable: &Tensor, gradient: Tensor) -> Result<()> {
        match self.places.get(&variable.id()) {
            Some(place) => {
                let sum = &mut self.gradients[*place].1;
                *sum = (&*sum + gradient)?;
            }
            None => {
                self.places.insert(variable.id(), self.gradients.len());
                self.gradients.push((variable.clone(), gradient));
            }
        }
        Ok(())
    }
}

/// Whether operations started on this thread leave gradients out.
pub(crate) fn is_no_grad() -> bool {
    NO_GRAD.get()
}

/// The gradient of a value, once something has been added to it.
#[derive(Debug, Clone)]
pub(crate) struct Gradient {
    engine: Compute,
    sum: Arc<Mutex<Option<Buffer>>>,
}

impl Gradient {
    pub(crate) fn new(engine: Compute) -> Self {
        Self { engine, sum: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Buffer>> {
        self.sum.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a gradient of `len` values: `compute` gets where to write it, and whether to add to what is
    /// there (else what is there is arbitrary).
    pub(crate) fn add(&self, len: usize, compute: impl FnOnce(&mut Buffer, bool) -> Result<()>) -> Result<()> {
        let mut slot = self.lock();
        if let Some(sum) = slot.as_mut() {
            return compute(sum, true);
        }
        let mut buffer = self.engine.allocate(len)?;
        compute(&mut buffer, false)?;
        *slot = Some(buffer);
        Ok(())
    }

    /// Adds a gradient that exists already, which is kept where it is the first.
    pub(crate) fn add_buffer(&self, gradient: Buffer) -> Result<()> {
        let mut slot = self.lock();
        match slot.as_mut() {
            None => *slot = Some(gradient),
            Some(sum) => self.engine.add_assign(sum, &gradient)?,
        }
        Ok(())
    }

    /// Adds a gradient that candle computed.
    pub(crate) fn add_values(&self, gradient: &[f32]) -> Result<()> {
        self.add_buffer(self.engine.upload(gradient)?)
    }

    /// The sum of all that was added, to be used up.
    pub(crate) fn take(&self, op: &str) -> Result<Buffer> {
        match self.lock().take() {
            Some(gradient) => Ok(gradient),
            None => bail!("{op}: its gradient was taken already; run the forward pass again"),
        }
    }
}

/// A value's place in candle's graph; `None` where no gradient is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Edge(Option<Tensor>);

impl Edge {
    /// An edge without gradient.
    pub(crate) const NONE: Self = Self(None);

    pub(crate) fn is_tracked(&self) -> bool {
        self.0.is_some()
    }

    /// The edge from a candle tensor, whose gradient will be what is added to the [`Gradient`].
    pub(crate) fn enter(engine: Compute, op: &'static str, tensor: &Tensor) -> Result<(Self, Gradient)> {
        let gradient = Gradient::new(engine);
        if is_no_grad() || !tensor.track_op() {
            return Ok((Self::NONE, gradient));
        }
        let edge = tensor.apply_op1(Enter { op, gradient: gradient.clone() })?;
        Ok((Self(Some(edge)), gradient))
    }

    /// The edge of an operation's result, or none where no input is tracked. `backward` runs after the
    /// gradient of the result is complete; it adds to the gradients of the inputs.
    pub(crate) fn node(
        op: &'static str,
        inputs: &[&Self],
        backward: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        if is_no_grad() {
            return Ok(Self::NONE);
        }
        let inputs: Vec<&Tensor> = inputs.iter().filter_map(|input| input.0.as_ref()).collect();
        let joined = match inputs.as_slice() {
            [] => return Ok(Self::NONE),
            [input] => (*input).clone(),
            inputs => Tensor::cat(inputs, 0)?,
        };
        let backward = Mutex::new(Some(Box::new(backward) as Box<Backward>));
        Ok(Self(Some(joined.apply_op1(Node { op, backward })?)))
    }

    /// A candle tensor of `values`; `backward` gets its gradient.
    pub(crate) fn exit(
        &self,
        op: &'static str,
        values: Vec<f32>,
        shape: impl Into<Shape>,
        backward: impl FnOnce(&[f32]) -> Result<()> + Send + 'static,
    ) -> Result<Tensor> {
        let shape = shape.into();
        match self.0.as_ref().filter(|_| !is_no_grad()) {
            None => Tensor::from_vec(values, shape, &candle_core::Device::Cpu),
            Some(edge) => {
                let backward = Mutex::new(Some(Box::new(backward) as Box<BackwardOf>));
                edge.apply_op1(Exit { op, result: Mutex::new(Some((values, shape))), backward })
            }
        }
    }
}

type Backward = dyn FnOnce() -> Result<()> + Send;
type BackwardOf = dyn FnOnce(&[f32]) -> Result<()> + Send;

/// The content of a lock that is used once.
fn once<T: ?Sized>(op: &str, lock: &Mutex<Option<Box<T>>>) -> Result<Box<T>> {
    match lock.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(content) => Ok(content),
        None => bail!("{op}: its gradient was taken already; run the forward pass again"),
    }
}

/// The one value of an edge, and its gradient: neither is ever used.
fn token(len: usize) -> Vec<f32> {
    vec![0.0; len]
}

struct Enter {
    op: &'static str,
    gradient: Gradient,
}

impl CustomOp1 for Enter {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(output(token(1), 1))
    }

    fn bwd(&self, tensor: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        let gradient = self.gradient.engine.take_values(self.gradient.take(self.op)?)?;
        let gradient = Tensor::from_vec(gradient, tensor.shape().clone(), tensor.device())?;
        // Taken out meanwhile: an addition may run on all threads, and this one take up other work.
        match COLLECTED.take() {
            // Candle asks for no gradient of a variable.
            Some(mut collected) if tensor.is_variable() => {
                let added = collected.add(tensor, gradient);
                COLLECTED.set(Some(collected));
                added.map(|()| None)
            }
            collected => {
                COLLECTED.set(collected);
                Ok(Some(gradient))
            }
        }
    }
}

struct Node {
    op: &'static str,
    backward: Mutex<Option<Box<Backward>>>,
}

impl CustomOp1 for Node {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(output(token(1), 1))
    }

    fn bwd(&self, inputs: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        once(self.op, &self.backward)?()?;
        Ok(Some(Tensor::from_vec(token(inputs.elem_count()), inputs.shape().clone(), inputs.device())?))
    }
}

struct Exit {
    op: &'static str,
    result: Mutex<Option<(Vec<f32>, Shape)>>,
    backward: Mutex<Option<Box<BackwardOf>>>,
}

impl CustomOp1 for Exit {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match self.result.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some((values, shape)) => Ok(output(values, shape)),
            None => bail!("{}: computed twice", self.op),
        }
    }

    fn bwd(&self, edge: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let backward = once(self.op, &self.backward)?;
        let (storage, layout) = gradient.storage_and_layout();
        match &*storage {
            candle_core::Storage::Cpu(storage) => backward(&values(self.op, storage, layout)?)?,
            _ => bail!("{}: expected a gradient on the CPU, found {:?}", self.op, gradient.device().location()),
        }
        Ok(Some(Tensor::from_vec(token(edge.elem_count()), edge.shape().clone(), edge.device())?))
    }
}
