//! What garments lie on: textures, with things in them that are no garments.

use rand::RngExt;
use random::Rng;

use super::between;

/// A color, of 0 to 255 a channel.
pub(super) type Color = [f32; 3];

/// The number of things on a ground that are no garments, at most.
const DISTRACTORS: u32 = 6;

/// The color of each pixel of a ground of `[height, width]`, in their order.
pub(super) fn ground(size: [usize; 2], rng: &mut Rng) -> Vec<Color> {
    let mut pixels = Texture::draw(size, rng).pixels(size);
    for _ in 0..rng.random_range(0..=DISTRACTORS) {
        let (texture, thing) = (Texture::draw(size, rng), Distractor::draw(size, rng));
        for (row, pixels) in pixels.chunks_exact_mut(size[1]).enumerate() {
            for (column, pixel) in pixels.iter_mut().enumerate() {
                if thing.covers(row as f32, column as f32, || texture.level(row, column)) {
                    *pixel = texture.color(row, column);
                }
            }
        }
    }
    pixels
}

/// A color of any kind.
pub(super) fn color(rng: &mut Rng) -> Color {
    [0; 3].map(|_| between(0.0, 255.0, rng))
}

/// Value noise between two colors: random values on grids of several widths, with smooth steps between them.
struct Texture {
    grids: Vec<Grid>,
    ends: [Color; 2],
}

/// Random values, some pixels from each other.
struct Grid {
    weight: f32,
    /// `[rows, stride]`
    values: Vec<f32>,
    stride: usize,
    /// For each row of pixels, where the row of values above it begins, and how far it is from there to the next.
    rows: Vec<(usize, f32)>,
    /// For each column of pixels, the column of values to the left of it, and how far it is from there to the next.
    columns: Vec<(usize, f32)>,
}

impl Texture {
    fn draw(size: [usize; 2], rng: &mut Rng) -> Self {
        let mut width = rng.random_range(8..=40_u32) as usize;
        let fade = between(0.4, 0.9, rng);
        let (mut grids, mut weight, mut total) = (Vec::new(), 1.0, 0.0);
        while width >= 2 && grids.len() < 4 {
            grids.push(Grid::draw(size, width, weight, rng));
            total += weight;
            weight *= fade;
            width /= 2;
        }
        grids.iter_mut().for_each(|grid| grid.weight /= total);
        let from = color(rng);
        let to = from.map(|channel| (channel + between(-110.0, 110.0, rng)).clamp(0.0, 255.0));
        Self { grids, ends: [from, to] }
    }

    fn pixels(&self, [height, width]: [usize; 2]) -> Vec<Color> {
        (0..height).flat_map(|row| (0..width).map(move |column| self.color(row, column))).collect()
    }

    /// From 0 to 1. Means of several values are seldom far from the middle, so they are spread.
    fn level(&self, row: usize, column: usize) -> f32 {
        let level: f32 = self.grids.iter().map(|grid| grid.weight * grid.value(row, column)).sum();
        ((level - 0.5) * 1.6 + 0.5).clamp(0.0, 1.0)
    }

    fn color(&self, row: usize, column: usize) -> Color {
        let level = self.level(row, column);
        let [from, to] = self.ends;
        [0, 1, 2].map(|channel| from[channel] + (to[channel] - from[channel]) * level)
    }
}

impl Grid {
    fn draw(size: [usize; 2], width: usize, weight: f32, rng: &mut Rng) -> Self {
        let [rows, columns] = size.map(|side| side / width + 2);
        let values = (0..rows * columns).map(|_| rng.random::<f32>()).collect();
        let steps = |side: usize, stride: usize| {
            let step = |place: usize| {
                let part = (place % width) as f32 / width as f32;
                (place / width * stride, part * part * (3.0 - 2.0 * part))
            };
            (0..side).map(step).collect()
        };
        Self { weight, values, stride: columns, rows: steps(size[0], columns), columns: steps(size[1], 1) }
    }

    fn value(&self, row: usize, column: usize) -> f32 {
        let ((above, down), (left, right)) = (self.rows[row], self.columns[column]);
        let at = above + left;
        let [a, b, c, d] = [at, at + 1, at + self.stride, at + self.stride + 1].map(|at| self.values[at]);
        let (upper, lower) = (a + (b - a) * right, c + (d - c) * right);
        upper + (lower - upper) * down
    }
}

/// Something of another texture.
enum Distractor {
    /// An ellipse with a ragged edge: its middle and half its height and width.
    Blob { middle: [f32; 2], half: [f32; 2] },
    /// What is near a line: a point of it, the direction across it, and half its width.
    Strip { point: [f32; 2], across: [f32; 2], half: f32 },
}

impl Distractor {
    fn draw(size: [usize; 2], rng: &mut Rng) -> Self {
        let sides = size.map(|side| side as f32);
        let place = sides.map(|side| between(0.0, side, rng));
        if rng.random() {
            Self::Blob { middle: place, half: sides.map(|side| between(0.05, 0.2, rng) * side) }
        } else {
            let across = [0; 2].map(|_| between(-1.0, 1.0, rng));
            Self::Strip { point: place, across, half: between(0.01, 0.05, rng) * sides[0].min(sides[1]) }
        }
    }

    /// Whether it is at a pixel, where its texture has `level`.
    fn covers(&self, row: f32, column: f32, level: impl FnOnce() -> f32) -> bool {
        match self {
            Self::Blob { middle, half } => {
                let [y, x] = [(row - middle[0]) / half[0], (column - middle[1]) / half[1]];
                let distance = y * y + x * x;
                distance <= 0.5 || (distance <= 1.5 && distance <= 0.5 + level())
            }
            Self::Strip { point, across: [down, right], half } => {
                let distance = (row - point[0]) * down + (column - point[1]) * right;
                distance * distance <= half * half * (down * down + right * right)
            }
        }
    }
}
