//! The rules of every optimizer and method, written plainly in `f64`.

mod parameter;

use crate::common::*;
use parameter::{Parameter, dot, mean, norm, tangent};
use regularize::equilibrium::{adamw_rotation, matched_adam_lr, matched_sgd_lr, sgd_rotation};
use regularize::*;
use std::collections::BTreeMap;

/// Values by name.
pub(crate) type Values = BTreeMap<String, Vec<f64>>;

/// A base optimizer with a method, on all parameters of a network.
pub(crate) struct Model {
    base: Base,
    method: Method,
    rest_decay: f64,
    steps: u64,
    epochs: u64,
    /// The learning rate of the last step.
    lr: f64,
    /// AdamS: of the last step.
    root_second_moment: f64,
    /// Muon: what was scaled before its update, and by what; what hangs on it follows after all updates.
    scaled_first: Vec<(usize, Vec<f64>)>,
    parameters: Vec<Parameter>,
    /// Running statistics.
    buffers: Values,
}

impl Model {
    /// Starts from what `params` hold, which no optimizer has touched yet.
    pub(crate) fn new(params: &Params, base: Base, method: Method, rest_decay: f64) -> Self {
        let parameter = |p: &regularize::Parameter| Parameter {
            name: p.name.clone(),
            scale_invariant: matches!(p.role, Role::ScaleInvariant(_)),
            matrix: p.var.rank() > 1,
            filter: p.var.elem_count() / p.var.dims()[0],
            w: doubles(&p.var),
            t: 0,
            momentum: Vec::new(),
            second: Vec::new(),
            norms: Vec::new(),
            update_squares: Vec::new(),
            gradient_squares: Vec::new(),
            neuron_scale: 0.0,
        };
        let parameters = params.trainable().iter().map(parameter).collect();
        let buffers = params.all().into_iter().filter(|p| matches!(p.role, Role::Buffer));
        let buffers = buffers.map(|p| (p.name, doubles(&p.var))).collect();
        let (steps, epochs, lr, root_second_moment) = (0, 0, 0.0, 0.0);
        let mut model = Self {
            base,
            method,
            rest_decay,
            steps,
            epochs,
            lr,
            root_second_moment,
            scaled_first: Vec::new(),
            parameters,
            buffers,
        };
        (0..model.parameters.len()).for_each(|at| model.start(at));
        model
    }

    /// The number of values of `p` that the method gives a norm of their own.
    fn block(&self, p: &Parameter) -> usize {
        match self.method {
            Method::Wrs(Wrs { granularity: Granularity::Layer, .. })
            | Method::SoftWeightRescaling(_)
            | Method::WeightNormControl(_)
            | Method::Hyperball => p.w.len(),
            Method::None if matches!(self.base.rule, Rule::Muon(_)) => p.w.len(),
            _ => p.filter,
        }
    }

    /// What optimizer and method do to a parameter before the first step.
    fn start(&mut self, at: usize) {
        let block = self.block(&self.parameters[at]);
        let p = &mut self.parameters[at];
        if let Rule::Nero(_) = self.base.rule {
            if p.matrix {
                p.center();
                p.norms = vec![1.0; p.w.len() / p.filter];
                self.rescale(at);
            }
            let p = &mut self.parameters[at];
            let neurons: Vec<f64> = p.w.chunks(if p.matrix { p.filter } else { 1 }).map(norm).collect();
            p.neuron_scale = if mean(&neurons) > 0.0 { mean(&neurons) } else { 0.01 };
            return;
        }
        if !p.scale_invariant {
            return;
        }
        let target = match self.method {
            Method::Wrs(Wrs { target, .. }) => target,
            Method::Pbwn(_) => Target::Unit,
            Method::None if matches!(self.base.rule, Rule::Muon(_)) => Target::RootFilters,
            _ => Target::Init,
        };
        let norm_of = |block: &[f64]| match target {
            Target::Unit => 1.0,
            Target::Init => norm(block),
            Target::RmsOne => (block.len() as f64).sqrt(),
            Target::RootFilters => ((block.len() / p.filter) as f64).sqrt(),
            Target::Constant(norm) => norm,
        };
        p.norms = p.w.chunks(block).map(norm_of).collect();
        if let Method::Rotational(Rotational { zero_mean: true, .. }) = self.method {
            p.center();
        }
        self.rescale(at);
    }

