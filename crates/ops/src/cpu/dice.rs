//! Sums of a softmax over the rows of a class, on the CPU: in `f64`, block by block.

use super::elementary::exp_negative;
use super::elementwise::CHUNK;
use rayon::prelude::*;

/// Of each class `[Σ p·g, Σ p, Σ g]`, see [`Engine::class_sums`](crate::engine::Engine::class_sums).
pub(super) fn class_sums(logits: &[f32], targets: &[u32], ignore: Option<u32>, classes: usize) -> Vec<[f64; 3]> {
    // Blocks depend on the shape alone.
    let rows = block(classes);
    let blocks: Vec<Vec<[f64; 3]>> = logits
        .par_chunks(rows * classes.max(1))
        .zip(targets.par_chunks(rows))
        .map(|(logits, targets)| {
            let mut sums = vec![[0.0; 3]; classes];
            let mut p = vec![0.0; classes];
            for (row, target) in logits.chunks_exact(classes).zip(targets) {
                if Some(*target) == ignore {
                    continue;
                }
                softmax(row, &mut p);
                for (sums, p) in sums.iter_mut().zip(&p) {
                    sums[1] += p;
                }
                let target = *target as usize;
                sums[target][0] += p[target];
                sums[target][2] += 1.0;
            }
            sums
        })
        .collect();
    let mut sums = vec![[0.0; 3]; classes];
    for (class, block) in blocks.iter().flat_map(|block| block.iter().enumerate()) {
        (0..3).for_each(|part| sums[class][part] += block[part]);
    }
    sums
}

/// Writes the gradient `p·(d − Σ p·d)` times `dloss`, with `d` the derivative by `p`: that by a class's `Σ p`, and at the
/// target also that by its `Σ p·g`.
pub(super) fn backward(
    logits: &[f32],
    targets: &[u32],
    ignore: Option<u32>,
    by_class: &[[f64; 2]],
    dloss: f64,
    dx: &mut [f32],
) {
    let classes = by_class.len();
    let rows = block(classes);
    let blocks = logits.par_chunks(rows * classes.max(1)).zip(targets.par_chunks(rows));
    dx.par_chunks_mut(rows * classes.max(1)).zip(blocks).for_each(|(dx, (logits, targets))| {
        let mut p = vec![0.0; classes];
        let all = dx.chunks_exact_mut(classes).zip(logits.chunks_exact(classes)).zip(targets);
        for ((dx, row), target) in all {
            if Some(*target) == ignore {
                dx.fill(0.0);
                continue;
            }
            softmax(row, &mut p);
            let target = *target as usize;
            let [by_both, by_p] = by_class[target];
            let mean = p.iter().zip(by_class).map(|(p, [_, by_p])| p * by_p).sum::<f64>() + p[target] * by_both;
            for ((dx, p), [_, by_p]) in dx.iter_mut().zip(&p).zip(by_class) {
                *dx = (p * (by_p - mean) * dloss) as f32;
            }
            dx[target] = (p[target] * (by_p + by_both - mean) * dloss) as f32;
        }
    });
}

/// Rows a task takes.
fn block(classes: usize) -> usize {
    (CHUNK / classes.max(1)).max(1)
}

fn softmax(row: &[f32], p: &mut [f64]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for (p, x) in p.iter_mut().zip(row) {
        *p = f64::from(exp_negative(x - largest));
    }
    let sum: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= sum);
}
