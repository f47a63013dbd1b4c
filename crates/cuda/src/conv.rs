//! Convolutions and their gradients: candidates of cuDNN's heuristics, plans and their execution.

use crate::cudnn::{Descriptor, Handle, Properties, check, version};
use crate::error::{Error, Result};
use crate::launch::Type as Values;
use crate::plans::{Choice, Plans};
use crate::shape::{Arithmetic, Conv, Direction};
use cudarc::cudnn::sys::{
    self, cudnnBackendAttributeName_t as Name, cudnnBackendAttributeType_t as Kind,
    cudnnBackendDescriptorType_t as Type, cudnnBackendHeurMode_t as Heuristics, cudnnBackendNumericalNote_t as Note,
    cudnnDataType_t as Data,
};
use std::ffi::c_void;

impl Conv {
    fn graph(&self, arithmetic: Arithmetic, direction: Direction, target: Target<'_>) -> Result<Graph> {
        let data = match arithmetic.maps() {
            Values::F32 => Data::CUDNN_DATA_FLOAT,
            Values::Bf16 => Data::CUDNN_DATA_BFLOAT16,
        };
        let [oh, ow] = self.output();
        let x = tensor(X, [self.n, self.c, self.h, self.w], data)?;
        let w = tensor(W, [self.k, self.c, self.size, self.size], data)?;
        let y = tensor(Y, [self.n, self.k, oh, ow], data)?;
        let conv = self.geometry()?;
        let (kind, [on_x, on_w, on_y, on_conv, alpha, beta]) = attributes(direction);
        let operation = Descriptor::new(kind)?
            .with_descriptors(on_x, &[&x])?
            .with_descriptors(on_w, &[&w])?
            .with_descriptors(on_y, &[&y])?
            .with_descriptors(on_conv, &[&conv])?
            .with(alpha, Kind::CUDNN_TYPE_FLOAT, &[1.0_f32])?
            .with(beta, Kind::CUDNN_TYPE_FLOAT, &[0.0_f32])?
            .finalize()?;
        let mut graph = Descriptor::new(Type::CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)?
            .with_descriptors(Name::CUDNN_ATTR_OPERATIONGRAPH_OPS, &[&operation])?;
        if let Target::Handle(handle) = target {
            graph.set(Name::CUDNN_ATTR_OPERATIONGRAPH_HANDLE, Kind::CUDNN_TYPE_HANDLE, &[handle.raw()])?;
        }
        Ok(Graph { graph: graph.finalize()?, _parts: [x, w, y, conv, operation] })
    }

    fn geometry(&self) -> Result<Descriptor> {
        let pair = |value: usize| [value as i64; 2];
        let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        Descriptor::new(Type::CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)?
            .with_long(Name::CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, &[2])?
            .with(Name::CUDNN_ATTR_CONVOLUTION_COMP_TYPE, Kind::CUDNN_TYPE_DATA_TYPE, &[Data::CUDNN_DATA_FLOAT])?
            .with(Name::CUDNN_ATTR_CONVOLUTION_CONV_MODE, Kind::CUDNN_TYPE_CONVOLUTION_MODE, &[mode])?
            .with_long(Name::CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, &pair(self.padding))?
            .with_long(Name::CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, &pair(self.padding))?
            .with_long(Name::CUDNN_ATTR_CONVOLUTION_DILATIONS, &pair(self.dilation))?
            .with_long(Name::CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, &pair(self.stride))?
            .finalize()
    }

