//! A variable's memory, to change it in place.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, Var, bail};
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

/// The sum of squares, in `f64`.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum()
}