    /// The form in which a parameter decays, and how strongly.
    fn decay(&self, p: &Parameter) -> (Form, f64) {
        let (form, decay) = match self.method {
            Method::WeightDecay(WeightDecay { decay, scope, form })
                if scope == Scope::Everything || p.scale_invariant =>
            {
                (form, decay)
            }
            Method::WeightStandardization(WeightStandardization { decay, form }) if p.scale_invariant => (form, decay),
            Method::WeightNormalization(WeightNormalization { decay })
            | Method::GradientCentralization(GradientCentralization { decay, .. })
                if p.scale_invariant =>
            {
                (Form::Own, decay)
            }
            _ if p.scale_invariant => (Form::Own, 0.0),
            _ => match self.base.rule {
                Rule::Sgd(_) | Rule::Sgdp(_) | Rule::Muon(_) => (Form::Coupled, self.rest_decay),
                Rule::Adam(_) | Rule::AdamW(_) | Rule::AdamP(_) | Rule::Nero(_) => (Form::Decoupled, self.rest_decay),
            },
        };
        let own = match self.base.rule {
            Rule::Sgd(_) | Rule::Adam(_) => Form::Coupled,
            _ => Form::Decoupled,
        };
        (if form == Form::Own { own } else { form }, decay)
    }

    /// The learning rate of each value of a parameter.
    fn rates(&mut self, at: usize, g: &[f64], lr: f64) -> Vec<f64> {
        let block = self.block(&self.parameters[at]);
        let p = &mut self.parameters[at];
        let ratio = match self.base.rule {
            Rule::Muon(Muon { lr, rest_lr, .. }) if !p.scale_invariant => rest_lr / lr,
            _ => 1.0,
        };
        let own = vec![lr * ratio; p.w.len()];
        let Method::Wrs(Wrs { rate: Rate::Matched { lr: matched_lr, decay }, .. }) = self.method else { return own };
        if !p.scale_invariant {
            return own;
        }
        let blocks = p.w.chunks(block).zip(g.chunks(block));
        let squares: Vec<f64> = blocks.map(|(w, g)| dot(g, g) * dot(w, w)).collect();
        if p.gradient_squares.len() < 100 {
            p.gradient_squares.push(mean(&squares));
        }
        let gradient_square = mean(&p.gradient_squares);
        if matches!(self.base.rule, Rule::Sgd(_)) && gradient_square == 0.0 {
            return own;
        }
        let schedule = lr / self.base.rule.lr();
        let rate = |target: f64| match self.base.rule {
            Rule::Sgd(Sgd { momentum, .. }) => {
                target * target * matched_sgd_lr(matched_lr, decay, momentum, gradient_square) * schedule
            }
            _ => target * matched_adam_lr(matched_lr, decay, block as f64) * schedule,
        };
        p.norms.iter().flat_map(|target| vec![rate(*target); block]).collect()
    }

