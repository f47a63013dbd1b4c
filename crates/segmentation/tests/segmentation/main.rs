//! Tests of networks, losses and metrics, and of the task as its users meet it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod config;
mod eval;
mod golden;
mod loss;
mod metric;
mod model;
mod sizes;
mod values;

use candle_core::{Device, Tensor};

fn tensor(dims: &[usize], values: Vec<f32>) -> Tensor {
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}
