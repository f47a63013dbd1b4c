//! Batch norm, forwards and backwards.

use crate::machine::{Map, check, floats, poisoned, random, read};
use cuda::{Norm, NormGradient, RELU_BY_INPUT, RELU_BY_OUTPUT, Rows, Type};

struct Case {
    rows: usize,
    c: usize,
    /// Added to x: sums of squares would cancel.
    offset: f32,
    residual: bool,
    relu: bool,
    twice: bool,
    training: bool,
}

const EPS: f32 = 1e-5;

struct Inputs {
    x: Map,
    residual: Map,
    dy: Map,
    dy2: Map,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Case {
    fn inputs(&self, maps: Type) -> Inputs {
        let len = self.rows * self.c;
        let x: Vec<f32> = random(len, 1).iter().map(|value| value + self.offset).collect();
        Inputs {
            x: Map::new(maps, &x),
            residual: Map::new(maps, &random(len, 2)),
            dy: Map::new(maps, &random(len, 3)),
            dy2: Map::new(maps, &random(len, 4)),
            gamma: random(self.c, 5).iter().map(|value| value + 1.5).collect(),
            beta: random(self.c, 6),
        }
    }

    /// y, running mean and variance, dx, dz, dγ, dβ.
    fn expected(&self, maps: Type) -> Vec<Vec<f64>> {
        let Self { rows, c, .. } = *self;
        let Inputs { x, residual, dy, dy2, gamma, beta } = self.inputs(maps);
        let (mut y, mut dz, mut dx) = (vec![0.0; rows * c], vec![0.0; rows * c], vec![0.0; rows * c]);
        let [mut mean_out, mut var_out, mut dgamma, mut dbeta] = [(); 4].map(|()| vec![0.0; c]);
        for ch in 0..c {
            let at = |row: usize| row * c + ch;
            let n = rows as f64;
            let batch_mean = (0..rows).map(|row| x.values[at(row)]).sum::<f64>() / n;
            let m2 = (0..rows).map(|row| (x.values[at(row)] - batch_mean).powi(2)).sum::<f64>();
            let (mut mean, mut var) = (batch_mean, m2 / n);
            mean_out[ch] = 0.1 * mean;
            var_out[ch] = 0.9 + 0.1 * m2 / (n - 1.0).max(1.0);
            if !self.training {
                (mean, var) = (mean_out[ch], var_out[ch]);
            }
            let inv = 1.0 / (var + f64::from(EPS)).sqrt();
            let (gamma, beta) = (f64::from(gamma[ch]), f64::from(beta[ch]));
            for i in (0..rows).map(at) {
                let hat = (x.values[i] - mean) * inv;
                y[i] = hat * gamma + beta + if self.residual { residual.values[i] } else { 0.0 };
                let d = dy.values[i] + if self.twice { dy2.values[i] } else { 0.0 };
                dz[i] = if self.relu && y[i] <= 0.0 { 0.0 } else { d };
                if self.relu {
                    y[i] = y[i].max(0.0);
                }
                dbeta[ch] += dz[i];
                dgamma[ch] += dz[i] * hat;
            }
            let share = if self.training { 1.0 / n } else { 0.0 };
            for i in (0..rows).map(at) {
                let hat = (x.values[i] - mean) * inv;
                dx[i] = gamma * inv * (dz[i] - dbeta[ch] * share - hat * dgamma[ch] * share);
            }
        }
        vec![y, mean_out, var_out, dx, dz, dgamma, dbeta]
    }

    fn run(&self) {
        let Self { rows, c, .. } = *self;
        let len = rows * c;
        let name = format!("norm of {rows}×{c}");
        let case = |machine: &crate::machine::Machine, maps: Type| {
            let inputs = self.inputs(maps);
            let [x, residual, dy, dy2] =
                [&inputs.x, &inputs.residual, &inputs.dy, &inputs.dy2].map(|map| map.upload(machine, maps));
            let [y, dx, dz] = [(); 3].map(|()| poisoned(machine, maps, len));
            let vector = || machine.upload(&vec![f32::NAN; c]);
            let [mean, inv_std, scale, shift, dgamma, dbeta] = [(); 6].map(|()| vector());
            let (gamma, beta) = (machine.upload(&inputs.gamma), machine.upload(&inputs.beta));
            let (running_mean, running_var) = (machine.upload(&vec![0.0_f32; c]), machine.upload(&vec![1.0_f32; c]));
            let cut = Rows::new(rows, c, maps);
            let part = machine.upload(&vec![f32::NAN; cut.part_len()]);
            let factors = machine.upload(&vec![f32::NAN; 3 * c]);
            let norm = Norm {
                gamma: gamma.address(),
                beta: beta.address(),
                running_mean: running_mean.address(),
                running_var: running_var.address(),
                mean: mean.address(),
                inv_std: inv_std.address(),
                scale: scale.address(),
                shift: shift.address(),
                part: part.address(),
                eps: EPS,
                momentum: 0.1,
            };
            machine.run(&norm.statistics(&cut, x.address()));
            if !self.training {
                machine.run(&[norm.running(c)]);
            }
            let added = if self.residual { residual.address() } else { 0 };
            machine.run(&[norm.apply(&cut, x.address(), added, y.address(), self.relu)]);
            let mask = match (self.relu, self.residual) {
                (false, _) => 0,
                (true, false) => RELU_BY_INPUT,
                (true, true) => RELU_BY_OUTPUT,
            };
            let gradient = NormGradient {
                dy: dy.address(),
                dy2: if self.twice { dy2.address() } else { 0 },
                x: x.address(),
                y: y.address(),
                dz: if self.residual { dz.address() } else { 0 },
                dx: dx.address(),
                dgamma: dgamma.address(),
                dbeta: dbeta.address(),
                factors: factors.address(),
                mask,
                training: self.training,
            };
            machine.run(&norm.gradient(&cut, &gradient));
            let dz = if self.residual { read(machine, maps, &dz, len) } else { self.expected(maps)[4].clone() };
            let [y, dx] = [&y, &dx].map(|map| read(machine, maps, map, len));
            let [mean, var, dgamma, dbeta] =
                [&running_mean, &running_var, &dgamma, &dbeta].map(|vector| floats(machine, vector, c));
            vec![y, mean, var, dx, dz, dgamma, dbeta]
        };
        check(&name, case, |maps| self.expected(maps));
    }
}

#[test]
fn equals_plain_arithmetic() {
    let case = Case { rows: 50, c: 16, offset: 0.0, residual: false, relu: true, twice: false, training: true };
    Case { ..case }.run();
    Case { rows: 2113, c: 8, residual: true, ..case }.run();
    Case { rows: 700, c: 40, residual: true, twice: true, ..case }.run();
    Case { rows: 33, c: 264, relu: false, ..case }.run();
    Case { rows: 90, c: 16, relu: false, twice: true, ..case }.run();
    Case { rows: 61, c: 16, training: false, ..case }.run();
}

/// The threads of a warp have different numbers of rows here. Loops that some of them left earlier gave bf16 sums that
/// differed from run to run on an H200.
#[test]
fn equals_plain_arithmetic_on_a_device() {
    if !cuda::Device::driver_is_installed() {
        eprintln!("skipped: would take long without a device");
        return;
    }
    let case = Case { rows: 65_536, c: 64, offset: 0.0, residual: true, relu: true, twice: true, training: true };
    Case { ..case }.run();
    Case { rows: 131_072, residual: false, twice: false, ..case }.run();
    Case { rows: 8190, c: 256, ..case }.run();
}

#[test]
fn takes_channels_that_are_not_whole_vectors() {
    let case = Case { rows: 77, c: 5, offset: 0.0, residual: true, relu: true, twice: true, training: true };
    Case { ..case }.run();
    Case { rows: 3, c: 1, residual: false, ..case }.run();
    Case { rows: 40, c: 67, twice: false, ..case }.run();
}

/// A mean of a hundred standard deviations: E[x²] − mean² would lose four digits.
#[test]
fn does_not_cancel() {
    let case = Case { rows: 4000, c: 4, offset: 60.0, residual: false, relu: false, twice: false, training: true };
    let var = |maps: Type| case.expected(maps)[2].clone();
    check(
        "moments of a distant mean",
        |machine, maps| {
            let inputs = case.inputs(maps);
            let x = inputs.x.upload(machine, maps);
            let cut = Rows::new(case.rows, case.c, maps);
            let part = machine.upload(&vec![0.0_f32; cut.part_len()]);
            let [gamma, beta, mean, inv, scale, shift, rm] = [(); 7].map(|()| machine.upload(&vec![0.0_f32; case.c]));
            let rv = machine.upload(&vec![1.0_f32; case.c]);
            let norm = Norm {
                gamma: gamma.address(),
                beta: beta.address(),
                running_mean: rm.address(),
                running_var: rv.address(),
                mean: mean.address(),
                inv_std: inv.address(),
                scale: scale.address(),
                shift: shift.address(),
                part: part.address(),
                eps: EPS,
                momentum: 0.1,
            };
            machine.run(&norm.statistics(&cut, x.address()));
            vec![floats(machine, &rv, case.c)]
        },
        |maps| vec![var(maps)],
    );
}
