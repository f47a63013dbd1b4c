//! What a data set is made of: images, each with a label of its task's kind.

/// The class of pixels that belong to none, and are not judged.
pub const VOID: u8 = 255;

/// An image and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example<L> {
    /// The image.
    pub image: Image,
    /// A class (`u32`), objects ([`Vec<Object>`]), a [`Mask`], or points ([`Vec<Point>`]).
    pub label: L,
}

/// Pixels of 8 bits a channel.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (gray) or 3 (red, green, blue).
    pub channels: usize,
    /// `[height, width, channels]`
    pub pixels: Vec<u8>,
}

/// Without the pixels, which nobody would read.
impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}×{}×{})", self.height, self.width, self.channels)
    }
}

/// An object in an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    /// Index into the classes.
    pub class: u32,
    /// Left, top, right, bottom in pixels of the image: the pixel in column x spans `[x, x + 1)`.
    pub corners: [f32; 4],
    /// Whether detections of it are neither right nor wrong: a crowd, or mostly cut off.
    pub ignore: bool,
}

/// A class for each pixel.
#[derive(Clone, PartialEq, Eq)]
pub struct Mask {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Indices into the classes, or [`VOID`]: `[height, width]`.
    pub classes: Vec<u8>,
}

/// Without the pixels, which nobody would read.
impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({}×{})", self.height, self.width)
    }
}

/// Column and row of a place in an image, in pixels: the pixel in column x spans `[x, x + 1)`.
pub type Point = [f32; 2];
