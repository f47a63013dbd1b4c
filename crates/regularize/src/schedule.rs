//! Learning-rate schedules.

use crate::error::Error;
use crate::table::{self, Table};
use serde::{Deserialize, Serialize};
use settings::{Mistake, at_least};

/// The learning rate over training, as a factor of the optimizer's. Epochs may be fractions.
///
/// During `warmup_epochs` the factor of step `t` (from 0) of `T` is `(t + 1) / T`; the shape covers the
/// steps behind them.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// No change.
    Constant(Warmup),
    /// Times `factor` at each of `milestones`, as `torch.optim.lr_scheduler.MultiStepLR`.
    Step(Step),
    /// Half a cosine from 1 to `floor`, a step at a time, as `torch.optim.lr_scheduler.CosineAnnealingLR`.
    Cosine(Cosine),
    /// `(1 − t/T)^power`, a step at a time, as `torch.optim.lr_scheduler.PolynomialLR`: the schedule of DeepLab
    /// (arXiv 1606.00915 §4.1).
    Polynomial(Polynomial),
}

/// Settings of [`Schedule::Constant`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Warmup {
    /// Length of the warm-up in epochs.
    pub warmup_epochs: f64,
}

/// Settings of [`Schedule::Step`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Epochs, counted from the start of training.
    pub milestones: Vec<f64>,
    /// What the rate is multiplied with at each milestone.
    #[serde(default = "tenth")]
    pub factor: f64,
    /// Length of the warm-up in epochs.
    #[serde(default)]
    pub warmup_epochs: f64,
}

/// Settings of [`Schedule::Cosine`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cosine {
    /// The factor that the cosine ends at.
    pub floor: f64,
    /// Length of the warm-up in epochs.
    pub warmup_epochs: f64,
}

/// Settings of [`Schedule::Polynomial`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Polynomial {
    /// The exponent, at least 0; 0.9 in the paper.
    #[serde(default = "nine_tenths")]
    pub power: f64,
    /// Length of the warm-up in epochs.
    #[serde(default)]
    pub warmup_epochs: f64,
}

fn tenth() -> f64 {
    0.1
}

fn nine_tenths() -> f64 {
    0.9
}

const NAMES: [&str; 4] = ["constant", "step", "cosine", "polynomial"];

impl Schedule {
    /// Reads a schedule from its table, `{ name = "cosine", … }`.
    ///
    /// # Errors
    ///
    /// Where the name or a key is unknown, or a value has the wrong type or range.
    pub fn from_table(table: &Table) -> Result<Self, Error> {
        let (name, rest) = table::name("schedule", table)?;
        let schedule = match name.as_str() {
            "constant" => Self::Constant(table::read("schedule", &name, rest)?),
            "step" => Self::Step(table::read("schedule", &name, rest)?),
            "cosine" => Self::Cosine(table::read("schedule", &name, rest)?),
            "polynomial" => Self::Polynomial(table::read("schedule", &name, rest)?),
            _ => return Err(Error::settings("schedule", Mistake::unknown("name", &name, NAMES))),
        };
        schedule.check().map_err(|mistake| Error::settings(format!("schedule `{name}`"), mistake))?;
        Ok(schedule)
    }

    fn check(&self) -> Result<(), Mistake> {
        at_least("warmup_epochs", self.warmup_epochs(), 0.0)?;
        match self {
            Self::Constant(_) => Ok(()),
            Self::Step(Step { milestones, .. }) if !milestones.is_sorted() => {
                Err(Mistake::new("milestones", "numbers in ascending order", format!("{milestones:?}")))
            }
            Self::Step(Step { factor, .. }) => at_least("factor", *factor, 0.0),
            Self::Cosine(Cosine { floor, .. }) => at_least("floor", *floor, 0.0),
            Self::Polynomial(Polynomial { power, .. }) => at_least("power", *power, 0.0),
        }
    }

    /// The table that [`Schedule::from_table`] reads, with every default filled in.
    pub fn to_table(&self) -> Table {
        match self {
            Self::Constant(warmup) => table::write("constant", warmup),
            Self::Step(step) => table::write("step", step),
            Self::Cosine(cosine) => table::write("cosine", cosine),
            Self::Polynomial(shape) => table::write("polynomial", shape),
        }
    }

