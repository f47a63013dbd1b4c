//! Changes of colors, as torchvision's `ColorJitter` makes them to images of 8 bits.

use super::draw::between;
use rand::seq::SliceRandom;
use random::Rng;
use serde::{Deserialize, Serialize};
use settings::{Mistake, at_least, within};

/// How much the colors of a training image may change: torchvision's `ColorJitter`. All are 0 where they are not
/// given, and then nothing is drawn for them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jitter {
    /// The factor is drawn from `1 - brightness` (at least 0) to `1 + brightness`.
    pub brightness: f64,
    /// As for brightness.
    pub contrast: f64,
    /// As for brightness.
    pub saturation: f64,
    /// The shift is drawn from `-hue` to `hue`, where 1 is the whole circle of hues: at most 0.5.
    pub hue: f64,
}

impl Jitter {
    pub(super) fn check(&self) -> Result<(), Mistake> {
        let Self { brightness, contrast, saturation, hue } = *self;
        for (key, value) in [("brightness", brightness), ("contrast", contrast), ("saturation", saturation)] {
            at_least(&format!("jitter.{key}"), value, 0.0)?;
        }
        within("jitter.hue", hue, 0.0..=0.5)
            .map_err(|mistake| mistake.with_hint("0.5 is half the circle, so that any hue may come"))
    }

    /// The adjustments of one image in a random order.
    pub(super) fn draw(&self, rng: &mut Rng) -> Vec<Adjustment> {
        let mut adjustments = Vec::new();
        let mut add = |strength: f64, range: [f64; 2], kind: fn(f64) -> Adjustment| {
            if strength > 0.0 {
                adjustments.push(kind(between(range, rng)));
            }
        };
        let around_one = |strength: f64| [(1.0 - strength).max(0.0), 1.0 + strength];
        add(self.brightness, around_one(self.brightness), Adjustment::Brightness);
        add(self.contrast, around_one(self.contrast), Adjustment::Contrast);
        add(self.saturation, around_one(self.saturation), Adjustment::Saturation);
        add(self.hue, [-self.hue, self.hue], Adjustment::Hue);
        adjustments.shuffle(rng);
        adjustments
    }
}

/// A change of an image's colors: torchvision's functions on tensors of 8 bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Adjustment {
    /// `adjust_brightness`: times the factor.
    Brightness(f64),
    /// `adjust_contrast`: away from the image's mean brightness, or toward it, by the factor.
    Contrast(f64),
    /// `adjust_saturation`: away from each pixel's brightness, or toward it, by the factor. Nothing to gray images.
    Saturation(f64),
    /// `adjust_hue`: around the circle of hues, which is 1. Nothing to gray images.
    Hue(f64),
}

impl Adjustment {
    /// Changes `pixels` (`[.., channels]`, not empty).
    pub(super) fn apply(self, pixels: &mut [u8], channels: usize) {
        let colors = channels == 3;
        match self {
            Self::Brightness(factor) => blend(pixels, 0.0, factor),
            Self::Contrast(factor) => {
                let mean = if colors { mean_luma(pixels) } else { mean(pixels) };
                blend(pixels, mean as f32, factor);
            }
            Self::Saturation(factor) if colors => {
                let (own, other) = (factor as f32, (1.0 - factor) as f32);
                map_colors(pixels, |[r, g, b]| {
                    let gray = other * f32::from(luma([r, g, b]));
                    [r, g, b].map(|value| own * value + gray)
                });
            }
            Self::Hue(shift) if colors => turn_hue(pixels, shift),
            Self::Saturation(_) | Self::Hue(_) => {}
        }
    }
}

/// `factor * value + (1 - factor) * other` for each byte.
fn blend(pixels: &mut [u8], other: f32, factor: f64) {
    let (own, other) = (factor as f32, (1.0 - factor) as f32 * other);
    let table: [u8; 256] = std::array::from_fn(|byte| (own * byte as f32 + other) as u8);
    for byte in pixels {
        *byte = table[usize::from(*byte)];
    }
}

fn mean(pixels: &[u8]) -> f64 {
    pixels.iter().map(|&byte| u64::from(byte)).sum::<u64>() as f64 / pixels.len() as f64
}

fn mean_luma(pixels: &[u8]) -> f64 {
    let (pixels, _) = pixels.as_chunks::<3>();
    pixels.iter().map(|&pixel| u64::from(luma(pixel.map(f32::from)))).sum::<u64>() as f64 / pixels.len() as f64
}

/// Brightness as torchvision's `rgb_to_grayscale` has it, a whole number.
fn luma([r, g, b]: [f32; 3]) -> u8 {
    (0.2989 * r + 0.587 * g + 0.114 * b) as u8
}

/// Moves each color `shift` around the circle of hues.
///
/// With hue `h` in sixths of the circle, a channel is `max - (max - min) * clamp(min(k, 4 - k), 0, 1)`, where `k` is
/// `h` plus 5, 3 and 1 for red, green and blue, modulo 6: the usual six cases in one.
fn turn_hue(pixels: &mut [u8], shift: f64) {
    let starts = [5.0, 3.0, 1.0].map(|start| (start + 6.0 * shift).rem_euclid(6.0) as f32);
    // As torchvision's conversion from floats, which gives 255 a share of the interval, too.
    const WIDEN: f32 = 255.999 / 255.0;
    map_colors(pixels, |[r, g, b]| {
        let max = r.max(g).max(b);
        let range = max - r.min(g).min(b);
        let inverse = if range > 0.0 { 1.0 / range } else { 0.0 };
        let from_red = (g - b) * inverse;
        let from_red = if from_red < 0.0 { from_red + 6.0 } else { from_red };
        let from_green = (b - r) * inverse + 2.0;
        let from_blue = (r - g) * inverse + 4.0;
        let hue = if max == g { from_green } else { from_blue };
        let hue = if max == r { from_red } else { hue };
        starts.map(|start| {
            let k = hue + start;
            let k = if k >= 6.0 { k - 6.0 } else { k };
            (max - range * k.min(4.0 - k).clamp(0.0, 1.0)) * WIDEN
        })
    });
}

/// Maps red, green and blue of each pixel, 0 to 255.
///
/// Pixels are taken apart into planes, so that the arithmetic is done on vectors.
fn map_colors(pixels: &mut [u8], f: impl Fn([f32; 3]) -> [f32; 3]) {
    const LANES: usize = 32;
    for chunk in pixels.chunks_mut(3 * LANES) {
        let (chunk, _) = chunk.as_chunks_mut::<3>();
        let [mut red, mut green, mut blue] = [[0.0_f32; LANES]; 3];
        for (((r, g), b), pixel) in red.iter_mut().zip(&mut green).zip(&mut blue).zip(&*chunk) {
            [*r, *g, *b] = pixel.map(f32::from);
        }
        for ((r, g), b) in red.iter_mut().zip(&mut green).zip(&mut blue) {
            [*r, *g, *b] = f([*r, *g, *b]);
        }
        for (((r, g), b), pixel) in red.iter().zip(&green).zip(&blue).zip(chunk) {
            *pixel = [*r, *g, *b].map(|value| value as u8);
        }
    }
}
