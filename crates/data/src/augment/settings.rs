//! What may happen to training examples.

use super::color::Jitter;
use super::draw::between;
use super::transform::Transform;
use super::view::{View, fitting, rounded};
use rand::RngExt;
use random::Rng;
use serde::{Deserialize, Serialize};
use settings::{Mistake, within};
use std::fmt;

/// The longest side that is asked for, in pixels: that of the largest JPEG.
const LONGEST: usize = 65_535;

/// What may happen to a training example: it is resized, a window is cut out at random, mirrored, and its colors are
/// changed. By default nothing happens. What cannot vary is not drawn.
///
/// ```toml
/// size = [224, 224]
/// scale = { area = [0.08, 1.0] }
/// aspect = [0.75, 1.3333333333333333]
/// flip = true
/// jitter = { brightness = 0.4, contrast = 0.4, saturation = 0.4 }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Height and width of the window in pixels; those of the resized image where it is not given. Where the window is
    /// the larger, the image lies anywhere in it.
    pub size: Option<[usize; 2]>,
    /// How much the image is resized.
    pub scale: Scale,
    /// How much wider than high the image is stretched, least and most, drawn evenly on a logarithmic scale; with
    /// [`Scale::Area`] the width over the height of what is seen, as for torchvision.
    pub aspect: [f64; 2],
    /// Share of the images that keep their size and aspect. Resized images are smoother than those that evaluation sees as they
    /// are, and a network that never saw their grain can be far off there.
    #[serde(skip_serializing_if = "is_none")]
    pub unscaled: f64,
    /// Black pixels that are added to every side of the resized image before the window is chosen, as in torchvision's
    /// `RandomCrop(size, padding)`.
    pub padding: usize,
    /// Whether every second image is mirrored left to right.
    pub flip: bool,
    /// How much the colors change.
    pub jitter: Jitter,
}

/// How much an image is resized: least and most, drawn evenly between.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Times the image's own size.
    Image([f64; 2]),
    /// Times the size at which the whole image just fits into the window: large-scale jitter, torchvision's
    /// `ScaleJitter`.
    Fit([f64; 2]),
    /// So that the window shows this share of the image's area: torchvision's `RandomResizedCrop`.
    Area([f64; 2]),
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            size: None,
            scale: Scale::Image([1.0, 1.0]),
            aspect: [1.0, 1.0],
            unscaled: 0.0,
            padding: 0,
            flip: false,
            jitter: Jitter::default(),
        }
    }
}

impl Augmentation {
    /// Whether the settings make sense.
    ///
    /// # Errors
    ///
    /// The key at fault, what was expected there, and what was found.
    pub fn check(&self) -> Result<(), Mistake> {
        if let Some(size) = self.size
            && !size.iter().all(|length| (1..=LONGEST).contains(length))
        {
            return Err(Mistake::new("size", format!("height and width from 1 to {LONGEST}"), format!("{size:?}")));
        }
        let (key, range, most) = match self.scale {
            Scale::Image(range) => ("scale.image", range, 100.0),
            Scale::Fit(range) => ("scale.fit", range, 100.0),
            Scale::Area(range) => ("scale.area", range, 1.0),
        };
        check_range(key, range, most)?;
        if self.size.is_none() && !matches!(self.scale, Scale::Image(_)) {
            return Err(Mistake::new(key, "a `size` beside it", "none").with_hint("set `size = [height, width]`"));
        }
        check_range("aspect", self.aspect, 100.0)?;
        within("unscaled", self.unscaled, 0.0..=1.0)?;
        within("padding", self.padding, 0..=LONGEST)?;
        self.jitter.check()
    }

    /// The same with windows of `size` (`[height, width]`), which must not have been set here, checked.
    ///
    /// # Errors
    ///
    /// The key at fault, what was expected there, and what was found.
    pub fn with_size(self, size: [usize; 2]) -> Result<Self, Mistake> {
        if let Some(found) = self.size {
            let expected = format!("none, since it is `size` = {size:?}");
            return Err(Mistake::new("augmentation.size", expected, format!("{found:?}")));
        }
        let sized = Self { size: Some(size), ..self };
        sized.check().map_err(|mistake| mistake.inside("augmentation"))?;
        Ok(sized)
    }

