//! Tensors as slices: what every operation does at its border.

use crate::engine::{Compute, engine};
use crate::graph::is_no_grad;
use candle_core::{CpuStorage, DType, Layout, Result, Shape, Storage, Tensor, bail};
use kernels::Kernels;
use std::borrow::Cow;

/// The values of an argument of the operation `op` in row-major order, copied only where strided.
pub(crate) fn values<'a>(op: &str, storage: &'a CpuStorage, layout: &Layout) -> Result<Cow<'a, [f32]>> {
    let CpuStorage::F32(all) = storage else {
        bail!("{op}: expected f32, found {:?}", dtype(storage));
    };
    Ok(match layout.contiguous_offsets() {
        Some((start, end)) => Cow::Borrowed(&all[start..end]),
        None => Cow::Owned(gather(all, layout)),
    })
}

/// The values of a strided layout in row-major order.
fn gather(all: &[f32], layout: &Layout) -> Vec<f32> {
    let mut offsets = vec![layout.start_offset()];
    for (dim, stride) in layout.dims().iter().zip(layout.stride()) {
        offsets = offsets.iter().flat_map(|offset| (0..*dim).map(move |i| offset + i * stride)).collect();
    }
    offsets.into_iter().map(|offset| all[offset]).collect()
}

fn dtype(storage: &CpuStorage) -> DType {
    use candle_core::backend::BackendStorage;
    storage.dtype()
}

/// Calls `f` with the values of `tensor` in row-major order.
pub(crate) fn with_values<R>(op: &str, tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(f(&values(op, storage, layout)?)),
        _ => bail!("{op}: this operation runs on the CPU; found a tensor on {:?}", tensor.device().location()),
    }
}

/// What a forward pass returns to candle.
pub(crate) fn output(values: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), shape.into())
}

/// The engine for an operation on `tensor`.
pub(crate) fn engine_for(op: &str, tensor: &Tensor) -> Result<Compute> {
    if !tensor.device().is_cpu() {
        bail!("{op}: expected a tensor on the CPU, found one on {:?}", tensor.device().location());
    }
    Ok(engine(Kernels::current().map_err(candle_core::Error::wrap)?))
}

/// `tensor` for operations of candle's: without its history under [`no_grad`](crate::no_grad).
pub(crate) fn recorded(tensor: &Tensor) -> Tensor {
    if is_no_grad() { tensor.detach() } else { tensor.clone() }
}

/// Fails unless `tensor` is `f32` and has `rank` dimensions; `expected` names them.
pub(crate) fn check(op: &str, name: &str, tensor: &Tensor, expected: &str, rank: usize) -> Result<()> {
    if tensor.rank() != rank {
        bail!("{op}: expected {name} of shape {expected}, found {:?}", tensor.dims());
    }
    if tensor.dtype() != DType::F32 {
        bail!("{op}: expected {name} of type f32, found {:?}", tensor.dtype());
    }
    Ok(())
}

/// How many values a map `[n, h, w, c]` has; fails where that, or an image's part of it, cannot be counted.
pub(crate) fn elements(op: &str, dims: [usize; 4]) -> Result<usize> {
    // Sides of 0 count as 1: products of some of the sides must not overflow either.
    let bytes = dims.iter().try_fold(size_of::<f32>(), |bytes, dim| bytes.checked_mul(*dim.max(&1)));
    match bytes {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(dims.iter().product()),
        _ => bail!("{op}: a map of shape {dims:?} is larger than any memory"),
    }
}
