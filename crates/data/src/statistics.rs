//! Mean and standard deviation of the channels.

use rayon::prelude::*;

/// Mean and standard deviation of each channel of `images` (`[.., c]` bytes, at least one pixel),
/// with 255 as 1. The deviation divides by the number of pixels.
///
/// Sums are of integers, so neither order nor threads can change a bit.
pub(crate) fn channel_statistics(images: &[u8], channels: usize) -> (Vec<f32>, Vec<f32>) {
    // A multiple of 1 and 3 channels, small enough for 32-bit sums of squares.
    const CHUNK: usize = 3 << 14;
    let sums = images
        .par_chunks(CHUNK)
        .map(|chunk| {
            let mut sums = vec![(0_u32, 0_u32); channels];
            for pixel in chunk.chunks_exact(channels) {
                for ((sum, squares), &value) in sums.iter_mut().zip(pixel) {
                    *sum += u32::from(value);
                    *squares += u32::from(value) * u32::from(value);
                }
            }
            sums.into_iter().map(|(sum, squares)| (u64::from(sum), u64::from(squares))).collect()
        })
        .reduce(
            || vec![(0_u64, 0_u64); channels],
            |a: Vec<(u64, u64)>, b| a.iter().zip(&b).map(|(a, b)| (a.0 + b.0, a.1 + b.1)).collect(),
        );

    let count = (images.len() / channels) as u128;
    sums.into_iter()
        .map(|(sum, squares)| {
            // n² times the variance, still an integer.
            let spread = count * u128::from(squares) - u128::from(sum) * u128::from(sum);
            let mean = sum as f64 / count as f64 / 255.0;
            let std = (spread as f64).sqrt() / count as f64 / 255.0;
            (mean as f32, std as f32)
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn agrees_with_two_passes_in_double_precision() {
        let mut rng = random::stream(0, "statistics", &[]);
        for (channels, pixels) in [(1, 100_001), (3, 70_001), (3, 1)] {
            let images: Vec<u8> = (0..channels * pixels).map(|_| rng.random()).collect();
            let (mean, std) = channel_statistics(&images, channels);
            for channel in 0..channels {
                let values = || images.iter().skip(channel).step_by(channels).map(|&byte| f64::from(byte) / 255.0);
                let expected = values().sum::<f64>() / pixels as f64;
                let variance = values().map(|value| (value - expected).powi(2)).sum::<f64>() / pixels as f64;
                assert!((f64::from(mean[channel]) - expected).abs() < 1e-7);
                assert!((f64::from(std[channel]) - variance.sqrt()).abs() < 1e-7);
            }
        }
    }

    #[test]
    fn the_largest_sums_fit() {
        let (mean, std) = channel_statistics(&vec![255; 1 << 20], 1);
        assert_eq!((mean, std), (vec![1.0], vec![0.0]));
    }
}
