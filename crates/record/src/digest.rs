//! Short digests in a record that say where another training of its run parts from it.

use crate::spec::hex;
use sha2::{Digest, Sha256};

/// Hexadecimal digits a step in [`losses`].
pub(crate) const LOSS_DIGITS: usize = 2;

/// Two hexadecimal digits for each of `losses`: the first byte of a SHA-256 over the bits of all losses up to it. So two
/// that part stay parted, and a step that is missed, by one chance in 256, shows one step later.
pub fn losses(losses: impl IntoIterator<Item = f64>) -> String {
    let mut hash = Sha256::new();
    let digits = losses.into_iter().map(|loss| {
        hash.update(loss.to_le_bytes());
        hex(&hash.clone().finalize()[..LOSS_DIGITS / 2])
    });
    digits.collect()
}

/// The first eight hexadecimal digits of a SHA-256 over shape and bits of a tensor.
pub fn tensor(dims: &[usize], values: &[f32]) -> String {
    let mut hash = Sha256::new();
    hash.update((dims.len() as u64).to_le_bytes());
    dims.iter().for_each(|dim| hash.update((*dim as u64).to_le_bytes()));
    values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    hex(&hash.finalize()[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_difference_differs() {
        let whole = losses((0..200).map(f64::from));
        assert_eq!(whole.len(), 400);
        let parted = losses((0..200).map(|step| if step == 100 { f64::from(step) + 1e-12 } else { f64::from(step) }));
        assert_eq!(whole[..200], parted[..200]);
        let equal = (100..200).filter(|step| whole[2 * step..][..2] == parted[2 * step..][..2]).count();
        assert!(equal < 5 && whole[200..202] != parted[200..202]);
        assert_eq!(losses([0.1, 0.2]), losses([0.1, 0.2]));
        assert_eq!(losses([]), "");
    }

    #[test]
    fn shape_and_bits_count() {
        let base = tensor(&[2, 1], &[0.0, 1.0]);
        assert_eq!(base.len(), 8);
        for other in [tensor(&[1, 2], &[0.0, 1.0]), tensor(&[2, 1], &[-0.0, 1.0]), tensor(&[2], &[0.0, 1.0])] {
            assert_ne!(base, other);
        }
    }
}
