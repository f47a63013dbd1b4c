//! From JPEG and PNG files to pixels.

use std::io::Cursor;

use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageReader};

use crate::{Channels, Image};

/// Bytes that an image may decode to. A file of a few bytes can claim to be larger than any memory.
pub const LARGEST_IMAGE: u64 = 200_000_000;

/// Height, width and own channels of an encoded image.
///
/// # Errors
///
/// What the decoder says of bytes that are no JPEG or PNG file, or of one that is too large.
pub fn header(file: &[u8]) -> Result<(usize, usize, Channels), String> {
    let decoder = decoder(file)?;
    let (width, height) = decoder.dimensions();
    Ok((height as usize, width as usize, own(decoder.color_type())))
}

/// Decodes a JPEG or PNG file of any colour type to 8 bits a channel.
///
/// # Errors
///
/// As [`header`], and where the file is damaged behind its header.
pub fn image(file: &[u8], channels: Channels) -> Result<Image, String> {
    let decoder = decoder(file)?;
    let (width, height) = decoder.dimensions();
    let direct =
        matches!((decoder.color_type(), channels), (ColorType::L8, Channels::Grey) | (ColorType::Rgb8, Channels::Rgb));
    let pixels = if direct {
        let mut pixels = vec![0; decoder.total_bytes() as usize];
        decoder.read_image(&mut pixels).map(|()| pixels)
    } else {
        DynamicImage::from_decoder(decoder).map(|image| match channels {
            Channels::Grey => image.into_luma8().into_raw(),
            Channels::Rgb => image.into_rgb8().into_raw(),
        })
    };
    let pixels = pixels.map_err(|cause| cause.to_string())?;
    Ok(Image { height: height as usize, width: width as usize, channels: channels.count(), pixels })
}

fn decoder(file: &[u8]) -> Result<impl ImageDecoder + '_, String> {
    // The name in the `path` column may be missing or wrong: only the bytes tell the format.
    let text = |cause: ImageError| cause.to_string();
    let mut reader = ImageReader::new(Cursor::new(file)).with_guessed_format().map_err(|cause| cause.to_string())?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(LARGEST_IMAGE);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(text)?;
    if decoder.total_bytes() > LARGEST_IMAGE {
        let (width, height) = decoder.dimensions();
        return Err(format!("expected at most {LARGEST_IMAGE} bytes of pixels, found {height}×{width} pixels"));
    }
    Ok(decoder)
}

fn own(colour: ColorType) -> Channels {
    if colour.has_color() { Channels::Rgb } else { Channels::Grey }
}

/// Height, width and bytes of a mask: a PNG file of one byte a pixel, grey or with a palette. Of a palette the
/// indices are returned, not the colours.
///
/// # Errors
///
/// Where the file is no PNG file of this kind, or damaged.
pub fn mask(file: &[u8]) -> Result<(usize, usize, Vec<u8>), String> {
    let text = |cause: png::DecodingError| cause.to_string();
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(file), png::Limits { bytes: LARGEST_IMAGE as usize });
    // As they are in the file: a palette is not looked up, and few bits are not stretched to eight.
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(text)?;
    let info = reader.info();
    let (height, width) = (info.height as usize, info.width as usize);
    let bits = match (info.color_type, info.bit_depth as u8) {
        (png::ColorType::Grayscale | png::ColorType::Indexed, bits @ (1 | 2 | 4 | 8)) => usize::from(bits),
        (kind, bits) => {
            return Err(format!("expected a grey or palette PNG of at most 8 bits, found {kind:?} of {bits} bits"));
        }
    };
    let size = reader
        .output_buffer_size()
        .filter(|size| *size as u64 <= LARGEST_IMAGE && height * width <= LARGEST_IMAGE as usize);
    let size = size.ok_or_else(|| format!("expected at most {LARGEST_IMAGE} pixels, found {height}×{width}"))?;
    let mut packed = vec![0; size];
    let row_bytes = reader.next_frame(&mut packed).map_err(text)?.line_size;
    if bits == 8 {
        return Ok((height, width, packed));
    }
    let mut bytes = Vec::with_capacity(height * width);
    for row in packed.chunks_exact(row_bytes) {
        let pixel = |x: usize| (row[x * bits / 8] >> (8 - bits - x * bits % 8)) & ((1 << bits) - 1);
        bytes.extend((0..width).map(pixel));
    }
    Ok((height, width, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(colour: png::ColorType, depth: png::BitDepth, width: u32, rows: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, 2);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if colour == png::ColorType::Indexed {
            encoder.set_palette([[9, 9, 9]; 16].concat());
        }
        encoder.write_header().unwrap().write_image_data(rows).unwrap();
        file
    }

    #[test]
    fn masks_are_indices_of_any_depth() {
        use png::{BitDepth, ColorType};
        let mask = |colour, depth, rows: &[u8]| mask(&png(colour, depth, 3, rows)).unwrap();
        assert_eq!(
            mask(ColorType::Grayscale, BitDepth::Eight, &[0, 1, 2, 3, 4, 255]),
            (2, 3, vec![0, 1, 2, 3, 4, 255])
        );
        assert_eq!(mask(ColorType::Indexed, BitDepth::Eight, &[0, 1, 2, 3, 4, 5]), (2, 3, vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(
            mask(ColorType::Indexed, BitDepth::Four, &[0x12, 0x30, 0xab, 0xc0]),
            (2, 3, vec![1, 2, 3, 10, 11, 12])
        );
        assert_eq!(
            mask(ColorType::Grayscale, BitDepth::One, &[0b1010_0000, 0b0110_0000]),
            (2, 3, vec![1, 0, 1, 0, 1, 1])
        );
    }

    #[test]
    fn masks_of_colours_are_refused() {
        let file = png(png::ColorType::Rgb, png::BitDepth::Eight, 1, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(mask(&file).unwrap_err(), "expected a grey or palette PNG of at most 8 bits, found Rgb of 8 bits");
        assert!(mask(b"GIF89a").is_err());
    }

    #[test]
    fn claims_are_not_believed() {
        let mut file = png(png::ColorType::Grayscale, png::BitDepth::Eight, 1, &[1, 2]);
        // 2³⁰ columns and rows; the checksum of the header follows it.
        file[16..24].copy_from_slice(&[0x40, 0, 0, 0, 0x40, 0, 0, 0]);
        assert!(header(&file).is_err() && image(&file, Channels::Grey).is_err() && mask(&file).is_err());
    }
}
