//! Which instructions compute: chosen once per machine, or forced.
//!
//! One arithmetic on all CPUs: kernels are compiled from one source for each instruction set. Vectors run over
//! outputs, so each lane sums in the same order whatever the width; sums over lanes use sixteen of them in `ops` and
//! sixty-four in `regularize` on every processor. `ops` fuses products in convolutions and matrix products, in
//! software where there is no instruction for it; `regularize` fuses none. Block sizes follow from shapes, never from
//! cache sizes. A set of kernels can be forced, so that tests run on all of them.
//!
//! ```
//! use kernels::Kernels;
//! let sum = |kernels: Kernels| kernels.run(|| [1.0_f32, 2.0].iter().sum::<f32>());
//! assert!(Kernels::available().all(|kernels| sum(kernels) == 3.0));
//! ```

use pulp::{Scalar256b, Simd, WithSimd};
use std::cell::Cell;
use std::sync::OnceLock;
use std::thread::LocalKey;

/// A set of kernels.
///
/// All sets give the same bits, on every processor; only `candle`, the oracle of the tests, rounds otherwise. The fastest
/// one of the machine is used, unless the environment variable `OPS_KERNELS` names one (`avx512`, `avx2`,
/// `portable` or `candle`) or [`Kernels::scope`] forces one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// Vectors of 16 values and 32 registers (x86-64-v4).
    Avx512,
    /// Vectors of 8 values with fused multiply-add (x86-64-v3).
    Avx2,
    /// No processor-specific instructions. Products are fused in software where the processor does not fuse them, which
    /// is slow.
    Portable,
    /// Candle's own operations where there are any, [`Kernels::Portable`] elsewhere. Slow, and there for comparison.
    Candle,
}

/// `OPS_KERNELS` names no kernels, or some that this machine cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("OPS_KERNELS: expected one of {} on this machine, found `{found}`", available())]
pub struct Unavailable {
    found: String,
}

fn available() -> String {
    Kernels::available().map(Kernels::name).collect::<Vec<_>>().join(", ")
}

thread_local! {
    static FORCED: Cell<Option<Kernels>> = const { Cell::new(None) };
}

impl Kernels {
    /// All sets, fastest first.
    pub const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Portable, Self::Candle];

    /// The name in `OPS_KERNELS`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
            Self::Candle => "candle",
        }
    }

    /// The sets that this machine can run, fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kernels| kernels.is_available())
    }

    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable | Self::Candle => true,
        }
    }

    /// The set that what is started on this thread uses. Work that goes on on other threads must take it along.
    ///
    /// # Errors
    ///
    /// Where `OPS_KERNELS` names none, or one that this machine cannot run.
    pub fn current() -> Result<Self, Unavailable> {
        static CHOSEN: OnceLock<Result<Kernels, Unavailable>> = OnceLock::new();
        if let Some(forced) = FORCED.get() {
            return Ok(forced);
        }
        CHOSEN.get_or_init(|| Self::choose(std::env::var("OPS_KERNELS").ok().as_deref())).clone()
    }

    fn choose(name: Option<&str>) -> Result<Self, Unavailable> {
        let mut available = Self::available();
        match name {
            None | Some("") => Ok(available.next().unwrap_or(Self::Portable)),
            Some(name) => {
                available.find(|kernels| kernels.name() == name).ok_or_else(|| Unavailable { found: name.into() })
            }
        }
    }

    /// Runs `work` with this set for all that it starts on this thread.
    ///
    /// # Errors
    ///
    /// Where this machine cannot run the set.
    pub fn scope<R>(self, work: impl FnOnce() -> R) -> Result<R, Unavailable> {
        if !self.is_available() {
            return Err(Unavailable { found: self.name().into() });
        }
        Ok(scoped(&FORCED, Some(self), work))
    }

    /// Runs `op` compiled for this set's instructions. What `op` calls must be inlined to be so, too.
    #[inline(always)]
    pub fn run<Op: WithSimd>(self, op: Op) -> Op::Output {
        #[cfg(target_arch = "x86_64")]
        {
            if self == Self::Avx512
                && let Some(simd) = pulp::x86::V4::try_new()
            {
                return Simd::vectorize(simd, op);
            }
            if self == Self::Avx2
                && let Some(simd) = pulp::x86::V3::try_new()
            {
                return Simd::vectorize(simd, op);
            }
        }
        op.with_simd(Scalar256b)
    }
}

/// Runs `work` with a thread-local cell set to `value`, and puts the former value back, also on a panic.
pub fn scoped<T: Copy, R>(cell: &'static LocalKey<Cell<T>>, value: T, work: impl FnOnce() -> R) -> R {
    struct Restore<T: Copy + 'static>(&'static LocalKey<Cell<T>>, T);
    impl<T: Copy> Drop for Restore<T> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(cell, cell.replace(value));
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_chooses_and_an_unknown_one_is_refused() {
        assert_eq!(Kernels::choose(None), Ok(Kernels::available().next().unwrap()));
        assert_eq!(Kernels::choose(Some("portable")), Ok(Kernels::Portable));
        let message = Kernels::choose(Some("sse9")).unwrap_err().to_string();
        assert!(message.contains("sse9") && message.contains("portable"), "{message}");
    }

    #[test]
    fn a_scope_ends() {
        let before = Kernels::current().unwrap();
        let inside = Kernels::Portable.scope(|| Kernels::current().unwrap()).unwrap();
        assert_eq!(inside, Kernels::Portable);
        assert_eq!(Kernels::current().unwrap(), before);
    }
}
