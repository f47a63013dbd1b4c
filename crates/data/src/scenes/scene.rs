//! A scene, and what is known of it.

use crate::{Image, Mask, Object, Point};

/// Objects on a ground.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// What is seen, RGB.
    pub image: Image,
    /// The class of each object, the one that was put down first first.
    pub classes: Vec<u32>,
    /// For each pixel the object that is seen there, counted from 1, or 0 for the ground: `[height, width]`.
    pub owners: Vec<u8>,
    /// For each object its number of pixels, those included that others hide.
    pub areas: Vec<usize>,
}

impl Scene {
    /// The objects, each with the tight box of its visible pixels.
    pub fn objects(&self) -> Vec<Object> {
        let object = |(class, seen): (&u32, Seen)| {
            let corners = [seen.left, seen.top, seen.right, seen.bottom].map(|side| side as f32);
            Object { class: *class, corners, ignore: false }
        };
        self.classes.iter().zip(self.seen()).map(object).collect()
    }

    /// Class 0 for the ground, else that of the object plus 1.
    pub fn mask(&self) -> Mask {
        let class = |owner: &u8| {
            let object = usize::from(*owner).checked_sub(1);
            object.and_then(|object| self.classes.get(object)).map_or(0, |class| *class as u8 + 1)
        };
        let classes = self.owners.iter().map(class).collect();
        Mask { height: self.image.height, width: self.image.width, classes }
    }

    /// For each object the mean of the centers of its visible pixels, which is inside its box.
    pub fn points(&self) -> Vec<Point> {
        let point = |seen: Seen| {
            let pixels = seen.pixels.max(1) as f32;
            [seen.columns as f32 / pixels + 0.5, seen.rows as f32 / pixels + 0.5]
        };
        self.seen().into_iter().map(point).collect()
    }

    /// For each object its number of visible pixels.
    pub fn visible(&self) -> Vec<usize> {
        self.seen().into_iter().map(|seen| seen.pixels).collect()
    }

    fn seen(&self) -> Vec<Seen> {
        let mut all = vec![Seen::default(); self.classes.len()];
        for (row, owners) in self.owners.chunks_exact(self.image.width.max(1)).enumerate() {
            for (column, owner) in owners.iter().enumerate() {
                let object = usize::from(*owner).checked_sub(1);
                if let Some(seen) = object.and_then(|object| all.get_mut(object)) {
                    seen.add(row, column);
                }
            }
        }
        all
    }
}

/// The visible pixels of an object: their box, their number, and the sums of their places.
#[derive(Clone, Default)]
struct Seen {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
    pixels: usize,
    rows: usize,
    columns: usize,
}

impl Seen {
    fn add(&mut self, row: usize, column: usize) {
        if self.pixels == 0 {
            (self.left, self.top) = (column, row);
        }
        self.left = self.left.min(column);
        self.right = self.right.max(column + 1);
        self.bottom = row + 1;
        self.pixels += 1;
        self.rows += row;
        self.columns += column;
    }
}
