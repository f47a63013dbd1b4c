//! One parameter, and the update that each optimizer makes of its gradient.

use regularize::*;

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(super) fn norm(v: &[f64]) -> f64 {
    dot(v, v).sqrt()
}

pub(super) fn mean(v: &[f64]) -> f64 {
    v.iter().sum::<f64>() / v.len() as f64
}

/// `a·x + b·y`.
pub(super) fn combine(a: f64, x: &[f64], b: f64, y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| a * x + b * y).collect()
}

/// `v` without its part along `direction`, in each row of `len` values.
pub(super) fn tangent(v: &[f64], direction: &[f64], len: usize) -> Vec<f64> {
    let row = |(v, d): (&[f64], &[f64])| {
        let along = if norm(d) > 0.0 { dot(v, d) / dot(d, d) } else { 0.0 };
        v.iter().zip(d).map(|(v, d)| v - along * d).collect::<Vec<_>>()
    };
    v.chunks(len).zip(direction.chunks(len)).flat_map(row).collect()
}

/// The product of an `n × k` and a `k × m` matrix.
pub(super) fn product(a: &[f64], b: &[f64], k: usize) -> Vec<f64> {
    let m = b.len() / k;
    let value = |i: usize| (0..k).map(|j| a[i / m * k + j] * b[j * m + i % m]).sum();
    (0..a.len() / k * m).map(value).collect()
}

/// The transposed of a matrix with rows of `len` values.
pub(super) fn transposed(a: &[f64], len: usize) -> Vec<f64> {
    let rows = a.len() / len;
    (0..a.len()).map(|i| a[i % rows * len + i / rows]).collect()
}

/// Newton and Schulz's iteration of `airbench94_muon` (`zeropower_via_newtonschulz5`) on a matrix with rows of `len` values.
pub(super) fn newton_schulz(g: &[f64], len: usize, iterations: u32) -> Vec<f64> {
    let rows = g.len() / len;
    if rows > len {
        return transposed(&newton_schulz(&transposed(g, len), rows, iterations), rows);
    }
    let size = norm(g) + 1e-7;
    let mut x: Vec<f64> = g.iter().map(|g| g / size).collect();
    for _ in 0..iterations {
        let a = product(&x, &transposed(&x, len), len);
        let b = combine(-4.7750, &a, 2.0315, &product(&a, &a, rows));
        x = combine(3.4445, &x, 1.0, &product(&b, &x, rows));
    }
    x
}

/// A parameter, and everything that the rules keep of it.
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) scale_invariant: bool,
    /// Whether it has more than one dimension.
    pub(super) matrix: bool,
    /// The number of values of a filter, a row of dimension 0.
    pub(super) filter: usize,
    pub(super) w: Vec<f64>,
    /// The number of steps taken.
    pub(super) t: i32,
    /// SGD's momentum, or Adam's first moment; empty before the first step.
    pub(super) momentum: Vec<f64>,
    /// Adam's second moment, or Nero's mean square of each neuron's gradient.
    pub(super) second: Vec<f64>,
    /// The norm that the method returns each filter or the layer to.
    pub(super) norms: Vec<f64>,
    /// Rotational variants: the mean square of each filter's update.
    pub(super) update_squares: Vec<f64>,
    /// Matched rates: the scale-free squared gradient norm of each of the first 100 steps.
    pub(super) gradient_squares: Vec<f64>,
    /// Nero: the mean norm of a neuron at the start.
    pub(super) neuron_scale: f64,
}

impl Parameter {
    /// The layer's name.
    pub(super) fn layer(&self) -> &str {
        self.name.rsplit_once('.').unwrap().0
    }

    /// Subtracts from every filter its mean; one value alone has nothing else, and stays.
    pub(super) fn center(&mut self) {
        for f in self.w.chunks_mut(self.filter).filter(|f| f.len() > 1) {
            let mean = mean(f);
            f.iter_mut().for_each(|v| *v -= mean);
        }
    }

