//! Experiments on a network: moves parameters and observes the loss, gradients and running statistics.

use crate::error::Error;
use crate::in_place::read;
use crate::params::{Parameter, Params};
use crate::sums::products;
use candle_core::{DType, Device, Result, Tensor, Var};
use settings::Mistake;

/// The parameters of a network and its loss.
pub(super) struct Probe<'a> {
    params: &'a Params,
    parameters: Vec<Parameter>,
    loss: &'a mut dyn FnMut(usize) -> Result<Tensor>,
    original: Vec<Tensor>,
}

/// Below this share of the weight's largest `‖f‖·‖g‖`, a filter's gradient is a rounding error.
const NO_GRADIENT: f64 = 1e-6;

/// How far parameters are moved, relative to their root mean square.
const MOVE: f64 = 0.1;

/// Largest relative difference of the loss between two calls that is rounding.
const SAME_LOSS: f64 = 1e-5;

impl<'a> Probe<'a> {
    /// Runs `f`, and restores `params` afterwards.
    pub(super) fn run<R>(
        params: &'a Params,
        loss: &'a mut dyn FnMut(usize) -> Result<Tensor>,
        f: impl FnOnce(&mut Self) -> std::result::Result<R, Error>,
    ) -> std::result::Result<R, Error> {
        let parameters = params.all();
        let original = parameters.iter().map(|p| p.var.copy()).collect::<Result<_>>()?;
        let mut probe = Self { params, parameters, loss, original };
        let result = f(&mut probe);
        probe.restore()?;
        result
    }

    pub(super) fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameters and buffers that a forward pass changes.
    pub(super) fn statistics(&mut self) -> std::result::Result<Vec<Parameter>, Error> {
        self.loss(0)?;
        let mut changed = Vec::new();
        for (parameter, original) in self.parameters.iter().zip(&self.original) {
            if values(&parameter.var)? != values(original)? {
                changed.push(parameter.clone());
            }
        }
        self.restore()?;
        Ok(changed)
    }

    /// The angles between the filters of `weights` and their gradients, at `rounds` places.
    pub(super) fn angles(&mut self, weights: &[Parameter], rounds: usize) -> std::result::Result<Vec<Angles>, Error> {
        let mut all: Vec<_> = weights.iter().map(Angles::new).collect();
        for round in 0..rounds {
            self.move_to(round)?;
            let gradients = self.params.unscale(&self.loss(round)?.backward()?, 1.0)?;
            for (weight, angles) in weights.iter().zip(&mut all) {
                if let Some(gradient) = gradients.get(&weight.var) {
                    angles.add(&values(&weight.var)?, &values(gradient)?);
                }
            }
            self.restore()?;
        }
        Ok(all)
    }

    /// The loss and `statistics` after a forward pass of round 0, at its place, after `change` changed the parameters there.
    pub(super) fn experiment(
        &mut self,
        statistics: &[Parameter],
        change: impl FnOnce() -> Result<()>,
    ) -> std::result::Result<Outcome, Error> {
        self.move_to(0)?;
        change()?;
        self.params.sync_half()?;
        let loss = f64::from(self.loss(0)?.to_scalar::<f32>()?);
        let statistics = statistics.iter().map(|p| values(&p.var)).collect::<Result<_>>()?;
        self.restore()?;
        Ok(Outcome { loss, statistics })
    }

    /// The outcome without any change; an error where two calls differ.
    pub(super) fn reference(&mut self, statistics: &[Parameter]) -> std::result::Result<Outcome, Error> {
        let [first, second] = [self.experiment(statistics, || Ok(()))?, self.experiment(statistics, || Ok(()))?];
        if (first.loss - second.loss).abs() > SAME_LOSS * first.loss.abs() {
            let found = format!("{} and {}", first.loss, second.loss);
            let mistake = Mistake::new("loss", "the same value in each call with round 0", found);
            return Err(Error::settings("roles", mistake.with_hint("use the same batch, and no dropout")));
        }
        Ok(first)
    }

    /// The loss of `round`, a finite number of type `f32`.
    fn loss(&mut self, round: usize) -> std::result::Result<Tensor, Error> {
        let loss = (self.loss)(round)?.to_dtype(DType::F32)?;
        let value = loss.to_scalar::<f32>()?;
        if !value.is_finite() {
            let mistake = Mistake::new("loss", format!("a finite number in round {round}"), value);
            return Err(Error::settings("roles", mistake));
        }
        Ok(loss)
    }

