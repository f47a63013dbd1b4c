//! From the bytes of an image to what a network sees.
//!
//! Pure functions that write to where the caller says, so that a loader can fill a batch in place:
//!
//! ```
//! use data::augment::{Augmentation, Normalise};
//!
//! let normalise = Normalise::new(&[0.5], &[0.25]);
//! let augmentation = Augmentation { padding: 1, flip: true };
//! let placement = augmentation.draw(&mut random::stream(0, "augment", &[3, 17]));
//! let mut input = [0.0; 4];
//! placement.apply(&[0, 64, 128, 255], (2, 2, 1), &normalise, &mut input);
//! ```

use rand::RngExt;
use random::Rng;

/// Turns bytes into `(x / 255 - mean) / std`.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalise {
    /// The result for every channel and byte: a look-up is exact, and faster than arithmetic
    /// that has to widen bytes first.
    table: Vec<[f32; 256]>,
}

impl Normalise {
    /// From the mean and the standard deviation of each channel, with 255 as 1. A channel that is
    /// constant (`std` 0) is only centred.
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

    /// Normalises `image` (bytes `[.., c]`) into `out` (the same shape): the way of evaluation.
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
    fn run(&self, pixels: &[u8], out: &mut [f32]) {
        match self.table.as_slice() {
            [grey] => {
                for (out, &byte) in out.iter_mut().zip(pixels) {
                    *out = grey[usize::from(byte)];
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
    fn black(&self, out: &mut [f32]) {
        for pixel in out.chunks_exact_mut(self.channels()) {
            for (out, table) in pixel.iter_mut().zip(&self.table) {
                *out = table[0];
            }
        }
    }
}

/// What may happen to a training image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Augmentation {
    /// Black pixels that are added on every side before a random crop of the original size, as in
    /// torchvision's `RandomCrop(size, padding)`. 0: no crop.
    pub padding: usize,
    /// Whether every second image is mirrored left to right.
    pub flip: bool,
}

impl Augmentation {
    /// Draws what happens to one image.
    pub fn draw(&self, rng: &mut Rng) -> Placement {
        let mut offset = || match self.padding {
            0 => 0,
            padding => rng.random_range(0..=2 * padding as u64) as usize,
        };
        let (top, left) = (offset(), offset());
        Placement { padding: self.padding, top, left, flip: self.flip && rng.random() }
    }
}

/// What happens to one image: a crop of its own size out of the padded image, then a flip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Placement {
    /// Black pixels on every side.
    pub padding: usize,
    /// The first row of the padded image that is kept: at most `2 * padding`.
    pub top: usize,
    /// The first column of the padded image that is kept: at most `2 * padding`.
    pub left: usize,
    /// Whether the crop is mirrored left to right.
    pub flip: bool,
}

impl Placement {
    /// Writes `image` (bytes `[h, w, c]`, with `size` = `(h, w, c)`) so placed to `out`
    /// (`[h, w, c]`). Padding is black before it is normalised.
    ///
    /// # Panics
    ///
    /// Where `image`, `out` or `normalise` do not have the `size`.
    pub fn apply(&self, image: &[u8], size: (usize, usize, usize), normalise: &Normalise, out: &mut [f32]) {
        let (height, width, channels) = size;
        assert_eq!(image.len(), height * width * channels, "an image of the given size");
        assert_eq!(image.len(), out.len(), "as much room as there are bytes");
        assert_eq!(channels, normalise.channels(), "a mean for each channel");
        if image.is_empty() {
            return;
        }
        let (before, columns, source_left) = overlap(self.left, self.padding, width);
        let (row_bytes, start, end) = (width * channels, before * channels, (before + columns) * channels);
        for (row, out) in out.chunks_exact_mut(row_bytes).enumerate() {
            match (row + self.top).checked_sub(self.padding) {
                Some(source) if source < height => {
                    let pixels = &image[source * row_bytes + source_left * channels..][..end - start];
                    normalise.black(&mut out[..start]);
                    normalise.run(pixels, &mut out[start..end]);
                    normalise.black(&mut out[end..]);
                }
                _ => normalise.black(out),
            }
            if self.flip {
                mirror(out, channels);
            }
        }
    }
}

/// For a window of `length` that starts at `offset` in a line of `length` with `padding` on both
/// sides: positions before the line, positions on it, and the first of them on the line.
fn overlap(offset: usize, padding: usize, length: usize) -> (usize, usize, usize) {
    let before = padding.saturating_sub(offset).min(length);
    let skipped = offset.saturating_sub(padding).min(length);
    (before, length - before.max(skipped), if before > 0 { 0 } else { skipped })
}

/// Reverses the order of the pixels in a row.
fn mirror(row: &mut [f32], channels: usize) {
    match channels {
        1 => row.reverse(),
        3 => row.as_chunks_mut::<3>().0.reverse(),
        _ => {
            row.reverse();
            row.chunks_exact_mut(channels).for_each(<[f32]>::reverse);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normalise(channels: usize) -> Normalise {
        Normalise::new(&[0.485, 0.456, 0.406][..channels], &[0.229, 0.224, 0.225][..channels])
    }

    fn image(size: (usize, usize, usize)) -> Vec<u8> {
        let mut rng = random::stream(0, "image", &[]);
        (0..size.0 * size.1 * size.2).map(|_| rng.random()).collect()
    }

    fn placed(placement: Placement, image: &[u8], size: (usize, usize, usize)) -> Vec<f32> {
        let mut out = vec![f32::NAN; image.len()];
        placement.apply(image, size, &normalise(size.2), &mut out);
        out
    }

    /// Pads, crops, flips and normalises one value at a time.
    fn naive(placement: Placement, image: &[u8], (height, width, channels): (usize, usize, usize)) -> Vec<f32> {
        let normalise = normalise(channels);
        let mut out = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let x = if placement.flip { width - 1 - x } else { x };
                let (y, x) = (y + placement.top, x + placement.left);
                for c in 0..channels {
                    let inside = (placement.padding..placement.padding + height).contains(&y)
                        && (placement.padding..placement.padding + width).contains(&x);
                    let byte = match inside {
                        true => image[((y - placement.padding) * width + x - placement.padding) * channels + c],
                        false => 0,
                    };
                    out.push(normalise.table[c][usize::from(byte)]);
                }
            }
        }
        out
    }

    #[test]
    fn normalises_as_double_precision_does() {
        let (mean, std) = ([0.485_f32, 0.456, 0.406], [0.229_f32, 0.224, 0.225]);
        let bytes: Vec<u8> = (0..=255).flat_map(|byte| [byte; 3]).collect();
        let mut out = vec![f32::NAN; bytes.len()];
        Normalise::new(&mean, &std).apply(&bytes, &mut out);
        for (index, (&byte, &value)) in bytes.iter().zip(&out).enumerate() {
            let channel = index % 3;
            let exact = (f64::from(byte) / 255.0 - f64::from(mean[channel])) / f64::from(std[channel]);
            assert_eq!(value, exact as f32);
        }
    }

    #[test]
    fn a_constant_channel_is_only_centred() {
        let mut out = [f32::NAN];
        Normalise::new(&[0.5], &[0.0]).apply(&[255], &mut out);
        assert_eq!(out, [0.5]);
    }

    #[test]
    fn every_offset_agrees_with_the_naive_loop() {
        for size in [(5, 4, 3), (3, 6, 1), (2, 3, 2)] {
            let image = image(size);
            for padding in 0..=7 {
                for top in 0..=2 * padding {
                    for left in 0..=2 * padding {
                        for flip in [false, true] {
                            let placement = Placement { padding, top, left, flip };
                            let (got, expected) = (placed(placement, &image, size), naive(placement, &image, size));
                            assert_eq!(got, expected, "{placement:?} of {size:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn draws_cover_every_offset_and_both_directions() {
        let augmentation = Augmentation { padding: 1, flip: true };
        let mut seen = std::collections::BTreeMap::new();
        for index in 0..18_000 {
            let drawn = augmentation.draw(&mut random::stream(0, "augment", &[index]));
            assert_eq!(drawn, augmentation.draw(&mut random::stream(0, "augment", &[index])));
            *seen.entry((drawn.top, drawn.left, drawn.flip)).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 18);
        // Expected 1000 each; 6 standard deviations.
        assert!(seen.values().all(|count: &i32| (count - 1000).abs() < 185), "{seen:?}");
    }

    #[test]
    fn no_augmentation_is_the_way_of_evaluation() {
        let size = (5, 4, 3);
        let placement = Augmentation::default().draw(&mut random::stream(0, "augment", &[]));
        let mut plain = vec![f32::NAN; 60];
        normalise(3).apply(&image(size), &mut plain);
        assert_eq!(placed(placement, &image(size), size), plain);
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_loop(
            (height, width, channels) in (1_usize..9, 1_usize..9, prop::sample::select(vec![1_usize, 3])),
            padding in 0_usize..12,
            seed in 0_u64..1000,
        ) {
            let size = (height, width, channels);
            let placement = Augmentation { padding, flip: true }.draw(&mut random::stream(seed, "augment", &[]));
            prop_assert!(placement.top <= 2 * padding && placement.left <= 2 * padding);
            prop_assert_eq!(placed(placement, &image(size), size), naive(placement, &image(size), size));
        }

        #[test]
        fn a_flip_undoes_a_flip(pixels in prop::collection::vec(any::<f32>(), 0..20), channels in 1_usize..4) {
            let row: Vec<f32> = pixels[..pixels.len() / channels * channels].to_vec();
            let mut twice = row.clone();
            mirror(&mut twice, channels);
            mirror(&mut twice, channels);
            let bits = |row: &[f32]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&twice), bits(&row));
        }
    }
}
