//! Rounding errors of a convolution of 3×3 taps and of its gradients, computed directly and by Winograd's minimal
//! filtering: `cargo run --release -p regularize-ops --example winograd_errors`.
//!
//! Of the distance from `f64` the root mean square, relative to that of the result, and the largest, relative to the
//! largest value; those of the variants as multiples of the direct one's. All are models, whose sums are chains of fused
//! multiply-adds of as many terms as in the kernels. The last row is what `ops` computes.

use candle_core::{Device, Result, Tensor, Var};
use ops::{Conv2d, FeatureMap};
use rand::RngExt;

/// Rows of a matrix.
type Matrix = Vec<Vec<f64>>;

/// F(m×m, 3×3) by its points but the one at infinity.
struct Variant {
    name: &'static str,
    points: Vec<f64>,
}

/// The transforms of a variant, as in `cpu::conv::winograd::transform`.
struct Transforms {
    input: Matrix,
    filter: Matrix,
    output: Matrix,
}

fn variants() -> Vec<Variant> {
    let of = |name, points: &[f64]| Variant { name, points: points.to_vec() };
    let pair = |name, a: f64, b: f64| of(name, &[0.0, a, -a, b, -b]);
    vec![
        of("F(2×2): 0 ±1 ∞", &[0.0, 1.0, -1.0]),
        pair("F(4×4): 0 ±1 ±2 ∞", 1.0, 2.0),
        of("F(4×4): 0 −1 1 1/2 −2 ∞", &[0.0, -1.0, 1.0, 0.5, -2.0]),
        pair("F(4×4): 0 ±1/2 ±1 ∞", 0.5, 1.0),
        pair("F(4×4): 0 ±1/√2 ±√2 ∞", 0.5f64.sqrt(), 2f64.sqrt()),
        pair("F(4×4): 0 ±2/3 ±3/2 ∞", 2.0 / 3.0, 1.5),
        pair("F(4×4): 0 ±5/8 ±5/4 ∞", 0.625, 1.25),
        pair("F(4×4): 0 ±5/8 ±3/2 ∞", 0.625, 1.5),
    ]
}

/// Coefficients of the polynomial with these roots, the constant first.
fn polynomial(roots: &[f64]) -> Vec<f64> {
    roots.iter().fold(vec![1.0], |factors, root| {
        let mut product = vec![0.0; factors.len() + 1];
        for (power, factor) in factors.iter().enumerate() {
            product[power + 1] += factor;
            product[power] -= factor * root;
        }
        product
    })
}

impl Variant {
    fn outputs(&self) -> usize {
        self.points.len() - 1
    }

    /// The matrices of Toom and Cook.
    fn transforms(&self) -> Transforms {
        let (points, outputs) = (&self.points, self.outputs());
        let others = |skip: usize| -> Vec<f64> {
            points.iter().enumerate().filter(|(index, _)| *index != skip).map(|(_, point)| *point).collect()
        };
        let powers =
            |point: f64, count: usize| std::iter::successors(Some(1.0), move |power| Some(power * point)).take(count);
        let mut input: Matrix = (0..points.len()).map(|index| polynomial(&others(index))).collect();
        input.iter_mut().for_each(|row| row.push(0.0));
        input.push(polynomial(points));
        let mut filter: Matrix = (0..points.len())
            .map(|index| {
                let scale: f64 = others(index).iter().map(|other| points[index] - other).product();
                powers(points[index], 3).map(|value| value / scale).collect()
            })
            .collect();
        filter.push(vec![0.0, 0.0, 1.0]);
        let mut output: Matrix = points.iter().map(|point| powers(*point, outputs).collect()).collect();
        output.push((0..outputs).map(|at| if at + 1 == outputs { 1.0 } else { 0.0 }).collect());
        Transforms { input, filter, output: transposed(&output) }
    }
}

fn transposed(matrix: &Matrix) -> Matrix {
    (0..matrix[0].len()).map(|column| matrix.iter().map(|row| row[column]).collect()).collect()
}

