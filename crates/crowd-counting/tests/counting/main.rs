//! Tests of density maps, networks, losses and metrics, and of the task as its users meet it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod config;
mod density;
mod eval;
mod golden;
mod loss;
mod metric;
mod model;
mod sizes;

use candle_core::{Device, Tensor};
use data::Point;
use rand::RngExt;

fn tensor(dims: &[usize], values: Vec<f32>) -> Tensor {
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

/// `number` points in an image of `size` (`[height, width]`).
fn somewhere(number: usize, size: [usize; 2]) -> Vec<Point> {
    let mut rng = random::stream(0, "points", &[number as u64]);
    let mut along = |side: usize| (rng.random::<f32>() * side as f32).min((side as f32).next_down());
    (0..number).map(|_| [along(size[1]), along(size[0])]).collect()
}
