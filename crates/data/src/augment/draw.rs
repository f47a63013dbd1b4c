//! Numbers drawn from ranges.

use rand::RngExt;
use random::Rng;

/// A number drawn evenly from a range, without a draw where there is only one.
pub(super) fn between([least, most]: [f64; 2], rng: &mut Rng) -> f64 {
    if least == most { least } else { least + (most - least) * rng.random::<f64>() }
}