    /// Draws what happens to an image of size `source` (`[height, width]`).
    pub fn draw(&self, source: [usize; 2], rng: &mut Rng) -> Transform {
        let keeps = self.unscaled > 0.0 && rng.random::<f64>() < self.unscaled;
        let scaled = if keeps { source } else { self.scaled(source, rng) };
        let size = self.size.unwrap_or(scaled);
        let offset = [0, 1].map(|axis| self.offset(scaled[axis], size[axis], rng));
        let flip = self.flip && rng.random();
        Transform { view: View { source, scaled, offset, size, flip }, color: self.jitter.draw(rng) }
    }

    fn scaled(&self, source: [usize; 2], rng: &mut Rng) -> [usize; 2] {
        let [height, width] = source.map(|length| length as f64);
        let size = self.size.unwrap_or(source);
        let (range, unit) = match self.scale {
            Scale::Image(range) => (range, 1.0),
            Scale::Fit(range) => (range, fitting(source, size)),
            Scale::Area(range) => {
                let seen = self.region(range, [height, width], rng);
                return [0, 1].map(|axis| rounded(source[axis] as f64 * size[axis] as f64 / seen[axis]));
            }
        };
        let scale = unit * between(range, rng);
        let stretch = self.stretch(rng).sqrt();
        [rounded(height * scale / stretch), rounded(width * scale * stretch)]
    }

    /// Height and width of a part of the image that has the share and the aspect ratio asked for; the largest part of
    /// such a ratio where ten trials found none inside of the image.
    fn region(&self, range: [f64; 2], [height, width]: [f64; 2], rng: &mut Rng) -> [f64; 2] {
        let trial = |_| {
            let area = between(range, rng) * height * width;
            let aspect = self.stretch(rng);
            [(area / aspect).sqrt(), (area * aspect).sqrt()]
        };
        (0..10).map(trial).find(|seen| seen[0] <= height && seen[1] <= width).unwrap_or_else(|| {
            let aspect = (width / height).max(self.aspect[0]).min(self.aspect[1]);
            [height.min(width / aspect), width.min(height * aspect)]
        })
    }

    fn stretch(&self, rng: &mut Rng) -> f64 {
        libm::exp(between(self.aspect.map(libm::log), rng))
    }

    /// Where the window begins: evenly among all places where it is inside of the padded image, or the padded image
    /// inside of it.
    fn offset(&self, scaled: usize, size: usize, rng: &mut Rng) -> i64 {
        let [scaled, size, padding] = [scaled, size, self.padding].map(|length| length.min(1 << 30) as i64);
        let ends = [-padding, scaled + padding - size];
        let (first, last) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        if first == last { first } else { first + rng.random_range(0..=(last - first) as u64) as i64 }
    }
}

/// One line for reports.
impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = Self::default();
        let mut parts = Vec::new();
        match self.scale {
            scale if scale == plain.scale => {}
            Scale::Image([least, most]) => parts.push(format!("random scale of {least} to {most}")),
            Scale::Fit([least, most]) => parts.push(format!("random scale of {least} to {most} times what fits")),
            Scale::Area([least, most]) => parts.push(format!("random share of {least} to {most} of the area")),
        }
        if self.aspect != plain.aspect {
            parts.push(format!("random aspect of {:.2} to {:.2}", self.aspect[0], self.aspect[1]));
        }
        if self.unscaled > 0.0 {
            parts.push(format!("no change of size for {} %", 100.0 * self.unscaled));
        }
        if self.size.is_some() || self.padding > 0 {
            let size = self.size.map_or_else(String::new, |[height, width]| format!(" of {height}×{width}"));
            let border = if self.padding > 0 { format!(" from a border of {}", self.padding) } else { String::new() };
            parts.push(format!("random crop{size}{border}"));
        }
        if self.flip {
            parts.push("random flip".into());
        }
        let Jitter { brightness, contrast, saturation, hue } = self.jitter;
        for (name, strength) in
            [("brightness", brightness), ("contrast", contrast), ("saturation", saturation), ("hue", hue)]
        {
            if strength > 0.0 {
                parts.push(format!("random {name} ±{strength}"));
            }
        }
        if parts.is_empty() { f.write_str("no augmentation") } else { f.write_str(&parts.join(", ")) }
    }
}

/// The default is not written, so that it is not part of ids: specs were there before the key was.
fn is_none(share: &f64) -> bool {
    *share == 0.0
}

fn check_range(key: &str, [least, most]: [f64; 2], largest: f64) -> Result<(), Mistake> {
    if 0.0 < least && least <= most && most <= largest {
        Ok(())
    } else {
        let expected = format!("two numbers above 0 and at most {largest}, the smaller first");
        Err(Mistake::new(key, expected, format!("[{least}, {most}]")))
    }
}