    /// Engines that cuDNN's heuristics suggest, best first, without those that are not deterministic or less precise
    /// than `arithmetic`.
    ///
    /// # Errors
    ///
    /// Where cuDNN fails.
    pub fn candidates(
        &self,
        arithmetic: Arithmetic,
        direction: Direction,
        target: Target<'_>,
    ) -> Result<Vec<Candidate>> {
        let graph = self.graph(arithmetic, direction, target)?;
        let mut found: Vec<Candidate> = Vec::new();
        for mode in [Heuristics::CUDNN_HEUR_MODE_A, Heuristics::CUDNN_HEUR_MODE_FALLBACK] {
            let heuristics = Descriptor::new(Type::CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)?
                .with_descriptors(Name::CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, &[&graph.graph])?
                .with(Name::CUDNN_ATTR_ENGINEHEUR_MODE, Kind::CUDNN_TYPE_HEUR_MODE, &[mode])?;
            let heuristics = target.set(heuristics, Name::CUDNN_ATTR_ENGINEHEUR_DEVICEPROP)?.finalize();
            let Ok(heuristics) = heuristics else { continue };
            let (name, of) = (Name::CUDNN_ATTR_ENGINEHEUR_RESULTS, Type::CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
            let count = heuristics.count(name, Kind::CUDNN_TYPE_BACKEND_DESCRIPTOR)?;
            for config in heuristics.get_descriptors(name, of, count)? {
                let candidate = Candidate::of(&config)?;
                let known =
                    found.iter().any(|other| (other.engine, &other.knobs) == (candidate.engine, &candidate.knobs));
                if !known && candidate.serves(arithmetic) {
                    found.push(candidate);
                }
            }
        }
        Ok(found)
    }

    /// The plan of an engine with its knobs.
    ///
    /// # Errors
    ///
    /// Where the engine does not serve this convolution.
    pub fn plan(
        &self,
        arithmetic: Arithmetic,
        direction: Direction,
        target: Target<'_>,
        choice: &Choice,
    ) -> Result<Plan> {
        let graph = self.graph(arithmetic, direction, target)?;
        let engine = Descriptor::new(Type::CUDNN_BACKEND_ENGINE_DESCRIPTOR)?
            .with_descriptors(Name::CUDNN_ATTR_ENGINE_OPERATION_GRAPH, &[&graph.graph])?
            .with_long(Name::CUDNN_ATTR_ENGINE_GLOBAL_INDEX, &[choice.engine])?;
        let engine = target.set(engine, Name::CUDNN_ATTR_ENGINE_DEVICEPROP)?.finalize()?;
        let knob = |(knob, value): &(u32, i64)| {
            Descriptor::new(Type::CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR)?
                .with(Name::CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, Kind::CUDNN_TYPE_KNOB_TYPE, &[*knob])?
                .with_long(Name::CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, &[*value])?
                .finalize()
        };
        let knobs = choice.knobs.iter().map(knob).collect::<Result<Vec<_>>>()?;
        let mut config = Descriptor::new(Type::CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)?
            .with_descriptors(Name::CUDNN_ATTR_ENGINECFG_ENGINE, &[&engine])?;
        if !knobs.is_empty() {
            let knobs: Vec<_> = knobs.iter().collect();
            config = config.with_descriptors(Name::CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, &knobs)?;
        }
        let config = config.finalize()?;
        let mut plan = Descriptor::new(Type::CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)?
            .with_descriptors(Name::CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, &[&config])?;
        if let Target::Handle(handle) = target {
            plan.set(Name::CUDNN_ATTR_EXECUTION_PLAN_HANDLE, Kind::CUDNN_TYPE_HANDLE, &[handle.raw()])?;
        }
        let plan = target.set(plan, Name::CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP)?.finalize()?;
        let size: Vec<i64> = plan.get(Name::CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, Kind::CUDNN_TYPE_INT64, 1)?;
        let workspace = size.first().map_or(0, |bytes| (*bytes).max(0) as usize);
        Ok(Plan { workspace, choice: choice.clone(), plan, _parts: [engine, config], _graph: graph, _knobs: knobs })
    }

    /// The plan of `plans`, or where it has none for this cuDNN and device, or cuDNN does not take it, of the first engine
    /// that heuristics suggest.
    ///
    /// # Errors
    ///
    /// Where no engine serves.
    pub fn best(&self, arithmetic: Arithmetic, direction: Direction, handle: &Handle, plans: &Plans) -> Result<Plan> {
        let target = Target::Handle(handle);
        if let Some(choice) = plans.get(self, arithmetic, direction)
            && let Ok(plan) = self.plan(arithmetic, direction, target, choice)
        {
            return Ok(plan);
        }
        for candidate in self.candidates(arithmetic, direction, target)? {
            let choice = Choice { engine: candidate.engine, knobs: candidate.knobs };
            if let Ok(plan) = self.plan(arithmetic, direction, target, &choice) {
                return Ok(plan);
            }
        }
        let conv = format!("{self} {} {}", arithmetic.name(), direction.name());
        Err(Error::NoEngine { conv, version: version()? })
    }
}

/// What plans are made for.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// A device.
    Handle(&'a Handle),
    /// A device that need not be there.
    Properties(&'a Properties),
}

impl Target<'_> {
    fn set(self, descriptor: Descriptor, name: Name) -> Result<Descriptor> {
        match self {
            Self::Handle(_) => Ok(descriptor),
            Self::Properties(properties) => descriptor.with_descriptors(name, &[&properties.0]),
        }
    }
}

/// An engine with its knobs, as heuristics suggest it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The engine's index.
    pub engine: i64,
    /// Type and value of each knob.
    pub knobs: Vec<(u32, i64)>,
    /// Numerical notes.
    notes: Vec<u32>,
    /// Whether its kernels are compiled at run time.
    pub compiles: bool,
}

