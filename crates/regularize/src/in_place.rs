//! A variable's memory, to change it in place.

use crate::sums::square;
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, Var, bail};
use kernels::Kernels;
use std::cell::RefCell;

/// Calls `f` with the values of `var`, which is contiguous, to be changed in place.
pub(crate) fn change<R>(var: &Var, f: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    let change = Change(RefCell::new((Some(f), None)));
    var.as_tensor().inplace_op1(&change)?;
    match change.0.into_inner().1 {
        Some(result) => Ok(result),
        None => bail!("the change was not applied"),
    }
}

struct Change<F, R>(RefCell<(Option<F>, Option<R>)>);

impl<R, F: FnOnce(&mut [f32]) -> R> InplaceOp1 for Change<F, R> {
    fn name(&self) -> &'static str {
        "change in place"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(all) = storage else { bail!("expected parameters of type f32") };
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("expected contiguous parameters") };
        let mut state = self.0.borrow_mut();
        if let Some(f) = state.0.take() {
            state.1 = Some(f(&mut all[start..end]));
        }
        Ok(())
    }
}

/// Calls `f` with the values of `tensor` in row-major order.
pub(crate) fn read<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(all)), Some((start, end))) => Ok(f(&all[start..end])),
        _ => bail!("expected an f32 tensor on the CPU, found {:?} on {:?}", tensor.dtype(), tensor.device().location()),
    }
}

/// As [`change`], of a variable there may not be; then with no values.
pub(crate) fn change_any<R>(var: Option<&Var>, f: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    match var {
        Some(var) => change(var, f),
        None => Ok(f(&mut [])),
    }
}

/// As [`read`], of a tensor there may not be; then with no values.
pub(crate) fn read_any<R>(tensor: Option<&Tensor>, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    match tensor {
        Some(tensor) => read(tensor, f),
        None => Ok(f(&[])),
    }
}

/// The kernels of this thread.
pub(crate) fn current() -> Result<Kernels> {
    Kernels::current().map_err(candle_core::Error::wrap)
}

/// The sum of squares of an `f32` tensor on any device.
pub(crate) fn square_of(tensor: &Tensor) -> Result<f64> {
    if tensor.device().is_cpu() {
        let kernels = current()?;
        return read(tensor, |values| kernels.run(|| square(values)));
    }
    Ok(f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?))
}
