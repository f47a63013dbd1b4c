//! Which settings make sense.

use super::{
    GradientCentralization, Interval, Method, Rate, Rotational, SoftWeightRescaling, Target, WeightDecay,
    WeightNormControl, WeightNormalization, WeightStandardization, Wrs,
};
use crate::error::Error;
use settings::{Mistake, above, at_least, within};

impl Method {
    /// An error where a setting is out of range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_settings().map_err(|mistake| Error::settings(format!("method `{}`", self.name()), mistake))
    }

    fn check_settings(&self) -> Result<(), Mistake> {
        match *self {
            Self::None | Self::ForcedWeightNormalization | Self::Hyperball => Ok(()),
            Self::WeightDecay(WeightDecay { decay, .. })
            | Self::GradientCentralization(GradientCentralization { decay, .. })
            | Self::WeightStandardization(WeightStandardization { decay, .. })
            | Self::WeightNormalization(WeightNormalization { decay })
            | Self::Rotational(Rotational { decay, .. }) => at_least("decay", decay, 0.0),
            Self::Wrs(wrs) => wrs.check(),
            Self::Pbwn(pbwn) => pbwn.interval.check(),
            Self::SoftWeightRescaling(SoftWeightRescaling { strength }) => within("strength", strength, 0.0..=1.0),
            Self::WeightNormControl(WeightNormControl { decay, target }) => {
                at_least("decay", decay, 0.0)?;
                above("target", target, 0.0)
            }
            Self::NormRule(rule) => rule.check(),
        }
    }
}

impl Wrs {
    fn check(&self) -> Result<(), Mistake> {
        if let Target::Constant(norm) = self.target {
            above("target", norm, 0.0)?;
        }
        self.interval.check()?;
        match self.rate {
            Rate::Own => Ok(()),
            Rate::Matched { .. } if self.target == Target::Init => {
                Err(Mistake::new("rate.matched", "a `target` that is the same for all filters beside it", "`init`"))
            }
            Rate::Matched { lr, decay } => {
                at_least("rate.matched.lr", lr, 0.0)?;
                at_least("rate.matched.decay", decay, 0.0)
            }
        }
    }
}

impl Interval {
    fn check(self) -> Result<(), Mistake> {
        match self {
            Self::Steps(0) | Self::Epochs(0) => Err(Mistake::new("interval", "at least 1", 0)),
            _ => Ok(()),
        }
    }
}