impl Candidate {
    fn of(config: &Descriptor) -> Result<Self> {
        let (name, of) = (Name::CUDNN_ATTR_ENGINECFG_ENGINE, Type::CUDNN_BACKEND_ENGINE_DESCRIPTOR);
        let engines = config.get_descriptors(name, of, 1)?;
        let [engine] = engines.as_slice() else {
            return Err(Error::Argument { primitive: "cuDNN", expected: "an engine", found: "none".into() });
        };
        let index: Vec<i64> = engine.get(Name::CUDNN_ATTR_ENGINE_GLOBAL_INDEX, Kind::CUDNN_TYPE_INT64, 1)?;
        let notes: Vec<u32> =
            engine.get(Name::CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, Kind::CUDNN_TYPE_NUMERICAL_NOTE, 32)?;
        let behavior: Vec<u32> =
            engine.get(Name::CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, Kind::CUDNN_TYPE_BEHAVIOR_NOTE, 32)?;
        let compiles = sys::cudnnBackendBehaviorNote_t::CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION as u32;
        let (name, of) = (Name::CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, Type::CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
        let knob = |knob: &Descriptor| {
            let kind: Vec<u32> = knob.get(Name::CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, Kind::CUDNN_TYPE_KNOB_TYPE, 1)?;
            let value: Vec<i64> = knob.get(Name::CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, Kind::CUDNN_TYPE_INT64, 1)?;
            Ok((kind.first().copied().unwrap_or(0), value.first().copied().unwrap_or(0)))
        };
        Ok(Self {
            engine: index.first().copied().unwrap_or(-1),
            knobs: config.get_descriptors(name, of, 64)?.iter().map(knob).collect::<Result<_>>()?,
            notes,
            compiles: behavior.contains(&compiles),
        })
    }

    /// Whether it is deterministic and as precise as `arithmetic`.
    pub fn serves(&self, arithmetic: Arithmetic) -> bool {
        let has = |note: Note| self.notes.contains(&(note as u32));
        let rounds = has(Note::CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)
            || has(Note::CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)
            || has(Note::CUDNN_NUMERICAL_NOTE_FFT);
        let strict = arithmetic == Arithmetic::F32
            && (has(Note::CUDNN_NUMERICAL_NOTE_TENSOR_CORE) || has(Note::CUDNN_NUMERICAL_NOTE_WINOGRAD));
        !has(Note::CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) && !rounds && !strict
    }

    /// Whether it uses tensor cores.
    pub fn tensor_cores(&self) -> bool {
        self.notes.contains(&(Note::CUDNN_NUMERICAL_NOTE_TENSOR_CORE as u32))
    }
}

struct Graph {
    graph: Descriptor,
    _parts: [Descriptor; 5],
}

/// A convolution's plan: an engine, ready to be run.
pub struct Plan {
    workspace: usize,
    choice: Choice,
    plan: Descriptor,
    _parts: [Descriptor; 2],
    _graph: Graph,
    _knobs: Vec<Descriptor>,
}

impl Plan {
    /// Bytes of memory that a run needs besides its arguments.
    pub fn workspace(&self) -> usize {
        self.workspace
    }

