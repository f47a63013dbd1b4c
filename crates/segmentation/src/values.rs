//! Tensors as slices.

use candle_core::{Device, Result, Storage, Tensor, bail};

/// Calls `f` with the values of `tensor`, `f32` in row-major order.
pub(crate) fn with_values<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor.detach().to_device(&Device::Cpu)?.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(f(&storage.as_slice()?[layout.start_offset()..][..layout.shape().elem_count()])),
        _ => bail!("expected a tensor on the CPU, found one on {:?}", tensor.device().location()),
    }
}
