//! The parameters of a network.

use crate::error::Error;
use crate::method::{Method, Reparametrization};
use crate::weight::{Weight, row_norms};
use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::init::{Init, NormalOrUniform};
use rand::distr::{Distribution, Uniform};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod half;
mod var_map;

/// The parameters and buffers of a network, by name.
///
/// A handle: clones share the parameters, and [`Params::pp`] gives a handle whose names are prefixed.
/// Names are torch's (`layer1.0.conv1.weight`). Parameters keep the order in which layers made them.
/// Initial values are drawn from a hash of seed and name, so they depend neither on that order nor on
/// what else a network holds. All are `f32`; the network may see them in half precision, see [`Params::to_dtype`].
#[derive(Clone)]
pub struct Params {
    store: Arc<Mutex<Store>>,
    prefix: String,
    /// Type in which the network sees what it asks for.
    dtype: DType,
}

struct Store {
    seed: u64,
    device: Device,
    method: Method,
    entries: Vec<Parameter>,
    /// Only looked up in, never iterated.
    index: HashMap<String, usize>,
}

/// A parameter or a buffer.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Full name, as torch names it.
    pub name: String,
    /// The value; shares memory with the tensor in the layer.
    pub var: Var,
    /// What methods may do with it.
    pub role: Role,
    /// Which weight the network sees in place of it.
    pub(crate) seen: Reparametrization,
    /// The rounded copy that the network sees in half precision, if any.
    half: Option<Var>,
}

/// What a parameter is to the network, told by the layer that makes it.
#[derive(Debug, Clone)]
pub enum Role {
    /// A convolution weight `[out, …]` whose every filter (row of dimension 0) may be scaled by any
    /// positive number without changing the network in training mode: each output channel goes through
    /// a normalization by the batch's own statistics before anything else than positively homogeneous
    /// maps (ReLU, max- or average-pooling).
    ///
    /// With what normalizes each output channel: one batch norm, or several where layers share the weight.
    ScaleInvariant(Vec<Normalization>),
    /// Any other trainable parameter: the last linear layer, biases, γ and β.
    Other,
    /// Not trained by gradients: running statistics.
    Buffer,
}

/// What must be scaled along with a scale-invariant weight so that evaluation does not change:
/// with filter `f` times `c`, running mean times `c`, running variance times `c²`, bias times `c`.
#[derive(Debug, Clone)]
pub struct Normalization {
    /// Running mean of the normalization behind the weight, `[out]`.
    pub running_mean: Var,
    /// Running variance of the normalization behind the weight, `[out]`.
    pub running_var: Var,
    /// Bias between weight and normalization, `[out]`, where there is one; of several normalizations that share a
    /// bias, one names it.
    pub bias: Option<Var>,
}

impl Parameter {
    fn new(name: String, var: Var, role: Role) -> Self {
        Self { name, var, role, seen: Reparametrization::None, half: None }
    }
}

impl Params {
    /// No parameters yet; initial values will be drawn from `seed`.
    pub fn new(seed: u64, device: &Device) -> Self {
        let store =
            Store { seed, device: device.clone(), method: Method::None, entries: Vec::new(), index: HashMap::new() };
        Self { store: Arc::new(Mutex::new(store)), prefix: String::new(), dtype: DType::F32 }
    }

    /// These parameters, for training with `method`, which is [`Method::None`] where nothing is said. Weights made later
    /// by [`Params::scale_invariant`] are stored and seen by the network as it says: weight standardization, weight
    /// normalization and forced weight normalization have to be told first.
    #[must_use]
    pub fn with_method(&self, method: Method) -> Self {
        self.lock().method = method;
        self.clone()
    }

    /// What they are trained with.
    pub fn method(&self) -> Method {
        self.lock().method
    }

    /// A handle to the same parameters that puts `name.` before every name, as candle's `VarBuilder`.
    pub fn pp(&self, name: impl std::fmt::Display) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// The handle without a prefix, through which a network sees `f32`.
    pub(crate) fn root(&self) -> Self {
        Self { prefix: String::new(), dtype: DType::F32, ..self.clone() }
    }

