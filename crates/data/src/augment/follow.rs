//! What a view does to labels.

use super::view::View;
use crate::{Mask, Object, Point, VOID};

/// A label of an image that can become the label of a [`View`] of it.
pub trait Follow {
    /// The label of what is seen.
    fn follow(&self, view: &View) -> Self;
}

/// A class stays what it is.
impl Follow for u32 {
    fn follow(&self, _: &View) -> Self {
        *self
    }
}

/// Objects are cut off where the view ends. Those with nothing left are dropped; those of which less than a quarter of
/// the area is left are to be ignored, since nobody could tell what they are.
impl Follow for Vec<Object> {
    fn follow(&self, view: &View) -> Self {
        self.iter().filter_map(|object| cut(object, view)).collect()
    }
}

/// Each pixel has the class of the one that its center is in, torchvision's `nearest-exact`. Padding is [`VOID`].
///
/// # Panics
///
/// Where the mask does not have the size of the view's source.
impl Follow for Mask {
    fn follow(&self, view: &View) -> Self {
        assert_eq!([self.height, self.width], view.source, "a mask of the view's source");
        let [height, width] = view.size;
        let mut classes = vec![VOID; height * width];
        let [rows, columns] = view.seen();
        // The source's pixel under the center of a pixel of the resized image.
        let under = |axis: usize, at: usize| (2 * at + 1) * view.source[axis] / (2 * view.scaled[axis]);
        let under_columns: Vec<usize> = (columns.start..columns.start + columns.len).map(|at| under(1, at)).collect();
        for (row, out) in classes.chunks_exact_mut(width.max(1)).skip(rows.before).take(rows.len).enumerate() {
            let line = &self.classes[under(0, rows.start + row) * self.width..][..self.width];
            for (out, &column) in out[columns.before..].iter_mut().zip(&under_columns) {
                *out = line[column];
            }
            if view.flip {
                out.reverse();
            }
        }
        Self { height, width, classes }
    }
}

/// Points that are not seen are dropped; the others stay in `[0, width) × [0, height)`.
impl Follow for Vec<Point> {
    fn follow(&self, view: &View) -> Self {
        self.iter().filter_map(|point| moved(point, view)).collect()
    }
}

fn cut(object: &Object, view: &View) -> Option<Object> {
    let area = |[left, top, right, bottom]: [f64; 4]| (right - left) * (bottom - top);
    let [left, top, right, bottom] = object.corners;
    let ([x0, y0], [x1, y1]) = (place([left, top], view), place([right, bottom], view));
    let [(first_x, last_x), (first_y, last_y)] = bounds(view);
    let inside = [x0.max(first_x), y0.max(first_y), x1.min(last_x), y1.min(last_y)];
    let [left, top, right, bottom] = inside;
    let (left, right) = if view.flip { (mirrored(right, view), mirrored(left, view)) } else { (left, right) };
    let corners = [left, top, right, bottom].map(|value| value as f32);
    // In single precision, since that is what the object will have; `max` and `min` would hide what is not a number.
    let seen = corners[2] > corners[0] && corners[3] > corners[1] && x1 > x0 && y1 > y0;
    seen.then(|| Object { corners, ignore: object.ignore || area(inside) < 0.25 * area([x0, y0, x1, y1]), ..*object })
}

fn moved(point: &Point, view: &View) -> Option<Point> {
    let [x, y] = place(*point, view);
    let [(left, right), (top, bottom)] = bounds(view);
    let seen = left <= x && x < right && top <= y && y < bottom;
    // The mirror of 0, and what rounds up to the end, would be the first place outside.
    let within = |value: f64, length: usize| (value as f32).min((length as f32).next_down());
    let x = if view.flip { mirrored(x, view) } else { x };
    seen.then(|| [within(x, view.size[1]), within(y, view.size[0])])
}

/// Column and row in the window, before it is mirrored.
fn place(point: Point, view: &View) -> [f64; 2] {
    let along = |axis: usize, value: f32| {
        let scale = view.scaled[axis] as f64 / view.source[axis] as f64;
        f64::from(value) * scale - view.offset[axis] as f64
    };
    [along(1, point[0]), along(0, point[1])]
}

/// First and last column, and row, of the image in the window.
fn bounds(view: &View) -> [(f64, f64); 2] {
    let [rows, columns] = view.seen();
    [columns, rows].map(|overlap| (overlap.before as f64, (overlap.before + overlap.len) as f64))
}

fn mirrored(x: f64, view: &View) -> f64 {
    view.size[1] as f64 - x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8×8 of a 10×10 image of twice the size, from column 4 and row 6.
    const CORNER: View = View { source: [10, 10], scaled: [20, 20], offset: [6, 4], size: [8, 8], flip: false };

    fn object(corners: [f32; 4]) -> Object {
        Object { class: 3, corners, ignore: false }
    }

    #[test]
    fn objects_are_cut_dropped_and_ignored() {
        let objects = vec![
            object([3.0, 4.0, 5.0, 6.0]),
            // Half of it.
            object([1.0, 4.0, 3.0, 6.0]),
            // A quarter of it, and a little less.
            object([1.0, 2.0, 3.0, 4.0]),
            object([0.9, 2.0, 3.0, 4.0]),
            // Touches the window from outside.
            object([0.0, 4.0, 2.0, 6.0]),
            object([f32::NAN, 0.0, 9.0, 9.0]),
            // No area.
            object([4.0, 4.0, 4.0, 6.0]),
        ];
        let expected = vec![
            object([2.0, 2.0, 6.0, 6.0]),
            object([0.0, 2.0, 2.0, 6.0]),
            object([0.0, 0.0, 2.0, 2.0]),
            Object { ignore: true, ..object([0.0, 0.0, 2.0, 2.0]) },
        ];
        assert_eq!(objects.follow(&CORNER), expected);
        let flipped = vec![object([3.0, 4.0, 4.0, 6.0])].follow(&View { flip: true, ..CORNER });
        assert_eq!(flipped, [object([4.0, 2.0, 6.0, 6.0])]);
    }

    #[test]
    fn objects_end_where_the_image_does() {
        let padded = View { offset: [-2, -3], size: [20, 20], ..View::identity([10, 10]) };
        let objects = vec![object([-1.0, 0.0, 11.0, 10.0])];
        assert_eq!(objects.follow(&padded), [object([3.0, 2.0, 13.0, 12.0])]);
    }

    #[test]
    fn points_are_in_half_open_intervals() {
        let points: Vec<Point> = vec![[2.0, 3.0], [6.0, 3.0], [2.0, 7.0], [5.0, 4.5], [f32::NAN, 4.0]];
        assert_eq!(points.follow(&CORNER), [[0.0, 0.0], [6.0, 3.0]]);
        let flipped = points.follow(&View { flip: true, ..CORNER });
        assert_eq!(flipped, [[8.0_f32.next_down(), 0.0], [2.0, 3.0]]);
    }

    #[test]
    fn masks_are_void_where_the_image_is_not() {
        let mask = Mask { height: 2, width: 3, classes: vec![1, 2, 3, 4, 5, 6] };
        let view = View { offset: [-1, 1], size: [3, 3], ..View::identity([2, 3]) };
        assert_eq!(mask.follow(&view).classes, [VOID, VOID, VOID, 2, 3, VOID, 5, 6, VOID]);
        let view = View { flip: true, ..view };
        assert_eq!(mask.follow(&view).classes, [VOID, VOID, VOID, VOID, 3, 2, VOID, 6, 5]);
    }

    #[test]
    fn a_class_stays() {
        assert_eq!(7_u32.follow(&CORNER), 7);
    }
}