/// `m·x·mᵀ` in `f32`, each value a chain.
fn both_ways(m: &Matrix, x: &[f32]) -> Vec<f32> {
    let (from, to) = (m[0].len(), m.len());
    let along = |row: &Vec<f64>, value: &dyn Fn(usize) -> f32| {
        row.iter().enumerate().filter(|(_, factor)| **factor != 0.0).fold(None, |sum: Option<f32>, (index, factor)| {
            let (factor, value) = (*factor as f32, value(index));
            Some(sum.map_or(factor * value, |sum| factor.mul_add(value, sum)))
        })
    };
    let columns: Vec<f32> = m
        .iter()
        .flat_map(|row| (0..from).map(move |column| along(row, &|index| x[index * from + column]).unwrap_or(0.0)))
        .collect();
    let at = |y: usize, row: &Vec<f64>| along(row, &|index| columns[y * from + index]).unwrap_or(0.0);
    (0..to).flat_map(|y| m.iter().map(move |row| (y, row))).map(|(y, row)| at(y, row)).collect()
}

/// A sum of products: chains of `terms` of them, added up.
fn chains(terms: usize, products: impl Iterator<Item = (f32, f32)>) -> f32 {
    let (mut total, mut sum) = (None, 0f32);
    for (index, (a, b)) in products.enumerate() {
        if index > 0 && index % terms == 0 {
            total = Some(total.map_or(sum, |total: f32| total + sum));
            sum = 0.0;
        }
        sum = a.mul_add(b, sum);
    }
    total.map_or(sum, |total| total + sum)
}

/// A map `[n, side, side, channels]`.
struct Map {
    n: usize,
    side: usize,
    channels: usize,
    values: Vec<f32>,
}

impl Map {
    /// The value at a pixel, which may lie outside, where there are zeros.
    fn at(&self, image: usize, y: usize, x: usize, channel: usize) -> f32 {
        let inside = y < self.side && x < self.side;
        if inside { self.values[((image * self.side + y) * self.side + x) * self.channels + channel] } else { 0.0 }
    }

    /// `size`×`size` pixels that begin `padding` above and left of a pixel.
    fn tile(&self, [image, y, x]: [usize; 3], padding: usize, size: usize, channel: usize) -> Vec<f32> {
        let at = |index: usize| {
            let (y, x) = ((y + index / size).wrapping_sub(padding), (x + index % size).wrapping_sub(padding));
            self.at(image, y, x, channel)
        };
        (0..size * size).map(at).collect()
    }

    /// The first pixels of all tiles of `size`×`size` pixels.
    fn tiles(&self, size: usize) -> Vec<[usize; 3]> {
        let starts = || (0..self.side).step_by(size);
        (0..self.n).flat_map(|image| starts().flat_map(move |y| starts().map(move |x| [image, y, x]))).collect()
    }
}

/// Products whose sums are the outputs of a layer, `[n, side, side, out]`; `w` is `[out, in, 3, 3]`.
fn output_terms(x: &Map, w: &[f32], mut sum: impl FnMut(&mut dyn Iterator<Item = (f32, f32)>)) {
    let outputs = w.len() / (9 * x.channels);
    for pixel in x.tiles(1) {
        let windows: Vec<_> = (0..x.channels).map(|channel| x.tile(pixel, 1, 3, channel)).collect();
        for output in 0..outputs {
            let term = |index: usize| {
                let (tap, input) = (index / x.channels, index % x.channels);
                (windows[input][tap], w[(output * x.channels + input) * 9 + tap])
            };
            sum(&mut (0..9 * x.channels).map(term));
        }
    }
}

/// Products whose sums are the gradient of the weight, `[out, in, 3, 3]`.
fn weight_terms(x: &Map, dy: &Map, mut sum: impl FnMut(&mut dyn Iterator<Item = (f32, f32)>)) {
    let pixels = x.tiles(1).repeat(REPEATED);
    for (output, input) in (0..dy.channels).flat_map(|output| (0..x.channels).map(move |input| (output, input))) {
        for tap in 0..9 {
            sum(&mut pixels.iter().map(|[image, y, at]| {
                let from = x.at(*image, (y + tap / 3).wrapping_sub(1), (at + tap % 3).wrapping_sub(1), input);
                (from, dy.at(*image, *y, *at, output))
            }));
        }
    }
}

/// The weight that computes the input's gradient from the output's.
fn reversed(w: &[f32], inputs: usize) -> Vec<f32> {
    let outputs = w.len() / (9 * inputs);
    let at = |index: usize| w[(index / 9 % outputs * inputs + index / 9 / outputs) * 9 + 8 - index % 9];
    (0..w.len()).map(at).collect()
}

