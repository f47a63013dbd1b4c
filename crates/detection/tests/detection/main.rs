//! Tests of the detector.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod assign;
mod config;
mod detect;
mod loss;
mod model;
mod overfit;

use candle_core::{Device, Tensor};
use data::Object;
use detection::Level;

fn object(class: u32, corners: [f32; 4]) -> Object {
    Object { class, corners, ignore: false }
}

/// A level of one image.
fn level(size: [usize; 2], stride: usize, classes: Vec<f32>, boxes: Vec<f32>) -> Level {
    let rows = size[0] * size[1];
    let tensor = |values: Vec<f32>| Tensor::from_vec(values, (rows, ()), &Device::Cpu).unwrap();
    Level { size, stride, classes: tensor(classes), boxes: tensor(boxes) }
}
