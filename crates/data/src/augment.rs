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
    pub fn apply(
        &self,
        image: &[u8],
        size: (usize, usize, usize),
        normalise: &Normalise,
        out: &mut [f32],
    ) {
        let (height, width, channels) = size;
        assert_eq!(image.len(), height * width * channels, "an image of the given size");
        assert_eq!(image.len(), out.len(), "as much room as there are bytes");
        assert_eq!(channels, normalise.channels(), "a mean for each channel");
        if image.is_empty() {
            return;
        }
        let (before, columns, source_left) = overlap(self.left, self.padding, width);
        let (row_bytes, start, end) =
            (width * channels, before * channels, (before + columns) * channels);
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
