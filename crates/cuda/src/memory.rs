//! Device memory in size classes: what is freed is kept and given out again, so that a captured step may hold addresses.

use crate::error::{Error, Result};
use cudarc::driver::result;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Memory by size class.
#[derive(Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    free: BTreeMap<usize, Vec<u64>>,
    all: Vec<u64>,
    held: usize,
    live: usize,
    peak: usize,
}

impl Pool {
    /// Memory of at least `bytes`; the context must be bound to the thread.
    pub(crate) fn alloc(self: &Arc<Self>, bytes: usize) -> Result<Block> {
        let class = class(bytes);
        let mut state = self.lock();
        let kept = state.free.get_mut(&class).and_then(Vec::pop);
        let address = match kept {
            Some(address) => address,
            None => {
                // SAFETY: plain allocation; it is freed when the pool is dropped, after all of its blocks.
                let address = unsafe { result::malloc_sync(class) }
                    .map_err(|_| Error::Memory { bytes: class, held: state.held })?;
                state.all.push(address);
                state.held += class;
                address
            }
        };
        state.live += class;
        state.peak = state.peak.max(state.live);
        Ok(Block(Arc::new(Inner { address, bytes, class, pool: self.clone() })))
    }

    /// The most bytes that were in use at once.
    pub(crate) fn peak(&self) -> usize {
        self.lock().peak
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for address in &self.lock().all {
            // SAFETY: each address is from `malloc_sync` and no block holds it any more. A failure cannot be reported here.
            let _ = unsafe { result::free_sync(*address) };
        }
    }
}

/// The size of memory that stands for `bytes`: 512 at least, then eight sizes between powers of two.
fn class(bytes: usize) -> usize {
    let step = (bytes.max(1).next_power_of_two() / 16).max(512);
    bytes.max(1).div_ceil(step) * step
}

/// Memory on a device. Clones share it; the last one gives it back to the pool, which may hand it to work that is enqueued
/// later on the same stream.
#[derive(Clone)]
pub struct Block(Arc<Inner>);

struct Inner {
    address: u64,
    bytes: usize,
    class: usize,
    pool: Arc<Pool>,
}

impl Block {
    /// Where it is.
    pub fn address(&self) -> u64 {
        self.0.address
    }

    /// How many bytes were asked for.
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.live -= self.class;
        state.free.entry(self.class).or_default().push(self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn classes_are_at_most_an_eighth_larger() {
        assert_eq!([class(0), class(1), class(512), class(513)], [512, 512, 512, 1024]);
        for bytes in [5_000, 70_001, 1 << 20, (1 << 20) + 1, 123_456_789] {
            let class = class(bytes);
            assert!(class >= bytes && class <= bytes + bytes / 8 + 512, "{bytes} {class}");
        }
    }
}
