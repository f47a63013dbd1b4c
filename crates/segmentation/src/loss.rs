//! The training loss.
//!
//! OHEM selects pixels by the network's output, against the rule that targets do not depend on the network; so it is
//! an option and not part of any default. The selection is a constant of the step's gradient, as in its reference.

use crate::config::{LossConfig, Ohem};
use crate::values::with_values;
use candle_core::{Result, Tensor, bail};
use data::VOID;
use ops::{CrossEntropy, FeatureMap};
use rayon::prelude::*;

/// See [`LossConfig`].
#[derive(Debug, Clone, PartialEq)]
pub struct Loss {
    cross_entropy: CrossEntropy,
    ohem: Option<Ohem>,
    dice: f64,
}

/// The targets of void pixels.
const IGNORE: u32 = VOID as u32;

impl Loss {
    /// The loss of `config`, with a weight of each class where there are `weights`.
    pub fn new(config: LossConfig, weights: Option<Vec<f32>>) -> Self {
        let LossConfig { label_smoothing, ohem, dice, .. } = config;
        Self {
            cross_entropy: CrossEntropy { ignore_index: Some(IGNORE), label_smoothing, weight: weights },
            ohem,
            dice,
        }
    }

    /// The loss of `logits` `[n, h, w, classes]` against the class of each pixel, in row-major order; a scalar, 0 where no
    /// pixel is labeled.
    ///
    /// # Errors
    ///
    /// Where there is not one target a pixel, or a target is neither a class nor void.
    pub fn of(&self, logits: &FeatureMap, targets: &[u8]) -> Result<Tensor> {
        let logits = logits.to_tensor()?.reshape(((), logits.channels()))?;
        let targets: Vec<u32> = targets.iter().copied().map(u32::from).collect();
        let hard = match self.ohem {
            Some(ohem) => Some(hard(&logits, &targets, ohem)?),
            None => None,
        };
        let loss = ops::cross_entropy(&logits, hard.as_ref().unwrap_or(&targets), &self.cross_entropy)?;
        if self.dice == 0.0 {
            return Ok(loss);
        }
        loss + (ops::dice_loss(&logits, &targets, Some(IGNORE))? * self.dice)?
    }
}

/// `targets`, those of easy rows ignored: see [`Ohem`]. As in HRNet's `OhemCrossEntropy`, a row counts where its class has
/// a probability below the threshold, or below that of the first row beyond the least number, if that is higher.
fn hard(logits: &Tensor, targets: &[u32], ohem: Ohem) -> Result<Vec<u32>> {
    let probabilities = probabilities(logits, targets)?;
    let mut sorted: Vec<f32> = probabilities.iter().copied().flatten().collect();
    let least = ((ohem.least * sorted.len() as f64).ceil() as usize).max(1);
    if least >= sorted.len() {
        return Ok(targets.to_vec());
    }
    let (_, least, _) = sorted.select_nth_unstable_by(least, f32::total_cmp);
    let threshold = least.max(ohem.threshold as f32);
    let target = |(target, probability): (&u32, &Option<f32>)| match probability {
        // Not-a-number is not easy.
        Some(probability) if *probability >= threshold => IGNORE,
        _ => *target,
    };
    Ok(targets.iter().zip(&probabilities).map(target).collect())
}

/// The softmax of each row of `logits` at its target; none of those that are ignored.
fn probabilities(logits: &Tensor, targets: &[u32]) -> Result<Vec<Option<f32>>> {
    let (rows, classes) = logits.dims2()?;
    if rows != targets.len() {
        bail!("segmentation loss: expected a target for each of {rows} pixels, found {}", targets.len());
    }
    if let Some(target) = targets.iter().find(|target| **target != IGNORE && **target as usize >= classes) {
        bail!("segmentation loss: expected targets below {classes}, the number of classes, or void; found {target}");
    }
    let probability = |(row, target): (&[f32], &u32)| {
        (*target != IGNORE).then(|| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = row.iter().map(|logit| libm::expf(logit - largest)).sum();
            libm::expf(row[*target as usize] - largest) / sum
        })
    };
    with_values(logits, |logits| {
        logits.par_chunks_exact(classes.max(1)).with_min_len(1 << 12).zip(targets).map(probability).collect()
    })
}
