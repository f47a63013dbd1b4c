//! Differentiable operations for candle that train right.
//!
//! Activations are `[n, h, w, c]` (batch, height, width, channels): a pixel's channels lie side by
//! side, so a batch norm is a reduction over rows and a 1×1 convolution is a matrix product.
//! Weights have torch's shapes and names (`[out, in / groups, kh, kw]`). Everything is `f32`.
//!
//! Each operation is one node of candle's graph with a gradient of its own, checked against finite
//! differences and against PyTorch. Results do not depend on the number of threads, bit for bit:
//! work is split over outputs, and sums are taken over blocks that depend on shapes alone.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use ops::{Conv2d, FeatureMap};
//! # fn main() -> candle_core::Result<()> {
//! let x = FeatureMap::from_tensor(&Tensor::ones((1, 5, 5, 2), candle_core::DType::F32, &Device::Cpu)?)?;
//! let w = Var::ones((4, 2, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
//! let y = ops::relu(&ops::conv2d(&x, &w, None, Conv2d { padding: 1, ..Conv2d::default() })?)?;
//! assert_eq!(y.dims(), [1, 5, 5, 4]);
//! let gradients = y.to_tensor()?.sum_all()?.backward()?;
//! assert_eq!(gradients.get(&w).unwrap().dims(), [4, 2, 3, 3]);
//! # Ok(())
//! # }
//! ```

mod activation;
mod candle;
mod candle_loss;
mod columns;
mod concat;
mod conv;
mod elementary;
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
mod resize;
mod shared;
mod values;

pub use activation::{add, leaky_relu, relu, relu6};
pub use concat::concat;
pub use conv::{Conv2d, conv2d};
pub use feature_map::FeatureMap;
pub use graph::{backward, no_grad};
pub use kernels::Kernels;
pub use linear::linear;
pub use loss::{CrossEntropy, FocalLoss, binary_cross_entropy_with_logits, cross_entropy, sigmoid_focal_loss};
pub use memory::release_memory;
pub use norm::{BatchNorm, Statistics, batch_norm, conv_bn};
pub use pool::{AvgPool2d, MaxPool2d, avg_pool2d, global_avg_pool2d, max_pool2d};
pub use resize::{Resize, resize};
