//! Two-dimensional convolution.
//!
//! Computed directly, without unfolding the input (but where it is small): see [`gather`] for the forward pass and the input's
//! gradient, [`weight`] for the weight's gradient, [`depthwise`] for one channel a group, [`thin`] for few
//! pixels and a large weight.

mod depthwise;
mod gather;
mod thin;
mod weight;

use crate::candle;
use crate::columns;
use crate::elementwise::rectify;
use crate::feature_map::{Body, FeatureMap, Values};
use crate::graph::{Edge, Gradient};
use crate::kernels::Kernels;
use crate::memory::Buffer;
use crate::values::{check, elements, with_values};
use candle_core::{Result, Tensor, bail};
use gather::{Class, Finish, Gather, Map, Store, Tap, WeightStrides};
use std::sync::Arc;

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

impl Conv2d {
    /// The size of an image with its padding, where that can be counted.
    fn padded(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let border = self.padding.checked_mul(2)?;
        Some([size[0].checked_add(border)?, size[1].checked_add(border)?])
    }
}

impl Default for Conv2d {
    fn default() -> Self {
        Self { stride: 1, padding: 0, dilation: 1, groups: 1 }
    }
}

/// Convolves `x` `[n, h, w, in]` with `weight` `[out, in / groups, kh, kw]` to `[n, h', w', out]`,
/// `h' = ⌊(h + 2·padding − dilation·(kh − 1) − 1) / stride⌋ + 1`, and adds `bias` `[out]`.
///
/// As `torch.nn.functional.conv2d`. The gradient of `x` is not computed where nothing needs it (the first
/// layer of a network).
///
/// # Errors
///
/// Where the shapes do not fit each other or `geometry`, or a window is larger than the padded input.
pub fn conv2d(x: &FeatureMap, weight: &Tensor, bias: Option<&Tensor>, geometry: Conv2d) -> Result<FeatureMap> {
    let sizes = Sizes::check(NAME, x, weight, geometry)?;
    if let Some(bias) = bias {
        check(NAME, "bias", bias, "[out]", 1)?;
        if bias.dims() != [sizes.out_c] {
            bail!("{NAME}: weight {:?} has {} outputs, bias has shape {:?}", weight.dims(), sizes.out_c, bias.dims());
        }
    }
    let dims = sizes.output();
    let x = match x.body() {
        Body::Candle(x) => return Ok(FeatureMap::candle(dims, candle::conv2d(x, weight, bias, geometry)?)),
        Body::Kernels(x) => x.clone(),
    };
    let Values { kernels, values, edge, gradient: dx } = x;
    let (weight_edge, dw) = Edge::enter(NAME, weight)?;
    let (bias_edge, db) = match bias {
        Some(bias) => Edge::enter(NAME, bias)?,
        None => (Edge::NONE, Gradient::default()),
    };
    let mut y = Buffer::arbitrary(dims.iter().product())?;
    with_values(NAME, weight, |weight| match bias {
        None => sizes.forward(kernels, &values, weight, &mut y, None, None),
        Some(bias) => with_values(NAME, bias, |shift| {
            let affine = Affine { scale: &vec![1.0; sizes.out_c], shift, residual: None, relu: false };
            sizes.forward(kernels, &values, weight, &mut y, Some(affine), None)
        })?,
    })??;
    let dy = Gradient::default();
    let node = Edge::node(NAME, &[&edge, &weight_edge, &bias_edge], {
        let (weight, dy) = (weight.clone(), dy.clone());
        let (edge, weight_edge, bias_edge) = (edge.is_tracked(), weight_edge.is_tracked(), bias_edge.is_tracked());
        move || {
            let dy = dy.take(NAME)?;
            if bias_edge {
                db.add_buffer(column_sums(kernels, &dy, sizes.out_c)?);
            }
            if weight_edge {
                dw.add(sizes.weights(), |dw, add| sizes.weight_gradient(kernels, &values, &dy, dw, add))?;
            }
            if edge {
                with_values(NAME, &weight, |weight| {
                    dx.add(values.len(), |dx, add| sizes.input_gradient(kernels, &dy, weight, dx, add))
                })??;
            }
            Ok(())
        }
    })?;
    Ok(FeatureMap::kernels(dims, kernels, Arc::new(y), node, dy))
}

