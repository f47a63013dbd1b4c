//! Buffers of the host that stay warm.
//!
//! A training step allocates the same sizes again and again. Fresh memory from the system costs a page
//! fault every 4 KiB, about a third of a step; memory used before costs nothing. Freed buffers therefore
//! wait in a pool for the next request of about their size.

use candle_core::{Result, bail};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// `f32` values whose memory goes back to the pool.
#[derive(Debug)]
pub(crate) struct HostBuffer {
    /// At least `len` initialized values.
    values: Vec<f32>,
    len: usize,
}

#[derive(Default)]
struct Pool {
    /// Free memory by its length, with the time it was freed.
    free: BTreeMap<usize, Vec<(u64, Vec<f32>)>>,
    /// Requests so far.
    time: u64,
}

/// A free buffer that so many requests did not use goes back to the system: sizes of a phase that is over.
const KEPT: u64 = 4096;

static POOL: Mutex<Pool> = Mutex::new(Pool { free: BTreeMap::new(), time: 0 });

fn pool() -> MutexGuard<'static, Pool> {
    // A panic elsewhere leaves the pool whole: nothing below is half-done when it could unwind.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostBuffer {
    /// A buffer of `len` values, which are arbitrary: those of an earlier use.
    ///
    /// # Errors
    ///
    /// Where the system has no memory for it.
    pub(crate) fn arbitrary(len: usize) -> Result<Self> {
        let mut pool = pool();
        pool.time += 1;
        // Memory up to an eighth larger is not worth new memory.
        let fit = pool.free.range(len..=len + len / 8).map(|(size, _)| *size).next();
        let reused = fit.and_then(|size| {
            let list = pool.free.get_mut(&size)?;
            let reused = list.pop();
            if list.is_empty() {
                pool.free.remove(&size);
            }
            reused
        });
        if pool.time.is_multiple_of(KEPT / 16) {
            let time = pool.time;
            pool.free.retain(|_, list| {
                list.retain(|(freed, _)| time - freed < KEPT);
                !list.is_empty()
            });
        }
        drop(pool);
        if let Some((_, values)) = reused {
            return Ok(Self { values, len });
        }
        if Vec::<f32>::new().try_reserve_exact(len).is_err() {
            bail!("no memory for {len} values ({} MiB): try a smaller batch or smaller images", len / (1 << 18));
        }
        // Zeros that the system gives without writing them.
        Ok(Self { values: vec![0.0; len], len })
    }

    /// A copy of `values`.
    ///
    /// # Errors
    ///
    /// Where the system has no memory for it.
    pub(crate) fn copy(values: &[f32]) -> Result<Self> {
        let mut buffer = Self::arbitrary(values.len())?;
        buffer.copy_from_slice(values);
        Ok(buffer)
    }

    /// The values as a vector of their own, which candle will own.
    pub(crate) fn into_vec(mut self) -> Vec<f32> {
        let mut values = std::mem::take(&mut self.values);
        values.truncate(self.len);
        values
    }
}

/// Memory that a thread uses for one task after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Option<HostBuffer>);

impl Scratch {
    /// `len` arbitrary values.
    ///
    /// # Errors
    ///
    /// Where the system has no memory for them.
    pub(crate) fn get(&mut self, len: usize) -> Result<&mut [f32]> {
        let buffer = match self.0.take() {
            Some(buffer) if buffer.len() >= len => buffer,
            _ => HostBuffer::arbitrary(len)?,
        };
        Ok(&mut self.0.insert(buffer)[..len])
    }
}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        if !self.values.is_empty() {
            let values = std::mem::take(&mut self.values);
            let mut pool = pool();
            let time = pool.time;
            pool.free.entry(values.len()).or_default().push((time, values));
        }
    }
}

impl Deref for HostBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for HostBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}

/// Returns all free memory of the pool to the system. Needed only where memory is short between phases of
/// very different sizes: sizes that are no longer used are returned in the end anyway.
pub fn release_memory() {
    pool().free.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_has_the_length_asked_for() {
        // Larger than what other tests take, as the pool is shared.
        const LEN: usize = 3_000_000;
        let first = HostBuffer::copy(&vec![7.0; LEN]).unwrap();
        let address = first.as_ptr();
        drop(first);
        let second = HostBuffer::arbitrary(LEN - 1000).unwrap();
        assert_eq!((second.as_ptr(), second.len()), (address, LEN - 1000));
        assert_eq!(second.into_vec().len(), LEN - 1000);
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        assert!(HostBuffer::arbitrary(usize::MAX / 8).unwrap_err().to_string().contains("no memory"));
        assert!(HostBuffer::arbitrary(0).unwrap().is_empty());
    }
}
