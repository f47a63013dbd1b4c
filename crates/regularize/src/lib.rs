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

mod diagnostics;
mod error;
mod in_place;
mod method;
mod optimizer;
mod params;
mod rescale;
mod schedule;
mod settings;
mod sgd;

pub use diagnostics::{Before, LayerNorms};
pub use error::Error;
pub use method::{METHODS, Method, MethodInfo, Scope, WeightDecay, catalogue};
pub use optimizer::{Optimizer, StepSeconds};
pub use params::{Normalization, Parameter, Params, Role};
pub use rescale::{Granularity, Interval, MomentumState, Target, Wrs};
pub use schedule::{Cosine, Schedule, Step, Warmup};
pub use settings::Table;
pub use sgd::Sgd;
