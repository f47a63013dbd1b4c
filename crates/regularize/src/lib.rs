//! Optimizers and weight regularizers for candle.
//!
//! [`Params`] holds a network's parameters: named as torch names them, ordered, drawn from a seed, and
//! tagged with the [`Role`] that decides which methods may act on them. An [`Optimizer`] is a base rule
//! ([`Sgd`]) combined with a [`Method`]: weight decay, weight rescaling (WRS, arXiv 2102.03497), or none.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use candle_nn::Module;
//! use regularize::{Method, Optimizer, Params, Sgd};
//! # fn main() -> Result<(), regularize::Error> {
//! let params = Params::new(0, &Device::Cpu);
//! let layer = candle_nn::linear(4, 2, params.var_builder().pp("fc"))?;
//! let mut optimizer = Optimizer::new(&params, Sgd { lr: 0.1, ..Sgd::default() }, Method::None, 5e-4)?;
//!
//! let x = Tensor::ones((8, 4), candle_core::DType::F32, &Device::Cpu)?;
//! let loss = layer.forward(&x)?.sqr()?.mean_all()?;
//! optimizer.step(&loss.backward()?, 0.1)?;
//! assert!(layer.forward(&x)?.sqr()?.mean_all()?.to_scalar::<f32>()? < loss.to_scalar::<f32>()?);
//! # Ok(())
//! # }
//! ```

mod base;
mod diagnostics;
pub mod equilibrium;
mod error;
mod fused;
mod in_place;
mod list;
mod method;
#[doc = include_str!("../METHODS.md")]
pub mod methods {}
mod optimizer;
mod params;
mod sam;
mod schedule;
mod settings;
mod sums;
mod tensors;
mod treatment;
mod weight;

pub use base::{Adam, AdamP, Base, Nero, OPTIMIZERS, OptimizerInfo, Rule, Sgd, Sgdp};
pub use diagnostics::{Before, LayerNorms};
pub use error::Error;
pub use list::{Choices, Info, catalogue};
pub use method::{
    Form, Granularity, Interval, METHODS, Method, MethodInfo, MomentumState, Pbwn, Rate, Rotational, Scope,
    SoftWeightRescaling, Target, WeightDecay, WeightNormalization, WeightStandardization, Wrs,
};
pub use optimizer::Optimizer;
pub use params::{Normalization, Parameter, Params, Role};
pub use sam::Perturbed;
pub use schedule::{Cosine, Schedule, Step, Warmup};
pub use settings::Table;
pub use weight::Weight;