    /// The update that the rule makes of gradient `g`, to be multiplied by the learning rate, and the factor of a decoupled
    /// decay. `raw` is the gradient before anything was added to it or removed from it.
    pub(super) fn update(&mut self, rule: &Rule, raw: &[f64], g: &[f64]) -> (Vec<f64>, f64) {
        match *rule {
            Rule::Sgd(Sgd { momentum: 0.0, .. }) => (g.to_vec(), 1.0),
            Rule::Sgd(Sgd { momentum: mu, dampening, nesterov, .. }) => {
                self.momentum = match self.t {
                    1 => g.to_vec(),
                    _ => combine(mu, &self.momentum, 1.0 - dampening, g),
                };
                let d = if nesterov { combine(1.0, g, mu, &self.momentum) } else { self.momentum.clone() };
                (d, 1.0)
            }
            Rule::Adam(Adam { betas, eps, .. }) | Rule::AdamW(Adam { betas, eps, .. }) => {
                (self.moments(betas, eps, false, g), 1.0)
            }
            Rule::Sgdp(Sgdp { momentum: mu, dampening, nesterov, eps, delta, wd_ratio, .. }) => {
                self.momentum.resize(g.len(), 0.0);
                self.momentum = combine(mu, &self.momentum, 1.0 - dampening, g);
                let mut d = if nesterov { combine(1.0, g, mu, &self.momentum) } else { self.momentum.clone() };
                let projected = self.project(&mut d, raw, eps, delta);
                if !nesterov {
                    self.momentum = d.clone();
                }
                (d, if projected { wd_ratio } else { 1.0 } / (1.0 - mu))
            }
            Rule::AdamP(AdamP { betas, eps, delta, wd_ratio, nesterov, .. }) => {
                let mut u = self.moments(betas, eps, nesterov, g);
                let projected = self.project(&mut u, raw, eps, delta);
                (u, if projected { wd_ratio } else { 1.0 })
            }
            Rule::Muon(Muon { momentum: mu, nesterov, iterations, rest_momentum, .. }) => {
                self.momentum.resize(g.len(), 0.0);
                let (mu, nesterov) = if self.scale_invariant { (mu, nesterov) } else { (rest_momentum, true) };
                self.momentum = combine(mu, &self.momentum, 1.0, g);
                let d = if nesterov { combine(1.0, g, mu, &self.momentum) } else { self.momentum.clone() };
                (if self.scale_invariant { newton_schulz(&d, self.filter, iterations) } else { d }, 1.0)
            }
            Rule::Nero(_) => unreachable!("Nero has a step of its own"),
        }
    }

    /// Moves both moments of Adam, and gives `m̂ / (√v̂ + ε)`, with Nesterov's `β₁·m + (1−β₁)·g` for `m`.
    pub(super) fn moments(&mut self, [beta1, beta2]: [f64; 2], eps: f64, nesterov: bool, g: &[f64]) -> Vec<f64> {
        self.momentum.resize(g.len(), 0.0);
        self.second.resize(g.len(), 0.0);
        let square: Vec<f64> = g.iter().map(|g| g * g).collect();
        self.momentum = combine(beta1, &self.momentum, 1.0 - beta1, g);
        self.second = combine(beta2, &self.second, 1.0 - beta2, &square);
        let m = if nesterov { combine(beta1, &self.momentum, 1.0 - beta1, g) } else { self.momentum.clone() };
        let (correction1, correction2) =
            (1.0 - libm::pow(beta1, f64::from(self.t)), 1.0 - libm::pow(beta2, f64::from(self.t)));
        m.iter().zip(&self.second).map(|(m, v)| m / correction1 / ((v / correction2).sqrt() + eps)).collect()
    }

    /// SGDP and AdamP: where gradient and weight look orthogonal in each filter, or else in the layer, removes the
    /// update's part along the weight, and says so.
    pub(super) fn project(&self, update: &mut [f64], g: &[f64], eps: f64, delta: f64) -> bool {
        if !self.matrix {
            return false;
        }
        for len in [self.filter, self.w.len()] {
            let cosine = |(g, w): (&[f64], &[f64])| dot(g, w).abs() / (norm(g).max(eps) * norm(w).max(eps));
            let largest = g.chunks(len).zip(self.w.chunks(len)).map(cosine).fold(0.0, f64::max);
            if largest < delta / (len as f64).sqrt() {
                for (u, w) in update.chunks_mut(len).zip(self.w.chunks(len)) {
                    let unit: Vec<f64> = w.iter().map(|v| v / (norm(w) + eps)).collect();
                    let along = dot(&unit, u);
                    u.iter_mut().zip(unit).for_each(|(u, v)| *u -= along * v);
                }
                return true;
            }
        }
        false
    }

    pub(super) fn nero_step(&mut self, beta: f64, g: &[f64], lr: f64, decay: f64) {
        let neuron = if self.matrix { self.filter } else { 1 };
        self.second.resize(g.len() / neuron, 0.0);
        self.w.iter_mut().for_each(|w| *w *= 1.0 - lr * decay);
        let correction = 1.0 - libm::pow(beta, f64::from(self.t));
        let neurons = self.w.chunks_mut(neuron).zip(g.chunks(neuron)).zip(&mut self.second);
        for ((w, g), second) in neurons {
            *second = beta * *second + (1.0 - beta) * dot(g, g);
            let size = (*second / correction).sqrt();
            if size > 0.0 {
                w.iter_mut().zip(g).for_each(|(w, g)| *w -= lr * self.neuron_scale * g / size);
            }
        }
        if self.matrix {
            self.center();
        }
    }
}
