//! Methods that are a rule for the norms of filters: what a new method starts as.
//!
//! A scale-invariant weight consists of a direction and a norm, so this one function covers much. It is called where
//! the fused step sets a norm, needs no tensors and has no state, so resuming and both implementations work without
//! extra code. The model in the tests calls it, too, for every method that is listed.

use super::{Method, MethodInfo};
use crate::table::Table;
use settings::Mistake;
use std::fmt::Debug;

/// A method that scales each filter after each step. For batch-normalized networks that is all there is to say of a
/// norm, so it is where a method of one's own begins; what else a step can do is in `plan.rs`.
///
/// Filters (rows of dimension 0) of scale-invariant weights are scaled, whatever the base optimizer and device; running
/// statistics and bias behind them follow, so evaluation does not change. The base optimizer does not decay them, and its
/// momentum stays as it is. A filter whose norm is below 1e-12, or was at the start, is left alone.
///
/// `cargo xtask new method NAME` writes one and lists it. One that is not listed cannot be named in a configuration, but
/// trains all the same:
///
/// ```
/// use regularize::{Error, Filter, Info, Method, MethodInfo, NormRule, Optimizer, Params, Sgd, Table};
///
/// /// No filter grows beyond its first norm.
/// #[derive(Debug)]
/// struct Ceiling;
///
/// const CEILING: MethodInfo = Info {
///     name: "ceiling",
///     description: "filters may shrink, and do not grow beyond their first norm",
///     formula: "f ← f·min(1, ‖f₀‖/‖f‖)",
///     source: "an example",
///     limits: "none known",
///     choices: &[],
///     read: |_| Ok(Method::norm_rule(Ceiling)),
/// };
///
/// impl NormRule for Ceiling {
///     fn info(&self) -> &'static MethodInfo {
///         &CEILING
///     }
///
///     fn table(&self) -> Table {
///         Table::from_iter([("name".into(), "ceiling".into())])
///     }
///
///     fn factor(&self, filter: &Filter) -> f64 {
///         (filter.start / filter.norm).min(1.0)
///     }
/// }
///
/// fn optimizer(params: &Params) -> Result<Optimizer, Error> {
///     Optimizer::new(&params.with_method(Method::norm_rule(Ceiling)), Sgd::default(), 5e-4)
/// }
/// ```
pub trait NormRule: Debug + Send + Sync {
    /// Its name, and what a list says of it.
    fn info(&self) -> &'static MethodInfo;

    /// Its name and settings, as [`Method::to_table`] says them: what tells this rule from others.
    fn table(&self) -> Table;

    /// Whether the settings make sense.
    ///
    /// # Errors
    ///
    /// The key at fault, what was expected and what was found.
    fn check(&self) -> Result<(), Mistake> {
        Ok(())
    }

    /// What `filter` is multiplied with after a step. Pure: all that a run must keep to go on bit for bit is in `filter`.
    fn factor(&self, filter: &Filter) -> f64;
}

/// A filter after a step of the base optimizer, as a [`NormRule`] sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filter {
    /// Its norm now.
    pub norm: f64,
    /// Its norm when the optimizer was made.
    pub start: f64,
    /// The number of its values.
    pub len: usize,
    /// The learning rate of the step, with the schedule applied.
    pub lr: f64,
    /// The number of the step for this weight, from 1.
    pub step: u64,
}

impl PartialEq for dyn NormRule {
    fn eq(&self, other: &Self) -> bool {
        self.table() == other.table()
    }
}

impl Method {
    /// The method that `rule` is. A method is copied freely, so its rule stays in memory until the program ends: a few
    /// bytes for each that is read.
    pub fn norm_rule(rule: impl NormRule + 'static) -> Self {
        Self::NormRule(Box::leak(Box::new(rule)))
    }
}
