#![doc = include_str!("../README.md")]

mod activation;
mod boxes;
mod concat;
mod conv;
mod cpu;
mod dice;
mod engine;
mod feature_map;
mod graph;
mod linear;
mod loss;
mod norm;
mod pool;
mod reference;
mod resize;
mod values;

pub use ::kernels::Kernels;
pub use activation::{add, leaky_relu, relu, relu6};
pub use boxes::generalized_box_iou_loss;
pub use concat::concat;
pub use conv::{Conv2d, conv2d};
pub use cpu::release_memory;
pub use dice::dice_loss;
pub use feature_map::FeatureMap;
pub use graph::{backward, no_grad};
pub use linear::linear;
pub use loss::{
    CrossEntropy, FocalLoss, binary_cross_entropy_with_logits, cross_entropy, l1_loss, mse_loss, sigmoid_focal_loss,
    smooth_l1_loss,
};
pub use norm::{BatchNorm, Statistics, batch_norm, conv_bn};
pub use pool::{AvgPool2d, MaxPool2d, avg_pool2d, global_avg_pool2d, max_pool2d};
pub use resize::{Resize, resize};
