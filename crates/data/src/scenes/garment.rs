//! A garment, cut out of its image.

/// Gray values, and which of them are the garment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Garment {
    pub(super) height: usize,
    pub(super) width: usize,
    /// `[height, width]`
    pub(super) gray: Vec<u8>,
    /// `[height, width]`
    pub(super) shape: Vec<bool>,
}

/// The brightest pixel that is taken as ground.
const DARK: u8 = 16;

/// A region of less than this part of an image belongs to what surrounds it.
const SPECK: usize = 64;

impl Garment {
    /// The garment in a gray image on black. Dark places within it are a part of it where they are small; larger ones
    /// are gaps, such as below the handle of a bag.
    pub(super) fn cut(height: usize, width: usize, gray: &[u8]) -> Self {
        let mut shape: Vec<bool> = gray.iter().map(|value| *value > DARK).collect();
        for region in regions(height, width, &shape) {
            let border = region.iter().any(|at| {
                let (row, column) = (at / width, at % width);
                row == 0 || column == 0 || row + 1 == height || column + 1 == width
            });
            let of_garment = region.first().is_some_and(|at| shape[*at]);
            if region.len() * SPECK < shape.len() && (of_garment || !border) {
                region.into_iter().for_each(|at| shape[at] = !of_garment);
            }
        }
        Self { height, width, gray: gray.to_vec(), shape }
    }

    /// The garment in an image of `height` × `width` pixels, cut to its box: between pixels interpolated linearly, of
    /// those of the garment alone, so that the ground does not darken its edge. Nothing where there is no garment.
    pub(super) fn resized(&self, height: usize, width: usize, mirrored: bool) -> Self {
        let rows: Vec<Taps> = (0..height).map(|row| Taps::new(row, self.height, height)).collect();
        let columns: Vec<Taps> = (0..width).map(|column| Taps::new(column, self.width, width)).collect();
        let (mut gray, mut shape) = (Vec::with_capacity(height * width), Vec::with_capacity(height * width));
        for row in &rows {
            for column in 0..width {
                let column = &columns[if mirrored { width - 1 - column } else { column }];
                let (mut covered, mut sum) = (0.0, 0.0);
                for (y, row) in row.0 {
                    for (x, column) in column.0 {
                        let at = y * self.width + x;
                        if self.shape[at] {
                            covered += row * column;
                            sum += row * column * f32::from(self.gray[at]);
                        }
                    }
                }
                shape.push(covered >= 0.5);
                gray.push(if covered >= 0.5 { (sum / covered + 0.5) as u8 } else { 0 });
            }
        }
        Self { height, width, gray, shape }.cropped()
    }

    /// Without the rows and columns at its sides that have nothing of the garment.
    fn cropped(&self) -> Self {
        let at = |row: usize, column: usize| self.shape[row * self.width + column];
        let filled = |row: &usize| (0..self.width).any(|column| at(*row, column));
        let rows: Vec<usize> = (0..self.height).filter(filled).collect();
        let filled = |column: &usize| (0..self.height).any(|row| at(row, *column));
        let columns: Vec<usize> = (0..self.width).filter(filled).collect();
        let (Some(top), Some(bottom)) = (rows.first(), rows.last()) else { return Self::nothing() };
        let (Some(left), Some(right)) = (columns.first(), columns.last()) else { return Self::nothing() };
        let places = || (*top..=*bottom).flat_map(|row| (*left..=*right).map(move |column| row * self.width + column));
        Self {
            height: bottom - top + 1,
            width: right - left + 1,
            gray: places().map(|at| self.gray[at]).collect(),
            shape: places().map(|at| self.shape[at]).collect(),
        }
    }

    fn nothing() -> Self {
        Self { height: 0, width: 0, gray: Vec::new(), shape: Vec::new() }
    }
}

/// Two places, and their weights.
struct Taps([(usize, f32); 2]);

impl Taps {
    /// For the pixel `index` of `to`, in an image of `from` pixels.
    fn new(index: usize, from: usize, to: usize) -> Self {
        let last = from.saturating_sub(1);
        let place = ((index as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, last as f32);
        let first = place as usize;
        let weight = place - first as f32;
        Self([(first, 1.0 - weight), ((first + 1).min(last), weight)])
    }
}

/// The places of each region of equal values, whose pixels meet at their sides; the region of the first place first.
fn regions(height: usize, width: usize, values: &[bool]) -> Vec<Vec<usize>> {
    let mut seen = vec![false; values.len()];
    let mut all = Vec::new();
    for start in 0..values.len() {
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        let mut region = vec![start];
        let mut next = 0;
        while let Some(&at) = region.get(next) {
            next += 1;
            let (row, column) = (at / width, at % width);
            let near = [
                (row > 0).then(|| at - width),
                (row + 1 < height).then(|| at + width),
                (column > 0).then(|| at - 1),
                (column + 1 < width).then(|| at + 1),
            ];
            for near in near.into_iter().flatten() {
                if values[near] == values[at] && !std::mem::replace(&mut seen[near], true) {
                    region.push(near);
                }
            }
        }
        all.push(region);
    }
    all
}
