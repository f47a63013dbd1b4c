#![doc = include_str!("../README.md")]

mod activation;
mod candle;
mod columns;
mod conv;
mod elementwise;
mod feature_map;
mod graph;
mod kernels;
mod linear;
mod loss;
mod matrix;
mod memory;
mod norm;
mod pool;
mod shared;
mod values;

pub use activation::{add, relu};
pub use conv::{Conv2d, conv2d};
pub use feature_map::FeatureMap;
pub use graph::no_grad;
pub use kernels::Kernels;
pub use linear::linear;
pub use loss::cross_entropy;
pub use memory::release_memory;
pub use norm::{BatchNorm, Statistics, batch_norm, conv_bn};
pub use pool::{MaxPool2d, global_avg_pool2d, max_pool2d};
