//! Images that `before` and `after` are trained on: waves in noise, whose direction is the class.

use candle_core::{Device::Cpu, Result, Tensor};

pub(crate) const CLASSES: usize = 8;
pub(crate) const SIDE: usize = 16;

/// Noise in [-1, 1): a hash (candle's own generator cannot be seeded on the CPU).
fn noise(index: usize) -> f32 {
    let mut bits = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Batches of images `[n, 3, SIDE, SIDE]` with the class of each.
pub(crate) fn batches(count: usize, n: usize) -> Result<Vec<(Tensor, Vec<u32>)>> {
    let batch = |batch: usize| {
        let (mut images, mut classes) = (Vec::new(), Vec::new());
        for image in batch * n..(batch + 1) * n {
            let class = image % CLASSES;
            let angle = class as f32 * std::f32::consts::PI / CLASSES as f32;
            let phase = 3.0 * noise(usize::MAX / 2 + image);
            for value in 0..3 * SIDE * SIDE {
                let (y, x) = ((value / SIDE % SIDE) as f32, (value % SIDE) as f32);
                let wave = libm::sinf(0.7 * (x * libm::cosf(angle) + y * libm::sinf(angle)) + phase);
                images.push(0.5 * wave + noise(image * 3 * SIDE * SIDE + value));
            }
            classes.push(class as u32);
        }
        Ok((Tensor::from_vec(images, (n, 3, SIDE, SIDE), &Cpu)?, classes))
    };
    (0..count).map(batch).collect()
}
