//! The normal distribution.

use crate::Rng;
use rand::{Rng as _, RngExt};
use std::sync::LazyLock;

/// A number from the standard normal distribution.
///
/// By the Ziggurat method (Doornik 2005, "An Improved Ziggurat Method to Generate Normal Random Samples"), draw by draw as
/// `rand_distr::StandardNormal`. That one's exponentials and logarithms are the C library's, which differ in the last bit
/// from one library to the next.
pub fn normal(rng: &mut Rng) -> f64 {
    let Tables { ends, densities } = &*TABLES;
    loop {
        let bits = rng.next_u64();
        let layer = bits as usize % LAYERS;
        // −1 to 1.
        let share = 2.0 * one_to_two(bits) - 3.0;
        let x = share * ends[layer];
        if x.abs() < ends[layer + 1] {
            return x;
        }
        if layer == 0 {
            return tail(rng, share < 0.0);
        }
        let height = densities[layer + 1] + (densities[layer] - densities[layer + 1]) * rng.random::<f64>();
        if height < density(x) {
            return x;
        }
    }
}

/// Layers of equal area that cover half of the density.
const LAYERS: usize = 256;
/// Where the tail begins.
const TAIL: f64 = 3.654_152_885_361_009;
/// The area of a layer.
const AREA: f64 = 0.004_928_673_233_99;

struct Tables {
    /// Where each layer ends, the widest first. The first one's end is that of a rectangle as large as it is with the tail.
    ends: [f64; LAYERS + 1],
    /// The density there.
    densities: [f64; LAYERS + 1],
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut ends = [0.0; LAYERS + 1];
    (ends[0], ends[1]) = (AREA / density(TAIL), TAIL);
    for layer in 2..LAYERS {
        let before = ends[layer - 1];
        ends[layer] = (-2.0 * libm::log(AREA / before + density(before))).sqrt();
    }
    Tables { ends, densities: ends.map(density) }
});

/// Up to its constant.
fn density(x: f64) -> f64 {
    libm::exp(-x * x / 2.0)
}

/// A number beyond [`TAIL`] (Marsaglia 1964).
fn tail(rng: &mut Rng, negative: bool) -> f64 {
    // Neither 0 nor 1.
    let mut logarithm = || libm::log(one_to_two(rng.next_u64()) - (1.0 - f64::EPSILON / 2.0));
    loop {
        let (x, y) = (logarithm() / TAIL, logarithm());
        if -2.0 * y >= x * x {
            return if negative { x - TAIL } else { TAIL - x };
        }
    }
}

/// The upper 52 of `bits` as a number from 1, below 2.
fn one_to_two(bits: u64) -> f64 {
    f64::from_bits(1.0_f64.to_bits() | bits >> 12)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn draws_are_those_of_rand_distr() {
        let mut beyond = 0;
        for seed in 0..4 {
            let (mut ours, mut theirs) = (crate::stream(seed, "normal", &[]), crate::stream(seed, "normal", &[]));
            for _ in 0..500_000 {
                let (found, expected): (f64, f64) = (normal(&mut ours), StandardNormal.sample(&mut theirs));
                assert!((found - expected).abs() <= 1e-14 * expected.abs(), "{found} {expected}");
                beyond += usize::from(found.abs() > TAIL);
            }
        }
        assert!((400..650).contains(&beyond), "{beyond} of 2,000,000 in the tail, expected 516");
    }

    #[test]
    fn bits_are_the_same_on_every_machine() {
        let mut rng = crate::stream(0, "normal", &[]);
        let digest = (0..1_000_000).fold(0_u64, |digest, _| {
            (digest.rotate_left(5) ^ normal(&mut rng).to_bits()).wrapping_mul(0x517c_c1b7_2722_0a95)
        });
        assert_eq!(digest, 12_974_643_776_739_965_697);
    }
}
