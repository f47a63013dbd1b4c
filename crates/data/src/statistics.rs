//! Mean and standard deviation of the channels.

/// Mean and standard deviation of each channel, with 255 as 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statistics {
    pub(crate) mean: Vec<f32>,
    pub(crate) std: Vec<f32>,
}

/// Number of pixels, and for each channel the sum of the values and of their squares.
pub(crate) struct Sums {
    pixels: u64,
    channels: Vec<(u64, u64)>,
}

/// The sums of an image (`[h, w, c]` bytes). They are of integers, so neither order nor threads can change a bit.
pub(crate) fn channel_sums(image: &[u8], channels: usize) -> Sums {
    // A multiple of 1 and 3 channels, small enough for 32-bit sums of squares.
    const CHUNK: usize = 3 << 14;
    let mut total = vec![(0, 0); channels];
    for chunk in image.chunks(CHUNK) {
        let mut sums = vec![(0_u32, 0_u32); channels];
        for pixel in chunk.chunks_exact(channels) {
            for ((sum, squares), &value) in sums.iter_mut().zip(pixel) {
                *sum += u32::from(value);
                *squares += u32::from(value) * u32::from(value);
            }
        }
        for (total, sums) in total.iter_mut().zip(sums) {
            *total = (total.0 + u64::from(sums.0), total.1 + u64::from(sums.1));
        }
    }
    Sums { pixels: (image.len() / channels) as u64, channels: total }
}

impl Statistics {
    /// Of the images with `sums`, at least one pixel in all. The deviation divides by the number of pixels.
    pub(crate) fn of(sums: impl IntoIterator<Item = Sums>, channels: usize) -> Self {
        let (mut count, mut totals) = (0_u128, vec![(0_u128, 0_u128); channels]);
        for sums in sums {
            count += u128::from(sums.pixels);
            for (total, (sum, squares)) in totals.iter_mut().zip(sums.channels) {
                *total = (total.0 + u128::from(sum), total.1 + u128::from(squares));
            }
        }
        let channel = |(sum, squares): (u128, u128)| {
            // n² times the variance, still an integer.
            let spread = count * squares - sum * sum;
            let mean = sum as f64 / count as f64 / 255.0;
            let std = (spread as f64).sqrt() / count as f64 / 255.0;
            (mean as f32, std as f32)
        };
        let (mean, std) = totals.into_iter().map(channel).unzip();
        Self { mean, std }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of an image that is given in two parts.
    fn statistics(image: &[u8], channels: usize) -> (Vec<f32>, Vec<f32>) {
        let (a, b) = image.split_at(image.len() / channels / 3 * channels);
        let Statistics { mean, std } = Statistics::of([a, b].map(|part| channel_sums(part, channels)), channels);
        (mean, std)
    }
    use rand::RngExt;

    #[test]
    fn agrees_with_two_passes_in_double_precision() {
        let mut rng = random::stream(0, "statistics", &[]);
        for (channels, pixels) in [(1, 100_001), (3, 70_001), (3, 1)] {
            let images: Vec<u8> = (0..channels * pixels).map(|_| rng.random()).collect();
            let (mean, std) = statistics(&images, channels);
            for channel in 0..channels {
                let values = || images.iter().skip(channel).step_by(channels).map(|&byte| f64::from(byte) / 255.0);
                let expected = values().sum::<f64>() / pixels as f64;
                let variance =
                    values().map(|value| (value - expected) * (value - expected)).sum::<f64>() / pixels as f64;
                assert!((f64::from(mean[channel]) - expected).abs() < 1e-7);
                assert!((f64::from(std[channel]) - variance.sqrt()).abs() < 1e-7);
            }
        }
    }

    #[test]
    fn the_largest_sums_fit() {
        let (mean, std) = statistics(&vec![255; 1 << 20], 1);
        assert_eq!((mean, std), (vec![1.0], vec![0.0]));
    }
}
