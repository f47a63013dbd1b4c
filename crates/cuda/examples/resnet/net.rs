//! Networks as lists of layers with their parameters in one array.

use cuda::{Conv, Window};

/// A layer; values are counted from the images, value 0, on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layer {
    /// Convolution, batch norm, optional residual and ReLU.
    Conv { conv: Conv, input: usize, residual: Option<usize>, relu: bool, param: usize },
    /// Max-pooling.
    Pool { window: Window, input: usize },
    /// Mean over the pixels, a linear layer and the loss.
    Head { input: usize, param: usize },
}

/// A parameter: `rows` rows of `len` values from `offset` on.
#[derive(Debug, Clone)]
pub(crate) struct Param {
    pub name: String,
    pub rows: usize,
    pub len: usize,
    pub offset: usize,
    pub kind: Kind,
}

/// How a parameter begins and what a step does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Filters with a norm behind them.
    Filter,
    /// γ or the like, from 1.
    Ones,
    /// β, a bias, from 0.
    Zeros,
    /// The last layer's weight.
    Linear,
}

/// A network for images of 32×32 pixels.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub name: String,
    pub batch: usize,
    pub classes: usize,
    /// Channels of the augmented images: 3, and zeros.
    pub channels: usize,
    pub layers: Vec<Layer>,
    pub params: Vec<Param>,
    /// Height, width and channels of each value.
    pub dims: Vec<[usize; 3]>,
}

impl Network {
    /// By name: `resnet18`, `resnet20`, `resnet8` or `vgg16`.
    pub(crate) fn named(name: &str, batch: usize, channels: usize) -> Option<Self> {
        let mut net = Self {
            name: name.into(),
            batch,
            classes: 100,
            channels,
            layers: Vec::new(),
            params: Vec::new(),
            dims: vec![[32, 32, channels]],
        };
        match name {
            "resnet18" => net.resnet(64, 2, 4),
            "resnet20" => net.resnet(16, 3, 3),
            "resnet8" => net.resnet(16, 1, 3),
            "vgg16" => net.vgg(),
            _ => return None,
        }
        Some(net)
    }

    /// Values of all parameters, with gaps.
    pub(crate) fn len(&self) -> usize {
        self.params.last().map_or(0, |param| aligned(param.offset + param.rows * param.len))
    }

    fn resnet(&mut self, width: usize, blocks: usize, stages: usize) {
        let mut x = self.conv(0, width, 3, 1, None, true);
        for stage in 0..stages {
            for block in 0..blocks {
                let (width, stride) = (width << stage, if stage > 0 && block == 0 { 2 } else { 1 });
                let shortcut = match stride {
                    1 => x,
                    _ => self.conv(x, width, 1, stride, None, false),
                };
                let inner = self.conv(x, width, 3, stride, None, true);
                x = self.conv(inner, width, 3, 1, Some(shortcut), true);
            }
        }
        self.head(x);
    }

