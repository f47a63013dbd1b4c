//! From an image and its label to what a network sees and should say of it.
//!
//! [`Augmentation`] is what may happen to a training example, a table of a configuration. One example's [`Transform`]
//! is drawn from it: a [`View`] (resize, crop, flip), which the label can [`Follow`], and adjustments of the colors.
//! In evaluation the transform is a view alone. Pixels are written to where the caller says, so that a loader can fill
//! a batch in place:
//!
//! ```
//! use data::augment::{Augmentation, Follow, Normalize, Scale, Transform, View};
//! use data::{Image, Object};
//!
//! let image = Image { height: 4, width: 6, channels: 1, pixels: vec![255; 24] };
//! let objects = vec![Object { class: 0, corners: [1.0, 1.0, 5.0, 3.0], ignore: false }];
//! let normalize = Normalize::new(&[0.5], &[0.25]);
//!
//! let augmentation =
//!     Augmentation { size: Some([8, 8]), scale: Scale::Fit([0.5, 2.0]), flip: true, ..Augmentation::default() };
//! let transform = augmentation.draw([4, 6], &mut random::stream(0, "augment", &[3, 17]));
//! let mut input = [0.0; 8 * 8];
//! transform.apply(&image.pixels, &normalize, &mut input);
//! let seen: Vec<Object> = objects.follow(&transform.view);
//!
//! let evaluation = Transform::from(View::fit([4, 6], [8, 8]));
//! evaluation.apply(&image.pixels, &normalize, &mut input);
//! ```

mod color;
mod draw;
mod follow;
mod normalize;
mod settings;
mod transform;
mod view;

pub use self::settings::{Augmentation, Scale};
pub use color::{Adjustment, Jitter};
pub use follow::Follow;
pub use normalize::Normalize;
pub use transform::Transform;
pub use view::View;