    /// Where the parameters live.
    pub fn device(&self) -> Device {
        self.lock().device.clone()
    }

    /// The trainable parameter `name` of `shape`, made with `init` where there is none yet.
    ///
    /// # Errors
    ///
    /// Where `name` exists with another shape.
    pub fn get(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Result<Tensor> {
        let full = format!("{}{name}", self.prefix);
        self.get_or_make(&full, shape.into(), init, Role::Other)?;
        self.seen_by_network(&full)
    }

    /// The scale-invariant weight `name` of `shape` `[out, …]`, made with `init` where there is none yet; see
    /// [`Role::ScaleInvariant`] for what that promises.
    ///
    /// Under weight normalization it is two parameters, `<name>_g` of shape `[out, 1, …]` and `<name>_v`, which
    /// together are the weight that other methods start from.
    ///
    /// # Errors
    ///
    /// Where `name` exists with another shape, or running statistics do not fit its filters.
    pub fn scale_invariant(
        &self,
        name: &str,
        shape: impl Into<Shape>,
        init: Init,
        normalizations: Vec<Normalization>,
    ) -> std::result::Result<Weight, Error> {
        let (shape, reparametrization) = (shape.into(), self.method().reparametrization());
        let role = Role::ScaleInvariant(normalizations);
        if reparametrization != Reparametrization::Normalized {
            let stored = self.get(name, shape, init)?;
            self.set_role(name, role)?;
            self.set_seen(name, reparametrization);
            return Ok(Weight::new(stored, None, reparametrization));
        }
        let full = format!("{}{name}", self.prefix);
        let (direction, gain) = (format!("{full}_v"), format!("{full}_g"));
        // Drawn as the weight of the plain name, so that all methods start from the same network.
        let stored = self.get_or_draw(&direction, &full, shape, init, Role::Other)?.as_tensor().clone();
        self.set_role(&format!("{name}_v"), role)?;
        self.set_seen(&format!("{name}_v"), reparametrization);
        let norms = row_norms(&stored)?;
        let exists = self.lock().index.contains_key(&gain);
        let gains = self.get_or_make(&gain, norms.shape().clone(), Init::Const(1.0), Role::Other)?;
        if !exists {
            gains.set(&norms)?;
        }
        let stored = self.seen_by_network(&direction)?;
        Ok(Weight::new(stored, Some(gains.as_tensor().clone()), reparametrization))
    }

    /// The buffer `name` of `shape`, filled with `value` where there is none yet; a parameter of this name, such as
    /// a running statistic that a layer of candle-nn made, becomes a buffer.
    ///
    /// # Errors
    ///
    /// Where `name` exists with another shape.
    pub fn buffer(&self, name: &str, shape: impl Into<Shape>, value: f64) -> Result<Var> {
        let full = format!("{}{name}", self.prefix);
        let var = self.get_or_make(&full, shape.into(), Init::Const(value), Role::Buffer)?;
        let mut store = self.lock();
        if let Some(&at) = store.index.get(&full) {
            let entry = &mut store.entries[at];
            if let Some(half) = &entry.half {
                candle_core::bail!("parameter `{full}`: expected a buffer to be f32, found {:?}", half.dtype());
            }
            entry.role = Role::Buffer;
        }
        Ok(var)
    }

    /// Says that the existing parameter `name` has `role`.
    ///
    /// # Errors
    ///
    /// Where there is no such parameter, or running statistics do not fit its filters.
    pub fn set_role(&self, name: &str, role: Role) -> std::result::Result<(), Error> {
        let full = format!("{}{name}", self.prefix);
        let mut store = self.lock();
        let Some(&at) = store.index.get(&full) else {
            return Err(Error::parameter(&full, "expected an existing parameter to give a role, found none"));
        };
        let entry = &mut store.entries[at];
        if let Role::ScaleInvariant(normalizations) = &role {
            let filters = entry.var.dims().first().copied().unwrap_or(0);
            let statistics = |of: &Normalization| {
                [Some(of.running_mean.clone()), Some(of.running_var.clone()), of.bias.clone()].into_iter().flatten()
            };
            for statistic in normalizations.iter().flat_map(statistics) {
                if statistic.dims() != [filters] {
                    let message = format!(
                        "has shape {:?}, {filters} filters, but its normalization has statistics of shape {:?}",
                        entry.var.dims(),
                        statistic.dims()
                    );
                    return Err(Error::parameter(&full, message));
                }
            }
        }
        entry.role = role;
        Ok(())
    }

    /// Says that no weight is scale-invariant: for a network whose batch norms are frozen, that is, normalize by
    /// their running statistics in training too.
    pub fn freeze_normalizations(&self) {
        for entry in &mut self.lock().entries {
            if let Role::ScaleInvariant(_) = entry.role {
                entry.role = Role::Other;
            }
        }
    }

    /// These parameters as candle's `VarBuilder`: a layer of candle-nn that asks for a name gets the
    /// parameter of that name, made with the layer's hint where there is none yet.
    ///
    /// Running statistics made by candle-nn become parameters, until [`Params::buffer`] asks for them;
    /// [`Params::set_role`] tells which weights are scale-invariant.
    pub fn var_builder(&self) -> candle_nn::VarBuilder<'static> {
        candle_nn::VarBuilder::from_backend(Box::new(self.clone()), self.dtype, self.device())
    }

