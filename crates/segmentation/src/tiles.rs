//! Images of any size through windows of one.
//!
//! Evaluation runs at full resolution in windows, and each pixel is decided by the window in which it is farthest
//! from the border. The alternative, averaging the logits of overlapping windows, needs memory for all classes of all
//! pixels; this needs none beyond a window's. Evaluation holds about as many pixels at once as training, and never
//! more windows than fit into half a GiB.

use data::augment::View;
use std::ops::Range;

/// A window of an image, and the part of the image that is decided in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tile {
    /// The window, at the image's own resolution. Where the image is smaller, the rest is padding, below and on the right.
    pub(crate) view: View,
    /// Rows and columns of the image.
    pub(crate) keep: [Range<usize>; 2],
}

/// Neighboring windows have at least a fourth of their side in common.
const OVERLAP: usize = 4;

/// Windows of `size` that cover an image of size `source`, both `[height, width]` with sides of at least 1: the
/// overlap-tile strategy of arXiv 1505.04597 §2. Windows are spread evenly; each pixel is decided in the one where it
/// lies farthest from the border, so the parts that windows decide make up the image.
pub(crate) fn tiles(source: [usize; 2], size: [usize; 2]) -> Vec<Tile> {
    let [rows, columns] = [0, 1].map(|axis| spans(source[axis], size[axis]));
    let tile = |(top, rows): &(usize, Range<usize>), (left, columns): &(usize, Range<usize>)| {
        let offset = [*top as i64, *left as i64];
        Tile { view: View { source, scaled: source, offset, size, flip: false }, keep: [rows.clone(), columns.clone()] }
    };
    rows.iter().flat_map(|row| columns.iter().map(move |column| tile(row, column))).collect()
}

/// Where windows of length `size` begin on a line of length `source`, and what each decides.
fn spans(source: usize, size: usize) -> Vec<(usize, Range<usize>)> {
    let Some(spare) = source.checked_sub(size).filter(|spare| *spare > 0) else {
        return vec![(0, 0..source)];
    };
    let steps = spare.div_ceil((size - size / OVERLAP).max(1));
    let start = |index: usize| spare * index / steps;
    // In the middle of what two neighbors have in common.
    let end = |index: usize| if index == steps { source } else { (start(index) + size + start(index + 1)) / 2 };
    (0..=steps).map(|index| (start(index), if index == 0 { 0 } else { end(index - 1) }..end(index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_image_of_one_window_is_one_tile() {
        for source in [[1, 1], [64, 40], [80, 64], [80, 80]] {
            let [tile] = &tiles(source, [80, 80])[..] else { panic!("{source:?}") };
            assert_eq!((tile.view.offset, &tile.keep), ([0, 0], &[0..source[0], 0..source[1]]));
        }
    }

    #[test]
    fn cityscapes_through_windows_of_a_half() {
        let tiles = tiles([1024, 2048], [512, 1024]);
        let rows: Vec<_> = tiles.iter().map(|tile| (tile.view.offset, tile.keep.clone())).step_by(3).collect();
        let expected = [([0, 0], [0..384, 0..768]), ([256, 0], [384..640, 0..768]), ([512, 0], [640..1024, 0..768])];
        assert_eq!(rows, expected);
    }

    proptest! {
        #[test]
        fn tiles_make_up_the_image(source in [1usize..300, 1usize..300], size in [1usize..90, 1usize..90]) {
            let tiles = tiles(source, size);
            let mut decided = vec![0; source[0] * source[1]];
            for Tile { view, keep } in &tiles {
                let inside = |axis: usize| {
                    let start = view.offset[axis] as usize;
                    let margin = if size[axis] < source[axis] { size[axis] / OVERLAP / 2 } else { 0 };
                    let before = if start == 0 { 0 } else { margin };
                    let after = if start + size[axis] >= source[axis] { 0 } else { margin };
                    keep[axis].start >= start + before && keep[axis].end + after <= start + size[axis]
                };
                prop_assert!(inside(0) && inside(1), "{view:?} {keep:?}");
                for row in keep[0].clone() {
                    for column in keep[1].clone() {
                        decided[row * source[1] + column] += 1;
                    }
                }
            }
            prop_assert!(decided.iter().all(|count| *count == 1));
        }
    }
}
