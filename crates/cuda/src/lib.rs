//! Primitives of training steps on an NVIDIA GPU: memory with stable addresses, convolutions through cuDNN by a table of plans,
//! and kernels that are compiled at run time.
//!
//! Builds and runs without CUDA: libraries are loaded when a [`Device`] is opened, and where one is missing the error says
//! which. Maps are NHWC, weights KRSC, so rows of a weight are filters. Arithmetic is [`Arithmetic::F32`],
//! [`Arithmetic::Tf32`] or [`Arithmetic::Bf16`], sums are f32, and no result depends on the order in which threads run.

#![allow(unsafe_code, reason = "CUDA is a C interface; each use says why it is sound")]

mod conv;
mod cudnn;
mod device;
mod error;
mod kernels;
mod launch;
mod loss;
mod maps;
mod memory;
mod norm;
mod plans;
mod shape;
mod step;

pub use conv::{Bound, Candidate, Plan, Target};
pub use cudnn::{Handle, Properties, version as cudnn_version};
pub use device::{Device, Event, Graph};
pub use error::{Error, Result};
pub use kernels::{Compute, Kernels, NAMES, source};
pub use launch::{Arg, Launch, Type};
pub use loss::{CrossEntropy, Focal, cross_entropy, focal, giou};
pub use maps::{
    Augment, DIFFERENCES, Resize, Taps, Window, add, add_bias, augment, avg_pool, avg_pool_gradient, column_sums,
    copy_channels, differences, from_f32, global_pool, global_pool_gradient, max_pool, max_pool_gradient, relu, resize,
    resize_gradient, sum_all, to_f32,
};
pub use memory::Block;
pub use norm::{Norm, NormGradient, RELU_BY_INPUT, RELU_BY_OUTPUT, Rows};
pub use plans::{Choice, Plans};
pub use shape::{Arithmetic, Conv, Direction};
pub use step::{Adam, FilterRow, Rates, Sgd, Standardize, count_step};
