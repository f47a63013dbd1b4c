//! Density maps: what is there of each person in each cell of a grid.
//!
//! Maps are in units of the training maps' root mean square, and losses of counts are divided by the mean number of
//! people per image. So a learning rate means about the same for a street and a stadium, and for each loss. With
//! squared errors, cells may be negative: errors in empty regions then cancel in the sum, where an absolute value
//! would add them up.

use crate::config::DensityConfig;
use data::Point;
use kdtree::KdTree;
use kdtree::distance::squared_euclidean;

/// Numbers of people in the cells of a grid over an image: their sum is the number of people.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width]`
    pub values: Vec<f64>,
}

impl Map {
    /// Nobody in an image of `size` (`[height, width]` in pixels), in cells of `stride`×`stride` pixels. The cells in the last
    /// row and column may reach beyond the image.
    pub fn empty(size: [usize; 2], stride: usize) -> Self {
        let [height, width] = size.map(|side| side.div_ceil(stride.max(1)));
        Self { height, width, values: vec![0.0; height * width] }
    }

    /// People in all of it.
    pub fn sum(&self) -> f64 {
        self.values.iter().sum()
    }
}

/// Pixels that a Gaussian reaches to either side, in standard deviations: `truncate` of `scipy.ndimage.gaussian_filter`.
const TRUNCATE: f64 = 4.0;

/// Each of `points` in the cell that it lies in; see [`Map::empty`]. Points outside of the image are not counted.
pub fn dots(points: &[Point], size: [usize; 2], stride: usize) -> Map {
    let mut map = Map::empty(size, stride);
    for [row, column] in points.iter().filter_map(|point| pixel(*point, size)) {
        map.values[row / stride.max(1) * map.width + column / stride.max(1)] += 1.0;
    }
    map
}

/// Each of `points` as a Gaussian of its standard deviation in `spreads`, in pixels, around the pixel that it lies in; see
/// [`Map::empty`]. A cell has what lies in its pixels.
///
/// A Gaussian is that of `scipy.ndimage.gaussian_filter`, sampled at the centers of pixels and cut off after 4 standard
/// deviations; what of it lies in the image is scaled to 1, so that nobody is lost at the border. Points outside of the
/// image are not counted.
pub fn density(points: &[Point], spreads: &[f64], size: [usize; 2], stride: usize) -> Map {
    let mut map = Map::empty(size, stride);
    for (point, spread) in points.iter().zip(spreads) {
        let Some(center) = pixel(*point, size) else { continue };
        let [(top, rows), (left, columns)] = [0, 1].map(|axis| line(center[axis], size[axis], *spread, stride.max(1)));
        for (row, of_row) in (top..).zip(&rows) {
            let cells = &mut map.values[row * map.width + left..][..columns.len()];
            for (cell, of_column) in cells.iter_mut().zip(&columns) {
                *cell += of_row * of_column;
            }
        }
    }
    map
}

/// Row and column of the pixel that a point lies in, if it lies in an image of `size`.
fn pixel([x, y]: Point, size: [usize; 2]) -> Option<[usize; 2]> {
    let inside = |at: f32, side: usize| (at >= 0.0 && (at as usize) < side).then_some(at as usize);
    Some([inside(y, size[0])?, inside(x, size[1])?])
}

/// The share that each cell has of a Gaussian around a pixel of a line of `length` pixels, from the first cell that has
/// any: their sum is 1.
fn line(center: usize, length: usize, spread: f64, stride: usize) -> (usize, Vec<f64>) {
    // As scipy rounds it. Of a spread that is not a number or of none, the pixel itself is left.
    let radius = (TRUNCATE * spread + 0.5) as usize;
    let (first, last) = (center.saturating_sub(radius), center.saturating_add(radius).min(length - 1));
    let start = first / stride;
    let mut cells = vec![0.0; last / stride - start + 1];
    let mut sum = 0.0;
    for pixel in first..=last {
        let distance = pixel.abs_diff(center) as f64;
        let value = if radius == 0 { 1.0 } else { libm::exp(-0.5 * (distance / spread) * (distance / spread)) };
        cells[pixel / stride - start] += value;
        sum += value;
    }
    cells.iter_mut().for_each(|cell| *cell /= sum);
    (start, cells)
}

/// The standard deviation of each point's Gaussian, in pixels of an image that is resized by `scale`, for the points
/// in the image before that: see [`DensityConfig`].
pub fn spreads(points: &[Point], config: DensityConfig, scale: f64) -> Vec<f64> {
    match config {
        DensityConfig::Fixed { sigma } => vec![sigma; points.len()],
        DensityConfig::Adaptive { beta, neighbours, largest } => {
            let mean = mean_distances(points, neighbours);
            mean.into_iter().map(|mean| scale * mean.map_or(largest, |mean| (beta * mean).min(largest))).collect()
        }
    }
}

/// The mean distance of each point to its `neighbours` nearest others, of as many as there are; none where there are none.
fn mean_distances(points: &[Point], neighbours: usize) -> Vec<Option<f64>> {
    let places: Vec<[f64; 2]> = points.iter().map(|point| point.map(f64::from)).collect();
    let mut tree = KdTree::new(2);
    for place in &places {
        // Refused is what is not finite, which is nobody's neighbor.
        let _ = tree.add(place, ());
    }
    let mean = |place: &[f64; 2]| {
        // The nearest point is the point itself, or another at its place, which is as near.
        let near = tree.nearest(place, neighbours + 1, &squared_euclidean).ok()?;
        let others = near.get(1..).filter(|others| !others.is_empty())?;
        Some(others.iter().map(|(squared, ())| squared.sqrt()).sum::<f64>() / others.len() as f64)
    };
    places.iter().map(mean).collect()
}
