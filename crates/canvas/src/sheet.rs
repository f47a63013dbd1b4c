//! Several pictures on one.

use crate::color::Color;
use crate::picture::{Canvas, lines};
use crate::raster::{STRIP, room};
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::primitives::Rectangle;

/// Pixels between pictures, and around them.
const SPACE: u32 = 12;
/// Pixels that a sheet is wide at most, unless a picture alone is wider.
const WIDE: u32 = 1240;

/// `pictures` side by side, as one picture.
pub fn beside(pictures: &[Canvas]) -> Canvas {
    let sizes = pictures.iter().map(|picture| picture.raster.size());
    let (width, height) =
        sizes.fold((0, 0), |(width, height), size| (width + SPACE + size.width, height.max(size.height)));
    let mut all = Canvas::blank(Size::new(width.saturating_sub(SPACE), height));
    let mut x = 0;
    for picture in pictures {
        all.raster.paste(Point::new(x as i32, 0), &picture.raster);
        x += picture.raster.size().width + SPACE;
    }
    all
}

/// `pictures` row by row, in as few rows as fit and those as even as possible, below the lines of `heading`.
pub fn sheet(heading: &[&str], pictures: &[Canvas]) -> Canvas {
    let sizes: Vec<Size> = pictures.iter().map(|picture| picture.raster.size()).collect();
    let cell = sizes.iter().map(|size| size.width).max().unwrap_or(0);
    let most = ((WIDE - SPACE) / (cell + SPACE)).max(1) as usize;
    let rows = pictures.len().div_ceil(most).max(1);
    let columns = pictures.len().div_ceil(rows).max(1);
    let width = SPACE + columns as u32 * (cell + SPACE);

    let text: Vec<String> = heading.iter().flat_map(|line| lines(line, room(width - 2 * SPACE))).collect();
    let heights: Vec<u32> =
        sizes.chunks(columns).map(|row| row.iter().map(|size| size.height).max().unwrap_or(0)).collect();
    let height = SPACE + text.len() as u32 * STRIP + heights.iter().map(|height| SPACE + height).sum::<u32>() + SPACE;

    let mut sheet = Canvas::blank(Size::new(width, height));
    let mut y = SPACE;
    for line in text {
        let strip = Rectangle::new(Point::new(SPACE as i32, y as i32), Size::new(width - 2 * SPACE, STRIP));
        sheet.raster.write(strip, Color::WHITE, &line);
        y += STRIP;
    }
    for (row, height) in pictures.chunks(columns).zip(heights) {
        y += SPACE;
        for (x, picture) in row.iter().enumerate() {
            let x = SPACE + x as u32 * (cell + SPACE);
            sheet.raster.paste(Point::new(x as i32, y as i32), &picture.raster);
        }
        y += height;
    }
    sheet
}
