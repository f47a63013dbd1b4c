//! Which backbone, and how large: what the `[task]` tables of all tasks say of it.

use crate::backbone::Backbone;
use crate::resnet::{ResNet, ResNetConfig};
use crate::vgg::{VggBn, VggConfig};
use regularize::{Error, Params};
use settings::{Mistake, among, within};
use std::fmt;

/// A backbone and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackboneConfig {
    /// See [`ResNetConfig::cifar`].
    SmallResNet {
        /// 8, 14, 20, …
        depth: usize,
        /// Channels of the first stage.
        width: usize,
    },
    /// See [`ResNetConfig::imagenet`].
    ResNet {
        /// 10, 18, 34, 50, 101 or 152.
        depth: usize,
        /// Channels of the first stage.
        width: usize,
        /// The stride that no stage exceeds: 4, 8, 16 or 32; `None` for no limit.
        output_stride: Option<usize>,
        /// How many of the four stages are made.
        stages: usize,
    },
    /// See [`VggConfig`].
    VggBn {
        /// 11, 13, 16 or 19.
        depth: usize,
        /// Channels of the first stage.
        width: usize,
    },
}

impl BackboneConfig {
    /// Strides that a [`BackboneConfig::ResNet`] can be limited to.
    pub const STRIDES: [usize; 4] = [4, 8, 16, 32];

    /// Whether there is such a backbone.
    ///
    /// # Errors
    ///
    /// The key at fault, what was expected there, and what was found.
    pub fn check(&self) -> Result<(), Mistake> {
        match *self {
            Self::SmallResNet { depth, width } => {
                if depth % 6 != 2 || !(8..=1202).contains(&depth) {
                    return Err(Mistake::new("depth", "8, 14, 20, … up to 1202", depth));
                }
                within("width", width, 1..=1024)
            }
            Self::ResNet { depth, width, output_stride, .. } => {
                among("depth", depth, &ResNetConfig::DEPTHS)?;
                if let Some(stride) = output_stride {
                    among("output_stride", stride, &Self::STRIDES)?;
                }
                within("width", width, 1..=1024)
            }
            Self::VggBn { depth, width } => {
                among("depth", depth, &[11, 13, 16, 19])?;
                within("width", width, 1..=1024)
            }
        }
    }

    /// The shortest side of an image that it can see, in pixels.
    pub fn shortest(&self) -> usize {
        match self {
            Self::SmallResNet { .. } | Self::ResNet { .. } => 1,
            // Five poolings halve it to 1.
            Self::VggBn { .. } => 32,
        }
    }

    /// The backbone for images of `channels` channels, its parameters in `params`, named as torchvision names them.
    ///
    /// # Errors
    ///
    /// Where there is none of that size, or parameters exist with other shapes.
    pub fn build(&self, params: &Params, channels: usize) -> Result<Box<dyn Backbone>, Error> {
        Ok(match *self {
            Self::SmallResNet { depth, width } => {
                Box::new(ResNet::new(params, channels, &ResNetConfig::cifar(depth, width)?)?)
            }
            Self::ResNet { depth, width, output_stride, stages } => {
                let mut config = ResNetConfig { width, output_stride, ..ResNetConfig::imagenet(depth)? };
                config.blocks.truncate(stages);
                Box::new(ResNet::new(params, channels, &config)?)
            }
            Self::VggBn { depth, width } => Box::new(VggBn::new(params, channels, VggConfig { depth, width })?),
        })
    }
}

/// One line for reports.
impl fmt::Display for BackboneConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmallResNet { depth, width } => write!(f, "ResNet-{depth} of width {width}"),
            Self::ResNet { depth, width, output_stride, .. } => {
                write!(f, "ResNet-{depth} of width {width}")?;
                output_stride.map_or(Ok(()), |stride| write!(f, ", output stride {stride}"))
            }
            Self::VggBn { depth, width } => write!(f, "VGG{depth}-BN of width {width}"),
        }
    }
}
