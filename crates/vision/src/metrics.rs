//! Metrics: each observes batches, then gives scores.

use candle_core::{Result, Tensor, bail};

/// Top-1 accuracy and mean cross-entropy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TopOne {
    examples: u64,
    correct: u64,
    loss: f64,
}

impl TopOne {
    /// Adds logits `[n, classes]` and their `n` classes. A row whose logits hold not-a-number is wrong; of
    /// several largest logits the first counts, as `torch.argmax`.
    ///
    /// # Errors
    ///
    /// Where the shapes do not fit, or a target is not a class.
    pub fn observe(&mut self, logits: &Tensor, targets: &[u32]) -> Result<()> {
        let rows = logits.to_vec2::<f32>()?;
        if rows.len() != targets.len() {
            bail!("top-1: expected a target for each row, found {} rows and {} targets", rows.len(), targets.len());
        }
        for (row, target) in rows.iter().zip(targets) {
            let Some(&of_target) = row.get(*target as usize) else {
                bail!("top-1: expected targets below {}, the number of classes; found {target}", row.len());
            };
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let finite = row.iter().all(|x| !x.is_nan());
            self.correct += u64::from(finite && row.iter().position(|x| *x == largest) == Some(*target as usize));
            let sum: f64 = row.iter().map(|x| libm::exp(f64::from(*x) - f64::from(largest))).sum();
            self.loss += libm::log(sum) + f64::from(largest) - f64::from(of_target);
            self.examples += 1;
        }
        Ok(())
    }

    /// Share of examples whose largest logit is that of their class; not-a-number of none.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.examples as f64
    }

    /// Mean cross-entropy in nats; not-a-number of none.
    pub fn loss(&self) -> f64 {
        self.loss / self.examples as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Numbers of `torch.nn.functional.cross_entropy` and `argmax`.
    #[test]
    fn equals_torch() {
        let logits =
            Tensor::new(&[[1f32, 2.0, 3.0], [0.5, 0.5, 0.1], [-1.0, 4.0, 0.0], [0.0, 0.0, 0.0]], &Device::Cpu).unwrap();
        let mut meter = TopOne::default();
        meter.observe(&logits.narrow(0, 0, 3).unwrap(), &[2, 1, 1]).unwrap();
        meter.observe(&logits.narrow(0, 3, 1).unwrap(), &[0]).unwrap();
        assert_eq!(meter.accuracy(), 0.75);
        let expected = (0.407_605_96 + 0.982_198_33 + 0.024_744_89 + 1.098_612_3) / 4.0;
        assert!((meter.loss() - expected).abs() < 1e-6, "{}", meter.loss());
    }

    #[test]
    fn not_a_number_is_wrong() {
        let mut meter = TopOne::default();
        meter.observe(&Tensor::new(&[[f32::NAN, 1.0]], &Device::Cpu).unwrap(), &[1]).unwrap();
        assert_eq!(meter.accuracy(), 0.0);
        assert!(meter.loss().is_nan());
        assert!(meter.observe(&Tensor::new(&[[0f32, 1.0]], &Device::Cpu).unwrap(), &[2]).is_err());
    }
}
