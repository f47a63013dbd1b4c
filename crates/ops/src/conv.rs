//! Two-dimensional convolution.
//!
//! Each image is unfolded into a matrix with a row a pixel and multiplied by the weight, which is
//! repacked so that a row holds one tap and one input channel for all output channels.

use crate::matrix::{Matrix, multiply};
use crate::values::{check, gradient, output, values, vectorized, with_values};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;

/// Geometry of a convolution, the same in both directions; names as in `torch.nn.Conv2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Pixels between neighbouring windows, at least 1.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Pixels between neighbouring taps, at least 1.
    pub dilation: usize,
    /// Groups of channels that are convolved apart; divides both channel counts.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self { stride: 1, padding: 0, dilation: 1, groups: 1 }
    }
}

/// Convolves `x` `[n, h, w, in]` with `weight` `[out, in / groups, kh, kw]` to `[n, h', w', out]`,
/// `h' = (h + 2·padding − dilation·(kh − 1) − 1) / stride + 1`.
///
/// As `torch.nn.functional.conv2d` without bias. The gradient of `x` is not computed where nothing
/// needs it (the first layer of a network).
///
/// # Errors
///
/// Where the shapes do not fit each other or `geometry`, or a window is larger than the padded input.
pub fn conv2d(x: &Tensor, weight: &Tensor, geometry: Conv2d) -> Result<Tensor> {
    check(NAME, "x", x, "[n, h, w, in]", 4)?;
    check(NAME, "weight", weight, "[out, in / groups, kh, kw]", 4)?;
    Sizes::new(x.dims(), weight.dims(), geometry)?;
    x.apply_op2(weight, Convolution(geometry))
}

const NAME: &str = "conv2d";

/// A weight gradient is summed over this many blocks of images, then over blocks in their order.
const BLOCKS: usize = 16;

struct Convolution(Conv2d);

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(l1.dims(), l2.dims(), self.0)?;
        let (x, weight) = (values(NAME, s1, l1)?, values(NAME, s2, l2)?);
        let y = sizes.forward(&x, &sizes.pack(&weight));
        Ok(output(y, (sizes.n, sizes.out_h, sizes.out_w, sizes.out_c)))
    }

    fn bwd(&self, x: &Tensor, weight: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let sizes = Sizes::new(x.dims(), weight.dims(), self.0)?;
        with_values(NAME, dy, |dy| {
            let dx = match x.track_op() {
                true => Some(gradient(with_values(NAME, weight, |w| sizes.input_gradient(dy, &sizes.pack(w)))?, x)?),
                false => None,
            };
            let dw = match weight.track_op() {
                true => Some(gradient(with_values(NAME, x, |x| sizes.weight_gradient(x, dy))?, weight)?),
                false => None,
            };
            Ok((dx, dw))
        })?
    }
}

/// All sizes of one application.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    geometry: Conv2d,
    n: usize,
    in_h: usize,
    in_w: usize,
    in_c: usize,
    k_h: usize,
    k_w: usize,
    out_h: usize,
    out_w: usize,
    out_c: usize,
}

impl Sizes {
    fn new(x: &[usize], weight: &[usize], geometry: Conv2d) -> Result<Self> {
        let (&[n, in_h, in_w, in_c], &[out_c, group_in, k_h, k_w]) = (x, weight) else {
            bail!("{NAME}: expected x [n, h, w, in] and weight [out, in / groups, kh, kw], found {x:?} and {weight:?}");
        };
        let Conv2d { stride, padding, dilation, groups } = geometry;
        if stride == 0 || dilation == 0 || groups == 0 {
            bail!("{NAME}: stride, dilation and groups must be at least 1, found {geometry:?}");
        }
        if group_in * groups != in_c || out_c % groups != 0 {
            bail!("{NAME}: x {x:?} has {in_c} channels, which does not fit weight {weight:?} in {groups} groups");
        }
        let size = |side: usize, kernel: usize| {
            let window = kernel.checked_sub(1).map(|taps| taps * dilation + 1)?;
            (side + 2 * padding).checked_sub(window).map(|room| room / stride + 1)
        };
        let (Some(out_h), Some(out_w)) = (size(in_h, k_h), size(in_w, k_w)) else {
            bail!("{NAME}: weight {weight:?} is empty or larger than x {x:?} with {geometry:?}");
        };
        Ok(Self { geometry, n, in_h, in_w, in_c, k_h, k_w, out_h, out_w, out_c })
    }

