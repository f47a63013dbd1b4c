//! Element by element, joining, sums, resizing and augmenting.

use crate::machine::{Machine, Map, check, floats, poisoned, random, read};
use cuda::{Augment, Resize, Rows, Taps, Type};

#[test]
fn element_by_element() {
    for n in [1, 7, 64, 1000] {
        let inputs = |maps| [1, 2].map(|seed| Map::new(maps, &random(n, seed)));
        let case = |machine: &Machine, maps: Type| {
            let [a, b] = inputs(maps).map(|map| map.upload(machine, maps));
            let results = [(); 5].map(|()| poisoned(machine, maps, n));
            let wide = machine.upload(&vec![f32::NAN; n]);
            let [sum, rectified, leaky, gradient, narrow] = [0, 1, 2, 3, 4].map(|i: usize| results[i].address());
            machine.run(&[
                cuda::add(a.address(), b.address(), sum, n, false),
                cuda::add(a.address(), b.address(), rectified, n, true),
                cuda::relu(a.address(), 0, leaky, n, 0.25),
                cuda::relu(a.address(), b.address(), gradient, n, 0.25),
                cuda::to_f32(a.address(), wide.address(), n),
                cuda::from_f32(wide.address(), narrow, n),
            ]);
            results.iter().map(|map| read(machine, maps, map, n)).collect()
        };
        let expected = |maps: Type| {
            let [a, b] = inputs(maps);
            let zip = |f: &dyn Fn(f64, f64) -> f64| a.values.iter().zip(&b.values).map(|(a, b)| f(*a, *b)).collect();
            vec![
                zip(&|a, b| a + b),
                zip(&|a, b| (a + b).max(0.0)),
                zip(&|a, _| if a > 0.0 { a } else { 0.25 * a }),
                zip(&|a, b| if a > 0.0 { b } else { 0.25 * b }),
                zip(&|a, _| a),
            ]
        };
        check(&format!("element by element, {n}"), case, expected);
    }
}

#[test]
fn channels_are_joined_and_cut() {
    for (rows, c, other) in [(9, 16, 8), (5, 3, 4)] {
        let inputs = |maps| [(c, 1), (other, 2)].map(|(c, seed)| Map::new(maps, &random(rows * c, seed)));
        let case = |machine: &Machine, maps: Type| {
            let [a, b] = inputs(maps).map(|map| map.upload(machine, maps));
            let (joined, cut) = (poisoned(machine, maps, rows * (c + other)), poisoned(machine, maps, rows * other));
            let whole = c + other;
            machine.run(&[
                cuda::copy_channels(a.address(), joined.address(), rows, (c, 0), (whole, 0), c),
                cuda::copy_channels(b.address(), joined.address(), rows, (other, 0), (whole, c), other),
                cuda::copy_channels(joined.address(), cut.address(), rows, (whole, c), (other, 0), other),
            ]);
            vec![read(machine, maps, &joined, rows * whole), read(machine, maps, &cut, rows * other)]
        };
        let expected = |maps: Type| {
            let [a, b] = inputs(maps);
            let row = |row: usize| [&a.values[row * c..][..c], &b.values[row * other..][..other]].concat();
            vec![(0..rows).flat_map(row).collect(), b.values.clone()]
        };
        check("joining", case, expected);
    }
}

#[test]
fn sums_and_biases() {
    for (rows, c) in [(300, 8), (2100, 24), (11, 5)] {
        let inputs = |maps| Map::new(maps, &random(rows * c, 1));
        let bias = random(c, 2);
        let case = |machine: &Machine, maps: Type| {
            let cut = Rows::new(rows, c, maps);
            let (x, bias) = (inputs(maps).upload(machine, maps), machine.upload(&bias));
            let [sums, total] = [c, 1].map(|len| machine.upload(&vec![f32::NAN; len]));
            let part = machine.upload(&vec![f32::NAN; cut.part_len()]);
            machine.run(&cuda::column_sums(&cut, x.address(), part.address(), sums.address()));
            machine.run(&[
                cuda::sum_all(bias.address(), c, 0.5, total.address()),
                cuda::add_bias(x.address(), bias.address(), rows, c),
            ]);
            vec![floats(machine, &sums, c), floats(machine, &total, 1), read(machine, maps, &x, rows * c)]
        };
        let expected = |maps: Type| {
            let x = inputs(maps);
            let sum = |ch: usize| (0..rows).map(|row| x.values[row * c + ch]).sum::<f64>();
            let moved = x.values.iter().enumerate().map(|(i, value)| value + f64::from(bias[i % c])).collect();
            let total = bias.iter().map(|value| f64::from(*value)).sum::<f64>() / 2.0;
            vec![(0..c).map(sum).collect(), vec![total], moved]
        };
        check(&format!("sums of {rows}×{c}"), case, expected);
    }
}

#[test]
fn differences_are_counted() {
    let (a, mut b): (Vec<u32>, Vec<u32>) = ((0..3000).collect(), (0..3000).collect());
    b[5] ^= 1;
    b[2999] ^= 1 << 31;
    let case = |machine: &Machine, _| {
        let (a, b, part) = (machine.upload(&a), machine.upload(&b), machine.upload(&vec![0.0_f32; cuda::DIFFERENCES]));
        machine.run(&[cuda::differences(a.address(), b.address(), 3000, part.address())]);
        vec![vec![floats(machine, &part, cuda::DIFFERENCES).iter().sum()]]
    };
    check("differences", case, |_| vec![vec![2.0]]);
}