const NAME: &str = "conv2d";

/// Sums of each column of a matrix with `width` columns.
pub(crate) fn column_sums(kernels: Kernels, values: &[f32], width: usize) -> Result<Buffer> {
    #[derive(Clone, Copy)]
    struct Column<'a>(&'a [f32]);
    impl columns::Terms for Column<'_> {
        type State<S: pulp::Simd> = ();

        #[inline(always)]
        fn begin<S: pulp::Simd>(&self, _: S, _: usize, _: usize) {}

        #[inline(always)]
        fn terms<S: pulp::Simd>(&self, simd: S, (): (), at: usize, columns: usize) -> [S::f32s; 2] {
            [columns::load(simd, self.0, at, columns), simd.splat_f32s(0.0)]
        }
    }
    let rows = values.len() / width.max(1);
    let [sums, _] =
        columns::sum(kernels, rows, width, |start, count| Column(&values[start * width..][..count * width]));
    let sums: Vec<f32> = sums.iter().map(|sum| *sum as f32).collect();
    Buffer::copy(&sums)
}

/// What a layer does to each sum of a convolution: `sum·scale + shift` per channel, plus the residual, then
/// `max(·, 0)` if asked for.
#[derive(Clone, Copy)]
pub(crate) struct Affine<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) residual: Option<&'a [f32]>,
    pub(crate) relu: bool,
}

impl Affine<'_> {
    /// The result at `at`, which belongs to `channel`.
    #[inline(always)]
    fn apply(&self, sum: f32, channel: usize, at: usize) -> f32 {
        let value =
            sum * self.scale[channel] + self.shift[channel] + self.residual.map_or(0.0, |residual| residual[at]);
        if self.relu { rectify(value) } else { value }
    }
}