    /// All parameters and buffers, in the order in which layers made them.
    pub fn all(&self) -> Vec<Parameter> {
        self.lock().entries.clone()
    }

    /// The trainable parameters, in the order in which layers made them.
    pub fn trainable(&self) -> Vec<Parameter> {
        self.all().into_iter().filter(|p| !matches!(p.role, Role::Buffer)).collect()
    }

    /// The number of trainable values.
    pub fn count(&self) -> usize {
        self.trainable().iter().map(|p| p.var.elem_count()).sum()
    }

    /// Sets every parameter and buffer from `tensors`; other tensors there are ignored.
    ///
    /// # Errors
    ///
    /// Where one is missing or has another shape; then nothing is set.
    pub fn load(&self, tensors: &HashMap<String, Tensor>) -> std::result::Result<(), Error> {
        let entries = self.all();
        for entry in &entries {
            match tensors.get(&entry.name) {
                None => return Err(Error::parameter(&entry.name, "expected a tensor of this name, found none")),
                Some(tensor) if tensor.dims() != entry.var.dims() => {
                    let message = format!("expected shape {:?}, found {:?}", entry.var.dims(), tensor.dims());
                    return Err(Error::parameter(&entry.name, message));
                }
                Some(_) => {}
            }
        }
        for entry in &entries {
            entry.var.set(&tensors[&entry.name].to_dtype(DType::F32)?.to_device(entry.var.device())?.contiguous()?)?;
        }
        Ok(self.sync_half()?)
    }

