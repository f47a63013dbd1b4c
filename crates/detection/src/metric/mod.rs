//! How good detections are: COCO's average precision and PASCAL VOC's.

mod average_precision;
mod coco;
mod json;
mod voc;

pub use average_precision::AveragePrecision;
pub use coco::{Coco, MOST, STATISTICS, beyond, coco};
pub use json::{Files, read};
pub use voc::{Voc, voc};

/// A box that a network found in an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Index into the classes.
    pub class: u32,
    /// How sure the network is: detections are ranked by it, over all images. Any scale.
    pub score: f32,
    /// Left, top, right, bottom in pixels of the image, as [`data::Object::corners`].
    pub corners: [f32; 4],
}

/// What is to be found, and what was found, in a set of images.
///
/// The order of the lists decides between equal scores: of two detections in an image the earlier one ranks higher.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Boxes {
    /// How many images there are: those of `truths` and `found` are below.
    pub images: u32,
    /// The objects.
    pub truths: Vec<Truth>,
    /// The detections.
    pub found: Vec<Found>,
}

/// An object in one of several images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    /// The image that it is in.
    pub image: u32,
    /// Its class.
    pub class: u32,
    /// Left, top, width, height in pixels.
    pub bounds: [f64; 4],
    /// Square pixels, of its outline or of the box: what makes it small, medium or large.
    pub area: f64,
    /// Whether detections of it are neither right nor wrong: COCO's crowd, VOC's difficult.
    pub ignore: bool,
}

/// A detection in one of several images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The image that it is in.
    pub image: u32,
    /// Its class.
    pub class: u32,
    /// Left, top, width, height in pixels.
    pub bounds: [f64; 4],
    /// Its rank among all detections of the class.
    pub score: f64,
}