#[test]
fn resizing_equals_plain_arithmetic() {
    let cases = [([2, 5, 4, 8], [10, 8]), ([1, 8, 9, 3], [5, 13]), ([1, 1, 1, 16], [4, 3]), ([1, 6, 6, 8], [3, 3])];
    let modes = [(true, false), (false, false), (false, true)];
    for ((dims, output), (nearest, corners)) in cases.into_iter().flat_map(|case| modes.map(|mode| (case, mode))) {
        let [n, h, w, c] = dims;
        let [rows, columns] = [Taps::new(h, output[0], nearest, corners), Taps::new(w, output[1], nearest, corners)];
        let outside = n * output[0] * output[1] * c;
        let inputs = |maps| [(n * h * w * c, 1), (outside, 2)].map(|(len, seed)| Map::new(maps, &random(len, seed)));
        let case = |machine: &Machine, maps: Type| {
            let [x, dy] = inputs(maps).map(|map| map.upload(machine, maps));
            let tables = [machine.upload(&rows.taps), machine.upload(&columns.taps)];
            let readers = [machine.upload(&rows.readers), machine.upload(&columns.readers)];
            let [y, dx] = [outside, n * h * w * c].map(|len| poisoned(machine, maps, len));
            let resize = Resize {
                taps: [tables[0].address(), tables[1].address()],
                readers: [readers[0].address(), readers[1].address()],
                dims,
                output,
            };
            machine.run(&[
                cuda::resize(&resize, x.address(), y.address()),
                cuda::resize_gradient(&resize, dy.address(), dx.address()),
            ]);
            vec![read(machine, maps, &y, outside), read(machine, maps, &dx, n * h * w * c)]
        };
        let expected = |maps: Type| {
            let [x, dy] = inputs(maps);
            let (mut y, mut dx) = (vec![0.0; outside], vec![0.0; x.values.len()]);
            for (to, y) in y.iter_mut().enumerate() {
                let (ch, pixel) = (to % c, to / c);
                let (ox, oy, image) = (pixel % output[1], pixel / output[1] % output[0], pixel / output[1] / output[0]);
                for (iy, row) in shares(&rows, oy) {
                    for (ix, column) in shares(&columns, ox) {
                        let from = ((image * h + iy) * w + ix) * c + ch;
                        *y += row * column * x.values[from];
                        dx[from] += row * column * dy.values[to];
                    }
                }
            }
            vec![y, dx]
        };
        check(&format!("resize {dims:?} to {output:?}"), case, expected);
    }
}

/// What output `i` reads, and how much of it.
fn shares(taps: &Taps, i: usize) -> [(usize, f64); 2] {
    let [low, high, bits] = taps.taps[i];
    let share = f64::from(f32::from_bits(bits.cast_unsigned()));
    [(low as usize, 1.0 - share), (high as usize, share)]
}

#[test]
fn taps_are_those_of_torch() {
    let shares =
        |taps: Taps| taps.taps.iter().map(|[_, _, bits]| f32::from_bits(bits.cast_unsigned())).collect::<Vec<_>>();
    assert_eq!(shares(Taps::new(2, 4, false, false)), [0.0, 0.25, 0.75, 0.0]);
    assert_eq!(Taps::new(2, 4, true, false).taps.iter().map(|tap| tap[0]).collect::<Vec<_>>(), [0, 0, 1, 1]);
    assert_eq!(shares(Taps::new(3, 5, false, true)), [0.0, 0.5, 0.0, 0.5, 0.0]);
}

#[test]
fn images_are_moved_mirrored_and_normalized() {
    let ([n, h, w, c], out, channels) = ([3, 6, 5, 3], [6, 4], 4);
    let images: Vec<u8> = random(n * h * w * c, 1).iter().map(|value| ((value + 1.0) * 127.0) as u8).collect();
    let places = [[0, 0, 0], [-2, 1, 1], [3, -1, 1]];
    let (mean, inv) = ([0.4_f32, 0.5, 0.6], [4.0_f32, 3.0, 5.0]);
    let len = n * out[0] * out[1] * channels;
    let case = |machine: &Machine, maps: Type| {
        let y = poisoned(machine, maps, len);
        let (images, places) = (machine.upload(&images), machine.upload(&places));
        let (mean, inv_std) = (machine.upload(&mean), machine.upload(&inv));
        machine.run(&[cuda::augment(&Augment {
            images: images.address(),
            places: places.address(),
            mean: mean.address(),
            inv_std: inv_std.address(),
            y: y.address(),
            n,
            size: [h, w],
            c,
            out,
            channels,
        })]);
        vec![read(machine, maps, &y, len)]
    };
    let expected = |_| {
        let value = |i: usize| {
            let (ch, pixel) = (i % channels, i / channels);
            let (ox, oy, image) = (pixel % out[1], pixel / out[1] % out[0], pixel / out[1] / out[0]);
            let [top, left, flip] = places[image];
            let x = left + if flip == 1 { out[1] - 1 - ox } else { ox } as i32;
            let y = top + oy as i32;
            if ch >= c {
                return 0.0;
            }
            let inside = (0..h as i32).contains(&y) && (0..w as i32).contains(&x);
            let byte = if inside { images[((image * h + y as usize) * w + x as usize) * c + ch] } else { 0 };
            (f64::from(byte) / 255.0 - f64::from(mean[ch])) * f64::from(inv[ch])
        };
        vec![(0..len).map(value).collect()]
    };
    check("augment", case, expected);
}
