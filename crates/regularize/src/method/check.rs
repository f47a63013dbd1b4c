//! Which settings and combinations make sense.

use super::{
    Form, GradientCentralization, Interval, Method, Rate, Rotational, SoftWeightRescaling, Target, WeightDecay,
    WeightNormControl, WeightNormalization, WeightStandardization, Wrs,
};
use crate::base::{Base, Rule, Sgd};
use crate::error::Error;

impl Method {
    /// An error where a setting is out of range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let at_least_0 = |key: &str, value: f64| {
            let wrong = !(value.is_finite() && value >= 0.0);
            wrong.then(|| format!("`{key}` must be a number of at least 0, found {value}"))
        };
        let interval = |interval: Interval| {
            matches!(interval, Interval::Steps(0) | Interval::Epochs(0)).then(|| "`interval` must be at least 1".into())
        };
        let problem = match *self {
            Self::None | Self::ForcedWeightNormalization | Self::Hyperball => None,
            Self::WeightDecay(WeightDecay { decay, .. })
            | Self::GradientCentralization(GradientCentralization { decay, .. })
            | Self::WeightStandardization(WeightStandardization { decay, .. })
            | Self::WeightNormalization(WeightNormalization { decay })
            | Self::Rotational(Rotational { decay, .. }) => at_least_0("decay", decay),
            Self::Wrs(wrs) => {
                let target = match wrs.target {
                    Target::Constant(norm) if !(norm.is_finite() && norm > 0.0) => {
                        Some(format!("`target` must be a number above 0, found {norm}"))
                    }
                    _ => None,
                };
                let rate = match wrs.rate {
                    Rate::Own => None,
                    Rate::Matched { .. } if wrs.target == Target::Init => {
                        Some("`rate.matched` needs a `target` that is the same for all filters, found `init`".into())
                    }
                    Rate::Matched { lr, decay } => {
                        at_least_0("rate.matched.lr", lr).or_else(|| at_least_0("rate.matched.decay", decay))
                    }
                };
                target.or_else(|| interval(wrs.interval)).or(rate)
            }
            Self::Pbwn(pbwn) => interval(pbwn.interval),
            Self::SoftWeightRescaling(SoftWeightRescaling { strength }) => {
                let wrong = !(0.0..=1.0).contains(&strength);
                wrong.then(|| format!("`strength` must be from 0 to 1, found {strength}"))
            }
            Self::WeightNormControl(WeightNormControl { decay, target }) => {
                let wrong = !(target.is_finite() && target > 0.0);
                at_least_0("decay", decay)
                    .or_else(|| wrong.then(|| format!("`target` must be a number above 0, found {target}")))
            }
            Self::NormRule(rule) => rule.check().err(),
        };
        match problem {
            Some(problem) => Err(Error::settings(format!("method `{}`", self.name()), problem)),
            None => Ok(()),
        }
    }

    /// An error where the method makes no sense with `base`.
    ///
    /// # Errors
    ///
    /// [`Error::Combination`], which says why and what to use instead.
    pub fn check_with(&self, base: &Base) -> Result<(), Error> {
        let rule = &base.rule;
        let projects = matches!(rule, Rule::Sgdp(_) | Rule::AdamP(_));
        let reason = match (self, rule) {
            (Self::None, _) => None,
            (_, Rule::Nero(_)) => Some("it constrains all weights itself; use method `none`"),
            (_, Rule::Muon(_)) => Some("it constrains scale-invariant weights itself; use method `none`"),
            (
                Self::WeightDecay(WeightDecay { form, .. })
                | Self::WeightStandardization(WeightStandardization { form, .. }),
                _,
            ) if projects && *form != Form::Own => Some("it scales decay where it projects; use `form = \"own\"`"),
            (
                Self::WeightDecay(WeightDecay { form: Form::Corrected, .. })
                | Self::WeightStandardization(WeightStandardization { form: Form::Corrected, .. }),
                _,
            ) if rule.lr() == 0.0 => Some("corrected decay is relative to the optimizer's `lr`, which must be above 0"),
            (Self::Rotational(_) | Self::Hyperball, _) if projects => {
                Some("both remove the part of the update along the weight; use `sgd` or `adamw`")
            }
            (Self::Rotational(_), Rule::Sgd(Sgd { dampening, nesterov, .. })) if *dampening != 0.0 || *nesterov => {
                Some("the angle is known for heavy-ball momentum; use `dampening = 0` and `nesterov = false`")
            }
            (Self::Wrs(Wrs { rate: Rate::Matched { .. }, .. }), _) => match rule {
                Rule::Sgd(Sgd { dampening, nesterov, .. }) if *dampening != 0.0 || *nesterov => {
                    Some("a matched rate is known for heavy-ball momentum; use `dampening = 0` and `nesterov = false`")
                }
                Rule::Sgd(_) | Rule::Adam(_) | Rule::AdamW(_) => None,
                _ => Some("a matched rate is known for `sgd`, `adam` and `adamw`; use `rate = \"own\"`"),
            },
            _ => None,
        };
        match reason {
            Some(reason) => Err(Error::Combination { optimizer: rule.name(), method: self.name(), reason }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::METHODS;
    use super::*;
    use crate::settings::Table;
    use crate::{Adam, AdamP, Muon, Nero, Sgdp};

    #[test]
    fn senseless_combinations_are_refused_by_name() {
        let refused = |method: Method, base: Base| method.check_with(&base).unwrap_err().to_string();
        let message = refused(Method::Wrs(Wrs::default()), Nero::default().into());
        assert!(message.contains("`wrs`") && message.contains("`nero`") && message.contains("`none`"), "{message}");
        refused(Method::Wrs(Wrs::default()), Muon::default().into());
        refused(Method::Hyperball, AdamP::default().into());
        refused(Method::Rotational(Rotational::default()), Sgdp::default().into());
        refused(Method::Rotational(Rotational::default()), Sgd { nesterov: true, ..Sgd::default() }.into());
        let cautious = Method::WeightDecay(WeightDecay { form: Form::Cautious, ..WeightDecay::default() });
        refused(cautious, Sgdp::default().into());
        let matched = Method::Wrs(Wrs { rate: Rate::Matched { lr: 0.1, decay: 5e-4 }, ..Wrs::default() });
        refused(matched, Sgdp::default().into());
        refused(matched, Sgd { nesterov: true, ..Sgd::default() }.into());
        for rule in [Rule::Sgd(Sgd::default()), Rule::Adam(Adam::default()), Rule::AdamW(Adam::default())] {
            for info in METHODS {
                (info.read)(Table::new()).unwrap().check_with(&rule.into()).unwrap();
            }
        }
    }
}
