//! From image files to pixels.

use std::io::Cursor;
use std::panic::{UnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use crate::{Channels, Image, jpeg, kind};

/// What kinds of image files are read, in words. Of several pictures in a GIF or TIFF file it is the first.
pub const READ: &str = "a JPEG, PNG, WebP, BMP, GIF or TIFF image";

const FORMATS: [ImageFormat; 6] =
    [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff];

/// Bytes that an image may decode to. A file of a few bytes can claim to be larger than any memory.
pub const LARGEST_IMAGE: u64 = 200_000_000;

/// Height, width and own channels of an encoded image.
///
/// # Errors
///
/// What the bytes are where they are not [what is read](READ), and what the decoder says of a file that is damaged or too
/// large; and where the end of a JPEG is missing.
pub fn header(file: &[u8]) -> Result<(usize, usize, Channels), String> {
    caught(|| {
        let mut decoder = decoder(file)?;
        let (width, height) = decoder.dimensions();
        let (height, width) = if turned(orientation(&mut decoder)) { (width, height) } else { (height, width) };
        Ok((height as usize, width as usize, own(decoder.color_type())))
    })
}

/// The number by which the EXIF data of an image say that it is not upright as its pixels are stored, 2 to 8; from 5 on,
/// its rows become columns.
pub fn exif_orientation(file: &[u8]) -> Option<u8> {
    let orientation = caught(|| Ok(orientation(&mut decoder(file)?))).ok()?;
    Some(orientation.to_exif()).filter(|_| orientation != Orientation::NoTransforms)
}

/// Decodes an image file ([`READ`]) of any color type to 8 bits a channel, upright as its EXIF data say. So does the
/// `datasets` library, whose users made the labels. Colors become gray by the weights of ITU-R BT.709, as the `image`
/// crate has it.
///
/// # Errors
///
/// As [`header`], and where the file is damaged behind its header.
pub fn image(file: &[u8], channels: Channels) -> Result<Image, String> {
    caught(|| decode(file, channels))
}

/// The JPEG decoder asserts some of what a damaged file can break. Nothing that it was working on is used afterwards.
fn caught<T>(decode: impl FnOnce() -> Result<T, String> + UnwindSafe) -> Result<T, String> {
    catch_unwind(decode).unwrap_or_else(|_| Err("its parts contradict each other".to_owned()))
}

fn decode(file: &[u8], channels: Channels) -> Result<Image, String> {
    let mut decoder = decoder(file)?;
    let orientation = orientation(&mut decoder);
    let (width, height) = decoder.dimensions();
    let direct = orientation == Orientation::NoTransforms
        && matches!(
            (decoder.color_type(), channels),
            (ColorType::L8, Channels::Gray) | (ColorType::Rgb8, Channels::Rgb)
        );
    let pixels = if direct {
        let mut pixels = vec![0; decoder.total_bytes() as usize];
        decoder.read_image(&mut pixels).map(|()| pixels)
    } else {
        DynamicImage::from_decoder(decoder).map(|mut image| {
            image.apply_orientation(orientation);
            match channels {
                Channels::Gray => image.into_luma8().into_raw(),
                Channels::Rgb => image.into_rgb8().into_raw(),
            }
        })
    };
    let pixels = pixels.map_err(text)?;
    let (height, width) = if turned(orientation) { (width, height) } else { (height, width) };
    Ok(Image { height: height as usize, width: width as usize, channels: channels.count(), pixels })
}

fn decoder(file: &[u8]) -> Result<impl ImageDecoder + '_, String> {
    // The name in the `path` column may be missing or wrong: only the bytes tell the format.
    let mut reader = ImageReader::new(Cursor::new(file)).with_guessed_format().map_err(|cause| cause.to_string())?;
    if !reader.format().is_some_and(|format| FORMATS.contains(&format)) {
        return Err(kind::found(file));
    }
    if reader.format() == Some(ImageFormat::Jpeg) && !jpeg::has_end(file) {
        return Err("a JPEG that lacks its end".to_owned());
    }
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(LARGEST_IMAGE);
    reader.limits(limits);
    let coding = (reader.format() == Some(ImageFormat::Jpeg)).then(|| jpeg::rare_coding(file)).flatten();
    let decoder = reader.into_decoder().map_err(|cause| match coding {
        Some(coding) => format!("a JPEG with {coding}, which few programs read\n  hint: {}", kind::CONVERT),
        None => text(cause),
    })?;
    if decoder.total_bytes() > LARGEST_IMAGE {
        let (width, height) = decoder.dimensions();
        return Err(format!("{height}×{width} pixels (height × width), more than {LARGEST_IMAGE} bytes"));
    }
    Ok(decoder)
}

