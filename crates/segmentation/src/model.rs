//! The networks.

mod deeplab;
mod unet;

use crate::config::ModelConfig;
use candle_core::{Result, Tensor};
use deeplab::DeepLab;
use ops::{Conv2d, FeatureMap, Resize, Statistics};
use regularize::{Error, Params};
use unet::UNet;
use vision::ConvBn;

/// See [`ModelConfig`].
pub struct Segmenter(Network);

enum Network {
    DeepLab(Box<DeepLab>),
    UNet(UNet),
}

impl Segmenter {
    /// A network for images of `channels` channels and `classes` classes, its parameters in `params`.
    ///
    /// # Errors
    ///
    /// Where there is no network of that size.
    pub fn new(
        params: &Params,
        channels: usize,
        classes: usize,
        config: &ModelConfig,
    ) -> std::result::Result<Self, Error> {
        Ok(Self(match config {
            ModelConfig::Deeplab(config) => {
                Network::DeepLab(Box::new(DeepLab::new(params, channels, classes, config)?))
            }
            ModelConfig::Unet { width, levels } => {
                Network::UNet(UNet::new(params, channels, classes, *width, *levels)?)
            }
        }))
    }

    /// About how many values are in memory at once for each pixel of an image in evaluation.
    pub(crate) fn values_per_pixel(&self, classes: usize) -> usize {
        // Logits, and their copy as a tensor.
        2 * classes
            + match &self.0 {
                Network::DeepLab(network) => network.values_per_pixel(),
                Network::UNet(network) => network.values_per_pixel(),
            }
    }

    /// Images `[n, h, w, channels]` to the logits of each pixel, `[n, h, w, classes]`.
    ///
    /// # Errors
    ///
    /// Where the shape does not fit.
    pub fn forward(&self, images: &Tensor, statistics: Statistics) -> Result<FeatureMap> {
        let images = FeatureMap::from_tensor(images)?;
        match &self.0 {
            Network::DeepLab(network) => network.forward(&images, statistics),
            Network::UNet(network) => network.forward(&images, statistics),
        }
    }
}

/// The images of `x` in the size of those of `like`.
fn resize_like(x: &FeatureMap, like: &FeatureMap) -> Result<FeatureMap> {
    ops::resize(x, like.size(), Resize::Bilinear { align_corners: false })
}

/// A convolution that keeps the side of the image, with its batch norm; `<params>.0` and `<params>.1`.
fn conv_bn(
    params: &Params,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    dilation: usize,
) -> std::result::Result<ConvBn, Error> {
    let geometry = Conv2d { padding: kernel / 2 * dilation, dilation, ..Conv2d::default() };
    ConvBn::new(&params.pp(0), &params.pp(1), inputs, outputs, kernel, geometry)
}
