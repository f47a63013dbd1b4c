//! The size that images get when a set is read.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::augment::View;
use crate::{Error, Result};

/// The size that images get when a set is read, their labels with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Resize {
    /// Exactly these `[height, width]`, whatever that does to the aspect ratio.
    Exact([usize; 2]),
    /// Exactly these `[height, width]`: the smallest that covers them with the aspect ratio kept, and of that the middle.
    Cover([usize; 2]),
    /// The shorter side of this length, the aspect ratio kept.
    Shorter(usize),
    /// The longer side of this length, the aspect ratio kept.
    Longer(usize),
    /// The longer side of at most this length, the aspect ratio kept: smaller images stay as they are.
    AtMost(usize),
}

/// The longest side that images can be resized to.
pub(crate) const LARGEST_SIDE: usize = 1 << 16;

impl Resize {
    /// Whether images can get such a size.
    ///
    /// # Errors
    ///
    /// Where a side is 0, or over 65,536 pixels.
    pub fn check(self) -> Result<()> {
        let sides = match self {
            Self::Exact(size) | Self::Cover(size) => size,
            Self::Shorter(side) | Self::Longer(side) | Self::AtMost(side) => [side, side],
        };
        if sides.iter().all(|side| (1..=LARGEST_SIDE).contains(side)) {
            Ok(())
        } else {
            Err(Error::Resize { found: self })
        }
    }

    /// What is seen of an image of `source` (`[height, width]`).
    pub fn view(self, source: [usize; 2]) -> View {
        let scaled = |to: usize, of: usize| {
            source.map(|side| ((side as f64 * to as f64 / of.max(1) as f64).round() as usize).max(1))
        };
        let [height, width] = source;
        match self {
            Self::Exact(size) => View::resize(source, size),
            Self::Shorter(side) => View::resize(source, scaled(side, height.min(width))),
            Self::Longer(side) => View::resize(source, scaled(side, height.max(width))),
            Self::AtMost(side) => View::at_most(source, side),
            Self::Cover(size) => {
                let axis = usize::from(size[1] * height > size[0] * width);
                let scaled = scaled(size[axis], source[axis]);
                // Rounding must not leave a border.
                let scaled = [scaled[0].max(size[0]), scaled[1].max(size[1])];
                let offset = [0, 1].map(|axis| ((scaled[axis] - size[axis]) / 2) as i64);
                View { source, scaled, offset, size, flip: false }
            }
        }
    }
}

/// Whereto images are resized, in words.
impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact([height, width]) => write!(f, "{width}×{height} pixels (width × height)"),
            Self::Cover([height, width]) => write!(f, "{width}×{height} pixels (width × height), cropped"),
            Self::Shorter(side) => write!(f, "a shorter side of {side} pixels"),
            Self::Longer(side) => write!(f, "a longer side of {side} pixels"),
            Self::AtMost(side) => write!(f, "a longer side of at most {side} pixels"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_as_asked_for() {
        let source = [300, 400];
        assert_eq!(Resize::Exact([5, 7]).view(source).size, [5, 7]);
        assert_eq!(Resize::Shorter(150).view(source).size, [150, 200]);
        assert_eq!(Resize::Longer(100).view(source).size, [75, 100]);
        assert_eq!(Resize::Shorter(10).view([5, 7]).size, [10, 14]);
        assert_eq!(Resize::Longer(10).view([20, 30]).size, [7, 10]);
        assert_eq!(Resize::Longer(1).view([1, 1000]).size, [1, 1]);
    }

    #[test]
    fn covering_leaves_no_border() {
        for source in [[300, 400], [400, 300], [7, 7], [1, 999], [333, 334]] {
            for size in [[64, 64], [31, 64], [64, 31], [1, 1]] {
                let view = Resize::Cover(size).view(source);
                assert_eq!(view.size, size);
                let [vertical, horizontal] = [0, 1].map(|axis| view.scaled[axis] as i64 - size[axis] as i64);
                assert!(
                    vertical >= 0 && horizontal >= 0 && vertical.min(horizontal) == 0,
                    "{source:?} {size:?} {view:?}"
                );
                assert!((0..=vertical).contains(&view.offset[0]) && (0..=horizontal).contains(&view.offset[1]));
            }
        }
    }
}