    pub(crate) fn step(&mut self, gradients: &Values, lr: f64) {
        self.steps += 1;
        self.lr = lr;
        let global = gradients.values().map(|g| dot(g, g)).sum::<f64>().sqrt();
        let clip = self.base.clip_norm.map_or(1.0, |max| (max / (global + 1e-6)).min(1.0));
        let with_gradient: Vec<usize> =
            (0..self.parameters.len()).filter(|at| gradients.contains_key(&self.parameters[*at].name)).collect();
        self.root_second_moment = self.second_moments(gradients, &with_gradient, clip).sqrt();
        for at in &with_gradient {
            let g: Vec<f64> = gradients[&self.parameters[*at].name].iter().map(|g| g * clip).collect();
            self.parameters[*at].t += 1;
            self.step_one(*at, g, lr);
        }
        for (at, factors) in std::mem::take(&mut self.scaled_first) {
            self.follow(at, &factors);
        }
        let acts = match self.method {
            Method::Wrs(Wrs { interval, .. }) | Method::Pbwn(Pbwn { interval, .. }) => match interval {
                Interval::Steps(every) => self.steps.is_multiple_of(every),
                Interval::Epochs(_) => false,
            },
            _ => !matches!(self.base.rule, Rule::Muon(_)),
        };
        with_gradient.into_iter().filter(|_| acts).for_each(|at| self.rescale(at));
    }

    /// AdamS: the mean of `v̂` over all values that have a gradient, once it is moved by them.
    fn second_moments(&self, gradients: &Values, with_gradient: &[usize], clip: f64) -> f64 {
        let (Rule::Adam(Adam { betas, .. }) | Rule::AdamW(Adam { betas, .. })) = self.base.rule else { return 0.0 };
        let mut all = Vec::new();
        for p in with_gradient.iter().map(|at| &self.parameters[*at]) {
            let correction = 1.0 - libm::pow(betas[1], f64::from(p.t + 1));
            for (i, g) in gradients[&p.name].iter().enumerate() {
                let before = p.second.get(i).copied().unwrap_or(0.0);
                all.push((betas[1] * before + (1.0 - betas[1]) * (clip * g) * (clip * g)) / correction);
            }
        }
        mean(&all)
    }

    pub(crate) fn begin_epoch(&mut self) {
        self.epochs += 1;
        let (Method::Wrs(Wrs { interval, .. }) | Method::Pbwn(Pbwn { interval, .. })) = self.method else { return };
        if let Interval::Epochs(every) = interval
            && self.epochs.is_multiple_of(every)
        {
            (0..self.parameters.len()).for_each(|at| self.rescale(at));
        }
    }

