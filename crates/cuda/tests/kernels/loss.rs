//! Losses and their gradients.

use crate::machine::{Machine, Map, check, floats, poisoned, random, read};
use cuda::{CrossEntropy, Focal, Type};

#[test]
fn cross_entropy_equals_plain_arithmetic() {
    for (rows, classes, smoothing, weighted, ignored) in [
        (9, 10, 0.0, false, 3),
        (5, 100, 0.1, true, 2),
        (40, 3, 0.2, false, 1),
        (4, 7, 0.0, true, 0),
        (3, 5, 0.1, false, 9),
    ] {
        let inputs =
            |maps| Map::new(maps, &random(rows * classes, 1).iter().map(|value| value * 8.0).collect::<Vec<_>>());
        // Every `ignored`-th row does not count; 9 of 3 rows: all, 0: none.
        let counts = |row: usize| ignored == 0 || (ignored < 9 && !row.is_multiple_of(ignored + 1));
        let targets: Vec<i32> =
            (0..rows).map(|row| if counts(row) { (row * 7 % classes) as i32 } else { -100 }).collect();
        let weight: Vec<f32> = random(classes, 2).iter().map(|value| value + 1.25).collect();
        let case = |machine: &Machine, maps: Type| {
            let (logits, targets) = (inputs(maps).upload(machine, maps), machine.upload(&targets));
            let table = machine.upload(&weight);
            let [total, loss] = [1, rows].map(|len| machine.upload(&vec![f32::NAN; len]));
            let dx = poisoned(machine, maps, rows * classes);
            machine.run(&cuda::cross_entropy(&CrossEntropy {
                logits: logits.address(),
                targets: targets.address(),
                weight: if weighted { table.address() } else { 0 },
                total: total.address(),
                rows,
                classes,
                ignore: -100,
                smoothing,
                scale: 2.0,
                loss: loss.address(),
                dx: dx.address(),
            }));
            vec![floats(machine, &loss, rows), read(machine, maps, &dx, rows * classes)]
        };
        let expected = |maps: Type| {
            let logits = inputs(maps).values;
            let w = |class: usize| if weighted { f64::from(weight[class]) } else { 1.0 };
            let total: f64 = targets.iter().filter(|target| **target >= 0).map(|target| w(*target as usize)).sum();
            let (mut loss, mut dx) = (vec![0.0; rows], vec![0.0; rows * classes]);
            let smoothing = f64::from(smoothing);
            for row in (0..rows).filter(|row| targets[*row] >= 0) {
                let x = &logits[row * classes..][..classes];
                let sum: f64 = x.iter().map(|value| value.exp()).sum();
                let share = |class: usize| {
                    let hit = if class == targets[row] as usize { 1.0 - smoothing } else { 0.0 };
                    w(class) * (hit + smoothing / classes as f64) / total
                };
                for class in 0..classes {
                    loss[row] -= share(class) * (x[class] - sum.ln());
                    for other in 0..classes {
                        let same = if other == class { 1.0 } else { 0.0 };
                        dx[row * classes + other] -= 2.0 * share(class) * (same - x[other].exp() / sum);
                    }
                }
            }
            vec![loss, dx]
        };
        check(&format!("cross-entropy of {rows}×{classes}"), case, expected);
    }
}

#[test]
fn focal_loss_equals_plain_arithmetic() {
    let n = 300;
    for (alpha, gamma) in [(Some(0.25_f32), 2.0_f32), (None, 0.0), (Some(0.6), 1.5)] {
        let inputs = |maps| Map::new(maps, &random(n, 1).iter().map(|value| value * 12.0).collect::<Vec<_>>());
        let targets: Vec<f32> = random(n, 2).iter().map(|value| f32::from(*value > 0.5)).collect();
        let case = |machine: &Machine, maps: Type| {
            let (logits, targets) = (inputs(maps).upload(machine, maps), machine.upload(&targets));
            let (loss, dx) = (machine.upload(&vec![f32::NAN; n]), poisoned(machine, maps, n));
            machine.run(&[cuda::focal(&Focal {
                logits: logits.address(),
                targets: targets.address(),
                n,
                alpha,
                gamma,
                scale: 0.5,
                loss: loss.address(),
                dx: dx.address(),
            })]);
            vec![floats(machine, &loss, n), read(machine, maps, &dx, n)]
        };
        let expected = |maps: Type| {
            let logits = inputs(maps).values;
            let (gamma, alpha) = (f64::from(gamma), alpha.map(f64::from));
            let loss = |i: usize, x: f64| {
                let positive = targets[i] > 0.5;
                let x = if positive { x } else { -x };
                let weight = alpha.map_or(1.0, |alpha| if positive { alpha } else { 1.0 - alpha });
                weight * (1.0 / (1.0 + x.exp())).powf(gamma) * (-x).exp().ln_1p()
            };
            let slope = |i: usize| (loss(i, logits[i] + 1e-4) - loss(i, logits[i] - 1e-4)) / 2e-4;
            vec![(0..n).map(|i| loss(i, logits[i])).collect(), (0..n).map(|i| 0.5 * slope(i)).collect()]
        };
        check("focal", case, expected);
    }
}

#[test]
fn giou_equals_plain_arithmetic() {
    let n = 130;
    let boxes = |seed| random(4 * n, seed).iter().map(|value| value + 1.2).collect::<Vec<f32>>();
    let (predicted, target, weight) = (boxes(1), boxes(2), random(n, 3));
    let loss = |i: usize, p: [f64; 4]| {
        let t: [f64; 4] = std::array::from_fn(|k| f64::from(target[4 * i + k]));
        let area = |b: [f64; 4]| (b[0] + b[2]) * (b[1] + b[3]);
        let inter = area(std::array::from_fn(|k| p[k].min(t[k])));
        let hull = area(std::array::from_fn(|k| p[k].max(t[k])));
        let union = area(p) + area(t) - inter;
        f64::from(weight[i]) * (1.0 - (inter / union - (hull - union) / hull))
    };
    let case = |machine: &Machine, _| {
        let (p, t, w) = (machine.upload(&predicted), machine.upload(&target), machine.upload(&weight));
        let (l, dx) = (machine.upload(&vec![f32::NAN; n]), machine.upload(&vec![f32::NAN; 4 * n]));
        machine.run(&[cuda::giou(p.address(), t.address(), w.address(), n, l.address(), dx.address())]);
        vec![floats(machine, &l, n), floats(machine, &dx, 4 * n)]
    };
    let expected = |_| {
        let at = |i: usize| std::array::from_fn(|k| f64::from(predicted[4 * i + k]));
        let slope = |j: usize| {
            let moved = |by: f64| {
                let mut p: [f64; 4] = at(j / 4);
                p[j % 4] += by;
                loss(j / 4, p)
            };
            (moved(1e-6) - moved(-1e-6)) / 2e-6
        };
        vec![(0..n).map(|i| loss(i, at(i))).collect(), (0..4 * n).map(slope).collect()]
    };
    check("GIoU", case, expected);
}
