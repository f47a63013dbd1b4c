//! The one place where randomness comes from.
//!
//! A stream is a pure function of a seed, a purpose and a path of indices, so nothing that draws
//! from one depends on what was drawn before it: initial values do not depend on the order of
//! layers, augmentation does not depend on the number of loader threads, and a run that resumes
//! needs no generator state.
//!
//! A crate of its own, because `regularize` (for other programs), `data` and `record` draw random numbers, and
//! `regularize` should depend on neither of them.
//!
//! ```
//! use rand::RngExt;
//! let a: u64 = random::stream(0, "augment", &[3, 17]).random();
//! let b: u64 = random::stream(0, "augment", &[3, 17]).random();
//! assert_eq!(a, b);
//! ```

mod normal;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};

pub use normal::normal;
pub use rand::rngs::ChaCha8Rng as Rng;

/// The stream of `seed` for `purpose` at `path`, for example `stream(seed, "augment", &[epoch, index])`.
///
/// The key of the generator is the SHA-256 of the three, each with its length, so different
/// arguments give independent streams.
pub fn stream(seed: u64, purpose: &str, path: &[u64]) -> Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update((purpose.len() as u64).to_le_bytes());
    hash.update(purpose.as_bytes());
    hash.update((path.len() as u64).to_le_bytes());
    for index in path {
        hash.update(index.to_le_bytes());
    }
    Rng::from_seed(hash.finalize().into())
}

/// The numbers `0..len` in an order drawn from `rng`.
pub fn permutation(len: usize, rng: &mut Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.shuffle(rng);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    fn first(seed: u64, purpose: &str, path: &[u64]) -> u64 {
        stream(seed, purpose, path).random()
    }

    #[test]
    fn every_part_of_the_key_matters() {
        let base = first(0, "augment", &[1, 2]);
        assert_eq!(base, first(0, "augment", &[1, 2]));
        for other in [
            first(1, "augment", &[1, 2]),
            first(0, "augmen", &[1, 2]),
            first(0, "augment", &[2, 1]),
            first(0, "augment", &[1]),
            first(0, "augment", &[1, 2, 0]),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn values_never_change() {
        // Records name seeds: what a seed gives is part of the format.
        let draws: Vec<u32> = {
            let mut rng = stream(7, "init", &[]);
            (0..3).map(|_| rng.random()).collect()
        };
        assert_eq!(draws, PINNED);
    }

    const PINNED: [u32; 3] = [4145695958, 1814600957, 2056010027];

    #[test]
    fn a_permutation_holds_each_number_once() {
        let mut order = permutation(100, &mut stream(3, "order", &[0]));
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
        assert!(permutation(0, &mut stream(3, "order", &[0])).is_empty());
    }
}
