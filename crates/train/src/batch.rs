//! From examples to a batch.

use candle_core::{Device, Result, Tensor};

/// Images of `size` (`[height, width]`) and `channels` channels, each `[h, w, c]`, as a tensor `[n, h, w, c]`.
///
/// # Errors
///
/// Where an image has another size.
pub fn stack(images: &[Vec<f32>], [height, width]: [usize; 2], channels: usize, device: &Device) -> Result<Tensor> {
    Tensor::from_vec(images.concat(), (images.len(), height, width, channels), device)
}