    /// The factor of step `step` (from 0) of `steps`, `per_epoch` of them an epoch.
    pub fn factor(&self, step: u64, steps: u64, per_epoch: u64) -> f64 {
        let warmup = (self.warmup_epochs() * per_epoch as f64).round().min(steps as f64) as u64;
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let progress = ((step - warmup) as f64 / (steps - warmup).max(1) as f64).min(1.0);
        match self {
            Self::Constant(_) => 1.0,
            Self::Step(Step { milestones, factor, .. }) => {
                let passed =
                    milestones.iter().filter(|epoch| (**epoch * per_epoch as f64).round() as u64 <= step).count();
                (0..passed).fold(1.0, |product, _| product * factor)
            }
            Self::Cosine(Cosine { floor, .. }) => {
                floor + (1.0 - floor) * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress))
            }
            Self::Polynomial(Polynomial { power, .. }) => libm::pow(1.0 - progress, *power),
        }
    }

    fn warmup_epochs(&self) -> f64 {
        match self {
            Self::Constant(warmup) => warmup.warmup_epochs,
            Self::Step(step) => step.warmup_epochs,
            Self::Cosine(cosine) => cosine.warmup_epochs,
            Self::Polynomial(shape) => shape.warmup_epochs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(toml: serde_json::Value) -> Result<Schedule, Error> {
        Schedule::from_table(toml.as_object().unwrap())
    }

    /// `MultiStepLR(SGD(lr=1), [2, 3], 0.1)` with two steps an epoch.
    #[test]
    fn steps_are_torchs() {
        let s = schedule(serde_json::json!({"name": "step", "milestones": [2, 3]})).unwrap();
        let factors: Vec<f64> = (0..8).map(|t| s.factor(t, 8, 2)).collect();
        for (found, expected) in factors.iter().zip([1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]) {
            assert!((found - expected).abs() < 1e-12, "{factors:?}");
        }
    }

    /// `CosineAnnealingLR(SGD(lr=1), 6)`, from torch: 1, .9330127, .75, .5, .25, .0669873.
    #[test]
    fn the_cosine_is_torchs() {
        let s = schedule(serde_json::json!({"name": "cosine"})).unwrap();
        let factors: Vec<f64> = (0..6).map(|t| s.factor(t, 6, 3)).collect();
        for (found, expected) in factors.iter().zip([1.0, 0.933_012_7, 0.75, 0.5, 0.25, 0.066_987_3]) {
            assert!((found - expected).abs() < 1e-6, "{factors:?}");
        }
    }

    /// `PolynomialLR(SGD(lr=1), 5, power=0.9)`, from torch.
    #[test]
    fn the_polynomial_is_torchs() {
        let s = schedule(serde_json::json!({"name": "polynomial"})).unwrap();
        let factors: Vec<f64> = (0..6).map(|t| s.factor(t, 5, 5)).collect();
        for (found, expected) in factors.iter().zip([
            1.0,
            0.8180521460508584,
            0.6314458674893553,
            0.438383290554087,
            0.23492378861760377,
            0.0,
        ]) {
            assert!((found - expected).abs() < 1e-12, "{factors:?}");
        }
        let s = schedule(serde_json::json!({"name": "polynomial", "power": 2, "warmup_epochs": 1})).unwrap();
        assert_eq!([0, 1, 2, 3].map(|t| s.factor(t, 6, 2)), [0.5, 1.0, 1.0, 0.5625]);
        let message = schedule(serde_json::json!({"name": "polynomial", "power": -1})).unwrap_err().to_string();
        assert!(message.contains("`power`: expected a number of at least 0, found -1"), "{message}");
    }

    #[test]
    fn warm_up_is_linear_and_the_shape_follows() {
        let s = schedule(serde_json::json!({"name": "cosine", "warmup_epochs": 2, "floor": 0.1})).unwrap();
        let factors: Vec<f64> = (0..8).map(|t| s.factor(t, 8, 2)).collect();
        assert_eq!(factors[..5], [0.25, 0.5, 0.75, 1.0, 1.0]);
        assert!((factors[6] - 0.55).abs() < 1e-12);
        assert!(factors[7] > 0.1);
        let constant = schedule(serde_json::json!({"name": "constant", "warmup_epochs": 100})).unwrap();
        assert_eq!(constant.factor(7, 8, 2), 1.0);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |json| schedule(json).unwrap_err().to_string();
        assert!(message(serde_json::json!({"name": "cosin"})).contains("did you mean `cosine`"));
        assert!(message(serde_json::json!({"name": "cosine", "flor": 1})).contains("`flor`: "));
        assert!(message(serde_json::json!({"name": "cosine", "floor": "x"})).contains("`floor`: expected a number"));
        assert!(message(serde_json::json!({"name": "step"})).contains("expected a key `milestones`"));
        assert!(message(serde_json::json!({"name": "step", "milestones": [3, 2]})).contains("ascending"));
        assert!(message(serde_json::json!({"floor": 1})).contains("expected a key `name`"));
        assert!(message(serde_json::json!({"name": "constant", "warmup_epochs": -1})).contains("at least 0"));
    }

    #[test]
    fn tables_round_trip() {
        for json in [
            serde_json::json!({"name": "constant", "warmup_epochs": 0.5}),
            serde_json::json!({"name": "step", "milestones": [1.5, 2.0], "factor": 0.2, "warmup_epochs": 0.0}),
            serde_json::json!({"name": "cosine", "floor": 0.0, "warmup_epochs": 1.0}),
            serde_json::json!({"name": "polynomial", "power": 0.9, "warmup_epochs": 0.0}),
        ] {
            assert_eq!(serde_json::Value::Object(schedule(json.clone()).unwrap().to_table()), json);
        }
    }
}
