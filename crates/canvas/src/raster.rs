//! Pixels that can be drawn on; what lies outside of them is not drawn.

use crate::color::Color;
use data::Image;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Dimensions, OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_8X13_BOLD as FONT;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};
use std::convert::Infallible;

/// Between text and the border of its strip.
const MARGIN: u32 = 3;
/// Height of a strip with a line of text, in pixels.
pub(crate) const STRIP: u32 = FONT.character_size.height + 2 * MARGIN - 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raster {
    size: Size,
    /// Row by row.
    pixels: Vec<Rgb888>,
}

impl Raster {
    /// All of one color.
    pub(crate) fn new(size: Size, color: Color) -> Self {
        Self { size, pixels: vec![color.pixel(); size.width as usize * size.height as usize] }
    }

    /// Draws `image` with each of its pixels `zoom` pixels wide and high. Channels and pixels that it should have but has
    /// not are black.
    pub(crate) fn tile(&mut self, zoom: u32, image: &Image) {
        let value = |index: usize| image.pixels.get(index).copied().unwrap_or(0);
        for (index, start) in (0..image.height * image.width).map(|index| (index, index * image.channels)) {
            let [red, green, blue] = match image.channels {
                3 => [value(start), value(start + 1), value(start + 2)],
                _ => [value(start); 3],
            };
            let (row, column) = ((index / image.width) as u32, (index % image.width) as u32);
            let corner = Point::new((column * zoom) as i32, (row * zoom) as i32);
            let Ok(()) = self.fill_solid(&Rectangle::new(corner, Size::new_equal(zoom)), Rgb888::new(red, green, blue));
        }
    }

    /// Makes it higher by a strip of `color`, and gives the strip's place.
    pub(crate) fn extend(&mut self, height: u32, color: Color) -> Rectangle {
        let strip = Rectangle::new(Point::new(0, self.size.height as i32), Size::new(self.size.width, height));
        self.size.height += height;
        self.pixels.resize(self.size.width as usize * self.size.height as usize, color.pixel());
        strip
    }

    /// Fills `area` with `color`.
    pub(crate) fn fill(&mut self, area: Rectangle, color: Color) {
        let Ok(()) = self.fill_solid(&area, color.pixel());
    }

    /// Copies `other` to the place where its upper left corner is at `corner`.
    pub(crate) fn paste(&mut self, corner: Point, other: &Self) {
        let Ok(()) = self.fill_contiguous(&Rectangle::new(corner, other.size), other.pixels.iter().copied());
    }

    /// Fills `strip` with `color`, and writes a line of text on it. Characters that the font (Latin-1) has not
    /// become question marks.
    pub(crate) fn write(&mut self, strip: Rectangle, color: Color, text: &str) {
        self.fill(strip, color);
        // A line break would leave the strip.
        let text: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let corner = strip.top_left + Point::new(MARGIN as i32, MARGIN as i32 - 1);
        let style = MonoTextStyle::new(&FONT, color.ink().pixel());
        let Ok(_) = embedded_graphics::Drawable::draw(&Text::with_baseline(&text, corner, style, Baseline::Top), self);
    }

    /// Red, green and blue of each pixel, row by row.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        use embedded_graphics::pixelcolor::RgbColor;
        self.pixels.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect()
    }
}

/// Characters that a strip of `width` pixels has room for.
pub(crate) fn room(width: u32) -> usize {
    (width.saturating_sub(2 * MARGIN) / FONT.character_size.width) as usize
}

/// Width of the strip of a text with so many characters.
pub(crate) fn width(characters: usize) -> u32 {
    characters as u32 * FONT.character_size.width + 2 * MARGIN
}

impl OriginDimensions for Raster {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Raster {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        let area = self.bounding_box();
        for Pixel(point, color) in pixels {
            if area.contains(point)
                && let Some(pixel) = self.pixels.get_mut(point.y as usize * self.size.width as usize + point.x as usize)
            {
                *pixel = color;
            }
        }
        Ok(())
    }
}
