//! The training losses.

mod bayesian;
mod exponential;
mod matching;

pub use bayesian::Bayesian;
pub use matching::DistributionMatching;

use crate::config::{DensityConfig, LossConfig};
use crate::density::{Map, density};
use candle_core::{Result, Tensor, bail};
use data::Point;
use rayon::prelude::*;

/// How crowded the training images are. Losses are divided by it, so that a learning rate means about the same for every
/// data set and loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Root mean square of the people in a cell of a density map.
    pub cell: f64,
    /// Mean number of people in a pixel.
    pub pixel: f64,
}

/// See [`LossConfig`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    config: LossConfig,
    scale: Scale,
    stride: usize,
}

/// The people in an image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct People {
    /// Where they are, in pixels of what the network sees.
    pub points: Vec<Point>,
    /// How wide their Gaussians are, in the same pixels.
    pub spreads: Vec<f64>,
}

/// What a loss says of the map of one image: its value, and its gradient with respect to each cell.
pub(crate) struct Judged {
    pub(crate) value: f64,
    pub(crate) gradient: Vec<f64>,
}

impl Loss {
    /// The loss of `config` for maps whose cells have sides of `stride` pixels.
    pub fn new(config: LossConfig, scale: Scale, stride: usize) -> Self {
        Self { config, scale, stride }
    }

    /// How wide the Gaussians of a density map are.
    pub(crate) fn spread(config: LossConfig) -> DensityConfig {
        match config {
            LossConfig::Density { spread } => spread,
            LossConfig::Bayesian(_) | LossConfig::DistributionMatching(_) => DensityConfig::default(),
        }
    }

    /// The loss of `maps` `[n, h, w]`, people in each cell, against the people in each of `n` images; a scalar, the mean over
    /// the images.
    ///
    /// # Errors
    ///
    /// Where there are not as many images as maps.
    pub fn of(&self, maps: &Tensor, people: &[People]) -> Result<Tensor> {
        let (n, height, width) = maps.dims3()?;
        if n != people.len() {
            bail!("counting loss: expected the people of {n} images, one a map; found those of {}", people.len());
        }
        let size = [height, width].map(|cells| cells * self.stride);
        match self.config {
            LossConfig::Density { .. } => {
                let of_image = |people: &People| density(&people.points, &people.spreads, size, self.stride).values;
                let targets: Vec<f32> = people.par_iter().map(of_image).flatten_iter().map(|v| v as f32).collect();
                let values: Vec<f32> = maps.flatten_all()?.to_vec1()?;
                let (cell, cells) = (self.scale.cell, values.len() as f64);
                let errors = || values.iter().zip(&targets).map(|(a, b)| (f64::from(*a) - f64::from(*b)) / cell);
                let value = errors().map(square).sum::<f64>() / cells;
                with_gradient(maps, value, errors().map(|error| (2.0 * error / (cell * cells)) as f32).collect())
            }
            LossConfig::Bayesian(loss) => {
                self.judged(maps, people, |map, people| loss.of(map, &people.points, self.stride))
            }
            LossConfig::DistributionMatching(loss) => {
                self.judged(maps, people, |map, people| loss.of(map, &people.points, self.stride))
            }
        }
    }

    /// The mean of what `judge` says of each map, over the people that an image of that size has on average.
    fn judged(
        &self,
        maps: &Tensor,
        people: &[People],
        judge: impl Fn(&Map, &People) -> Judged + Sync,
    ) -> Result<Tensor> {
        let (n, height, width) = maps.dims3()?;
        let values: Vec<f32> = maps.flatten_all()?.to_vec1()?;
        let judge = |(values, people): (&[f32], &People)| {
            let values = values.iter().copied().map(f64::from).collect();
            judge(&Map { height, width, values }, people)
        };
        let judged: Vec<Judged> = values.par_chunks_exact((height * width).max(1)).zip(people).map(judge).collect();
        let share = 1.0 / (n as f64 * self.scale.pixel * (height * width * self.stride * self.stride) as f64);
        let gradient: Vec<f32> =
            judged.iter().flat_map(|judged| &judged.gradient).map(|value| (value * share) as f32).collect();
        with_gradient(maps, judged.iter().map(|judged| judged.value * share).sum(), gradient)
    }
}

/// The scalar `value` with this gradient with respect to `maps`.
fn with_gradient(maps: &Tensor, value: f64, gradient: Vec<f32>) -> Result<Tensor> {
    let gradient = Tensor::from_vec(gradient, maps.shape(), maps.device())?;
    // Candle's sums depend on the processor, but not that of zeros, which has the gradient.
    ((maps - maps.detach())? * gradient)?.sum_all()? + value
}

/// The middle of each cell along a line of `cells`, in pixels.
fn middles(cells: usize, stride: usize) -> Vec<f64> {
    (0..cells).map(|cell| (cell as f64 + 0.5) * stride as f64).collect()
}

fn square(value: f64) -> f64 {
    value * value
}

/// −1, 0 or 1: the slope of the absolute value, as torch has it.
fn sign(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}
