//! Selects the instruction set: once per machine, or by force.

use candle_core::{Result, bail};
use pulp::{Scalar256b, Simd, WithSimd, bytemuck};
use std::any::TypeId;
use std::cell::Cell;
use std::sync::OnceLock;

/// A set of kernels that computes the operations of this crate.
///
/// All sets give the same bits, on every processor; only `candle`, the oracle of the tests, rounds otherwise. The fastest
/// one of the machine is used, unless the environment variable `OPS_KERNELS` names one (`avx512`, `avx2`, `portable` or
/// `candle`) or [`Kernels::scope`] forces one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// Vectors of 16 values and 32 registers (x86-64-v4).
    Avx512,
    /// Vectors of 8 values with fused multiply-add (x86-64-v3).
    Avx2,
    /// No processor-specific instructions. Products are fused in software where the processor does not fuse them, which
    /// is slow.
    Portable,
    /// Candle's own operations: slow, and there for comparison.
    Candle,
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

    /// The set that operations started on this thread use.
    ///
    /// # Errors
    ///
    /// Where `OPS_KERNELS` names none, or one that this machine cannot run.
    pub fn current() -> Result<Self> {
        static CHOSEN: OnceLock<std::result::Result<Kernels, String>> = OnceLock::new();
        if let Some(forced) = FORCED.get() {
            return Ok(forced);
        }
        match CHOSEN.get_or_init(|| Self::choose(std::env::var("OPS_KERNELS").ok().as_deref())) {
            Ok(kernels) => Ok(*kernels),
            Err(message) => bail!("{message}"),
        }
    }

    fn choose(name: Option<&str>) -> std::result::Result<Self, String> {
        let mut available = Self::available();
        match name {
            None | Some("") => Ok(available.next().unwrap_or(Self::Portable)),
            Some(name) => available.find(|kernels| kernels.name() == name).ok_or_else(|| {
                let names: Vec<_> = Self::available().map(Self::name).collect();
                format!("OPS_KERNELS: expected one of {} on this machine, found `{name}`", names.join(", "))
            }),
        }
    }

    /// Runs `work` with this set for all operations that it starts on this thread, and their gradients.
    ///
    /// # Errors
    ///
    /// Where this machine cannot run the set.
    pub fn scope<R>(self, work: impl FnOnce() -> R) -> Result<R> {
        if !self.is_available() {
            bail!("this machine cannot run the {} kernels", self.name());
        }
        Ok(scoped(&FORCED, Some(self), work))
    }

    /// Values of a vector.
    pub(crate) fn lanes(self) -> usize {
        struct Lanes;
        impl WithSimd for Lanes {
            type Output = usize;

            fn with_simd<S: Simd>(self, _: S) -> usize {
                S::F32_LANES
            }
        }
        self.run(Lanes)
    }

    /// Runs `op` compiled for this set's instructions.
    #[inline(always)]
    pub(crate) fn run<Op: WithSimd>(self, op: Op) -> Op::Output {
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

/// `a·b + c`, rounded once, on every processor.
#[inline(always)]
pub(crate) fn mul_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if TypeId::of::<S>() != TypeId::of::<Scalar256b>() || cfg!(target_feature = "fma") || cfg!(target_arch = "aarch64")
    {
        return simd.mul_add_f32s(a, b, c);
    }
    let [a, b, mut sums] = [a, b, c].map(bytemuck::cast::<_, [f32; 8]>);
    for ((a, b), sum) in a.iter().zip(b).zip(&mut sums) {
        *sum = mul_add_without_fma(*a, b, *sum);
    }
    bytemuck::cast(sums)
}

/// `a·b + c`, rounded once, for processors that have no instruction for it: several times as fast as a call of `fmaf`.
///
/// The product of two `f32` is exact in `f64`. Their sum is rounded to odd there, after which rounding to `f32` gives
/// what one rounding would (Boldo and Melquiond, IEEE Transactions on Computers 57(4), 2008).
#[inline(always)]
fn mul_add_without_fma(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    // What was rounded off (Knuth's TwoSum), exactly; not-a-number where the sum is not finite.
    let virtual_c = sum - product;
    let error = (product - (sum - virtual_c)) + (c - virtual_c);
    let bits = sum.to_bits();
    // Away from zero where the error has the sign of the sum.
    let outward = (error > 0.0) == (sum > 0.0);
    let odd = if outward { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    let inexact = error.abs() > 0.0;
    f64::from_bits(if inexact && bits & 1 == 0 { odd } else { bits }) as f32
}

/// Runs `work` with a thread-local cell set to `value`, and puts the former value back, also on a panic.
pub(crate) fn scoped<T: Copy, R>(
    cell: &'static std::thread::LocalKey<Cell<T>>,
    value: T,
    work: impl FnOnce() -> R,
) -> R {
    struct Restore<T: Copy + 'static>(&'static std::thread::LocalKey<Cell<T>>, T);
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
    use proptest::prelude::*;

    #[test]
    fn a_name_chooses_and_an_unknown_one_is_refused() {
        assert_eq!(Kernels::choose(None), Ok(Kernels::available().next().unwrap()));
        assert_eq!(Kernels::choose(Some("portable")), Ok(Kernels::Portable));
        let message = Kernels::choose(Some("sse9")).unwrap_err();
        assert!(message.contains("sse9") && message.contains("portable"), "{message}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]
        #[test]
        fn products_are_fused_without_an_instruction(a in any::<u32>(), b in any::<u32>(), c in any::<u32>(),
                                                     near in any::<bool>(), shift in -2i32..3) {
            let [a, b, mut c] = [a, b, c].map(f32::from_bits);
            if near {
                // A sum that cancels all but the last bits.
                c = f32::from_bits((-a * b).to_bits().wrapping_add_signed(shift));
            }
            let (found, expected) = (mul_add_without_fma(a, b, c), a.mul_add(b, c));
            prop_assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                         "{a:e} * {b:e} + {c:e}: {found:e} for {expected:e}");
        }
    }

    #[test]
    fn a_scope_ends() {
        let before = Kernels::current().unwrap();
        let inside = Kernels::Portable.scope(|| Kernels::current().unwrap()).unwrap();
        assert_eq!(inside, Kernels::Portable);
        assert_eq!(Kernels::current().unwrap(), before);
    }
}
