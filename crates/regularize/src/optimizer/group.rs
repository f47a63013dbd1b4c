//! Groups of parameters.

use super::Optimizer;
use crate::error::Error;
use crate::method::{Method, Scope, WeightDecay};
use crate::plan::UpdatePlan;
use settings::{Mistake, at_least};

/// Settings of some of the parameters; see [`Optimizer::with_groups`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// Their learning rate, divided by that of the step. With 0 they do not train; methods that set norms still do so.
    pub lr_factor: f64,
    /// Decay of those that are not scale-invariant; `None` for the optimizer's `rest_decay`.
    pub rest_decay: Option<f64>,
}

impl Default for Group {
    fn default() -> Self {
        Self { lr_factor: 1.0, rest_decay: None }
    }
}

impl Optimizer {
    /// This optimizer, with groups: `group` gets the full name of each trainable parameter, and returns its group if it is
    /// in one. [`Optimizer::state`] does not contain groups.
    ///
    /// Like torch's `param_groups`, except that learning rates are relative to that of each step, so a schedule changes all
    /// of them.
    ///
    /// ```
    /// # use regularize::{Error, Group, Optimizer, Params, Sgd};
    /// # fn make(params: &Params) -> Result<Optimizer, Error> {
    /// let optimizer = Optimizer::new(params, Sgd::default(), 5e-4)?.with_groups(|name| {
    ///     name.starts_with("backbone.").then_some(Group { lr_factor: 0.1, ..Group::default() })
    /// })?;
    /// # Ok(optimizer)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Where no parameter is in a group, a number is out of range, or a group has a decay although the method decays
    /// everything.
    pub fn with_groups(mut self, group: impl Fn(&str) -> Option<Group>) -> Result<Self, Error> {
        let decays_everything =
            matches!(self.method, Method::WeightDecay(WeightDecay { scope: Scope::Everything, .. }));
        let mut found = false;
        for slot in &mut self.slots {
            let name = &slot.parameter.name;
            let Some(Group { lr_factor, rest_decay }) = group(name) else { continue };
            found = true;
            let mut checked = at_least("lr_factor", lr_factor, 0.0);
            if let Some(decay) = rest_decay {
                checked = checked.and(at_least("rest_decay", decay, 0.0));
                if decays_everything {
                    let mistake = Mistake::new("rest_decay", "none, as the method decays everything", decay);
                    checked = checked.and(Err(mistake.with_hint("give `weight-decay` the scope `scale-invariant`")));
                }
            }
            checked.map_err(|mistake| Error::settings(format!("group of `{name}`"), mistake))?;
            let rest_decay = rest_decay.unwrap_or(self.rest_decay);
            let plan = UpdatePlan::new(&self.base, &self.method, rest_decay, &slot.parameter);
            slot.plan = plan.in_group(lr_factor);
        }
        if !found {
            let last = self.slots.last().map_or("none", |slot| slot.parameter.name.as_str());
            let found = format!("none of {}, the last of which is `{last}`", self.slots.len());
            let mistake = Mistake::of_all("at least one parameter in a group", found);
            return Err(Error::settings("groups", mistake));
        }
        Ok(self)
    }
}