    /// Moves one parameter.
    fn step_one(&mut self, at: usize, mut g: Vec<f64>, lr: f64) {
        let (form, decay) = self.decay(&self.parameters[at]);
        if let Rule::Nero(Nero { beta, .. }) = self.base.rule {
            return self.parameters[at].nero_step(beta, &g, lr, decay);
        }
        let rates = self.rates(at, &g, lr);
        let raw = g.clone();
        let p = &mut self.parameters[at];
        if let Method::Pbwn(Pbwn { riemannian: true, .. }) = self.method
            && p.scale_invariant
        {
            g = tangent(&g, &p.w, p.filter);
        }
        if form == Form::Coupled {
            g.iter_mut().zip(&p.w).for_each(|(g, w)| *g += decay * w);
        }
        if let Method::GradientCentralization(GradientCentralization { scope, .. }) = self.method
            && (p.scale_invariant || scope == Scope::Everything)
            && p.matrix
        {
            for g in g.chunks_mut(p.filter).filter(|g| g.len() > 1) {
                let mean = mean(g);
                g.iter_mut().for_each(|g| *g -= mean);
            }
        }
        if matches!(self.base.rule, Rule::Muon(_))
            && let Some(factors) = self.scale(at)
        {
            self.scaled_first.push((at, factors));
        }
        let p = &mut self.parameters[at];
        let (mut u, share) = p.update(&self.base.rule, &raw, &g);
        match self.method {
            Method::Hyperball if p.scale_invariant => {
                let size = norm(&u);
                if size > 0.0 {
                    p.w.iter_mut().zip(&u).for_each(|(w, u)| *w -= lr * p.norms[0] * u / size);
                }
            }
            Method::Rotational(Rotational { decay, zero_mean }) if p.scale_invariant => {
                let angle = match self.base.rule {
                    Rule::Sgd(Sgd { momentum, .. }) => sgd_rotation(lr, decay, momentum),
                    Rule::Adam(Adam { betas, .. }) | Rule::AdamW(Adam { betas, .. }) => {
                        adamw_rotation(lr, decay, betas[0])
                    }
                    _ => unreachable!("refused"),
                };
                if zero_mean {
                    for u in u.chunks_mut(p.filter) {
                        let mean = mean(u);
                        u.iter_mut().for_each(|u| *u -= mean);
                    }
                }
                // The weight has its first norm, so this is `u − w·(u·w)/‖w₀‖²`.
                let u = tangent(&u, &p.w, p.filter);
                p.update_squares.resize(p.norms.len(), 0.0);
                let correction = 1.0 - libm::pow(0.9, f64::from(p.t));
                for (i, (w, u)) in p.w.chunks_mut(p.filter).zip(u.chunks(p.filter)).enumerate() {
                    p.update_squares[i] = 0.9 * p.update_squares[i] + 0.1 * dot(u, u);
                    let size = (p.update_squares[i] / correction).sqrt();
                    w.iter_mut().zip(u).for_each(|(w, u)| *w -= angle * p.norms[i] * u / (1e-8 + size));
                }
            }
            _ => {
                let shrink = match form {
                    Form::Decoupled => lr * decay * share,
                    Form::Corrected if p.scale_invariant => lr * lr / self.base.rule.lr() * decay,
                    Form::Corrected => lr * decay,
                    Form::Stable => match self.base.rule {
                        Rule::Sgd(Sgd { momentum, dampening, .. }) => lr * decay * (1.0 - dampening) / (1.0 - momentum),
                        _ => lr * decay / self.root_second_moment,
                    },
                    Form::Own | Form::Coupled | Form::Cautious => 0.0,
                };
                for ((w, u), rate) in p.w.iter_mut().zip(&u).zip(rates) {
                    let cautious = if form == Form::Cautious && u * *w >= 0.0 { decay * *w } else { 0.0 };
                    *w = *w * (1.0 - shrink) - rate * (u + cautious);
                }
            }
        }
    }

    /// Scales every block of a parameter as method or optimizer do, and what hangs on it.
    fn rescale(&mut self, at: usize) {
        if let Some(factors) = self.scale(at) {
            self.follow(at, &factors);
        }
    }

    /// Scales every block of a parameter; gives the factors.
    fn scale(&mut self, at: usize) -> Option<Vec<f64>> {
        let block = self.block(&self.parameters[at]);
        let p = &mut self.parameters[at];
        let scales = match (self.base.rule, self.method) {
            (Rule::Nero(_), _) => p.matrix,
            (Rule::Muon(_), _) => p.scale_invariant,
            (_, Method::None | Method::WeightDecay(_) | Method::GradientCentralization(_)) => false,
            (_, Method::WeightNormControl(_)) if p.t == 0 => false,
            (_, Method::WeightStandardization(_) | Method::WeightNormalization(_)) => false,
            (_, Method::NormRule(_)) if p.t == 0 => false,
            _ => p.scale_invariant,
        };
        if !scales {
            return None;
        }
        let mut factors = vec![1.0; p.norms.len()];
        for (i, w) in p.w.chunks_mut(block).enumerate() {
            let norm = norm(w);
            if norm < 1e-12 {
                continue;
            }
            let c = match self.method {
                Method::ForcedWeightNormalization => 1.0 / (1e-4 + norm / (block as f64).sqrt()),
                Method::SoftWeightRescaling(SoftWeightRescaling { strength: k }) => k * p.norms[i] / norm + 1.0 - k,
                Method::WeightNormControl(WeightNormControl { decay, target }) => {
                    let k = (self.lr * decay).min(1.0);
                    1.0 - k + k * target * p.norms[i] / norm
                }
                Method::NormRule(rule) => {
                    rule.factor(&Filter { norm, start: p.norms[i], len: block, lr: self.lr, step: p.t as u64 })
                }
                _ => p.norms[i] / norm,
            };
            w.iter_mut().for_each(|w| *w *= c);
            factors[i] = c;
            let values = i * block..(i + 1) * block;
            match self.method {
                Method::Wrs(Wrs { state: MomentumState::Rescale, .. }) if p.t > 0 => {
                    p.momentum.iter_mut().take(values.end).skip(values.start).for_each(|m| *m /= c);
                    p.second.iter_mut().take(values.end).skip(values.start).for_each(|v| *v /= c * c);
                }
                Method::Wrs(Wrs { state: MomentumState::Project, .. }) if !p.momentum.is_empty() => {
                    let projected = tangent(&p.momentum[values.clone()], w, block);
                    p.momentum[values].copy_from_slice(&projected);
                }
                _ => {}
            }
        }
        Some(factors)
    }

