//! Joint augmentation of images and labels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod golden;
mod machines;
mod pixels;
mod properties;
mod settings;

use data::Image;
use rand::RngExt;

/// An image of noise.
fn noise([height, width]: [usize; 2], channels: usize, seed: u64) -> Image {
    let mut rng = random::stream(seed, "image", &[]);
    let pixels = (0..height * width * channels).map(|_| rng.random()).collect();
    Image { height, width, channels, pixels }
}