    /// SHA-256, in hexadecimal, over name, shape and bits of every parameter and buffer in order of name. All values that
    /// are not a number count as one: which of them an operation returns is the processor's choice.
    pub fn digest(&self) -> Result<String> {
        let mut entries = self.all();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut hash = Sha256::new();
        for entry in entries {
            hash.update((entry.name.len() as u64).to_le_bytes());
            hash.update(entry.name.as_bytes());
            hash.update((entry.var.rank() as u64).to_le_bytes());
            for dim in entry.var.dims() {
                hash.update((*dim as u64).to_le_bytes());
            }
            for value in entry.var.flatten_all()?.to_vec1::<f32>()? {
                hash.update(if value.is_nan() { f32::NAN } else { value }.to_le_bytes());
            }
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Parameters that the network sees otherwise than they are stored, by full name, and the formula of what it sees in
    /// their place; `w` is a filter, a row of dimension 0. None but under a method that reparametrizes.
    pub fn reparametrized(&self) -> BTreeMap<String, &'static str> {
        let store = self.lock();
        store.entries.iter().filter_map(|entry| Some((entry.name.clone(), entry.seen.formula()?))).collect()
    }

    /// What the network sees of the existing parameter of the full name `name`.
    fn seen_by_network(&self, name: &str) -> Result<Tensor> {
        let mut store = self.lock();
        match store.index.get(name) {
            Some(&at) => store.entries[at].seen_as(self.dtype),
            None => candle_core::bail!("parameter `{name}`: expected an existing parameter, found none"),
        }
    }

    fn set_seen(&self, name: &str, reparametrization: Reparametrization) {
        let mut store = self.lock();
        if let Some(&at) = store.index.get(&format!("{}{name}", self.prefix)) {
            store.entries[at].seen = reparametrization;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        // Every change of the store is a single push or assignment, so it is whole even after a panic.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get_or_make(&self, name: &str, shape: Shape, init: Init, role: Role) -> Result<Var> {
        self.get_or_draw(name, name, shape, init, role)
    }

    /// The parameter `name`, drawn from the stream of the name `drawn_as` where there is none yet.
    fn get_or_draw(&self, name: &str, drawn_as: &str, shape: Shape, init: Init, role: Role) -> Result<Var> {
        let mut store = self.lock();
        if let Some(&at) = store.index.get(name) {
            let var = &store.entries[at].var;
            if var.shape() != &shape {
                candle_core::bail!("parameter `{name}`: expected shape {:?}, found {:?}", shape.dims(), var.dims());
            }
            return Ok(var.clone());
        }
        let values = draw(store.seed, drawn_as, &shape, init)?;
        let var = Var::from_tensor(&Tensor::from_vec(values, shape, &store.device)?)?;
        let at = store.entries.len();
        store.index.insert(name.to_owned(), at);
        store.entries.push(Parameter::new(name.to_owned(), var.clone(), role));
        Ok(var)
    }
}

impl candle_nn::var_builder::SimpleBackend for Params {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        Params::get(&self.to_dtype(dtype), name, shape, init)?.to_device(device)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        self.to_dtype(dtype).seen_by_network(&format!("{}{name}", self.prefix))?.to_device(device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.lock().index.contains_key(&format!("{}{name}", self.prefix))
    }
}

/// Initial values, from the stream of (`seed`, `name`).
fn draw(seed: u64, name: &str, shape: &Shape, init: Init) -> Result<Vec<f32>> {
    let mut rng = random::stream(seed, &format!("initial values of {name}"), &[]);
    let len = shape.elem_count();
    let bad = |e: &dyn std::fmt::Display| {
        candle_core::Error::Msg(format!("parameter `{name}`: cannot draw from {init:?}: {e}"))
    };
    let normal = |mean: f64, std: f64, rng: &mut random::Rng| -> Result<Vec<f32>> {
        if !std.is_finite() {
            return Err(bad(&"expected a finite standard deviation"));
        }
        Ok((0..len).map(|_| (mean + std * random::normal(rng)) as f32).collect())
    };
    let uniform = |low: f64, up: f64, rng: &mut random::Rng| -> Result<Vec<f32>> {
        let distribution = Uniform::new_inclusive(low, up).map_err(|e| bad(&e))?;
        Ok((0..len).map(|_| distribution.sample(rng) as f32).collect())
    };
    match init {
        Init::Const(value) => Ok(vec![value as f32; len]),
        Init::Randn { mean, stdev } => normal(mean, stdev, &mut rng),
        Init::Uniform { lo, up } => uniform(lo, up, &mut rng),
        Init::Kaiming { dist, fan, non_linearity } => {
            let std = non_linearity.gain() / (fan.for_shape(shape).max(1) as f64).sqrt();
            match dist {
                NormalOrUniform::Normal => normal(0.0, std, &mut rng),
                NormalOrUniform::Uniform => uniform(-3f64.sqrt() * std, 3f64.sqrt() * std, &mut rng),
            }
        }
    }
}
