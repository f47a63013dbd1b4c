//! Which pixel of which level is to find which object.

use data::Object;

/// A level's pixels in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Height and width.
    pub size: [usize; 2],
    /// Pixels of the image between neighboring pixels.
    pub stride: usize,
}

impl Grid {
    /// Number of pixels.
    pub fn len(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place `[x, y]` in the image of pixel `index`, counted row by row: the center of what it stands for.
    pub fn place(&self, index: usize) -> [f32; 2] {
        let [row, column] = [index / self.size[1].max(1), index % self.size[1].max(1)];
        [column, row].map(|at| (at as f32 + 0.5) * self.stride as f32)
    }
}

/// What a pixel is to find.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// Nothing.
    Background,
    /// Whatever it likes: it is in an object that is to be ignored.
    Ignored,
    /// The object of this index.
    Object(usize),
}

/// How far from an object's center a pixel may be to find it, in strides (arXiv 2006.09214 §3.1.1).
const RADIUS: f32 = 1.5;

/// The targets of all pixels of `levels`, finest first: level by level, row by row.
///
/// A pixel finds an object if it is in the object's box, at most 1.5 strides from the box's center in either
/// direction, and the farthest side of the box is at most 8 strides away, but more than that of the next finer level
/// (any distance on the coarsest); of several, the one of smallest area, and of those the first (FCOS, arXiv
/// 2006.09214 §3.1). Of the others, those in an ignored box are ignored. Objects without area are nobody's target.
pub fn assign(levels: &[Grid], objects: &[Object]) -> Vec<Target> {
    let mut targets = Vec::with_capacity(levels.iter().map(Grid::len).sum());
    let mut least = 0.0;
    for (index, level) in levels.iter().enumerate() {
        let most = if index + 1 == levels.len() { f32::INFINITY } else { 8.0 * level.stride as f32 };
        targets.extend((0..level.len()).map(|pixel| target(level, pixel, least..=most, objects)));
        least = most;
    }
    targets
}

fn target(level: &Grid, pixel: usize, farthest: std::ops::RangeInclusive<f32>, objects: &[Object]) -> Target {
    let [x, y] = level.place(pixel);
    let mut best: Option<(f32, usize)> = None;
    let mut ignored = false;
    for (index, object) in objects.iter().enumerate() {
        let [left, top, right, bottom] = object.corners;
        let distances = [x - left, y - top, right - x, bottom - y];
        if !distances.iter().all(|distance| *distance > 0.0) {
            continue;
        }
        if object.ignore {
            ignored = true;
            continue;
        }
        let off_center = ((left + right) / 2.0 - x).abs().max(((top + bottom) / 2.0 - y).abs());
        let far = distances.into_iter().fold(0.0, f32::max);
        let fits = off_center < RADIUS * level.stride as f32 && far > *farthest.start() && far <= *farthest.end();
        let area = (right - left) * (bottom - top);
        if fits && best.is_none_or(|(smallest, _)| area < smallest) {
            best = Some((area, index));
        }
    }
    match best {
        Some((_, index)) => Target::Object(index),
        None if ignored => Target::Ignored,
        None => Target::Background,
    }
}

/// How close to the center of `corners` the place `[x, y]` in it is: 1 at the center, 0 on the sides (arXiv
/// 2006.09214 eq. 3).
pub fn centerness([x, y]: [f32; 2], [left, top, right, bottom]: [f32; 4]) -> f32 {
    let ratio = |a: f32, b: f32| a.min(b) / a.max(b);
    (ratio(x - left, right - x) * ratio(y - top, bottom - y)).sqrt()
}