/// The outputs of a layer, by tiles.
fn outputs_by_tiles(variant: &Variant, x: &Map, w: &[f32]) -> Vec<f32> {
    let Transforms { input, filter, output } = variant.transforms();
    let (size, points, outputs) = (variant.outputs(), input.len() * input.len(), w.len() / (9 * x.channels));
    let filters: Vec<_> = w.chunks_exact(9).map(|taps| both_ways(&filter, taps)).collect();
    let mut y = vec![0.0; x.n * x.side * x.side * outputs];
    for place in x.tiles(size) {
        let read = |channel| both_ways(&input, &x.tile(place, 1, size + 2, channel));
        let tiles: Vec<_> = (0..x.channels).map(read).collect();
        for channel in 0..outputs {
            let filters = &filters[channel * x.channels..][..x.channels];
            let sum = |point: usize| chains(CHANNELS, tiles.iter().zip(filters).map(|(a, b)| (a[point], b[point])));
            for (index, value) in both_ways(&output, &(0..points).map(sum).collect::<Vec<_>>()).iter().enumerate() {
                let [image, top, left] = place;
                y[((image * x.side + top + index / size) * x.side + left + index % size) * outputs + channel] = *value;
            }
        }
    }
    y
}

/// The gradient of the weight, by tiles.
fn weight_gradient_by_tiles(variant: &Variant, x: &Map, dy: &Map) -> Vec<f32> {
    let Transforms { input, filter, output } = variant.transforms();
    let (size, points) = (variant.outputs(), input.len() * input.len());
    let (output, filter) = (transposed(&output), transposed(&filter));
    let places = dy.tiles(size);
    let read = |map: &Map, matrix: &Matrix, padding: usize, size: usize| -> Vec<Vec<Vec<f32>>> {
        let tiles =
            |channel| places.iter().map(|at| both_ways(matrix, &map.tile(*at, padding, size, channel))).collect();
        (0..map.channels).map(tiles).collect()
    };
    let (inputs, outputs) = (read(x, &input, 1, size + 2), read(dy, &output, 0, size));
    let pairs = outputs.iter().flat_map(|output| inputs.iter().map(move |input| (input, output)));
    pairs
        .flat_map(|(input, output)| {
            let tiles = || (0..REPEATED).flat_map(|_| input.iter().zip(output));
            let sum = |point: usize| chains(TILES, tiles().map(|(a, b)| (a[point], b[point])));
            both_ways(&filter, &(0..points).map(sum).collect::<Vec<_>>())
        })
        .collect()
}

/// The root mean square of the error, relative to that of what is right, and the largest error relative to the largest
/// value.
fn error(found: &[f32], right: &[f64]) -> [f64; 2] {
    let errors = || found.iter().zip(right).map(|(found, right)| f64::from(*found) - right);
    let square = |sum: f64, value: f64| sum + value * value;
    let largest = |most: f64, value: f64| most.max(value.abs());
    [
        (errors().fold(0.0, square) / right.iter().copied().fold(0.0, square)).sqrt(),
        errors().fold(0.0, largest) / right.iter().copied().fold(0.0, largest),
    ]
}

/// Channels, tiles and pixels that are summed in one chain, as in the kernels.
const CHANNELS: usize = 128;
const TILES: usize = 32;
const PIXELS: usize = 256;

/// Copies of the maps that a weight's gradient is summed over, and that `ops` computes with.
const REPEATED: usize = 8;

/// What `ops` computes: output, and both gradients. Of few images, Winograd's way would not pay.
fn kernels(x: &Map, w: &[f32], dy: &Map) -> Result<[Vec<f32>; 3]> {
    let tensor = |values: &[f32], dims: &[usize]| Tensor::from_slice(values, dims, &Device::Cpu);
    let var = |values, dims: &[usize]| Var::from_tensor(&tensor(values, dims)?);
    let (maps, gradients) = (x.values.repeat(REPEATED), dy.values.repeat(REPEATED));
    let xs = var(&maps, &[x.n * REPEATED, x.side, x.side, x.channels])?;
    let ws = var(w, &[dy.channels, x.channels, 3, 3])?;
    let y = ops::conv2d(&FeatureMap::from_tensor(&xs)?, &ws, None, Conv2d { padding: 1, ..Conv2d::default() })?
        .to_tensor()?;
    let gradients = (&y * tensor(&gradients, y.dims())?)?.sum_all()?.backward()?;
    let gradient = |of: &Var| match gradients.get(of) {
        Some(gradient) => gradient.flatten_all()?.to_vec1::<f32>(),
        None => Ok(Vec::new()),
    };
    let first = |mut values: Vec<f32>| {
        values.truncate(values.len() / REPEATED);
        values
    };
    Ok([first(y.flatten_all()?.to_vec1()?), first(gradient(&xs)?), gradient(&ws)?])
}

