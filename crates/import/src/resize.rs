//! Images and masks of another size. Boxes and points follow by the two ratios of sides.

use data::{Image, Mask};
use fast_image_resize::images::{Image as Target, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::release::Size;

/// Which size images get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// All the same, whatever their shape.
    Exact(Size),
    /// The aspect kept, the shorter side of this length.
    Shorter(u32),
    /// The aspect kept, the longer side of this length.
    Longer(u32),
}

impl Resize {
    /// The size that an image of `size` gets.
    pub fn of(self, size: Size) -> Size {
        let by = |side: u32, of: u32| {
            let scaled = |length: u32| ((f64::from(length) * f64::from(side) / f64::from(of)).round() as u32).max(1);
            Size { width: scaled(size.width), height: scaled(size.height) }
        };
        match self {
            Self::Exact(size) => size,
            Self::Shorter(side) => by(side, size.width.min(size.height)),
            Self::Longer(side) => by(side, size.width.max(size.height)),
        }
    }
}

/// In words, for the manifest's caveat.
impl std::fmt::Display for Resize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(size) => write!(f, "images resized to {size}"),
            Self::Shorter(side) => write!(f, "images resized to a shorter side of {side} pixels"),
            Self::Longer(side) => write!(f, "images resized to a longer side of {side} pixels"),
        }
    }
}

/// The image in another size: linear interpolation, over all pixels that a new one covers.
///
/// # Errors
///
/// Where the image has other pixels than its size says, or a size is 0; in words.
pub fn image(image: Image, size: Size) -> Result<Image, String> {
    let kind = if image.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let source = ImageRef::new(image.width as u32, image.height as u32, &image.pixels, kind);
    let source = source.map_err(|cause| cause.to_string())?;
    let mut target = Target::new(size.width, size.height, kind);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&source, &mut target, &options).map_err(|cause| cause.to_string())?;
    let (height, width) = (size.height as usize, size.width as usize);
    Ok(Image { height, width, channels: image.channels, pixels: target.into_vec() })
}

/// The mask in another size: the class in the middle of each new pixel.
pub fn mask(mask: &Mask, size: Size) -> Mask {
    let (height, width) = (size.height as usize, size.width as usize);
    let middle = |to: usize, length: usize, new: usize| (2 * to + 1) * length / (2 * new.max(1));
    let columns: Vec<usize> = (0..width).map(|x| middle(x, mask.width, width)).collect();
    let rows =
        (0..height).filter_map(|y| mask.classes.chunks_exact(mask.width.max(1)).nth(middle(y, mask.height, height)));
    let classes = rows.flat_map(|row| columns.iter().filter_map(|&x| row.get(x).copied())).collect();
    Mask { height, width, classes }
}