    fn group_in(&self) -> usize {
        self.in_c / self.geometry.groups
    }

    fn group_out(&self) -> usize {
        self.out_c / self.geometry.groups
    }

    fn image_in(&self) -> usize {
        self.in_h * self.in_w * self.in_c
    }

    fn image_out(&self) -> usize {
        self.pixels() * self.out_c
    }

    /// Output pixels of an image: rows of the unfolded matrix.
    fn pixels(&self) -> usize {
        self.out_h * self.out_w
    }

    /// Inputs of an output value: columns of the unfolded matrix.
    fn fan_in(&self) -> usize {
        self.k_h * self.k_w * self.group_in()
    }

    /// Whether the input is its own unfolded matrix.
    fn is_pointwise(&self) -> bool {
        (self.k_h, self.k_w) == (1, 1) && self.geometry == Conv2d::default()
    }

    /// Index in the packed weight (`[group, tap, in, out]`) of each value of torch's weight, in order.
    fn packed_indices(&self) -> impl Iterator<Item = usize> {
        let (inputs, outputs, taps) = (self.group_in(), self.group_out(), self.k_h * self.k_w);
        let fan_in = self.fan_in();
        (0..self.out_c).flat_map(move |o| {
            let base = o / outputs * fan_in * outputs + o % outputs;
            (0..inputs).flat_map(move |i| (0..taps).map(move |tap| base + (tap * inputs + i) * outputs))
        })
    }

    fn pack(&self, weight: &[f32]) -> Vec<f32> {
        let mut packed = vec![0.0; weight.len()];
        for (value, at) in weight.iter().zip(self.packed_indices()) {
            packed[at] = *value;
        }
        packed
    }

    fn unpack(&self, packed: &[f32]) -> Vec<f32> {
        self.packed_indices().map(|at| packed[at]).collect()
    }