/// Prints a column of each result.
fn report(
    name: &str,
    [y, dx, dw]: [Vec<f32>; 3],
    right: &[Vec<f64>; 3],
    direct: Option<&[[f64; 2]; 3]>,
) -> [[f64; 2]; 3] {
    let errors = [error(&y, &right[0]), error(&dx, &right[1]), error(&dw, &right[2])];
    print!("  {name:30}");
    for (index, [mean, most]) in errors.iter().enumerate() {
        match direct {
            None => print!("   {mean:7.1e} {most:7.1e}"),
            Some(direct) => print!("   {:6.2}× {:6.2}×", mean / direct[index][0], most / direct[index][1]),
        }
    }
    println!();
    errors
}

/// A layer of as many outputs as inputs. `trained`: activations behind a ReLU, of neighbouring pixels alike and of
/// channels unlike; filters of unlike norms whose taps are alike; few gradients that are not small.
fn layer(channels: usize, trained: bool) -> (Map, Vec<f32>, Map) {
    let mut rng = random::stream(0, "layer", &[channels as u64, u64::from(trained)]);
    let mut normal = || (0..12).map(|_| rng.random_range(-0.5f64..0.5)).sum::<f64>();
    let (n, side) = (4, 8);
    let mut map = |rectified: bool| {
        let spread: Vec<f64> = (0..channels).map(|_| if trained { libm::exp(normal()) } else { 1.0 }).collect();
        let mut values = Vec::new();
        let mut last = vec![0.0; channels];
        for _ in 0..n * side * side {
            for (last, spread) in last.iter_mut().zip(&spread) {
                *last = if trained { 0.8 * *last + 0.6 * normal() } else { normal() };
                let value = *last * spread;
                values.push(if trained && rectified {
                    value.max(0.0)
                } else if trained {
                    value * value * value
                } else {
                    value
                } as f32);
            }
        }
        Map { n, side, channels, values }
    };
    let (x, dy) = (map(true), map(false));
    let mut w = Vec::new();
    for _ in 0..channels {
        let norm = if trained { libm::exp(normal()) } else { 1.0 };
        for _ in 0..channels {
            let common = if trained { normal() } else { 0.0 };
            w.extend((0..9).map(|_| (norm * (common + normal()) / (3.0 * (channels as f64).sqrt())) as f32));
        }
    }
    (x, w, dy)
}

fn main() -> Result<()> {
    println!("  {:30}   {:15}   {:15}   {:15}", "rms, largest", "y", "dx", "dw");
    for (channels, trained) in [16, 64, 256].into_iter().flat_map(|channels| [(channels, false), (channels, true)]) {
        println!("{channels} channels, {}", if trained { "as in training" } else { "normal values" });
        let (x, w, dy) = layer(channels, trained);
        let back = reversed(&w, channels);
        let (mut right, mut direct) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
        let exact = |terms: Vec<(f32, f32)>| terms.iter().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let mut both = |index: usize, length: usize, terms: &mut dyn Iterator<Item = (f32, f32)>| {
            let terms: Vec<_> = terms.collect();
            direct[index].push(chains(length, terms.iter().copied()));
            right[index].push(exact(terms));
        };
        output_terms(&x, &w, |terms| both(0, usize::MAX, terms));
        output_terms(&dy, &back, |terms| both(1, usize::MAX, terms));
        weight_terms(&x, &dy, |terms| both(2, PIXELS, terms));
        let errors = report("direct", direct, &right, None);
        for variant in variants() {
            let y = outputs_by_tiles(&variant, &x, &w);
            let dx = outputs_by_tiles(&variant, &dy, &back);
            let dw = weight_gradient_by_tiles(&variant, &x, &dy);
            report(variant.name, [y, dx, dw], &right, Some(&errors));
        }
        report("ops", kernels(&x, &w, &dy)?, &right, Some(&errors));
    }
    Ok(())
}
