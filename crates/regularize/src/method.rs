//! The methods that are compared: what keeps, or does not keep, the norm of a weight in bounds.

use crate::error::Error;
use crate::params::Role;
use crate::rescale::Wrs;
use crate::settings::{self, NoSettings, Table};
use serde::{Deserialize, Serialize};

/// A way to regularise weights, combined with a base optimizer by [`crate::Optimizer`].
///
/// All methods give parameters that are not scale-invariant the optimizer's `rest_decay`, so that a
/// comparison differs in nothing else; only weight decay on everything replaces it.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// Nothing holds the norm of scale-invariant weights: the control.
    None,
    /// See [`WeightDecay`].
    WeightDecay(WeightDecay),
    /// See [`Wrs`].
    Wrs(Wrs),
}

/// What a list of methods says of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodInfo {
    /// Name in configurations.
    pub name: &'static str,
    /// One line.
    pub description: &'static str,
    /// Where the method comes from.
    pub source: &'static str,
}

/// All methods: the one list that the command line, errors and legends read.
pub const METHODS: &[MethodInfo] = &[
    MethodInfo {
        name: "none",
        description: "scale-invariant weights are left to grow; the other parameters decay as with every method",
        source: "control",
    },
    MethodInfo {
        name: "weight-decay",
        description: "each step adds λ·w to the gradient of scale-invariant weights, or of all parameters",
        source: "Krogh and Hertz, NeurIPS 1991; coupled as in torch.optim.SGD",
    },
    MethodInfo {
        name: "wrs",
        description: "weight rescaling: after each step every scale-invariant filter is put back to its target norm",
        source: "arXiv 2102.03497; per filter and step it equals the projection of arXiv 1710.02338",
    },
];

/// All methods and optimizers with their defaults: `{"methods": […], "optimizers": […]}`, each with `name`,
/// `description`, `formula`, `source`, `limits` and the table `defaults`.
pub fn catalogue() -> serde_json::Value {
    let methods = METHODS.iter().map(|info| {
        let table = Table::from_iter([("name".to_owned(), info.name.into())]);
        let defaults = Method::from_table(&table).map(|method| method.to_table()).unwrap_or(table);
        serde_json::json!({"name": info.name, "description": info.description, "formula": "", "source": info.source,
            "limits": "", "defaults": defaults})
    });
    let sgd = serde_json::json!({"name": "sgd", "description": "stochastic gradient descent with momentum",
        "formula": "", "source": "torch.optim.SGD", "limits": "",
        "defaults": crate::Optimizer::rule_to_table(&crate::Sgd::default())});
    serde_json::json!({"methods": Vec::from_iter(methods), "optimizers": [sgd]})
}

/// Coupled weight decay: `g ← ∇L + λ·w` before momentum, as `torch.optim.SGD`'s `weight_decay`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightDecay {
    /// Strength λ.
    pub decay: f64,
    /// Which parameters decay with λ.
    pub scope: Scope,
}

impl Default for WeightDecay {
    fn default() -> Self {
        Self { decay: 5e-4, scope: Scope::Everything }
    }
}

/// Which parameters a weight decay acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// All trainable parameters, γ, β and biases too: the common default of deep-learning libraries.
    /// `rest_decay` is then without effect.
    Everything,
    /// Scale-invariant weights; the others decay with `rest_decay`.
    ScaleInvariant,
}

impl Method {
    /// Reads a method from its table, `{ name = "wrs", … }`.
    ///
    /// # Errors
    ///
    /// Where the name or a key is unknown, or a value has the wrong type or range.
    pub fn from_table(table: &Table) -> Result<Self, Error> {
        let (name, rest) = settings::name("method", table)?;
        let method = match name.as_str() {
            "none" => settings::read::<NoSettings>("method", &name, rest).map(|_| Self::None)?,
            "weight-decay" => Self::WeightDecay(settings::read("method", &name, rest)?),
            "wrs" => Self::Wrs(settings::read("method", &name, rest)?),
            _ => {
                let known = METHODS.iter().map(|m| m.name).collect();
                return Err(Error::Unknown { kind: "method", name, known });
            }
        };
        match method.problem() {
            Some(problem) => Err(Error::settings(format!("method `{name}`"), problem)),
            None => Ok(method),
        }
    }

    /// The table that [`Method::from_table`] reads, with every default filled in.
    pub fn to_table(&self) -> Table {
        match self {
            Self::None => settings::write("none", &NoSettings {}),
            Self::WeightDecay(decay) => settings::write("weight-decay", decay),
            Self::Wrs(wrs) => settings::write("wrs", wrs),
        }
    }

    /// What the list of methods says of this one.
    pub fn info(&self) -> MethodInfo {
        match self {
            Self::None => METHODS[0],
            Self::WeightDecay(_) => METHODS[1],
            Self::Wrs(_) => METHODS[2],
        }
    }

    /// What is wrong with the settings, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::WeightDecay(WeightDecay { decay, .. }) if !(decay.is_finite() && *decay >= 0.0) => {
                Some(format!("`decay` must be a number of at least 0, found {decay}"))
            }
            Self::WeightDecay(_) => None,
            Self::Wrs(wrs) => wrs.problem(),
        }
    }

    /// The decay λ that is coupled to the gradient of a parameter of `role`.
    pub(crate) fn decay(&self, role: &Role, rest: f64) -> f64 {
        match (self, role) {
            (_, Role::Buffer) => 0.0,
            (Self::WeightDecay(WeightDecay { decay, scope: Scope::Everything }), _) => *decay,
            (Self::WeightDecay(WeightDecay { decay, .. }), Role::ScaleInvariant(_)) => *decay,
            (Self::None | Self::Wrs(_), Role::ScaleInvariant(_)) => 0.0,
            (_, Role::Other) => rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn method(json: serde_json::Value) -> Result<Method, Error> {
        Method::from_table(json.as_object().unwrap())
    }

    #[test]
    fn every_listed_method_is_read_by_its_name_and_writes_its_defaults() {
        for info in METHODS {
            let read = method(json!({"name": info.name})).unwrap();
            assert_eq!(read.info(), *info);
            assert_eq!(Method::from_table(&read.to_table()).unwrap(), read);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let message = |json| method(json).unwrap_err().to_string();
        assert!(message(json!({"name": "weigth-decay"})).contains("did you mean `weight-decay`"));
        assert!(message(json!({"name": "none", "decay": 1})).contains("unknown field `decay`"));
        assert!(message(json!({"name": "weight-decay", "lambda": 1})).contains("expected `decay` or `scope`"));
        assert!(message(json!({"name": "weight-decay", "decay": -1})).contains("at least 0"));
        assert!(message(json!({"name": "weight-decay", "decay": "much"})).contains("`decay`: invalid type"));
        assert!(message(json!({"name": "wrs", "granularity": "channel"})).contains("`granularity`: unknown variant"));
        assert!(message(json!({"name": "wrs", "target": {"constant": 0}})).contains("above 0"));
        assert!(message(json!({"name": "wrs", "interval": {"steps": 0}})).contains("at least 1"));
    }
}
