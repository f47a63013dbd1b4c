//! From bytes to what a network sees.

/// Turns bytes into `(x / 255 - mean) / std`.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalize {
    /// The result for every channel and byte: a look-up is exact, and faster than arithmetic
    /// that has to widen bytes first.
    table: Vec<[f32; 256]>,
}

impl Normalize {
    /// From the mean and the standard deviation of each channel, with 255 as 1. A channel that is
    /// constant (`std` 0) is only centered.
    ///
    /// # Panics
    ///
    /// Where the two have not the same length.
    pub fn new(mean: &[f32], std: &[f32]) -> Self {
        assert_eq!(mean.len(), std.len(), "a mean and a standard deviation for each channel");
        let channel = |(&mean, &std): (&f32, &f32)| {
            let std = if std == 0.0 { 1.0 } else { f64::from(std) };
            std::array::from_fn(|byte| ((byte as f64 / 255.0 - f64::from(mean)) / std) as f32)
        };
        Self { table: mean.iter().zip(std).map(channel).collect() }
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.table.len()
    }

    /// Normalizes `image` (bytes `[.., c]`) into `out` (the same shape): the way of evaluation.
    ///
    /// # Panics
    ///
    /// Where the lengths are not the same, or no multiple of the number of channels.
    pub fn apply(&self, image: &[u8], out: &mut [f32]) {
        assert_eq!(image.len(), out.len(), "as much room as there are bytes");
        assert_eq!(image.len() % self.channels(), 0, "whole pixels");
        self.run(image, out);
    }

    /// Consecutive pixels.
    pub(super) fn run(&self, pixels: &[u8], out: &mut [f32]) {
        match self.table.as_slice() {
            [gray] => {
                for (out, &byte) in out.iter_mut().zip(pixels) {
                    *out = gray[usize::from(byte)];
                }
            }
            [red, green, blue] => {
                let (out, _) = out.as_chunks_mut::<3>();
                for (out, &[r, g, b]) in out.iter_mut().zip(pixels.as_chunks::<3>().0) {
                    *out = [red[usize::from(r)], green[usize::from(g)], blue[usize::from(b)]];
                }
            }
            table => {
                let channels = table.len();
                for (out, pixel) in out.chunks_mut(channels).zip(pixels.chunks(channels)) {
                    for ((out, &byte), table) in out.iter_mut().zip(pixel).zip(table) {
                        *out = table[usize::from(byte)];
                    }
                }
            }
        }
    }

    /// Black pixels, as padding is.
    pub(super) fn black(&self, out: &mut [f32]) {
        for pixel in out.chunks_exact_mut(self.channels()) {
            for (out, table) in pixel.iter_mut().zip(&self.table) {
                *out = table[0];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalizes_as_double_precision_does() {
        let (mean, std) = ([0.485_f32, 0.456, 0.406], [0.229_f32, 0.224, 0.225]);
        let bytes: Vec<u8> = (0..=255).flat_map(|byte| [byte; 3]).collect();
        let mut out = vec![f32::NAN; bytes.len()];
        Normalize::new(&mean, &std).apply(&bytes, &mut out);
        for (index, (&byte, &value)) in bytes.iter().zip(&out).enumerate() {
            let channel = index % 3;
            let exact = (f64::from(byte) / 255.0 - f64::from(mean[channel])) / f64::from(std[channel]);
            assert_eq!(value, exact as f32);
        }
    }

    #[test]
    fn a_constant_channel_is_only_centered() {
        let mut out = [f32::NAN];
        Normalize::new(&[0.5], &[0.0]).apply(&[255], &mut out);
        assert_eq!(out, [0.5]);
    }
}