    fn group_of<'a>(&self, packed: &'a [f32], group: usize) -> Matrix<'a> {
        let len = self.fan_in() * self.group_out();
        Matrix::new(&packed[group * len..][..len], self.fan_in(), self.group_out(), self.group_out())
    }

    fn forward(&self, x: &[f32], packed: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; self.n * self.image_out()];
        if y.is_empty() {
            return y;
        }
        y.par_chunks_mut(self.image_out()).enumerate().for_each_init(Vec::new, |scratch, (image, y)| {
            let x = &x[image * self.image_in()..][..self.image_in()];
            for group in 0..self.geometry.groups {
                let columns = self.unfold(x, group, scratch);
                multiply(&mut y[group * self.group_out()..], self.out_c, false, columns, self.group_of(packed, group));
            }
        });
        y
    }

    fn input_gradient(&self, dy: &[f32], packed: &[f32]) -> Vec<f32> {
        let mut dx = vec![0.0; self.n * self.image_in()];
        if dx.is_empty() {
            return dx;
        }
        dx.par_chunks_mut(self.image_in()).enumerate().for_each_init(
            Vec::new,
            |scratch: &mut Vec<f32>, (image, dx)| {
                let dy = &dy[image * self.image_out()..][..self.image_out()];
                for group in 0..self.geometry.groups {
                    let weight = self.group_of(packed, group).transposed();
                    if self.is_pointwise() {
                        multiply(dx, self.in_c, false, self.gradient_of(dy, group), weight);
                    } else {
                        scratch.resize(self.pixels() * self.fan_in(), 0.0);
                        multiply(scratch, self.fan_in(), false, self.gradient_of(dy, group), weight);
                        self.fold(scratch, group, dx);
                    }
                }
            },
        );
        dx
    }

    fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let len = self.out_c * self.fan_in();
        let images = self.n.div_ceil(BLOCKS).max(1);
        let blocks: Vec<Vec<f32>> = (0..self.n.div_ceil(images))
            .into_par_iter()
            .map_init(Vec::new, |scratch, block| {
                let mut packed = vec![0.0; len];
                for image in block * images..((block + 1) * images).min(self.n) {
                    let x = &x[image * self.image_in()..][..self.image_in()];
                    let dy = &dy[image * self.image_out()..][..self.image_out()];
                    for group in 0..self.geometry.groups {
                        let columns = self.unfold(x, group, scratch).transposed();
                        let part = &mut packed[group * self.fan_in() * self.group_out()..];
                        multiply(part, self.group_out(), true, columns, self.gradient_of(dy, group));
                    }
                }
                packed
            })
            .collect();
        let mut sum = vec![0.0; len];
        for block in &blocks {
            for (sum, value) in sum.iter_mut().zip(block) {
                *sum += value;
            }
        }
        self.unpack(&sum)
    }

    fn gradient_of<'a>(&self, dy: &'a [f32], group: usize) -> Matrix<'a> {
        Matrix::new(&dy[group * self.group_out()..], self.pixels(), self.group_out(), self.out_c)
    }

    /// The inputs of each output pixel of an image, `[pixels, fan in]`, zeros outside the image.
    fn unfold<'a>(&self, x: &'a [f32], group: usize, scratch: &'a mut Vec<f32>) -> Matrix<'a> {
        if self.is_pointwise() {
            return Matrix::new(x, self.pixels(), self.in_c, self.in_c);
        }
        scratch.resize(self.pixels() * self.fan_in(), 0.0);
        vectorized(|| {
            let mut rest = scratch.as_mut_slice();
            self.for_each_run(group, |run| {
                let (taps, behind) = std::mem::take(&mut rest).split_at_mut(run.len());
                rest = behind;
                match run {
                    Run::Zeros(_) => taps.fill(0.0),
                    Run::Values(range) => {
                        for (tap, x) in taps.iter_mut().zip(&x[range]) {
                            *tap = *x;
                        }
                    }
                }
            });
        });
        Matrix::new(scratch, self.pixels(), self.fan_in(), self.fan_in())
    }

    /// Adds each tap of an unfolded matrix to the pixel that it was read from.
    fn fold(&self, columns: &[f32], group: usize, dx: &mut [f32]) {
        vectorized(|| {
            let mut rest = columns;
            self.for_each_run(group, |run| {
                let (taps, behind) = rest.split_at(run.len());
                rest = behind;
                if let Run::Values(range) = run {
                    for (sum, tap) in dx[range].iter_mut().zip(taps) {
                        *sum += tap;
                    }
                }
            });
        });
    }

    /// Where the values of an unfolded matrix come from, in its order: runs that lie side by side in the
    /// image, or in the padding.
    #[inline(always)]
    fn for_each_run(&self, group: usize, mut each: impl FnMut(Run)) {
        let Conv2d { stride, padding, dilation, groups } = self.geometry;
        let inputs = self.group_in();
        let tap_row = self.k_w * inputs;
        for pixel in 0..self.pixels() {
            let (top, left) = (pixel / self.out_w * stride, pixel % self.out_w * stride);
            for ky in 0..self.k_h {
                // Above the image the subtraction wraps to a number larger than any side.
                let row = (top + ky * dilation).wrapping_sub(padding);
                if row >= self.in_h {
                    each(Run::Zeros(tap_row));
                    continue;
                }
                let start = |column: usize| (row * self.in_w + column) * self.in_c + group * inputs;
                let inside = left >= padding && left - padding + self.k_w <= self.in_w;
                if inside && dilation == 1 && groups == 1 {
                    let start = start(left - padding);
                    each(Run::Values(start..start + tap_row));
                    continue;
                }
                for kx in 0..self.k_w {
                    let column = (left + kx * dilation).wrapping_sub(padding);
                    each(match column < self.in_w {
                        true => Run::Values(start(column)..start(column) + inputs),
                        false => Run::Zeros(inputs),
                    });
                }
            }
        }
    }
}

/// A run of values of an unfolded matrix.
enum Run {
    /// So many values of the padding.
    Zeros(usize),
    /// These values of the image.
    Values(Range<usize>),
}

