//! One image with what is drawn on it.

use crate::color::Color;
use crate::raster::{Raster, STRIP, room, width};
use data::Image;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::primitives::Rectangle;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageError};

/// Images are enlarged until their longer side has so many pixels.
const COMFORTABLE: usize = 256;
/// Pixels of a line on either side of the edge that it is drawn on, with and without the rim that sets it off from any
/// background.
const HALF: i32 = 1;
const RIM: i32 = 2;
/// Pixels of a dot to either side of its center, without its rim.
const DOT: i32 = 2;
/// Pixels of a dash without its ends, and from it to the next.
const DASH: i32 = 6;
const GAP: i32 = 10;

/// A picture in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    pub(crate) raster: Raster,
    /// The part that is the image: labels stay in it.
    image: Size,
    /// Pixels of the canvas for a pixel of the image, in either direction.
    zoom: u32,
}

/// How a rectangle is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// With its label above the upper edge.
    Solid,
    /// With its label below the lower edge, so that the labels of two rectangles at one place can both be read.
    Dashed,
}

impl Canvas {
    /// `image`, of 1 or 3 channels, each of its pixels a square: as many times enlarged as its longer side needs to
    /// reach 256 pixels.
    pub fn of(image: &Image) -> Self {
        let zoom = COMFORTABLE.div_ceil(image.height.max(image.width).max(1));
        let side = |pixels: usize| (pixels * zoom) as u32;
        let size = Size::new(side(image.width), side(image.height));
        let mut canvas = Self { raster: Raster::new(size, Color::BLACK), image: size, zoom: zoom as u32 };
        canvas.raster.tile(zoom as u32, image);
        canvas
    }

    pub(crate) fn blank(size: Size) -> Self {
        Self { raster: Raster::new(size, Color::WHITE), image: size, zoom: 1 }
    }

    /// Pixels: width and height.
    pub fn size(&self) -> [u32; 2] {
        let size = self.raster.size();
        [size.width, size.height]
    }

    /// Draws the outline of a rectangle, and where `label` is not empty, the label on a strip of the same color, which is
    /// moved to where it lies inside of the image. `corners` are left, top, right and bottom in pixels of the image: the
    /// pixel in column x spans `[x, x + 1)`. What lies outside of the image is not drawn, nor is anything of a rectangle all
    /// of which does, or with a corner that is not a number.
    pub fn rectangle(&mut self, corners: [f32; 4], color: Color, line: Line, label: &str) {
        if corners.iter().any(|corner| corner.is_nan()) {
            return;
        }
        let [left, top, right, bottom] = corners;
        // Just beyond the border, an edge cannot be seen.
        let place = |corner: f32, side: u32| {
            let far = (RIM + 1) as f32;
            (corner * self.zoom as f32).round().clamp(-far, side as f32 + far) as i32
        };
        let [left, right] = [left.min(right), left.max(right)].map(|x| place(x, self.image.width));
        let [top, bottom] = [top.min(bottom), top.max(bottom)].map(|y| place(y, self.image.height));
        if left > self.image.width as i32 || top > self.image.height as i32 || right < 0 || bottom < 0 {
            return;
        }
        let edges = [
            (Point::new(left, top), Point::new(right, top)),
            (Point::new(left, bottom), Point::new(right, bottom)),
            (Point::new(left, top), Point::new(left, bottom)),
            (Point::new(right, top), Point::new(right, bottom)),
        ];
        for (half, color) in [(RIM, color.ink()), (HALF, color)] {
            for (from, to) in edges {
                for (from, to) in strokes(from, to, line) {
                    self.fill(from - Point::new_equal(half), to + Point::new_equal(half), color);
                }
            }
        }
        if !label.is_empty() {
            let above = match line {
                Line::Solid => top - HALF - STRIP as i32,
                Line::Dashed => bottom + HALF,
            };
            self.label(Point::new(left - HALF, above), color, label);
        }
    }

