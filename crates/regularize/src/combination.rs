//! Which methods go with which optimizers.

use crate::base::{Base, Rule, Sgd};
use crate::error::Error;
use crate::method::{Form, Method, Rate, WeightDecay, WeightStandardization, Wrs};
use settings::Mistake;

impl Method {
    /// An error where the method makes no sense with `base`.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], which says why and what to use instead.
    pub fn check_with(&self, base: &Base) -> Result<(), Error> {
        let rule = &base.rule;
        let projects = matches!(rule, Rule::Sgdp(_) | Rule::AdamP(_));
        let reason = match (self, rule) {
            (Self::None, _) => None,
            (_, Rule::Nero(_)) => Some(("that constrains all weights itself", "use method `none`")),
            (_, Rule::Muon(_)) => Some(("that constrains scale-invariant weights itself", "use method `none`")),
            (
                Self::WeightDecay(WeightDecay { form, .. })
                | Self::WeightStandardization(WeightStandardization { form, .. }),
                _,
            ) if projects && *form != Form::Own => {
                Some(("that scales decay where it projects", "use `form = \"own\"`"))
            }
            (
                Self::WeightDecay(WeightDecay { form: Form::Corrected, .. })
                | Self::WeightStandardization(WeightStandardization { form: Form::Corrected, .. }),
                _,
            ) if rule.lr() == 0.0 => {
                Some(("corrected decay is relative to the optimizer's `lr`", "use an `lr` above 0"))
            }
            (Self::Rotational(_) | Self::Hyperball, _) if projects => {
                Some(("both remove the part of the update along the weight", "use `sgd` or `adamw`"))
            }
            (Self::Rotational(_), Rule::Sgd(Sgd { dampening, nesterov, .. })) if *dampening != 0.0 || *nesterov => {
                Some(("the angle is known for heavy-ball momentum", "use `dampening = 0` and `nesterov = false`"))
            }
            (Self::Wrs(Wrs { rate: Rate::Matched { .. }, .. }), _) => match rule {
                Rule::Sgd(Sgd { dampening, nesterov, .. }) if *dampening != 0.0 || *nesterov => Some((
                    "a matched rate is known for heavy-ball momentum",
                    "use `dampening = 0` and `nesterov = false`",
                )),
                Rule::Sgd(_) | Rule::Adam(_) | Rule::AdamW(_) => None,
                _ => Some(("a matched rate is known for `sgd`, `adam` and `adamw`", "use `rate = \"own\"`")),
            },
            _ => None,
        };
        match reason {
            Some((why, instead)) => {
                let expected = format!("a method that goes with optimizer `{}`", rule.name());
                let mistake = Mistake::new("name", expected, format!("`{}`: {why}", self.name()));
                Err(Error::settings("method", mistake.with_hint(instead)))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::METHODS;
    use crate::table::Table;
    use crate::{Adam, AdamP, Muon, Nero, Rotational, Sgdp};

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
