//! From JPEG and PNG files to bytes `[n, h, w, c]`.

use std::io::Cursor;

use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageReader};
use rayon::prelude::*;

use crate::table::Table;
use crate::{Channels, Error, Result};

/// What all images of a set have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: Channels,
}

impl Shape {
    /// Bytes of an image.
    pub(crate) fn len(self) -> usize {
        self.height * self.width * self.channels.count()
    }

    /// The shape of the image in `row`, in `channels` where they are given, else its own.
    pub(crate) fn of(table: &Table<'_>, row: usize, channels: Option<Channels>) -> Result<Self> {
        let decoder = decoder(table.image(row)).map_err(|cause| broken(table, row, &cause))?;
        let (height, width) = size(&decoder);
        let channels = channels.unwrap_or_else(|| colour(decoder.color_type()));
        Ok(Self { height, width, channels })
    }
}

/// Decodes `rows`, given as (index of the table, row in it), to `[rows.len(), h, w, c]`. Images
/// of other channels are converted where `convert` says so, and are an error where not.
pub(crate) fn decode(tables: &[Table<'_>], rows: &[(usize, usize)], shape: Shape, convert: bool) -> Result<Vec<u8>> {
    let mut images = vec![0; rows.len() * shape.len()];
    let failed = images
        .par_chunks_mut(shape.len())
        .zip(rows)
        .map(|(out, &(table, row))| decode_one(&tables[table], row, shape, convert, out))
        // The first by row, so that the message does not depend on the number of threads.
        .find_first(Result::is_err);
    failed.unwrap_or(Ok(())).map(|()| images)
}

fn decode_one(table: &Table<'_>, row: usize, shape: Shape, convert: bool, out: &mut [u8]) -> Result<()> {
    let place = || table.image_cell(row);
    let decoder = decoder(table.image(row)).map_err(|cause| broken(table, row, &cause))?;
    let found = size(&decoder);
    if found != (shape.height, shape.width) {
        let expected = (shape.height, shape.width);
        return Err(Error::Size { place: place(), expected, found });
    }
    let own = colour(decoder.color_type());
    if own != shape.channels && !convert {
        return Err(Error::Colour { place: place(), expected: shape.channels, found: own });
    }
    match (decoder.color_type(), shape.channels) {
        (ColorType::L8, Channels::Grey) | (ColorType::Rgb8, Channels::Rgb) => decoder.read_image(out),
        (_, channels) => DynamicImage::from_decoder(decoder).map(|image| {
            out.copy_from_slice(&match channels {
                Channels::Grey => image.into_luma8().into_raw(),
                Channels::Rgb => image.into_rgb8().into_raw(),
            });
        }),
    }
    .map_err(|cause| broken(table, row, &cause))
}

fn decoder(file: &[u8]) -> Result<impl ImageDecoder + '_, ImageError> {
    // The name in the `path` column may be missing or wrong: only the bytes tell the format.
    ImageReader::new(Cursor::new(file)).with_guessed_format()?.into_decoder()
}

fn size(decoder: &impl ImageDecoder) -> (usize, usize) {
    let (width, height) = decoder.dimensions();
    (height as usize, width as usize)
}

fn colour(colour: ColorType) -> Channels {
    if colour.has_color() { Channels::Rgb } else { Channels::Grey }
}

fn broken(table: &Table<'_>, row: usize, cause: &ImageError) -> Error {
    Error::Image { place: table.image_cell(row), bytes: table.image(row).len(), reason: cause.to_string() }
}
