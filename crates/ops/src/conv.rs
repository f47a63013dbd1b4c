//! Two-dimensional convolution.

use crate::engine::Epilogue;
use crate::feature_map::FeatureMap;
use crate::graph::{Edge, Gradient};
use crate::values::{check, elements};
use candle_core::{Result, Tensor, bail};
use std::sync::Arc;

/// Geometry of a convolution, the same in both directions; names as in `torch.nn.Conv2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Pixels between neighboring windows, at least 1.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Pixels between neighboring taps, at least 1.
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
    let sizes = ConvSizes::check(NAME, x, weight, geometry)?;
    if let Some(bias) = bias {
        check(NAME, "bias", bias, "[out]", 1)?;
        if bias.dims() != [sizes.out_c] {
            bail!("{NAME}: weight {:?} has {} outputs, bias has shape {:?}", weight.dims(), sizes.out_c, bias.dims());
        }
    }
    let (dims, engine) = (sizes.output(), x.engine);
    let (weight_edge, dweight) = Edge::enter(engine, NAME, weight)?;
    let (bias_edge, dbias) = match bias {
        Some(bias) => Edge::enter(engine, NAME, bias)?,
        None => (Edge::NONE, Gradient::new(engine)),
    };
    let mut y = engine.allocate(dims.iter().product())?;
    engine.conv(&sizes, &x.values, weight, &mut y, bias.map_or(Epilogue::None, Epilogue::Bias))?;
    let edges = [&x.edge, &weight_edge, &bias_edge];
    let [tracks_x, tracks_weight, tracks_bias] = edges.map(Edge::is_tracked);
    FeatureMap::from_op(NAME, engine, &edges, dims, Arc::new(y), {
        let (weight, values, dx) = (weight.clone(), x.values.clone(), x.gradient.clone());
        move |dy| {
            if tracks_bias {
                dbias.add_buffer(engine.column_sums(&dy, dims[3])?)?;
            }
            if tracks_weight {
                dweight.add(sizes.weights(), |dw, add| engine.conv_weight_gradient(&sizes, &values, &dy, dw, add))?;
            }
            if tracks_x {
                dx.add(values.len(), |dx, add| engine.conv_input_gradient(&sizes, &dy, &weight, dx, add))?;
            }
            Ok(())
        }
    })
}

const NAME: &str = "conv2d";

/// All sizes of one application.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvSizes {
    pub(crate) geometry: Conv2d,
    pub(crate) n: usize,
    pub(crate) in_h: usize,
    pub(crate) in_w: usize,
    pub(crate) in_c: usize,
    pub(crate) k_h: usize,
    pub(crate) k_w: usize,
    pub(crate) out_h: usize,
    pub(crate) out_w: usize,
    pub(crate) out_c: usize,
}

impl ConvSizes {
    /// Fails where the shapes do not fit, in the name of `op`.
    pub(crate) fn check(op: &str, x: &FeatureMap, weight: &Tensor, geometry: Conv2d) -> Result<Self> {
        check(op, "weight", weight, "[out, in / groups, kh, kw]", 4)?;
        Self::new(op, x.dims(), weight.dims(), geometry)
    }

    pub(crate) fn new(op: &str, x: [usize; 4], weight: &[usize], geometry: Conv2d) -> Result<Self> {
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

    pub(crate) fn group_in(&self) -> usize {
        self.in_c / self.geometry.groups
    }

    pub(crate) fn group_out(&self) -> usize {
        self.out_c / self.geometry.groups
    }

    pub(crate) fn image_in(&self) -> usize {
        self.in_h * self.in_w * self.in_c
    }

    pub(crate) fn image_out(&self) -> usize {
        self.out_h * self.out_w * self.out_c
    }

    /// `[n, h', w', out]`.
    pub(crate) fn output(&self) -> [usize; 4] {
        [self.n, self.out_h, self.out_w, self.out_c]
    }

    /// `[out, in / groups, kh, kw]`.
    pub(crate) fn weight(&self) -> [usize; 4] {
        [self.out_c, self.group_in(), self.k_h, self.k_w]
    }

    /// Values of the weight.
    pub(crate) fn weights(&self) -> usize {
        self.out_c * self.fan_in()
    }

    /// Inputs of an output value.
    pub(crate) fn fan_in(&self) -> usize {
        self.group_in() * self.k_h * self.k_w
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::with_values;
    use candle_core::{Device, Var};
    use kernels::Kernels;
    use proptest::prelude::*;

    fn integers(len: usize, by: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * by) % 11) as f32 - 5.0).collect()
    }

    /// Output, and the gradients under `dy`, by definition; exact on small integers.
    fn naive(s: &ConvSizes, x: &[f32], w: &[f32], dy: &[f32]) -> [Vec<f32>; 3] {
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
        let s = ConvSizes::new("conv2d", x_dims, &w_dims, geometry).unwrap();
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
            if ConvSizes::new("conv2d", x_dims, &w_dims, geometry).is_err() {
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
            let sizes = ConvSizes::new("conv2d", x, &weight, geometry).unwrap();
            prop_assume!(crate::cpu::conv::few_pixels::fits(&sizes));
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