    /// Draws a dot at a place of the image, `[x, y]` in its pixels, with a rim that sets it off from any background. What lies
    /// outside of the image is not drawn, nor is a dot at a place that is not a number.
    pub fn dot(&mut self, place: [f32; 2], color: Color) {
        if place.iter().any(|value| value.is_nan()) {
            return;
        }
        // Just beyond the border, a dot cannot be seen.
        let far = (DOT + RIM) as f32;
        let on = |value: f32, side: u32| (value * self.zoom as f32).round().clamp(-far, side as f32 + far) as i32;
        let center = Point::new(on(place[0], self.image.width), on(place[1], self.image.height));
        for (half, color) in [(DOT + 1, color.ink()), (DOT, color)] {
            self.fill(center - Point::new_equal(half), center + Point::new_equal(half), color);
        }
    }

    /// Adds a strip of `color` with `text` below the picture; what does not fit into a line goes on in the next.
    pub fn caption(&mut self, text: &str, color: Color) {
        for line in lines(text, room(self.raster.size().width)) {
            let strip = self.raster.extend(STRIP, color);
            self.raster.write(strip, color, &line);
        }
    }

    /// Adds lines below the picture that say what each color means: a strip of the color with its name on it.
    pub fn legend(&mut self, entries: &[(Color, &str)]) {
        let all = self.raster.size().width;
        let (mut x, mut line) = (0, None);
        for (color, name) in entries {
            let name: String = name.chars().take(room(all)).collect();
            let size = Size::new(width(name.chars().count()).min(all), STRIP);
            let strip = match line {
                Some(Rectangle { top_left, .. }) if x + size.width <= all => top_left,
                _ => {
                    x = 0;
                    line.insert(self.raster.extend(STRIP, Color::WHITE)).top_left
                }
            };
            self.raster.write(Rectangle::new(strip + Point::new(x as i32, 0), size), *color, &name);
            x += size.width + GAP as u32;
        }
    }

    /// The picture as a PNG file: the same bytes for the same picture.
    ///
    /// # Errors
    ///
    /// Where it has no pixels, because the image had none.
    pub fn png(&self) -> Result<Vec<u8>, ImageError> {
        let mut file = Vec::new();
        let [width, height] = self.size();
        let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Best, FilterType::Adaptive);
        encoder.write_image(&self.raster.bytes(), width, height, ExtendedColorType::Rgb8)?;
        Ok(file)
    }

    /// Fills what lies in the image of the rectangle from `from` to `to`.
    fn fill(&mut self, from: Point, to: Point, color: Color) {
        let size = Size::new(from.x.abs_diff(to.x), from.y.abs_diff(to.y));
        let image = Rectangle::new(Point::zero(), self.image);
        self.raster.fill(Rectangle::new(from, size).intersection(&image), color);
    }

    /// Writes `label` with the upper left corner at `corner`, or where it lies inside of the image.
    fn label(&mut self, corner: Point, color: Color, label: &str) {
        let label: String = label.chars().take(room(self.image.width)).collect();
        let size = Size::new(width(label.chars().count()), STRIP);
        let inside = |place: i32, length: u32, side: u32| place.min(side as i32 - length as i32).max(0);
        let x = inside(corner.x, size.width, self.image.width);
        let y = inside(corner.y, size.height, self.image.height);
        let strip = Rectangle::new(Point::new(x, y), size);
        // Of an image that is lower than a strip.
        if strip.size.height <= self.image.height {
            self.raster.write(strip, color, &label);
        }
    }
}

/// The parts of the line between two places that are drawn.
fn strokes(from: Point, to: Point, line: Line) -> impl Iterator<Item = (Point, Point)> {
    let length = (to.x - from.x).max(to.y - from.y);
    let at = move |t: i32| Point::new(to.x.min(from.x + t), to.y.min(from.y + t));
    let step = match line {
        Line::Solid => length + 1,
        Line::Dashed => DASH + GAP,
    };
    let stroke = if line == Line::Solid { length } else { DASH };
    (0..=length).step_by(step.max(1) as usize).map(move |start| (at(start), at(start + stroke)))
}

/// `text` in lines of at most `room` characters, broken between words where that is possible; at least one line.
pub(crate) fn lines(text: &str, room: usize) -> Vec<String> {
    let room = room.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() > room {
            lines.push(String::new());
            used = 0;
        }
        while word.len() > room {
            let rest = word.split_off(room);
            if let Some(line) = lines.last_mut() {
                line.extend(word);
            }
            lines.push(String::new());
            word = rest;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            used += word.len();
            line.extend(word);
        }
    }
    lines
}