impl Run {
    fn len(&self) -> usize {
        match self {
            Self::Zeros(len) => *len,
            Self::Values(range) => range.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::with_values;
    use candle_core::{Device, Var};
    use proptest::prelude::*;

    fn integers(len: usize, by: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * by) % 11) as f32 - 5.0).collect()
    }

    /// Output, and the gradients under `dy`, by definition; exact on small integers.
    fn naive(s: &Sizes, x: &[f32], w: &[f32], dy: &[f32]) -> [Vec<f32>; 3] {
        let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
        let g = s.geometry;
        for n in 0..s.n {
            for oy in 0..s.out_h {
                for ox in 0..s.out_w {
                    for o in 0..s.out_c {
                        let at_y = ((n * s.out_h + oy) * s.out_w + ox) * s.out_c + o;
                        for i in 0..s.group_in() {
                            for ky in 0..s.k_h {
                                for kx in 0..s.k_w {
                                    let iy = (oy * g.stride + ky * g.dilation) as isize - g.padding as isize;
                                    let ix = (ox * g.stride + kx * g.dilation) as isize - g.padding as isize;
                                    if iy < 0 || ix < 0 || iy >= s.in_h as isize || ix >= s.in_w as isize {
                                        continue;
                                    }
                                    let channel = o / s.group_out() * s.group_in() + i;
                                    let at_x = ((n * s.in_h + iy as usize) * s.in_w + ix as usize) * s.in_c + channel;
                                    let at_w = ((o * s.group_in() + i) * s.k_h + ky) * s.k_w + kx;
                                    y[at_y] += x[at_x] * w[at_w];
                                    dx[at_x] += dy[at_y] * w[at_w];
                                    dw[at_w] += dy[at_y] * x[at_x];
                                }
                            }
                        }
                    }
                }
            }
        }
        [y, dx, dw]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn equals_a_naive_loop((h, w) in (1usize..12, 1usize..12), n in 0usize..4, (kh, kw) in (1usize..4, 1usize..4),
                               stride in 1usize..4, padding in 0usize..4, dilation in 1usize..4,
                               groups in 1usize..4, (gi, go) in (1usize..5, 1usize..5)) {
            let (x_dims, w_dims) = ([n, h, w, gi * groups], [go * groups, gi, kh, kw]);
            let geometry = Conv2d { stride, padding, dilation, groups };
            let Ok(s) = Sizes::new(&x_dims, &w_dims, geometry) else {
                prop_assert!(h + 2 * padding < dilation * (kh - 1) + 1 || w + 2 * padding < dilation * (kw - 1) + 1);
                return Ok(());
            };
            let xs = integers(x_dims.iter().product(), 7);
            let ws = integers(w_dims.iter().product(), 3);
            let dys = integers(s.n * s.image_out(), 5);
            let expected = naive(&s, &xs, &ws, &dys);
            let x = Var::from_vec(xs, &x_dims, &Device::Cpu).unwrap();
            let weight = Var::from_vec(ws, &w_dims, &Device::Cpu).unwrap();
            let y = conv2d(&x, &weight, geometry).unwrap();
            prop_assert_eq!(y.dims(), &[n, s.out_h, s.out_w, s.out_c]);
            let dy = Tensor::from_vec(dys, y.dims(), &Device::Cpu).unwrap();
            let gradients = (&y * dy).unwrap().sum_all().unwrap().backward().unwrap();
            for (found, expected) in [&y, gradients.get(&x).unwrap(), gradients.get(&weight).unwrap()].into_iter().zip(expected) {
                with_values("test", found, |found| assert_eq!(found, expected)).unwrap();
            }
        }
    }

    #[test]
    fn bad_shapes_are_named() {
        let tensor = |dims: &[usize]| Tensor::zeros(dims, candle_core::DType::F32, &Device::Cpu).unwrap();
        let message = |x: &[usize], w: &[usize], g| conv2d(&tensor(x), &tensor(w), g).unwrap_err().to_string();
        let plain = Conv2d::default();
        assert!(message(&[1, 4, 4, 3], &[8, 2, 3, 3], plain).contains("[1, 4, 4, 3]"));
        assert!(message(&[1, 4, 4, 3], &[8, 2, 3, 3], plain).contains("[8, 2, 3, 3]"));
        assert!(message(&[1, 2, 2, 3], &[8, 3, 3, 3], plain).contains("larger than"));
        assert!(message(&[4, 4, 3], &[8, 3, 3, 3], plain).contains("expected x of shape"));
        assert!(message(&[1, 4, 4, 3], &[8, 3, 3, 3], Conv2d { stride: 0, ..plain }).contains("at least 1"));
        assert!(message(&[1, 4, 4, 4], &[7, 2, 3, 3], Conv2d { groups: 2, ..plain }).contains("2 groups"));
    }
}
