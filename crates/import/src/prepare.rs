//! From an item of a release to a row: decoded, checked, resized.

use data::augment::{Follow, Transform, View};
use data::decode::{LARGEST_IMAGE, MaskPixels, READ, exif_orientation};
use data::{Fault, Image, Mask, Resize};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageFormat};

use crate::check::{self, Complaint, Written};
use crate::error::{Error, InFile, Malformed, Result};
use crate::release::{Item, Label, Picture, Size};
use crate::tree::Tree;

/// Quality of JPEG files that are made anew.
const JPEG_QUALITY: u8 = 95;

/// What is done with images and labels.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Bytes that masks may have.
    pub(crate) mask_bytes: Vec<u8>,
    pub(crate) tolerate: Vec<Fault>,
    pub(crate) resize: Option<Resize>,
}

/// A row as it is written.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) image: Encoded,
    pub(crate) size: Size,
    pub(crate) original: Size,
    pub(crate) colored: bool,
    /// Whether it was neither JPEG nor PNG.
    pub(crate) converted: bool,
    /// Whether EXIF data say that it is not upright as its pixels are stored.
    pub(crate) turned: bool,
    pub(crate) label: RowLabel,
}

/// An image file.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    /// The name without folders, where it was a file.
    pub(crate) name: Option<String>,
}

#[derive(Debug)]
pub(crate) enum RowLabel {
    Class(u32),
    Objects(Vec<Written>),
    Mask(Encoded),
    Points(Vec<[f32; 2]>),
}

/// The row of `item`, unless its image is left out; and what was tolerated.
pub(crate) fn prepare(tree: &Tree, item: &Item, rules: &Rules) -> Result<(Option<Row>, Vec<Complaint>)> {
    let (place, file) = match &item.picture {
        Picture::File(file) => (tree.shown(file), Some((file, tree.read(file)?))),
        Picture::Pixels { place, .. } => (place.clone(), None),
    };
    let decoded = match (&item.picture, &file) {
        (Picture::Pixels { image, .. }, _) => Ok((image.clone(), ImageFormat::Png)),
        (_, Some((_, bytes))) => decode(bytes),
        (_, None) => Err("nothing".to_owned()),
    };
    let (image, format) = match decoded {
        Ok(decoded) => decoded,
        Err(found) => {
            let cause = Malformed::new("", READ, found);
            let complaint = Complaint { fault: Fault::Image, file: place, cause, count: 1 };
            return Ok((None, tolerated(vec![complaint], rules)?));
        }
    };
    let source = [image.height, image.width];
    let original = size(source);
    let orientation = file.as_ref().and_then(|(_, bytes)| exif_orientation(bytes));
    if let Some(expected) = item.size
        && expected != original
    {
        let mut found = original.to_string();
        let turned = orientation.filter(|_| [expected.width, expected.height] == [original.height, original.width]);
        if let Some(orientation) = turned {
            found.push_str(&turned_hint(orientation));
        }
        let expected = format!("an image of {expected} as its annotation says");
        return Err(Malformed::new("", expected, found).of(place));
    }
    let view = rules.resize.map_or(View::identity(source), |resize| resize.view(source));
    let resized = size(view.size);
    let bytes = view.size.into_iter().try_fold(image.channels, usize::checked_mul);
    if bytes.is_none_or(|bytes| bytes as u64 > LARGEST_IMAGE) {
        let reason = format!("expected at most {LARGEST_IMAGE} bytes of pixels when resized, found {resized}");
        return Err(Error::Release { place, reason });
    }
    let (label, complaints) = label(tree, &item.label, &view, orientation, rules)?;
    let colored = image.channels == 3;
    let kept = matches!(format, ImageFormat::Jpeg | ImageFormat::Png);
    let name = file.as_ref().map(|(file, _)| if kept { base(file).to_owned() } else { as_png(base(file)) });
    let bytes = match file {
        Some((_, bytes)) if resized == original && kept => bytes,
        _ => encode(&Transform::from(view).image(&image), format)
            .map_err(|reason| Error::Release { place: place.clone(), reason })?,
    };
    let row = Row {
        id: item.id,
        image: Encoded { bytes, name },
        size: resized,
        original,
        colored,
        converted: !kept,
        turned: orientation.is_some(),
        label,
    };
    Ok((Some(row), tolerated(complaints, rules)?))
}

