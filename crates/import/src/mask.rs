//! Masks: PNG files of one byte a pixel.

use std::io::Cursor;

use data::Mask;
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use crate::error::Malformed;

/// The most pixels that a mask may have.
pub const PIXEL_LIMIT: usize = 1 << 28;

/// The bytes of a grey PNG, or the indices of one with a palette.
///
/// # Errors
///
/// Where it is no PNG file, has other than 8 bits a pixel, or more than [`PIXEL_LIMIT`] pixels.
pub fn parse(file: &[u8]) -> Result<Mask, Malformed> {
    let damaged = |cause: png::DecodingError| Malformed::new("", "a PNG file", cause.to_string().trim_end_matches('.'));
    let mut decoder = Decoder::new_with_limits(Cursor::new(file), Limits { bytes: PIXEL_LIMIT });
    // Palettes are not looked up: their indices are the classes.
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    let expected = "a PNG file of 8 bits a pixel, grey or with a palette";
    if info.bit_depth != BitDepth::Eight || !matches!(info.color_type, ColorType::Grayscale | ColorType::Indexed) {
        let found = format!("{} bits a sample, {:?}", info.bit_depth as u8, info.color_type);
        return Err(Malformed::new("", expected, found));
    }
    let pixels = width.checked_mul(height).filter(|&pixels| pixels <= PIXEL_LIMIT);
    let pixels = pixels.ok_or_else(|| {
        Malformed::new("", format!("a mask of at most {PIXEL_LIMIT} pixels"), format!("{width}×{height}"))
    })?;
    let mut classes = vec![0; pixels];
    reader.next_frame(&mut classes).map_err(damaged)?;
    Ok(Mask { height, width, classes })
}
