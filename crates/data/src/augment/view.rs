//! Resizing, cropping and mirroring as geometry.

/// What is seen of an image: the image is resized, a window is cut out of it, and that is mirrored.
///
/// All sizes are `[height, width]` in pixels, at most 2³⁰ each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Size of the image.
    pub source: [usize; 2],
    /// Size that the image is resized to.
    pub scaled: [usize; 2],
    /// Row and column of the resized image where the window begins. The window may leave the image on any side:
    /// what is there is padding.
    pub offset: [i64; 2],
    /// Size of the window, and so of the result.
    pub size: [usize; 2],
    /// Whether the window is mirrored left to right.
    pub flip: bool,
}

impl View {
    /// The image of size `source` as it is.
    pub fn identity(source: [usize; 2]) -> Self {
        Self::resize(source, source)
    }

    /// The whole image, resized to `size` whatever its aspect ratio.
    pub fn resize(source: [usize; 2], size: [usize; 2]) -> Self {
        Self { source, scaled: size, offset: [0, 0], size, flip: false }
    }

    /// The whole image, resized as much as fits into `size` with its aspect ratio kept; padded below or on the right.
    pub fn fit(source: [usize; 2], size: [usize; 2]) -> Self {
        let scale = fitting(source, size);
        Self { scaled: source.map(|length| rounded(length as f64 * scale)), ..Self::resize(source, size) }
    }

    /// The whole image, made smaller where a side is longer than `longest`, its aspect ratio kept.
    pub fn at_most(source: [usize; 2], longest: usize) -> Self {
        let longer = source[0].max(source[1]);
        let side = |side: usize| if longer > longest { (side * longest / longer).max(1) } else { side };
        Self::resize(source, source.map(side))
    }

    /// The whole image at its own size, padded below and on the right until its sides are multiples of `stride`.
    pub fn padded(source: [usize; 2], stride: usize) -> Self {
        Self { size: source.map(|side| side.next_multiple_of(stride.max(1))), ..Self::identity(source) }
    }

    /// The middle of the image after its shorter side was resized to `shorter`: torchvision's `Resize(shorter)` and
    /// `CenterCrop(size)`.
    pub fn center(source: [usize; 2], shorter: usize, size: [usize; 2]) -> Self {
        let shortest = source[0].min(source[1]).max(1);
        let scaled = source.map(|length| length * shorter / shortest);
        let middle = |axis: usize| match scaled[axis].checked_sub(size[axis]) {
            // As Python rounds.
            Some(spare) => (spare as f64 / 2.0).round_ties_even() as i64,
            None => -(((size[axis] - scaled[axis]) / 2) as i64),
        };
        Self { source, scaled, offset: [middle(0), middle(1)], size, flip: false }
    }

    /// Where rows and columns of the window meet those of the resized image.
    pub(super) fn seen(&self) -> [Overlap; 2] {
        [0, 1].map(|axis| {
            let line = if self.source[axis] == 0 { 0 } else { self.scaled[axis] };
            overlap(self.offset[axis], self.size[axis], line)
        })
    }
}

/// The largest scale at which an image fits into `size`.
pub(super) fn fitting(source: [usize; 2], size: [usize; 2]) -> f64 {
    let [vertical, horizontal] = [0, 1].map(|axis| size[axis] as f64 / source[axis] as f64);
    vertical.min(horizontal)
}

/// A length in whole pixels: at least 1, at most 2³⁰.
pub(super) fn rounded(length: f64) -> usize {
    (length.round() as usize).clamp(1, 1 << 30)
}

/// Where a window meets a line of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overlap {
    /// Positions of the window before the line begins.
    pub(super) before: usize,
    /// The first position on the line that is in the window.
    pub(super) start: usize,
    /// Number of positions that are in both.
    pub(super) len: usize,
}

fn overlap(offset: i64, window: usize, line: usize) -> Overlap {
    let before = usize::try_from(offset.min(0).unsigned_abs()).unwrap_or(window).min(window);
    let start = usize::try_from(offset).unwrap_or(0).min(line);
    Overlap { before, start, len: (window - before).min(line - start) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_meets_a_line_where_both_have_the_position() {
        for line in 0..6 {
            for window in 0..6 {
                for offset in -8..8 {
                    let inside =
                        |position: &usize| usize::try_from(*position as i64 + offset).is_ok_and(|place| place < line);
                    let seen: Vec<usize> = (0..window).filter(inside).collect();
                    let Overlap { before, start, len } = overlap(offset, window, line);
                    assert_eq!(len, seen.len(), "{line} {window} {offset}");
                    if let Some(&first) = seen.first() {
                        assert_eq!((before, start as i64), (first, first as i64 + offset));
                    }
                }
            }
        }
        for offset in [i64::MIN, i64::MAX] {
            assert_eq!(overlap(offset, 5, 7).len, 0);
        }
    }

    #[test]
    fn views_of_evaluation() {
        let view = View::center([300, 400], 256, [224, 224]);
        assert_eq!((view.scaled, view.offset), ([256, 341], [16, 58]));
        assert_eq!(View::center([3, 5], 3, [6, 6]).offset, [-1, 0]);
        let view = View::fit([300, 400], [320, 320]);
        assert_eq!((view.scaled, view.offset, view.size), ([240, 320], [0, 0], [320, 320]));
        assert_eq!(View::fit([1, 1000], [10, 10]).scaled, [1, 10]);
        let sizes = [[300, 400], [400, 300], [200, 100], [1, 1000]].map(|source| View::at_most(source, 200).size);
        assert_eq!(sizes, [[150, 200], [200, 150], [200, 100], [1, 200]]);
        let view = View::padded([300, 401], 8);
        assert_eq!((view.scaled, view.offset, view.size), ([300, 401], [0, 0], [304, 408]));
        assert_eq!(View::padded([16, 8], 8), View::identity([16, 8]));
    }
}