    /// Its engine and knobs.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The plan as cuDNN's JSON.
    ///
    /// # Errors
    ///
    /// Where cuDNN fails.
    pub fn json(&self) -> Result<String> {
        let name = Name::CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION;
        let bytes: Vec<u8> = self.plan.get(name, Kind::CUDNN_TYPE_CHAR, 1 << 20)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
    }

    /// Ties the plan to memory: x, w, y (or their gradients) and a workspace of at least [`Plan::workspace`] bytes.
    ///
    /// # Errors
    ///
    /// Where cuDNN fails.
    pub fn bind(self, [x, w, y]: [u64; 3], workspace: u64) -> Result<Bound> {
        let pointers = [x, w, y].map(|address| address as *mut c_void);
        let pack = Descriptor::new(Type::CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)?
            .with(Name::CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, Kind::CUDNN_TYPE_VOID_PTR, &pointers)?
            .with_long(Name::CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, &[X, W, Y])?
            .with(Name::CUDNN_ATTR_VARIANT_PACK_WORKSPACE, Kind::CUDNN_TYPE_VOID_PTR, &[workspace as *mut c_void])?
            .finalize()?;
        Ok(Bound { plan: self, pack })
    }
}

/// A plan and the memory that it works on.
pub struct Bound {
    plan: Plan,
    pack: Descriptor,
}

impl Bound {
    /// Enqueues the convolution.
    ///
    /// # Safety
    ///
    /// The memory that was bound must be as large as [`Conv::lens`] says, and live until the work is done.
    ///
    /// # Errors
    ///
    /// Where cuDNN fails.
    pub unsafe fn run(&self, handle: &Handle) -> Result<()> {
        // SAFETY: plan and pack are finalized; the memory is the caller's promise.
        let status = unsafe { sys::cudnnBackendExecute(handle.raw(), self.plan.plan.raw(), self.pack.raw()) };
        check(|| "executing a plan".into(), status)
    }
}

const X: i64 = 1;
const W: i64 = 2;
const Y: i64 = 3;

/// A tensor of `dims` (n, c, h, w) in the order n, h, w, c.
fn tensor(id: i64, dims: [usize; 4], data: Data) -> Result<Descriptor> {
    let [_, c, h, w] = dims;
    let strides = [h * w * c, 1, w * c, c].map(|stride| stride as i64);
    Descriptor::new(Type::CUDNN_BACKEND_TENSOR_DESCRIPTOR)?
        .with(Name::CUDNN_ATTR_TENSOR_DATA_TYPE, Kind::CUDNN_TYPE_DATA_TYPE, &[data])?
        .with_long(Name::CUDNN_ATTR_TENSOR_DIMENSIONS, &dims.map(|dim| dim as i64))?
        .with_long(Name::CUDNN_ATTR_TENSOR_STRIDES, &strides)?
        .with_long(Name::CUDNN_ATTR_TENSOR_UNIQUE_ID, &[id])?
        .with_long(Name::CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, &[16])?
        .finalize()
}

fn attributes(direction: Direction) -> (Type, [Name; 6]) {
    match direction {
        Direction::Forward => (
            Type::CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
            [
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
            ],
        ),
        Direction::Input => (
            Type::CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
            [
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
            ],
        ),
        Direction::Weight => (
            Type::CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
            [
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
            ],
        ),
    }
}
