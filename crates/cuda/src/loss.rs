//! Losses with their gradients.

use crate::launch::{Launch, THREADS};

/// Addresses and settings of a softmax cross-entropy.
#[derive(Debug, Clone, Copy)]
pub struct CrossEntropy {
    /// Logits `[rows, classes]`, of the maps' type.
    pub logits: u64,
    /// Class of each row, `int`.
    pub targets: u64,
    /// Weight of each class, f32; 0 for none.
    pub weight: u64,
    /// One f32 for the weight of all rows.
    pub total: u64,
    /// Rows.
    pub rows: usize,
    /// Classes.
    pub classes: usize,
    /// The target of rows that do not count.
    pub ignore: i32,
    /// Share of the target that is spread over all classes.
    pub smoothing: f32,
    /// What gradients are multiplied with.
    pub scale: f32,
    /// Each row's share of the mean loss, f32.
    pub loss: u64,
    /// The logits' gradient.
    pub dx: u64,
}

/// The mean cross-entropy, as torch's; where no row counts, loss and gradient are 0.
pub fn cross_entropy(c: &CrossEntropy) -> [Launch; 2] {
    let weight = Launch::new("target_weight", [1, 1, 1], [THREADS, 1, 1])
        .addresses([c.targets, c.weight])
        .int(c.rows)
        .int(c.ignore)
        .address(c.total);
    let loss = Launch::new("cross_entropy", [c.rows.div_ceil(THREADS / 32).max(1), 1, 1], [THREADS, 1, 1])
        .addresses([c.logits, c.targets, c.weight, c.total])
        .ints([c.rows, c.classes])
        .int(c.ignore)
        .float(c.smoothing)
        .float(c.scale)
        .addresses([c.loss, c.dx]);
    [weight, loss]
}

/// Addresses and settings of a focal loss, or with no `alpha` and γ = 0 a binary cross-entropy.
#[derive(Debug, Clone, Copy)]
pub struct Focal {
    /// Logits, of the maps' type.
    pub logits: u64,
    /// Targets 0 to 1, f32.
    pub targets: u64,
    /// How many.
    pub n: usize,
    /// Weight of positive examples; `None`: both 1.
    pub alpha: Option<f32>,
    /// Exponent that lowers the weight of easy examples.
    pub gamma: f32,
    /// What gradients are multiplied with.
    pub scale: f32,
    /// Each element's loss, f32.
    pub loss: u64,
    /// The logits' gradient.
    pub dx: u64,
}

/// The focal loss of each element (arXiv 1708.02002).
pub fn focal(f: &Focal) -> Launch {
    let launch = Launch::flat("focal", f.n).addresses([f.logits, f.targets]).long(f.n);
    launch.float(f.alpha.unwrap_or(-1.0)).float(f.gamma).float(f.scale).addresses([f.loss, f.dx])
}

/// The GIoU loss of `n` boxes `[n, 4]` given as distances from a common point, times a weight a box; all f32.
pub fn giou(predicted: u64, target: u64, weight: u64, n: usize, loss: u64, dx: u64) -> Launch {
    let launch = Launch::new("giou", [n.div_ceil(THREADS).max(1), 1, 1], [THREADS, 1, 1]);
    launch.addresses([predicted, target, weight]).int(n).addresses([loss, dx])
}
