//! Pictures of what networks predict: an enlarged image with boxes, labels and captions, several of them on a sheet,
//! as PNG. No tensors.
//!
//! A crate of its own, so that `train`, which arranges pictures on a sheet, need not depend on `vision`. A pixel of
//! an image is drawn as a square, without interpolation.
//!
//! ```
//! use canvas::{Canvas, Color, Line};
//!
//! let image = data::Image { height: 24, width: 32, channels: 1, pixels: vec![90; 24 * 32] };
//! let mut picture = Canvas::of(&image);
//! picture.rectangle([2.0, 3.0, 20.5, 21.0], Color::BLUE, Line::Solid, "cat");
//! picture.rectangle([3.0, 2.5, 21.0, 20.0], Color::ORANGE, Line::Dashed, "cat 0.93");
//! picture.caption("two boxes", Color::WHITE);
//! let sheet = canvas::sheet(&["Blue is true, orange is predicted."], &[picture]);
//! assert!(sheet.png()?.starts_with(b"\x89PNG"));
//! # Ok::<(), canvas::ImageError>(())
//! ```

mod color;
mod picture;
mod raster;
mod sheet;

pub use color::Color;
pub use image::ImageError;
pub use picture::{Canvas, Line};
pub use sheet::{beside, sheet};
