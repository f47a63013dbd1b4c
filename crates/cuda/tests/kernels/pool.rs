//! Pooling, forwards and backwards.

use crate::machine::{Machine, Map, check, poisoned, random, read};
use cuda::{Type, Window};

fn windows() -> [Window; 5] {
    let window = |dims, kernel, stride, padding| Window { dims, kernel, stride, padding };
    [
        window([2, 8, 8, 8], 2, 2, 0),
        window([1, 9, 7, 16], 3, 2, 1),
        window([2, 5, 6, 3], 3, 1, 1),
        window([1, 7, 7, 5], 2, 3, 0),
        window([1, 4, 4, 8], 4, 4, 2),
    ]
}

/// For each value of the result, the input's values that its window sees: (index of the result, index of the input, tap).
fn pairs(w: &Window) -> Vec<(usize, usize, usize)> {
    let ([n, h, width, c], [oh, ow]) = (w.dims, w.output());
    let mut pairs = Vec::new();
    for image in 0..n {
        for (oy, ox) in (0..oh).flat_map(|oy| (0..ow).map(move |ox| (oy, ox))) {
            for tap in 0..w.kernel * w.kernel {
                let y = (oy * w.stride + tap / w.kernel).wrapping_sub(w.padding);
                let x = (ox * w.stride + tap % w.kernel).wrapping_sub(w.padding);
                if y < h && x < width {
                    for ch in 0..c {
                        let to = ((image * oh + oy) * ow + ox) * c + ch;
                        pairs.push((to, ((image * h + y) * width + x) * c + ch, tap));
                    }
                }
            }
        }
    }
    pairs
}

fn inputs(w: &Window, maps: Type) -> (Map, Map) {
    let [oh, ow] = w.output();
    let (x, y) = (w.dims.iter().product(), w.dims[0] * oh * ow * w.dims[3]);
    // Few values, so that windows have several largest ones.
    let coarse: Vec<f32> = random(x, 1).iter().map(|value| (value * 4.0).round() / 4.0).collect();
    (Map::new(maps, &coarse), Map::new(maps, &random(y, 2)))
}

#[test]
fn max_pooling_equals_plain_arithmetic() {
    for w in windows() {
        let case = |machine: &Machine, maps: Type| {
            let (x, dy) = inputs(&w, maps);
            let (inside, outside) = (x.values.len(), dy.values.len());
            let (x, dy) = (x.upload(machine, maps), dy.upload(machine, maps));
            let (y, dx) = (poisoned(machine, maps, outside), poisoned(machine, maps, inside));
            let taps = machine.upload(&vec![0_u8; outside]);
            machine.run(&[
                cuda::max_pool(&w, x.address(), y.address(), taps.address()),
                cuda::max_pool_gradient(&w, dy.address(), taps.address(), dx.address()),
            ]);
            vec![read(machine, maps, &y, outside), read(machine, maps, &dx, inside)]
        };
        let expected = |maps: Type| {
            let (x, dy) = inputs(&w, maps);
            let mut best: Vec<Option<usize>> = vec![None; dy.values.len()];
            for (to, from, _) in pairs(&w) {
                if best[to].is_none_or(|best| x.values[from] > x.values[best]) {
                    best[to] = Some(from);
                }
            }
            let mut dx = vec![0.0; x.values.len()];
            for (to, from) in best.iter().enumerate() {
                dx[from.unwrap()] += dy.values[to];
            }
            vec![best.iter().map(|from| x.values[from.unwrap()]).collect(), dx]
        };
        check(&format!("max pool {w:?}"), case, expected);
    }
}

#[test]
fn average_pooling_equals_plain_arithmetic() {
    for (w, include_pad) in windows().into_iter().flat_map(|w| [(w, false), (w, true)]) {
        let case = |machine: &Machine, maps: Type| {
            let (x, dy) = inputs(&w, maps);
            let (inside, outside) = (x.values.len(), dy.values.len());
            let (x, dy) = (x.upload(machine, maps), dy.upload(machine, maps));
            let (y, dx) = (poisoned(machine, maps, outside), poisoned(machine, maps, inside));
            machine.run(&[
                cuda::avg_pool(&w, x.address(), y.address(), include_pad),
                cuda::avg_pool_gradient(&w, dy.address(), dx.address(), include_pad),
            ]);
            vec![read(machine, maps, &y, outside), read(machine, maps, &dx, inside)]
        };
        let expected = |maps: Type| {
            let (x, dy) = inputs(&w, maps);
            let mut seen = vec![0.0; dy.values.len()];
            pairs(&w).iter().for_each(|(to, ..)| seen[*to] += 1.0);
            if include_pad {
                let ([_, h, width, c], [oh, ow]) = (w.dims, w.output());
                for (to, seen) in seen.iter_mut().enumerate() {
                    let side = |o: usize, side: usize| w.kernel.min(side + 2 * w.padding - o * w.stride);
                    *seen = (side(to / c / ow % oh, h) * side(to / c % ow, width)) as f64;
                }
            }
            let (mut y, mut dx) = (vec![0.0; dy.values.len()], vec![0.0; x.values.len()]);
            for (to, from, _) in pairs(&w) {
                y[to] += x.values[from] / seen[to];
                dx[from] += dy.values[to] / seen[to];
            }
            vec![y, dx]
        };
        check(&format!("average pool {w:?} {include_pad}"), case, expected);
    }
}

#[test]
fn global_pooling_equals_plain_arithmetic() {
    for [n, pixels, c] in [[3, 16, 40], [2, 49, 5], [1, 1, 1]] {
        let inputs = |maps| (Map::new(maps, &random(n * pixels * c, 1)), Map::new(maps, &random(n * c, 2)));
        let case = |machine: &Machine, maps: Type| {
            let (x, dy) = inputs(maps);
            let (x, dy) = (x.upload(machine, maps), dy.upload(machine, maps));
            let (y, dx) = (poisoned(machine, maps, n * c), poisoned(machine, maps, n * pixels * c));
            machine.run(&[
                cuda::global_pool(x.address(), y.address(), [n, pixels, c]),
                cuda::global_pool_gradient(dy.address(), dx.address(), [n, pixels, c]),
            ]);
            vec![read(machine, maps, &y, n * c), read(machine, maps, &dx, n * pixels * c)]
        };
        let expected = |maps: Type| {
            let (x, dy) = inputs(maps);
            let mean = |i: usize| (0..pixels).map(|p| x.values[(i / c * pixels + p) * c + i % c]).sum::<f64>();
            let y = (0..n * c).map(|i| mean(i) / pixels as f64).collect();
            let dx = (0..n * pixels * c).map(|i| dy.values[i / (pixels * c) * c + i % c] / pixels as f64).collect();
            vec![y, dx]
        };
        check("global pool", case, expected);
    }
}
