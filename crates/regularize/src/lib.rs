#![doc = include_str!("../README.md")]

mod base;
mod candle_nn_optimizer;
mod catalogue;
mod combination;
mod diagnostics;
pub mod equilibrium;
mod error;
mod fused;
mod in_place;
mod infer;
mod list;
mod method;
#[doc = include_str!("../METHODS.md")]
pub mod methods {}
mod optimizer;
mod params;
mod plan;
mod sam;
mod schedule;
mod slot;
mod step;
mod sums;
mod table;
mod tensors;
mod weight;

pub use base::{Adam, AdamP, Base, Muon, Nero, OPTIMIZERS, OptimizerInfo, Rule, Sgd, Sgdp};
pub use candle_nn_optimizer::{CandleConfig, CandleOptimizer};
pub use catalogue::catalogue;
pub use diagnostics::{Before, LayerNorms};
pub use error::Error;
pub use infer::{Inference, InferredWeight, Verdict};
pub use list::{Choices, Info};
pub use method::{
    Filter, Form, GradientCentralization, Granularity, Interval, METHODS, Method, MethodInfo, MomentumState, NormRule,
    Pbwn, Rate, Rotational, Scope, SoftWeightRescaling, Target, WeightDecay, WeightNormControl, WeightNormalization,
    WeightStandardization, Wrs,
};
pub use optimizer::{Group, Optimizer};
pub use params::{Normalization, Parameter, Params, Role};
pub use sam::Perturbed;
pub use schedule::{Cosine, Polynomial, Schedule, Step, Warmup};
pub use settings::Mistake;
pub use table::Table;
pub use weight::Weight;