/// The label for the image of `view`, which EXIF data may say is stored in another `orientation`.
fn label(
    tree: &Tree,
    label: &Label,
    view: &View,
    orientation: Option<u8>,
    rules: &Rules,
) -> Result<(RowLabel, Vec<Complaint>)> {
    let (from, to) = (size(view.source), size(view.size));
    let complain = |fault: Fault, file: &str, causes: Vec<(Malformed, usize)>| {
        let complaint = |(cause, count)| Complaint { fault, file: file.to_owned(), cause, count };
        causes.into_iter().map(complaint).collect()
    };
    Ok(match label {
        Label::Class(class) => (RowLabel::Class(*class), Vec::new()),
        Label::Objects { place, counted, meant, objects } => {
            let (objects, causes) = check::boxes(objects, counted, *meant, from, to);
            (RowLabel::Objects(objects), complain(Fault::Box, place, causes))
        }
        Label::Points { place, points } => {
            let (points, causes) = check::points(points, from, to);
            (RowLabel::Points(points), complain(Fault::Point, place, causes))
        }
        Label::Mask(file) => {
            let place = tree.shown(file);
            let mut bytes = tree.read(file)?;
            let undecodable =
                |reason| Error::Release { place: place.clone(), reason: format!("cannot decode the mask: {reason}") };
            let MaskPixels { height, width, channels, pixels } = data::decode::mask(&bytes).map_err(undecodable)?;
            if channels != 1 {
                return Err(undecodable("expected one byte a pixel, found colors".to_owned()));
            }
            let mask = Mask { height, width, classes: pixels };
            let found = size([height, width]);
            if found != from {
                let turned = orientation.filter(|_| [found.width, found.height] == [from.height, from.width]);
                let hint = turned.map(turned_hint).unwrap_or_default();
                let expected = format!("a mask of {from} as its image");
                return Err(Malformed::new("", expected, format!("{found}{hint}")).of(place));
            }
            let causes = check::mask(&mask, &rules.mask_bytes).into_iter().collect();
            if to != from {
                let Mask { height, width, classes } = mask.follow(view);
                let image = Image { height, width, channels: 1, pixels: classes };
                let wrong = |reason| Error::Release { place: place.clone(), reason };
                bytes = encode(&image, ImageFormat::Png).map_err(wrong)?;
            }
            let mask = Encoded { bytes, name: Some(base(file).to_owned()) };
            (RowLabel::Mask(mask), complain(Fault::Mask, &place, causes))
        }
    })
}

/// The complaints, where all are tolerated; else the first that is not, as an error.
fn tolerated(complaints: Vec<Complaint>, rules: &Rules) -> Result<Vec<Complaint>> {
    match complaints.iter().find(|complaint| !rules.tolerate.contains(&complaint.fault)) {
        Some(Complaint { fault, file, cause, .. }) => {
            Err(Error::Fault { fault: *fault, file: file.clone(), cause: cause.clone() })
        }
        None => Ok(complaints),
    }
}

/// Gray or RGB pixels, and the kind of file; without transparency, and of 8 bits a channel.
fn decode(file: &[u8]) -> Result<(Image, ImageFormat), String> {
    let (_, _, channels) = data::decode::header(file)?;
    let format = image::guess_format(file).map_err(|cause| cause.to_string())?;
    Ok((data::decode::image(file, channels)?, format))
}

/// A JPEG file of what was one, so that it stays small, else PNG, which is exact.
fn encode(image: &Image, format: ImageFormat) -> Result<Vec<u8>, String> {
    let mut file = Vec::new();
    let color = if image.channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let (width, height) = (image.width as u32, image.height as u32);
    if format == ImageFormat::Jpeg {
        let encoder = JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY);
        encoder.write_image(&image.pixels, width, height, color)
    } else {
        let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Default, FilterType::Adaptive);
        encoder.write_image(&image.pixels, width, height, color)
    }
    .map_err(|cause| cause.to_string())?;
    Ok(file)
}

/// Why an image and its annotation have each other's width and height.
fn turned_hint(orientation: u8) -> String {
    format!(
        "\n  hint: the EXIF data of the image turn it (orientation {orientation}), and here images are upright: where the \
         annotation is of the pixels as they are stored, take the orientation out of the file (`exiftool -Orientation= \
         FILE`); where it is of the upright image, exchange width and height in the annotation"
    )
}

/// The name of a file that is stored as PNG.
fn as_png(name: &str) -> String {
    format!("{}.png", name.rsplit_once('.').map_or(name, |(stem, _)| stem))
}

fn size([height, width]: [usize; 2]) -> Size {
    Size { width: width as u32, height: height as u32 }
}

fn base(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}
