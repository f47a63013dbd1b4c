//! Optimizers with weight rescaling, and weight standardization.

use crate::machine::{Machine, Map, check, floats, poisoned, random, read};
use cuda::{Adam, FilterRow, Rates, Sgd, Standardize, Type};

const LENS: [usize; 4] = [9, 300, 27, 1];

fn rows() -> Vec<FilterRow> {
    let mut start = 0;
    let row = |(i, len): (usize, usize)| {
        let (targets, decay) = ([2.0, -1.0, 0.5, -1.0], [0.0, 0.1, 0.05, 0.0]);
        let row = FilterRow {
            start,
            len: len as i32,
            decay: decay[i],
            target: targets[i],
            decoupled: i32::from(i == 2),
            narrow: i32::from(i == 1),
            unused: 0,
        };
        start += len as i64;
        row
    };
    LENS.into_iter().enumerate().map(row).collect()
}

/// Two steps: weights, momentum, the copy, norms of the last one.
fn run(machine: &Machine, maps: Type, adam: bool, nesterov: i32) -> Vec<Vec<f64>> {
    let len: usize = LENS.iter().sum();
    let table = machine.upload(&rows());
    let rates = machine.upload(&[Rates { lr: 0.1, momentum: 0.9, beta2: 0.99, eps: 1e-3, nesterov, step: 1 }]);
    let (w, g) = (machine.upload(&random(len, 1)), machine.upload(&random(len, 2)));
    let maps_g = Map::new(maps, &random(len, 2)).upload(machine, maps);
    let (m, s) = (machine.upload(&random(len, 3)), machine.upload(&vec![0.25_f32; len]));
    let (copy, norms) = (poisoned(machine, maps, len), machine.upload(&[f32::NAN; 4]));
    let sgd = Sgd {
        rows: table.address(),
        rates: rates.address(),
        g: g.address(),
        maps_g: maps_g.address(),
        m: m.address(),
        w: w.address(),
        copy: copy.address(),
        norms: norms.address(),
    };
    for _ in 0..2 {
        let step = if adam { Adam { sgd, s: s.address() }.launch(4) } else { sgd.launch(4) };
        machine.run(&[step, cuda::count_step(rates.address())]);
    }
    let mut results = vec![floats(machine, &w, len), floats(machine, &m, len)];
    results.extend([read(machine, maps, &copy, len), floats(machine, &norms, 4)]);
    results
}

fn expected(maps: Type, adam: bool, nesterov: bool) -> Vec<Vec<f64>> {
    let len: usize = LENS.iter().sum();
    let [mut w, g, mut m] = [1, 2, 3].map(|seed| random(len, seed).iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
    let narrow = Map::new(maps, &random(len, 2)).values;
    let (mut s, mut norms) = (vec![0.25; len], vec![0.0; 4]);
    for step in 1..=2 {
        for (index, row) in rows().iter().enumerate() {
            let at = row.start as usize..row.start as usize + row.len as usize;
            let decay = f64::from(row.decay);
            for i in at.clone() {
                let (coupled, shrink) = if row.decoupled == 1 { (0.0, 1.0 - 0.1 * decay) } else { (decay, 1.0) };
                let d = if index == 1 { narrow[i] } else { g[i] } + coupled * w[i];
                if adam {
                    m[i] = 0.9 * m[i] + 0.1 * d;
                    s[i] = 0.99 * s[i] + 0.01 * d * d;
                    let (first, second) = (1.0 - 0.9_f64.powi(step), 1.0 - 0.99_f64.powi(step));
                    w[i] = w[i] * shrink - 0.1 * (m[i] / first) / ((s[i] / second).sqrt() + 1e-3);
                } else {
                    m[i] = 0.9 * m[i] + d;
                    w[i] = w[i] * shrink - 0.1 * if nesterov { d + 0.9 * m[i] } else { m[i] };
                }
            }
            norms[index] = w[at.clone()].iter().map(|w| w * w).sum::<f64>().sqrt();
            if row.target >= 0.0 {
                let factor = f64::from(row.target) / norms[index];
                w[at].iter_mut().for_each(|w| *w *= factor);
            }
        }
    }
    vec![w.clone(), m, w, norms]
}

#[test]
fn sgd_equals_plain_arithmetic() {
    check("SGD", |machine, maps| run(machine, maps, false, 0), |maps| expected(maps, false, false));
    check("SGD, Nesterov", |machine, maps| run(machine, maps, false, 1), |maps| expected(maps, false, true));
}

#[test]
fn adam_equals_plain_arithmetic() {
    check("Adam", |machine, maps| run(machine, maps, true, 0), |maps| expected(maps, true, false));
}

#[test]
fn standardization_equals_plain_arithmetic() {
    for (rows, len) in [(3, 27), (2, 600), (4, 1)] {
        let (w, dy, eps) = (random(rows * len, 1), random(rows * len, 2), 1e-3);
        let standardized = |w: &[f64]| -> Vec<f64> {
            let mean = w.iter().sum::<f64>() / len as f64;
            let sigma = (w.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / len as f64).sqrt();
            w.iter().map(|w| (w - mean) / (sigma + eps)).collect()
        };
        let case = |machine: &Machine, maps: Type| {
            let (w, dy) = (machine.upload(&w), machine.upload(&dy));
            let (mean, inverse) = (machine.upload(&vec![f32::NAN; rows]), machine.upload(&vec![f32::NAN; rows]));
            let (y, dw) = (poisoned(machine, maps, rows * len), machine.upload(&vec![f32::NAN; rows * len]));
            let standardize = Standardize {
                w: w.address(),
                mean: mean.address(),
                inverse: inverse.address(),
                rows,
                len,
                eps: eps as f32,
            };
            machine.run(&[standardize.forward(y.address()), standardize.gradient(dy.address(), dw.address())]);
            vec![read(machine, maps, &y, rows * len), floats(machine, &dw, rows * len)]
        };
        let expected = |_| {
            let w: Vec<f64> = w.iter().map(|w| f64::from(*w)).collect();
            let (mut y, mut dw) = (Vec::new(), Vec::new());
            for (row, dy) in w.chunks(len).zip(dy.chunks(len)) {
                y.extend(standardized(row));
                // One value has no deviation, so neither a result nor a slope.
                let slope = |i: usize| {
                    let moved = |by: f64| {
                        let mut row = row.to_vec();
                        row[i] += by;
                        standardized(&row).iter().zip(dy).map(|(y, dy)| y * f64::from(*dy)).sum::<f64>()
                    };
                    (moved(1e-6) - moved(-1e-6)) / 2e-6
                };
                dw.extend((0..len).map(slope));
            }
            vec![y, dw]
        };
        check(&format!("standardize {rows}×{len}"), case, expected);
    }
}