    /// Scales what hangs on a parameter whose blocks were scaled by `factors`.
    fn follow(&mut self, at: usize, factors: &[f64]) {
        let block = self.block(&self.parameters[at]);
        let p = &self.parameters[at];
        if self.method == Method::ForcedWeightNormalization || !p.scale_invariant {
            return;
        }
        let (layer, filters) = (p.layer().to_owned(), p.w.len() / p.filter);
        let of_filter: Vec<f64> = (0..filters).map(|f| factors[f * p.filter / block]).collect();
        let scale = |values: &mut Vec<f64>, power: i32| {
            values.iter_mut().zip(&of_filter).for_each(|(v, c)| *v *= libm::pow(*c, f64::from(power)));
        };
        scale(self.buffers.get_mut(&format!("{layer}.running_mean")).unwrap(), 1);
        scale(self.buffers.get_mut(&format!("{layer}.running_var")).unwrap(), 2);
        let bias = format!("{layer}.bias");
        self.parameters.iter_mut().filter(|p| p.name == bias).for_each(|p| scale(&mut p.w, 1));
    }

    /// All parameters and buffers.
    pub(crate) fn values(&self) -> Values {
        let parameters = self.parameters.iter().map(|p| (p.name.clone(), p.w.clone()));
        parameters.chain(self.buffers.clone()).collect()
    }

    /// What is kept from step to step, by name.
    pub(crate) fn state(&self) -> Values {
        let (first, second) = match self.base.rule {
            Rule::Sgd(_) | Rule::Sgdp(_) | Rule::Muon(_) => ("momentum_buffer", ""),
            Rule::Adam(_) | Rule::AdamW(_) | Rule::AdamP(_) => ("exp_avg", "exp_avg_sq"),
            Rule::Nero(_) => ("", "neuron_exp_avg_sq"),
        };
        let named = |p: &Parameter| {
            let kept = [(first, &p.momentum), (second, &p.second), ("update_norm_sq", &p.update_squares)];
            kept.map(|(what, values)| (format!("{what}/{}", p.name), values.clone()))
        };
        self.parameters.iter().flat_map(named).filter(|(_, values)| !values.is_empty()).collect()
    }

    /// Gradients made of `noise`: in turn orthogonal to the scale-invariant weights in each filter, in each layer, and
    /// not at all, so that optimizers that look at the angle find each of these. Rounded to what an `f32` holds.
    pub(crate) fn gradients(&self, noise: &Values) -> Values {
        let gradient = |p: &Parameter| {
            let noise = &noise[&p.name];
            let gradient = match self.steps % 3 {
                0 if p.scale_invariant && p.filter > 1 => tangent(noise, &p.w, p.filter),
                1 if p.scale_invariant => tangent(noise, &p.w, p.w.len()),
                _ => noise.clone(),
            };
            (p.name.clone(), gradient.into_iter().map(|g| f64::from(g as f32)).collect())
        };
        self.parameters.iter().map(gradient).collect()
    }
}