/// All sizes of one application.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
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
    /// Fails where the shapes do not fit, in the name of `op`.
    pub(crate) fn check(op: &str, x: &FeatureMap, weight: &Tensor, geometry: Conv2d) -> Result<Self> {
        check(op, "weight", weight, "[out, in / groups, kh, kw]", 4)?;
        Self::new(op, x.dims(), weight.dims(), geometry)
    }

    fn new(op: &str, x: [usize; 4], weight: &[usize], geometry: Conv2d) -> Result<Self> {
        let ([n, in_h, in_w, in_c], &[out_c, group_in, k_h, k_w]) = (x, weight) else {
            bail!("{op}: expected weight [out, in / groups, kh, kw], found {weight:?}");
        };
        let Conv2d { stride, dilation, groups, .. } = geometry;
        if stride == 0 || dilation == 0 || groups == 0 {
            bail!("{op}: stride, dilation and groups must be at least 1, found {geometry:?}");
        }
        if group_in.checked_mul(groups) != Some(in_c) || out_c % groups != 0 {
            bail!("{op}: x {x:?} has {in_c} channels, which does not fit weight {weight:?} in {groups} groups");
        }
        if in_h == 0 || in_w == 0 {
            bail!("{op}: expected images with pixels, found x {x:?}");
        }
        let Some([padded_h, padded_w]) = geometry.padded([in_h, in_w]) else {
            bail!("{op}: x {x:?} with {geometry:?} is larger than any memory");
        };
        let size = |padded: usize, kernel: usize| {
            let window = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
            padded.checked_sub(window).map(|room| room / stride + 1)
        };
        let (Some(out_h), Some(out_w)) = (size(padded_h, k_h), size(padded_w, k_w)) else {
            bail!("{op}: weight {weight:?} is empty or larger than x {x:?} with {geometry:?}");
        };
        // Nothing that is computed from these below can overflow, where a stride past the image is one to its end.
        elements(op, [n, padded_h, padded_w, in_c.max(out_c)])?;
        let geometry = Conv2d { stride: stride.min(padded_h.max(padded_w)), ..geometry };
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
        self.out_h * self.out_w * self.out_c
    }

    /// `[n, h', w', out]`.
    pub(crate) fn output(&self) -> [usize; 4] {
        [self.n, self.out_h, self.out_w, self.out_c]
    }

    /// Values of the weight.
    pub(crate) fn weights(&self) -> usize {
        self.out_c * self.fan_in()
    }

    /// Columns of the padded input.
    fn padded_w(&self) -> usize {
        self.in_w + 2 * self.geometry.padding
    }

    fn is_depthwise(&self) -> bool {
        self.geometry.groups > 1 && self.group_in() == 1 && self.group_out() == 1
    }

    /// How many blocks of pixels `finish` of [`Sizes::forward`] sees; none where it sees nothing.
    pub(crate) fn blocks(&self) -> Option<usize> {
        (!self.is_depthwise() && !thin::fits(self)).then(|| self.forward_plan().block_count())
    }

    /// Inputs of an output value.
    fn fan_in(&self) -> usize {
        self.group_in() * self.k_h * self.k_w
    }

    /// Writes the convolution of `x` to `y`, with `affine` applied to each sum where it is given. `finish` gets the blocks of
    /// [`Sizes::blocks`].
    pub(crate) fn forward(
        &self,
        kernels: Kernels,
        x: &[f32],
        weight: &[f32],
        y: &mut [f32],
        affine: Option<Affine<'_>>,
        finish: Option<&Finish<'_>>,
    ) -> Result<()> {
        if self.is_depthwise() {
            depthwise::forward(kernels, self, x, weight, y, affine);
            return Ok(());
        }
        if thin::fits(self) {
            return thin::forward(kernels, self, x, weight, y, affine);
        }
        let plan = self.forward_plan();
        plan.run(kernels, x, weight, y, affine.map_or(Store::Write, Store::Affine), finish)
    }

    /// Writes the gradient of the input to `dx`, or adds it.
    pub(crate) fn input_gradient(
        &self,
        kernels: Kernels,
        dy: &[f32],
        weight: &[f32],
        dx: &mut [f32],
        add: bool,
    ) -> Result<()> {
        if self.is_depthwise() {
            depthwise::input_gradient(kernels, self, dy, weight, dx, add);
            return Ok(());
        }
        if thin::fits(self) {
            return thin::input_gradient(kernels, self, dy, weight, dx, add);
        }
        let plan = self.gradient_plan();
        plan.run(kernels, dy, weight, dx, if add { Store::Add } else { Store::Write }, None)
    }

    /// Writes the gradient of the weight to `dw`, or adds it.
    pub(crate) fn weight_gradient(
        &self,
        kernels: Kernels,
        x: &[f32],
        dy: &[f32],
        dw: &mut [f32],
        add: bool,
    ) -> Result<()> {
        if self.is_depthwise() {
            depthwise::weight_gradient(kernels, self, x, dy, dw, add);
            return Ok(());
        }
        if thin::fits(self) {
            return thin::weight_gradient(kernels, self, x, dy, dw, add);
        }
        weight::weight_gradient(kernels, self, x, dy, dw, add)
    }

    fn source(&self) -> Map {
        Map { h: self.in_h, w: self.in_w, c: self.in_c }
    }

    fn target(&self) -> Map {
        Map { h: self.out_h, w: self.out_w, c: self.out_c }
    }

    fn forward_plan(&self) -> Gather {
        let Conv2d { stride, padding, dilation, groups } = self.geometry;
        let taps = (0..self.k_h * self.k_w).map(|index| {
            let (y, x) = (index / self.k_w * dilation, index % self.k_w * dilation);
            Tap { y, x, index }
        });
        let taps_len = self.k_h * self.k_w;
        Gather {
            images: self.n,
            source: self.source(),
            target: self.target(),
            groups,
            top: padding,
            left: padding,
            step: stride,
            spread: 1,
            classes: vec![Class { y: 0, x: 0, rows: self.out_h, columns: self.out_w, taps: taps.collect() }],
            weight_strides: WeightStrides {
                group: self.group_out() * self.group_in() * taps_len,
                lane: self.group_in() * taps_len,
                depth: taps_len,
            },
        }
    }

    /// Input pixel `(y, x)` was read by output pixel `o` through tap `k` where
    /// `o·stride + k·dilation − padding = y`: for each parity of `y` modulo the stride some taps, at fixed
    /// distances of outputs.
    fn gradient_plan(&self) -> Gather {
        let Conv2d { stride, padding, dilation, groups } = self.geometry;
        // The taps of a parity: index, and the output that the first pixel of the parity goes to.
        let taps = |parity: usize, kernel: usize| -> Vec<(usize, isize)> {
            let mut taps: Vec<_> = (0..kernel)
                .filter_map(|k| {
                    let distance = (parity + padding) as isize - (k * dilation) as isize;
                    (distance.rem_euclid(stride as isize) == 0).then(|| (k, distance.div_euclid(stride as isize)))
                })
                .collect();
            taps.sort_by_key(|(_, output)| *output);
            taps
        };
        let rows: Vec<_> = (0..stride.min(self.in_h)).map(|parity| taps(parity, self.k_h)).collect();
        let columns: Vec<_> = (0..stride.min(self.in_w)).map(|parity| taps(parity, self.k_w)).collect();
        let before =
            |all: &[Vec<(usize, isize)>]| all.iter().flatten().map(|(_, output)| -output).max().unwrap_or(0).max(0);
        let (top, left) = (before(&rows), before(&columns));
        let mut classes = Vec::new();
        for (y, rows) in rows.iter().enumerate() {
            for (x, columns) in columns.iter().enumerate() {
                let taps = rows.iter().flat_map(|(ky, oy)| {
                    columns.iter().map(move |(kx, ox)| Tap {
                        y: (oy + top) as usize,
                        x: (ox + left) as usize,
                        index: ky * self.k_w + kx,
                    })
                });
                classes.push(Class {
                    y,
                    x,
                    rows: (self.in_h - y).div_ceil(stride),
                    columns: (self.in_w - x).div_ceil(stride),
                    taps: taps.collect(),
                });
            }
        }
        let taps_len = self.k_h * self.k_w;
        Gather {
            images: self.n,
            source: self.target(),
            target: self.source(),
            groups,
            top: top as usize,
            left: left as usize,
            step: 1,
            spread: stride,
            classes,
            weight_strides: WeightStrides {
                group: self.group_out() * self.group_in() * taps_len,
                lane: taps_len,
                depth: self.group_in() * taps_len,
            },
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

    /// Compares all sets of kernels with the naive loop.
    fn compare(x_dims: [usize; 4], w_dims: [usize; 4], geometry: Conv2d, bias: bool) {
        let s = Sizes::new("conv2d", x_dims, &w_dims, geometry).unwrap();
        let n = s.n;
        let xs = integers(x_dims.iter().product(), 7);
        let ws = integers(w_dims.iter().product(), 3);
        let bs = integers(s.out_c, if bias { 9 } else { 0 });
        let dys = integers(s.n * s.image_out(), 5);
        let mut expected = naive(&s, &xs, &ws, &dys).to_vec();
        if bias {
            let db = (0..s.out_c).map(|o| dys.iter().skip(o).step_by(s.out_c).sum()).collect();
            expected.push(db);
            for (y, b) in expected[0].iter_mut().zip(bs.iter().cycle()) {
                *y += b;
            }
        }
        for kernels in Kernels::available() {
            let x = Var::from_vec(xs.clone(), &x_dims, &Device::Cpu).unwrap();
            let weight = Var::from_vec(ws.clone(), &w_dims, &Device::Cpu).unwrap();
            let b = Var::from_vec(bs.clone(), s.out_c, &Device::Cpu).unwrap();
            let map = kernels.scope(|| FeatureMap::from_tensor(&x)).unwrap().unwrap();
            let y = conv2d(&map, &weight, bias.then_some(&b), geometry).unwrap().to_tensor().unwrap();
            assert_eq!(y.dims(), &[n, s.out_h, s.out_w, s.out_c]);
            let dy = Tensor::from_vec(dys.clone(), y.dims(), &Device::Cpu).unwrap();
            let gradients = (&y * dy).unwrap().sum_all().unwrap().backward().unwrap();
            let zero = |var: &Var| gradients.get(var).cloned().unwrap_or_else(|| var.zeros_like().unwrap());
            let mut found = vec![y, zero(&x), zero(&weight)];
            if bias {
                found.push(zero(&b));
            }
            for (found, expected) in found.iter().zip(&expected) {
                with_values("test", found, |found| assert_eq!(found, expected, "{kernels:?}")).unwrap();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn equals_a_naive_loop((h, w) in (1usize..12, 1usize..12), n in 0usize..4, (kh, kw) in (1usize..4, 1usize..4),
                               stride in 1usize..4, padding in 0usize..4, dilation in 1usize..4,
                               groups in 1usize..4, (gi, go) in (1usize..21, 1usize..40), bias in any::<bool>()) {
            let (x_dims, w_dims) = ([n, h, w, gi * groups], [go * groups, gi, kh, kw]);
            let geometry = Conv2d { stride, padding, dilation, groups };
            if Sizes::new("conv2d", x_dims, &w_dims, geometry).is_err() {
                prop_assert!(h + 2 * padding < dilation * (kh - 1) + 1 || w + 2 * padding < dilation * (kw - 1) + 1);
                return Ok(());
            }
            compare(x_dims, w_dims, geometry, bias);
        }
    }

    proptest! {
        // Large weights: the naive loop takes its time.
        #![proptest_config(ProptestConfig::with_cases(6))]
        #[test]
        fn few_pixels_equal_a_naive_loop((h, w) in (1usize..8, 1usize..8), n in 1usize..3, stride in 1usize..3,
                                         padding in 1usize..3, (inputs, outputs) in (110usize..160, 130usize..170),
                                         bias in any::<bool>()) {
            let geometry = Conv2d { stride, padding, ..Conv2d::default() };
            let (x, weight) = ([n, h, w, inputs], [outputs, inputs, 3, 3]);
            let sizes = Sizes::new("conv2d", x, &weight, geometry).unwrap();
            prop_assume!(thin::fits(&sizes));
            compare(x, weight, geometry, bias);
        }
    }

    #[test]
    fn bad_shapes_are_named() {
        let tensor = |dims: &[usize]| Tensor::zeros(dims, candle_core::DType::F32, &Device::Cpu).unwrap();
        let message = |x: &[usize], w: &[usize], g| {
            let x = FeatureMap::from_tensor(&tensor(x)).unwrap();
            conv2d(&x, &tensor(w), None, g).unwrap_err().to_string()
        };
        let plain = Conv2d::default();
        assert!(message(&[1, 4, 4, 3], &[8, 2, 3, 3], plain).contains("[1, 4, 4, 3]"));
        assert!(message(&[1, 4, 4, 3], &[8, 2, 3, 3], plain).contains("[8, 2, 3, 3]"));
        assert!(message(&[1, 2, 2, 3], &[8, 3, 3, 3], plain).contains("larger than"));
        assert!(message(&[1, 4, 4, 3], &[8, 3, 3], plain).contains("expected weight of shape"));
        assert!(message(&[1, 4, 4, 3], &[8, 3, 3, 3], Conv2d { stride: 0, ..plain }).contains("at least 1"));
        assert!(message(&[1, 4, 4, 4], &[7, 2, 3, 3], Conv2d { groups: 2, ..plain }).contains("2 groups"));
        for huge in [usize::MAX, usize::MAX / 2, 1 << 40] {
            assert!(message(&[1, 4, 4, 3], &[8, 3, 3, 3], Conv2d { padding: huge, ..plain }).contains("memory"));
            assert!(message(&[1, 4, 4, 3], &[8, 3, 3, 3], Conv2d { dilation: huge, ..plain }).contains("larger than"));
        }
        // Few outputs, far apart: too large a border to copy.
        let far = Conv2d { padding: 1 << 29, stride: 1 << 29, ..plain };
        assert!(message(&[1, 4, 4, 3], &[8, 3, 3, 3], far).contains("memory"));
        assert!(FeatureMap::from_tensor(&tensor(&[4, 4, 3])).unwrap_err().to_string().contains("expected x of shape"));
    }
}
