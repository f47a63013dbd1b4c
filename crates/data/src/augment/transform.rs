//! From the pixels of an image to those that a network sees.

use super::color::Adjustment;
use super::normalize::Normalize;
use super::view::{Overlap, View};
use crate::Image;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use std::error::Error;

/// What happens to one image: what is seen of it is resized, its colors are adjusted, and it is put on black.
#[derive(Debug, Clone, PartialEq)]
pub struct Transform {
    /// What is seen of the image.
    pub view: View,
    /// What happens to its colors, in this order.
    pub color: Vec<Adjustment>,
}

/// Colors stay what they are.
impl From<View> for Transform {
    fn from(view: View) -> Self {
        Self { view, color: Vec::new() }
    }
}

impl Transform {
    /// Writes what becomes of `image` (bytes `[h, w, c]` of the view's source) to `out` (`[h, w, c]` of the view's
    /// size), normalized. Resizing is bilinear, over all pixels where it shrinks (torchvision's `resize` with
    /// `antialias`). Padding is black before it is normalized.
    ///
    /// # Panics
    ///
    /// Where `image` or `out` do not have these sizes, or where an image with other than 1 or 3 channels is to be
    /// resized or has its colors adjusted.
    pub fn apply(&self, image: &[u8], normalize: &Normalize, out: &mut [f32]) {
        let black = |out: &mut [f32]| normalize.black(out);
        self.write(image, normalize.channels(), out, black, |pixels, out| normalize.run(pixels, out));
    }

    /// What becomes of `image`, normalized: [`apply`](Self::apply) to pixels of its own.
    ///
    /// # Panics
    ///
    /// As [`apply`](Self::apply).
    pub fn pixels(&self, image: &Image, normalize: &Normalize) -> Vec<f32> {
        let [height, width] = self.view.size;
        let mut pixels = vec![0.0; height * width * normalize.channels()];
        self.apply(&image.pixels, normalize, &mut pixels);
        pixels
    }

    /// What becomes of `image`: [`apply`](Self::apply) without normalization.
    ///
    /// # Panics
    ///
    /// As [`apply`](Self::apply).
    pub fn image(&self, image: &Image) -> Image {
        let ([height, width], channels) = (self.view.size, image.channels);
        let mut pixels = vec![0; height * width * channels];
        let black = |out: &mut [u8]| out.fill(0);
        self.write(&image.pixels, channels, &mut pixels, black, |pixels, out| out.copy_from_slice(pixels));
        Image { height, width, channels, pixels }
    }

    fn write<T>(
        &self,
        image: &[u8],
        channels: usize,
        out: &mut [T],
        black: impl Fn(&mut [T]),
        copy: impl Fn(&[u8], &mut [T]),
    ) {
        let View { source, scaled, size, flip, .. } = self.view;
        assert_eq!(image.len(), source[0] * source[1] * channels, "an image of the view's source");
        assert_eq!(out.len(), size[0] * size[1] * channels, "room for the view's size");
        let [rows, columns] = self.view.seen();
        if rows.len == 0 || columns.len == 0 {
            return black(out);
        }
        let changed: Vec<u8>;
        let (pixels, stride) = if scaled == source && self.color.is_empty() {
            (&image[(rows.start * source[1] + columns.start) * channels..], source[1] * channels)
        } else {
            changed = self.changed(image, channels, [rows, columns]);
            (changed.as_slice(), columns.len * channels)
        };
        let (start, end) = (columns.before * channels, (columns.before + columns.len) * channels);
        for (row, out) in out.chunks_exact_mut(size[1] * channels).enumerate() {
            match row.checked_sub(rows.before) {
                Some(row) if row < rows.len => {
                    black(&mut out[..start]);
                    copy(&pixels[row * stride..][..end - start], &mut out[start..end]);
                    black(&mut out[end..]);
                }
                _ => black(out),
            }
            if flip {
                mirror(out, channels);
            }
        }
    }

    /// The pixels that are seen, resized and adjusted: bytes `[rows, columns, channels]`.
    fn changed(&self, image: &[u8], channels: usize, seen: [Overlap; 2]) -> Vec<u8> {
        let mut out = vec![0; seen[0].len * seen[1].len * channels];
        let done = match channels {
            1 => resize::<U8>(&self.view, seen, image, &mut out),
            3 => resize::<U8x3>(&self.view, seen, image, &mut out),
            _ => Err(format!("expected 1 or 3 channels, found {channels}").into()),
        };
        assert!(done.is_ok(), "{done:?}");
        for adjustment in &self.color {
            adjustment.apply(&mut out, channels);
        }
        out
    }
}

/// Resizes what is seen of `image`, and computes nothing else.
fn resize<P: PixelTrait>(view: &View, seen: [Overlap; 2], image: &[u8], out: &mut [u8]) -> Result<(), Box<dyn Error>> {
    let [height, width] = view.source;
    let from = TypedImageRef::<P>::from_buffer(width.try_into()?, height.try_into()?, image)?;
    let mut to = TypedImage::<P>::from_buffer(seen[1].len.try_into()?, seen[0].len.try_into()?, out)?;
    let [(top, height), (left, width)] = [0, 1].map(|axis| {
        let (source, scaled) = (view.source[axis] as f64, view.scaled[axis] as f64);
        let start = seen[axis].start as f64 * source / scaled;
        // Rounding must not move the end out of the image.
        (start, (seen[axis].len as f64 * source / scaled).min(source - start))
    });
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, width, height)
        .use_alpha(false);
    Ok(Resizer::new().resize_typed(&from, &mut to, &options)?)
}

/// Reverses the order of the pixels in a row.
fn mirror<T>(row: &mut [T], channels: usize) {
    match channels {
        1 => row.reverse(),
        3 => row.as_chunks_mut::<3>().0.reverse(),
        _ => {
            row.reverse();
            row.chunks_exact_mut(channels).for_each(<[T]>::reverse);
        }
    }
}