    fn vgg(&mut self) {
        let mut x = 0;
        for (convs, width) in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)] {
            for _ in 0..convs {
                x = self.conv(x, width, 3, 1, None, true);
            }
            let [h, w, c] = self.dims[x];
            let window = Window { dims: [self.batch, h, w, c], kernel: 2, stride: 2, padding: 0 };
            self.layers.push(Layer::Pool { window, input: x });
            self.dims.push([h / 2, w / 2, c]);
            x = self.layers.len();
        }
        self.head(x);
    }

    fn conv(
        &mut self,
        input: usize,
        k: usize,
        size: usize,
        stride: usize,
        residual: Option<usize>,
        relu: bool,
    ) -> usize {
        let [h, w, c] = self.dims[input];
        let conv = Conv { n: self.batch, h, w, c, k, size, stride, padding: size / 2, dilation: 1 };
        let name = format!("layer{}", self.layers.len());
        let param = self.param(format!("{name}.conv"), k, size * size * c, Kind::Filter);
        self.param(format!("{name}.gamma"), 1, k, Kind::Ones);
        self.param(format!("{name}.beta"), 1, k, Kind::Zeros);
        self.layers.push(Layer::Conv { conv, input, residual, relu, param });
        let [oh, ow] = conv.output();
        self.dims.push([oh, ow, k]);
        self.layers.len()
    }

    fn head(&mut self, input: usize) {
        let [_, _, c] = self.dims[input];
        let param = self.param("head.weight".into(), self.classes, c, Kind::Linear);
        self.param("head.bias".into(), 1, self.classes, Kind::Zeros);
        self.layers.push(Layer::Head { input, param });
    }

    fn param(&mut self, name: String, rows: usize, len: usize, kind: Kind) -> usize {
        let offset = self.len();
        self.params.push(Param { name, rows, len, offset, kind });
        self.params.len() - 1
    }

    /// The first weights: He's normal distribution for filters, torch's for the last layer.
    pub(crate) fn initial(&self, seed: u64) -> Vec<f32> {
        let mut random = Random(seed);
        let mut weights = vec![0.0; self.len()];
        for param in &self.params {
            let values = &mut weights[param.offset..][..param.rows * param.len];
            let fan_out = param.rows * param.len / self.channels_of(param).max(1);
            match param.kind {
                Kind::Ones => values.fill(1.0),
                Kind::Zeros => values.fill(0.0),
                Kind::Filter => {
                    let std = (2.0 / fan_out as f32).sqrt();
                    values.iter_mut().for_each(|value| *value = std * random.normal());
                }
                Kind::Linear => {
                    let bound = 1.0 / (param.len as f32).sqrt();
                    values.iter_mut().for_each(|value| *value = bound * (2.0 * random.uniform() - 1.0));
                }
            }
        }
        self.clear_padding(&mut weights);
        weights
    }

    /// Input channels of a filter.
    fn channels_of(&self, param: &Param) -> usize {
        let of = |layer: &Layer| match layer {
            Layer::Conv { conv, param: index, .. } => (self.params[*index].offset == param.offset).then_some(conv.c),
            _ => None,
        };
        self.layers.iter().find_map(of).unwrap_or(1)
    }

    /// Weights of the images' channels that are always 0.
    fn clear_padding(&self, weights: &mut [f32]) {
        let Some(param) = self.params.first() else { return };
        for pixel in weights[param.offset..][..param.rows * param.len].chunks_mut(self.channels) {
            pixel[self.channels.min(3)..].fill(0.0);
        }
    }
}

/// Parameters begin at multiples of 256 bytes also as bf16.
fn aligned(offset: usize) -> usize {
    offset.next_multiple_of(128)
}

/// Pseudo-random numbers (splitmix64).
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub(crate) fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 24) as f32
    }

    /// Of mean 0 and variance 1.
    pub(crate) fn normal(&mut self) -> f32 {
        let (u, v) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
    }
}

/// Images that can be told apart: each class a pattern of waves, each image its class's pattern moved, scaled and in noise.
pub(crate) struct Data {
    pub images: Vec<u8>,
    pub targets: Vec<i32>,
}

impl Data {
    pub(crate) const SIDE: usize = 32;

    pub(crate) fn new(count: usize, classes: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let waves: Vec<[f32; 12]> =
            (0..classes).map(|_| std::array::from_fn(|_| random.uniform() * 2.0 - 1.0)).collect();
        let mut data = Self { images: Vec::with_capacity(count * 3072), targets: Vec::with_capacity(count) };
        for _ in 0..count {
            let class = (random.bits() % classes as u64) as usize;
            let (dx, dy) = (random.uniform() * 8.0, random.uniform() * 8.0);
            let contrast = 30.0 + 30.0 * random.uniform();
            for pixel in 0..Self::SIDE * Self::SIDE {
                let (x, y) = ((pixel % Self::SIDE) as f32 + dx, (pixel / Self::SIDE) as f32 + dy);
                for w in waves[class].chunks_exact(4) {
                    let value = (w[0] * x + w[1] * y + 6.0 * w[2]).sin() + w[3];
                    let value = 128.0 + contrast * value + 25.0 * random.normal();
                    data.images.push(value.clamp(0.0, 255.0) as u8);
                }
            }
            data.targets.push(class as i32);
        }
        data
    }
}