    /// Moves all parameters by a tenth of their root mean square, to the same place for the same `round`. Parameters that are
    /// all 0 move as if their rows had norm 1. Running statistics stay, because a variance must not become negative.
    fn move_to(&self, round: usize) -> Result<()> {
        for (parameter, original) in self.parameters.iter().zip(&self.original) {
            if parameter.is_statistic() {
                continue;
            }
            let mut values = values(original)?;
            let square: f64 = values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
            let root_mean_square = (square / values.len().max(1) as f64).sqrt();
            let rows = if original.rank() < 2 { values.len() } else { original.dims()[0] };
            let row = (values.len() as f64 / rows.max(1) as f64).max(1.0);
            let scale = MOVE * if root_mean_square == 0.0 { 1.0 / row.sqrt() } else { root_mean_square };
            let mut rng = random::stream(round as u64, &format!("roles, {}", parameter.name), &[]);
            for value in &mut values {
                *value += (scale * random::normal(&mut rng)) as f32;
            }
            parameter.var.set(&Tensor::from_vec(values, original.shape(), original.device())?)?;
        }
        self.params.sync_half()
    }

    fn restore(&self) -> Result<()> {
        for (parameter, original) in self.parameters.iter().zip(&self.original) {
            parameter.var.set(original)?;
        }
        self.params.sync_half()
    }
}

/// The outcome of an experiment.
pub(super) struct Outcome {
    pub(super) loss: f64,
    /// The values of each statistic.
    pub(super) statistics: Vec<Vec<f32>>,
}

/// Angles between the filters of a weight and their gradients.
pub(super) struct Angles {
    /// Number of values of a filter.
    pub(super) len: usize,
    /// Largest cosine of each filter; `None` where it never had a gradient.
    cosines: Vec<Option<f64>>,
    /// Largest cosine of the weight as a whole.
    whole: f64,
}

impl Angles {
    fn new(weight: &Parameter) -> Self {
        let filters = weight.var.dims()[0];
        let len = weight.var.elem_count().checked_div(filters).unwrap_or(0);
        Self { len, cosines: vec![None; filters], whole: 0.0 }
    }

    fn add(&mut self, weight: &[f32], gradient: &[f32]) {
        let rows = weight.chunks_exact(self.len.max(1)).zip(gradient.chunks_exact(self.len.max(1)));
        let products: Vec<_> = rows.map(|(w, g)| products(w, g)).collect();
        let sizes: Vec<f64> = products.iter().map(|[_, ww, gg]| (ww * gg).sqrt()).collect();
        let largest = sizes.iter().copied().fold(0.0, f64::max);
        for (([wg, ..], size), cosine) in products.iter().zip(&sizes).zip(&mut self.cosines) {
            if *size > NO_GRADIENT * largest {
                *cosine = Some(cosine.unwrap_or(0.0).max(wg.abs() / size));
            }
        }
        let sum = |which: usize| products.iter().map(|products| products[which]).sum::<f64>();
        let size = (sum(1) * sum(2)).sqrt();
        if size > 0.0 {
            self.whole = self.whole.max(sum(0).abs() / size);
        }
    }

    pub(super) fn filters(&self) -> usize {
        self.cosines.len()
    }

    /// The largest cosine of a filter.
    pub(super) fn cosine(&self) -> f64 {
        self.cosines.iter().flatten().copied().fold(0.0, f64::max)
    }

    /// The largest cosine of all filters together.
    pub(super) fn whole(&self) -> f64 {
        self.whole
    }

    /// The filters without a gradient.
    pub(super) fn dead(&self) -> Vec<usize> {
        (0..self.filters()).filter(|filter| self.cosines[*filter].is_none()).collect()
    }
}

/// The values of an `f32` tensor on any device.
pub(super) fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    read(&tensor.to_device(&Device::Cpu)?, <[f32]>::to_vec)
}

/// Multiplies the `chosen` rows of `weight` by `factor`.
pub(super) fn multiply(weight: &Var, chosen: &[bool], factor: f32) -> Result<()> {
    let mut all = values(weight)?;
    let len = (all.len() / chosen.len().max(1)).max(1);
    for (row, _) in all.chunks_mut(len).zip(chosen).filter(|(_, chosen)| **chosen) {
        row.iter_mut().for_each(|value| *value *= factor);
    }
    weight.set(&Tensor::from_vec(all, weight.shape(), weight.device())?)
}
