//! What the examples train: a small network of candle-nn, and images made for it.

use candle_core::{Device::Cpu, Module, ModuleT, Result, Tensor};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Linear, VarBuilder};
use rand_distr::{Distribution, StandardNormal};
use regularize::{Error, Normalization, Params, Role};

const CLASSES: usize = 8;
const SIDE: usize = 12;

/// Names and output channels of the layers, each a convolution `conv` and its batch norm `norm`.
const LAYERS: [(&str, usize); 2] = [("layer1", 16), ("layer2", 32)];

pub(crate) struct Network {
    layers: Vec<(Conv2d, BatchNorm)>,
    head: Linear,
}

impl Network {
    pub(crate) fn new(vb: &VarBuilder<'_>) -> Result<Self> {
        let (mut layers, mut inputs) = (Vec::new(), 1);
        for (name, outputs) in LAYERS {
            let (vb, geometry) = (vb.pp(name), Conv2dConfig { padding: 1, ..Conv2dConfig::default() });
            let conv = candle_nn::conv2d_no_bias(inputs, outputs, 3, geometry, vb.pp("conv"))?;
            layers.push((conv, candle_nn::batch_norm(outputs, 1e-5, vb.pp("norm"))?));
            inputs = outputs;
        }
        Ok(Self { layers, head: candle_nn::linear(inputs, CLASSES, vb.pp("head"))? })
    }

    /// `[n, 1, h, w]` to `[n, classes]`.
    pub(crate) fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let mut x = images.clone();
        for (conv, norm) in &self.layers {
            x = norm.forward_t(&conv.forward(&x)?, train)?.relu()?.avg_pool2d(2)?;
        }
        self.head.forward(&x.mean((2, 3))?)
    }

    /// The loss on a batch, in training mode.
    pub(crate) fn loss(&self, (images, classes): &(Tensor, Tensor)) -> Result<Tensor> {
        candle_nn::loss::cross_entropy(&self.forward(images, true)?, classes)
    }

    /// The smallest and the largest norm of a filter.
    pub(crate) fn filter_norms(&self) -> Result<(f32, f32)> {
        let mut norms = Vec::new();
        for (conv, _) in &self.layers {
            norms.extend(conv.weight().flatten_from(1)?.sqr()?.sum(1)?.sqrt()?.to_vec1::<f32>()?);
        }
        Ok((norms.iter().copied().fold(f32::INFINITY, f32::min), norms.iter().copied().fold(0.0, f32::max)))
    }
}

/// Says that every convolution is followed by its batch norm, and by which.
pub(crate) fn tell_roles(params: &Params) -> std::result::Result<(), Error> {
    for (name, outputs) in LAYERS {
        let layer = params.pp(name);
        let normalization = Normalization {
            running_mean: layer.buffer("norm.running_mean", outputs, 0.0)?,
            running_var: layer.buffer("norm.running_var", outputs, 1.0)?,
            bias: None,
        };
        layer.set_role("conv.weight", Role::ScaleInvariant(vec![normalization]))?;
    }
    Ok(())
}

/// Batches of `n` images `[n, 1, SIDE, SIDE]`, waves in noise, with the class of each, the wave's direction.
pub(crate) fn batches(count: usize, n: usize) -> Result<Vec<(Tensor, Tensor)>> {
    let mut rng = random::stream(0, "images", &[]);
    let mut normal = || -> f32 { StandardNormal.sample(&mut rng) };
    let mut batch = || {
        let (mut images, classes) = (Vec::new(), (0..n).map(|image| (image % CLASSES) as u32));
        for class in classes.clone() {
            let (sin, cos) = libm::sincosf(class as f32 * std::f32::consts::PI / CLASSES as f32);
            let phase = 3.0 * normal();
            for pixel in 0..SIDE * SIDE {
                let (y, x) = ((pixel / SIDE) as f32, (pixel % SIDE) as f32);
                images.push(libm::sinf(0.9 * (x * cos + y * sin) + phase) + normal());
            }
        }
        Ok((Tensor::from_vec(images, (n, 1, SIDE, SIDE), &Cpu)?, Tensor::from_iter(classes, &Cpu)?))
    };
    (0..count).map(|_| batch()).collect()
}
