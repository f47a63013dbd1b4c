//! The method `example-method`: its settings, its rule, what the list says about it, and its test.

use crate::list::Info;
use crate::method::{Filter, Method, MethodInfo, NormRule};
use crate::table::{self, Table};
use serde::{Deserialize, Serialize};
use settings::{Mistake, within};

const NAME: &str = "example-method";

/// What the list, the command line and `METHODS.md` say about it.
pub(super) const INFO: MethodInfo = Info {
    name: NAME,
    description: "each step draws the norm of every scale-invariant filter toward its initial value",
    formula: "f ← f·(‖f₀‖/‖f‖)^k, k the `strength`\n\
              with it: as `wrs`",
    source: "written by `cargo xtask new method`",
    limits: "the norm settles above its initial value, and farther above it the larger η²‖g‖² is compared with k",
    choices: &[],
    read: |table| table::read::<ExampleMethod>("method", NAME, table).map(Method::norm_rule),
};

/// Draws the norm of each filter toward its initial norm.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ExampleMethod {
    /// Strength k, from 0 (no effect) to 1 (reset to the initial norm).
    strength: f64,
}

impl Default for ExampleMethod {
    fn default() -> Self {
        Self { strength: 0.01 }
    }
}

impl NormRule for ExampleMethod {
    fn info(&self) -> &'static MethodInfo {
        &INFO
    }

    fn table(&self) -> Table {
        table::write(NAME, self)
    }

    fn check(&self) -> Result<(), Mistake> {
        within("strength", self.strength, 0.0..=1.0)
    }

    fn factor(&self, filter: &Filter) -> f64 {
        libm::pow(filter.start / filter.norm, self.strength)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::{Normalization, Optimizer, Params, Role, Sgd};
    use candle_core::Device;
    use candle_nn::Init;
    use serde_json::json;

    fn method(strength: f64) -> Result<Method, crate::Error> {
        Method::from_table(json!({"name": NAME, "strength": strength}).as_object().unwrap())
    }

    /// Filters of norm 2 and the running variance that belongs to them, after a step in which they grow to norm 8.
    fn after_a_step(strength: f64) -> (f32, f32) {
        let params = Params::new(0, &Device::Cpu);
        let weight = params.get("weight", (3, 4), Init::Const(1.0)).unwrap();
        let running_mean = params.buffer("running_mean", 3, 0.0).unwrap();
        let running_var = params.buffer("running_var", 3, 1.0).unwrap();
        let normalization = Normalization { running_mean, running_var: running_var.clone(), bias: None };
        params.set_role("weight", Role::ScaleInvariant(vec![normalization])).unwrap();
        let sgd = Sgd { momentum: 0.0, ..Sgd::default() };
        let mut optimizer = Optimizer::new(&params.with_method(method(strength).unwrap()), sgd, 0.0).unwrap();
        // The gradient is −1 everywhere, so the weight becomes 1 + 3.
        let gradients = (weight.sum_all().unwrap() * -1.0).unwrap().backward().unwrap();
        optimizer.step(&gradients, 3.0).unwrap();
        let first = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
        (first(&weight), first(&running_var))
    }

    #[test]
    fn norms_are_drawn_to_the_start_and_statistics_are_rescaled() {
        // The factor is (2/8)^k: 1, 1/2 and 1/4.
        assert_eq!(after_a_step(0.0), (4.0, 1.0));
        assert_eq!(after_a_step(0.5), (2.0, 0.25));
        assert_eq!(after_a_step(1.0), (1.0, 0.0625));
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        assert!(method(2.0).unwrap_err().to_string().contains("`strength`: expected 0 to 1, found 2"));
    }
}
