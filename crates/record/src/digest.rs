//! Short digests in a record that say where another training of its run parts from it. All values that are not a number
//! count as one: which of them an operation returns is the processor's choice.

use files::hex;
use sha2::{Digest, Sha256};

/// Hexadecimal digits a step in [`losses`].
pub(crate) const LOSS_DIGITS: usize = 2;

/// Two hexadecimal digits for each of `losses`: the first byte of a SHA-256 over the bits of all losses up to it. So two
/// that part stay parted, and a step that is missed, by one chance in 256, shows one step later.
pub fn losses(losses: impl IntoIterator<Item = f64>) -> String {
    let mut hash = Sha256::new();
    let digits = losses.into_iter().map(|loss| {
        hash.update(if loss.is_nan() { f64::NAN } else { loss }.to_le_bytes());
        hex(&hash.clone().finalize()[..LOSS_DIGITS / 2])
    });
    digits.collect()
}

/// The first eight hexadecimal digits of a SHA-256 over shape and bits of a tensor.
pub fn tensor(dims: &[usize], values: &[f32]) -> String {
    let mut hash = Sha256::new();
    hash.update((dims.len() as u64).to_le_bytes());
    dims.iter().for_each(|dim| hash.update((*dim as u64).to_le_bytes()));
    values.iter().for_each(|value| hash.update(if value.is_nan() { f32::NAN } else { *value }.to_le_bytes()));
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
    fn any_value_that_is_not_a_number_is_the_same() {
        let other = -f64::from_bits(f64::NAN.to_bits() | 1);
        assert_eq!(losses([f64::NAN, 1.0]), losses([other, 1.0]));
        let other = -f32::from_bits(f32::NAN.to_bits() | 1);
        assert_eq!(tensor(&[1], &[f32::NAN]), tensor(&[1], &[other]));
        assert_ne!(tensor(&[1], &[f32::NAN]), tensor(&[1], &[f32::INFINITY]));
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
