//! The networks.

use crate::config::{ModelConfig, Sign, resnet};
use candle_core::{Result, Tensor};
use ops::{Conv2d, FeatureMap, MaxPool2d, Statistics};
use regularize::{Error, Params};
use vision::{Backbone, Conv, ConvBn};

/// A network that counts; see [`ModelConfig`]. Parameters are named `frontend.<i>` (or `columns.<i>`, or `backbone`),
/// `backend.<i>` and `output`.
pub struct Counter {
    body: Body,
    output: Conv,
    sign: Sign,
    /// People in a cell where the network's last layer says 1.
    unit: f64,
}

enum Body {
    Layers(Vec<Layer>),
    Columns(Vec<Vec<Layer>>),
    ResNet(Box<dyn Backbone>, Vec<Layer>),
}

enum Layer {
    Conv(ConvBn),
    /// Of 2×2 pixels.
    Pool,
}

/// What a sequence of layers is made of: the channels, kernel and dilation of a convolution, or a pooling.
#[derive(Clone, Copy)]
enum Part {
    Conv(usize, usize, usize),
    Pool,
}

impl Counter {
    /// A network for images of `channels` channels, its parameters in `params`, whose maps have cells of `sign` in units of
    /// `unit` people.
    ///
    /// # Errors
    ///
    /// Where there is no network of that size.
    pub fn new(
        params: &Params,
        channels: usize,
        config: ModelConfig,
        sign: Sign,
        unit: f64,
    ) -> std::result::Result<Self, Error> {
        let plain = |channels| Part::Conv(channels, 3, 1);
        let dilated = |channels| Part::Conv(channels, 3, 2);
        let (body, last) = match config {
            ModelConfig::Csrnet { width: w } => {
                let stages = [(2, w), (2, 2 * w), (3, 4 * w), (3, 8 * w)];
                let frontend = stages.iter().enumerate().flat_map(|(index, (convs, channels))| {
                    let pool = (index > 0).then_some(Part::Pool);
                    pool.into_iter().chain(std::iter::repeat_n(plain(*channels), *convs))
                });
                let mut layers = layers(&params.pp("frontend"), channels, &frontend.collect::<Vec<_>>())?;
                let backend = [8 * w, 8 * w, 8 * w, 4 * w, 2 * w, w].map(dilated);
                layers.extend(self::layers(&params.pp("backend"), 8 * w, &backend)?);
                (Body::Layers(layers), w)
            }
            ModelConfig::Mcnn { width: w } => {
                let column = |index: usize, [first, second, third, fourth]: [usize; 4], kernel: usize| {
                    let rest = |channels| Part::Conv(channels, kernel - 2, 1);
                    let parts =
                        [Part::Conv(first, kernel, 1), Part::Pool, rest(second), Part::Pool, rest(third), rest(fourth)];
                    layers(&params.pp("columns").pp(index), channels, &parts)
                };
                let columns = vec![
                    column(0, [w, 2 * w, w, w / 2], 9)?,
                    column(1, [w / 4 * 5, w / 2 * 5, w / 4 * 5, w / 8 * 5], 7)?,
                    column(2, [w / 2 * 3, 3 * w, w / 2 * 3, w / 4 * 3], 5)?,
                ];
                (Body::Columns(columns), w / 2 + w / 8 * 5 + w / 4 * 3)
            }
            ModelConfig::Resnet { depth, width, output_stride, channels: inner } => {
                let backbone = resnet(depth, width, output_stride).build(&params.pp("backbone"), channels)?;
                let last = backbone.channels().last().copied().unwrap_or(0);
                let backend = layers(&params.pp("backend"), last, &[dilated(inner), dilated(inner)])?;
                (Body::ResNet(backbone, backend), inner)
            }
        };
        let output = Conv::new(&params.pp("output"), last, 1, 1, Conv2d::default())?;
        Ok(Self { body, output, sign, unit })
    }

    /// Images `[n, h, w, channels]`, whose sides are multiples of [`ModelConfig::stride`], to the people in each cell,
    /// `[n, h', w']`.
    ///
    /// # Errors
    ///
    /// Where the shape does not fit.
    pub fn forward(&self, images: &Tensor, statistics: Statistics) -> Result<Tensor> {
        let images = FeatureMap::from_tensor(images)?;
        let features = match &self.body {
            Body::Layers(layers) => run(layers, images, statistics)?,
            Body::Columns(columns) => {
                let columns = columns.iter().map(|column| run(column, images.clone(), statistics));
                ops::concat(&columns.collect::<Result<Vec<_>>>()?.iter().collect::<Vec<_>>())?
            }
            Body::ResNet(backbone, backend) => {
                let mut features = backbone.features(&images, statistics)?;
                match features.pop() {
                    Some(last) => run(backend, last, statistics)?,
                    None => candle_core::bail!("counter: expected features of at least one stage, found none"),
                }
            }
        };
        let map = self.output.forward(&features)?.to_tensor()?.squeeze(3)?;
        match self.sign {
            Sign::Any => map * self.unit,
            Sign::Positive => map.abs()? * self.unit,
        }
    }
}

/// Layers in sequence, the parameters of each convolution in `<params>.<convolution>.0` and those of its batch norm in
/// `<params>.<convolution>.1`.
fn layers(params: &Params, channels: usize, parts: &[Part]) -> std::result::Result<Vec<Layer>, Error> {
    let (mut inputs, mut index) = (channels, 0);
    let layer = |part: &Part| {
        let Part::Conv(outputs, kernel, dilation) = *part else { return Ok(Layer::Pool) };
        let geometry = Conv2d { padding: kernel / 2 * dilation, dilation, ..Conv2d::default() };
        let params = params.pp(index);
        let conv = ConvBn::new(&params.pp(0), &params.pp(1), inputs, outputs, kernel, geometry)?;
        (inputs, index) = (outputs, index + 1);
        Ok(Layer::Conv(conv))
    };
    parts.iter().map(layer).collect()
}

fn run(layers: &[Layer], images: FeatureMap, statistics: Statistics) -> Result<FeatureMap> {
    layers.iter().try_fold(images, |x, layer| match layer {
        Layer::Conv(conv) => conv.forward(&x, statistics, true),
        Layer::Pool => ops::max_pool2d(&x, MaxPool2d { kernel: 2, stride: 2, padding: 0 }),
    })
}