fn orientation(decoder: &mut impl ImageDecoder) -> Orientation {
    // Of data that make no sense, nothing follows.
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

/// Whether rows become columns.
fn turned(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Some decoders end their texts with a new line.
fn text(cause: ImageError) -> String {
    let text = cause.to_string();
    // What the standard library says.
    if text.contains("failed to fill whole buffer") {
        return "a file that lacks its end\n  hint: get the file again".to_owned();
    }
    text.trim().to_owned()
}

fn own(color: ColorType) -> Channels {
    if color.has_color() { Channels::Rgb } else { Channels::Gray }
}

/// A decoded mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskPixels {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1, or 3 where the file has colors.
    pub channels: usize,
    /// `[height, width, channels]`
    pub pixels: Vec<u8>,
}

/// Decodes a mask: a PNG file of at most 8 bits a pixel, gray or with a palette, or of colors. Of a palette the indices
/// are returned, not the colors.
///
/// # Errors
///
/// Where the file is no PNG file of this kind, or damaged.
pub fn mask(file: &[u8]) -> Result<MaskPixels, String> {
    let text = |cause: png::DecodingError| cause.to_string();
    if ::image::guess_format(file).ok() != Some(ImageFormat::Png) {
        return Err(format!("expected a PNG, found {}", kind::found(file)));
    }
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(file), png::Limits { bytes: LARGEST_IMAGE as usize });
    // As they are in the file: a palette is not looked up, and few bits are not stretched to eight.
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(text)?;
    let info = reader.info();
    let (height, width) = (info.height as usize, info.width as usize);
    let (channels, bits) = match (info.color_type, info.bit_depth as u8) {
        (png::ColorType::Grayscale | png::ColorType::Indexed, bits @ (1 | 2 | 4 | 8)) => (1, usize::from(bits)),
        (png::ColorType::Rgb, 8) => (3, 8),
        (kind, bits) => {
            let hint = if bits > 8 {
                "write the same values, none above 255, with 8 bits, for example \
                 `PIL.Image.fromarray(numpy.asarray(mask).astype(\"uint8\"))`"
            } else {
                "leave out its transparency, for example `PIL.Image.open(FILE).convert(\"RGB\")`"
            };
            return Err(format!(
                "expected a PNG of at most 8 bits, gray, palette or RGB, found {kind:?} of {bits} bits\n  hint: {hint}"
            ));
        }
    };
    let fits = |size: &usize| *size as u64 <= LARGEST_IMAGE && height * width * channels <= LARGEST_IMAGE as usize;
    let size = reader.output_buffer_size().filter(fits);
    let size = size.ok_or_else(|| format!("expected at most {LARGEST_IMAGE} bytes, found {height}×{width} pixels"))?;
    let mut packed = vec![0; size];
    let row_bytes = reader.next_frame(&mut packed).map_err(text)?.line_size;
    if bits == 8 {
        return Ok(MaskPixels { height, width, channels, pixels: packed });
    }
    let mut pixels = Vec::with_capacity(height * width);
    for row in packed.chunks_exact(row_bytes) {
        let pixel = |x: usize| (row[x * bits / 8] >> (8 - bits - x * bits % 8)) & ((1 << bits) - 1);
        pixels.extend((0..width).map(pixel));
    }
    Ok(MaskPixels { height, width, channels, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(color: png::ColorType, depth: png::BitDepth, width: u32, rows: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, 2);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == png::ColorType::Indexed {
            encoder.set_palette([[9, 9, 9]; 16].concat());
        }
        encoder.write_header().unwrap().write_image_data(rows).unwrap();
        file
    }

    #[test]
    fn masks_are_indices_of_any_depth() {
        use png::{BitDepth, ColorType};
        let mask = |color, depth, rows: &[u8]| {
            let mask = mask(&png(color, depth, 3, rows)).unwrap();
            (mask.height, mask.width, mask.pixels)
        };
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
    fn masks_may_have_colors_but_no_more_than_those() {
        let file = png(png::ColorType::Rgb, png::BitDepth::Eight, 1, &[1, 2, 3, 4, 5, 6]);
        let expected = MaskPixels { height: 2, width: 1, channels: 3, pixels: vec![1, 2, 3, 4, 5, 6] };
        assert_eq!(mask(&file), Ok(expected));
        let file = png(png::ColorType::GrayscaleAlpha, png::BitDepth::Eight, 1, &[1, 2, 3, 4]);
        assert_eq!(
            mask(&file).unwrap_err(),
            "expected a PNG of at most 8 bits, gray, palette or RGB, found GrayscaleAlpha of 8 bits\n  hint: leave \
             out its transparency, for example `PIL.Image.open(FILE).convert(\"RGB\")`"
        );
        assert!(mask(b"GIF89a").is_err());
    }

    #[test]
    fn images_are_turned_as_their_exif_data_say() {
        let pixels = image::RgbImage::from_fn(16, 8, |x, _| image::Rgb([if x < 8 { 250 } else { 5 }; 3]));
        let mut file = Cursor::new(Vec::new());
        pixels.write_to(&mut file, image::ImageFormat::Jpeg).unwrap();
        let file = file.into_inner();
        assert_eq!(header(&file).unwrap(), (8, 16, Channels::Rgb));
        // Orientation 6: the first row of the file is the right side.
        let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let segment = [b"\xff\xe1", (exif.len() as u16 + 2).to_be_bytes().as_slice(), exif].concat();
        let turned = [&file[..2], &segment, &file[2..]].concat();
        assert_eq!(header(&turned).unwrap(), (16, 8, Channels::Rgb));
        for channels in [Channels::Gray, Channels::Rgb] {
            let upright = image(&turned, channels).unwrap();
            assert_eq!((upright.height, upright.width), (16, 8));
            let row = 8 * channels.count();
            assert!(upright.pixels[..row].iter().all(|value| *value > 200), "the left half is on top");
            assert!(upright.pixels[15 * row..].iter().all(|value| *value < 50));
        }
    }

    #[test]
    fn claims_are_not_believed() {
        let mut file = png(png::ColorType::Grayscale, png::BitDepth::Eight, 1, &[1, 2]);
        // 2³⁰ columns and rows; the checksum of the header follows it.
        file[16..24].copy_from_slice(&[0x40, 0, 0, 0, 0x40, 0, 0, 0]);
        assert!(header(&file).is_err() && image(&file, Channels::Gray).is_err() && mask(&file).is_err());

        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 1 << 14, 1 << 15).write_header().unwrap();
        encoder.write_chunk(png::chunk::IDAT, &[]).unwrap();
        drop(encoder);
        assert_eq!(header(&file).unwrap_err(), "32768×16384 pixels (height × width), more than 200000000 bytes");
    }

    #[test]
    fn truncated_jpegs_are_errors() {
        let jpeg = |side| {
            let mut file = Cursor::new(Vec::new());
            let noise = ::image::GrayImage::from_fn(side, side, |x, y| ::image::Luma([(x * x * 7 + y * 31) as u8]));
            noise.write_to(&mut file, ImageFormat::Jpeg).unwrap();
            file.into_inner()
        };
        let (mut file, thumbnail) = (jpeg(40), jpeg(8));
        // Cameras put a small JPEG into the header; its end is not the file's.
        let length = (2 + thumbnail.len() as u16).to_be_bytes();
        file.splice(2..2, [[0xff, 0xe1], length].concat().into_iter().chain(thumbnail));
        for length in 0..file.len() {
            let cut = &file[..length];
            assert!(header(cut).is_err() && image(cut, Channels::Gray).is_err(), "{length} bytes");
        }
        // Half a file, and a whole one behind it.
        let two = [&file[..file.len() - 20], &jpeg(8)].concat();
        assert_eq!(image(&two, Channels::Gray), Err("a JPEG that lacks its end".to_owned()));
        let whole = image(&file, Channels::Gray).unwrap();
        assert_eq!((whole.height, whole.width), (40, 40));
        // Phones put a second picture or a video behind the end, with any bytes.
        for behind in [b"what follows".as_slice(), b"\xff\xda\x01", b"\xff\xd8\xff\xe1\x12", &jpeg(8), &jpeg(8)[..200]]
        {
            assert_eq!(image(&[file.as_slice(), behind].concat(), Channels::Gray), Ok(whole.clone()), "{behind:?}");
        }
    }

    #[test]
    fn what_is_not_read_of_a_kind_is_named() {
        let written = |format| {
            let mut file = Cursor::new(Vec::new());
            ::image::RgbImage::new(16, 8).write_to(&mut file, format).unwrap();
            file.into_inner()
        };
        let jpeg = written(ImageFormat::Jpeg);
        let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        for (code, expected) in [(0xc3, "a JPEG with lossless coding"), (0xc9, "a JPEG with arithmetic coding")] {
            let mut file = jpeg.clone();
            file[frame + 1] = code;
            assert!(
                image(&file, Channels::Rgb).unwrap_err().starts_with(expected),
                "{:?}",
                image(&file, Channels::Rgb)
            );
        }
        let bmp = written(ImageFormat::Bmp);
        let complaint = image(&bmp[..bmp.len() - 30], Channels::Rgb).unwrap_err();
        assert!(complaint.starts_with("a file that lacks its end"), "{complaint}");
    }

    #[test]
    fn all_usual_kinds_of_images_are_read() {
        let pixels = ::image::RgbImage::from_fn(5, 4, |x, y| ::image::Rgb([(x * 40) as u8, (y * 50) as u8, 9]));
        for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff] {
            let mut file = Cursor::new(Vec::new());
            // GIF has transparency, and no more than 256 colors: here there are 20.
            let image_of = DynamicImage::ImageRgb8(pixels.clone());
            let image_of =
                if format == ImageFormat::Gif { DynamicImage::ImageRgba8(image_of.to_rgba8()) } else { image_of };
            image_of.write_to(&mut file, format).unwrap();
            let file = file.into_inner();
            assert_eq!(header(&file), Ok((4, 5, Channels::Rgb)), "{format:?}");
            assert_eq!(image(&file, Channels::Rgb).unwrap().pixels, *pixels.as_raw(), "{format:?}");
        }
        for (file, expected) in [
            (b"version https://git-lfs.github.com/spec/v1\n".as_slice(), "a Git LFS pointer"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC image\n  hint: convert it"),
            (b"qoif\0\0\0\x01\0\0\0\x01\x03\0", "a file that begins with the bytes 71 6f 69 66"),
        ] {
            assert!(image(file, Channels::Rgb).unwrap_err().starts_with(expected));
            assert!(mask(file).unwrap_err().contains(expected));
        }
    }

    #[test]
    fn orientations_are_told() {
        let mut file = Cursor::new(Vec::new());
        ::image::RgbImage::new(16, 8).write_to(&mut file, ImageFormat::Jpeg).unwrap();
        let file = file.into_inner();
        assert_eq!(exif_orientation(&file), None);
        let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let segment = [b"\xff\xe1", (exif.len() as u16 + 2).to_be_bytes().as_slice(), exif].concat();
        assert_eq!(exif_orientation(&[&file[..2], &segment, &file[2..]].concat()), Some(6));
    }
}
