//! Batch norm: moments, apply, and their gradients.

use crate::launch::{Launch, Type};

/// How a map of `rows` pixels and `c` channels is cut for kernels that work channel by channel: slabs of rows, from the
/// shape alone, whose partial sums are merged in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// Pixels of all images.
    pub rows: usize,
    /// Channels.
    pub c: usize,
    slab: usize,
    tx: usize,
    ty: usize,
    across: usize,
}

impl Rows {
    /// The cut of `rows` pixels of `c` channels of type `maps`.
    pub fn new(rows: usize, c: usize, maps: Type) -> Self {
        let wide = if c.is_multiple_of(maps.wide()) { maps.wide() } else { 1 };
        let vectors = (c / wide).max(1);
        let tx = vectors.next_power_of_two().min(32);
        let (ty, across) = (256 / tx, vectors.div_ceil(tx));
        // Blocks that fill a device twice, of at least four rows a thread.
        let slabs = (BLOCKS / across).clamp(1, rows.div_ceil(4 * ty).max(1));
        Self { rows, c, slab: rows.div_ceil(slabs).max(1), tx, ty, across }
    }

    /// How many slabs there are.
    pub fn slabs(&self) -> usize {
        self.rows.div_ceil(self.slab).max(1)
    }

    /// Values of partial sums: two a channel and slab.
    pub fn part_len(&self) -> usize {
        2 * self.slabs() * self.c
    }

    pub(crate) fn launch(&self, kernel: &'static str) -> Launch {
        Launch::new(kernel, [self.across, self.slabs(), 1], [self.tx, self.ty, 1])
    }

    pub(crate) fn shape(&self, launch: Launch) -> Launch {
        launch.ints([self.rows, self.c, self.slab])
    }
}

/// Twice the multiprocessors of an H100; a constant, so that results depend on shapes alone.
const BLOCKS: usize = 264;
/// Channels and threads a channel of the kernels that merge slabs, as in `norm.cu`.
const ACROSS: usize = 8;
const LANES: usize = 64;

/// The ReLU's gradient by the sign of its input, computed again from the convolution's result.
pub const RELU_BY_INPUT: i32 = 1;
/// The ReLU's gradient by the sign of its result: where a residual was added.
pub const RELU_BY_OUTPUT: i32 = 2;

/// Addresses of a batch norm: vectors of f32, one value a channel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Norm {
    /// γ.
    pub gamma: u64,
    /// β.
    pub beta: u64,
    /// Running mean; 0 for none.
    pub running_mean: u64,
    /// Running variance; 0 for none.
    pub running_var: u64,
    /// The batch's mean.
    pub mean: u64,
    /// The batch's 1/√(variance + eps).
    pub inv_std: u64,
    /// γ·inv_std.
    pub scale: u64,
    /// β − mean·scale.
    pub shift: u64,
    /// Partial sums, [`Rows::part_len`] values.
    pub part: u64,
    /// Added to the variance.
    pub eps: f32,
    /// Share of the batch in running statistics.
    pub momentum: f32,
}

impl Norm {
    /// Statistics of `x`: mean, inv_std, scale and shift; running statistics move.
    pub fn statistics(&self, rows: &Rows, x: u64) -> [Launch; 2] {
        let moments = rows.shape(rows.launch("moments").addresses([x, self.part]));
        let finish = Launch::new("norm_finish", [rows.c.div_ceil(ACROSS), 1, 1], [ACROSS, LANES, 1])
            .address(self.part)
            .ints([rows.slabs(), rows.rows, rows.slab, rows.c])
            .addresses([self.gamma, self.beta])
            .float(self.eps)
            .float(self.momentum)
            .addresses([self.running_mean, self.running_var, self.mean, self.inv_std, self.scale, self.shift]);
        [moments, finish]
    }

    /// As [`Norm::statistics`], from running statistics.
    pub fn running(&self, c: usize) -> Launch {
        Launch::flat("norm_running", c).int(c).addresses([self.gamma, self.beta]).float(self.eps).addresses([
            self.running_mean,
            self.running_var,
            self.mean,
            self.inv_std,
            self.scale,
            self.shift,
        ])
    }

    /// `y = x·scale + shift`, plus `residual` (0 for none), then a ReLU where `relu` says so.
    pub fn apply(&self, rows: &Rows, x: u64, residual: u64, y: u64, relu: bool) -> Launch {
        let launch = rows.launch("norm_apply").addresses([x, self.scale, self.shift, residual, y]);
        rows.shape(launch).int(relu)
    }

    /// dγ, dβ and dx.
    pub fn gradient(&self, rows: &Rows, g: &NormGradient) -> [Launch; 3] {
        let reduce = rows.launch("norm_reduce").addresses([g.dy, g.dy2, g.x, g.y, self.scale, self.shift]);
        let reduce = reduce.addresses([self.mean, self.inv_std, g.dz, self.part]);
        let gradients = Launch::new("norm_gradients", [rows.c.div_ceil(ACROSS), 1, 1], [ACROSS, LANES, 1])
            .address(self.part)
            .ints([rows.slabs(), rows.rows, rows.c])
            .addresses([self.gamma, self.inv_std])
            .int(g.training)
            .addresses([g.dgamma, g.dbeta, g.factors]);
        let (dy, dy2, mask) = if g.dz == 0 { (g.dy, g.dy2, g.mask) } else { (g.dz, 0, 0) };
        let input = rows.launch("norm_input").addresses([dy, dy2, g.x, g.y, self.scale, self.shift, self.mean]);
        let input = rows.shape(input.addresses([g.factors, g.dx])).int(mask);
        [rows.shape(reduce).int(g.mask), gradients, input]
    }
}

/// Addresses of a batch norm's gradient.
#[derive(Debug, Clone, Copy, Default)]
pub struct NormGradient {
    /// Gradient of the result.
    pub dy: u64,
    /// A second one to add, where the result was read twice; 0 for none.
    pub dy2: u64,
    /// The input of the norm.
    pub x: u64,
    /// The result; read with [`RELU_BY_OUTPUT`] only.
    pub y: u64,
    /// Where the gradient before the ReLU goes, which is the residual's; 0 for nowhere.
    pub dz: u64,
    /// The input's gradient.
    pub dx: u64,
    /// γ's gradient.
    pub dgamma: u64,
    /// β's gradient.
    pub dbeta: u64,
    /// Three values a channel, for the kernels' own use.
    pub factors: u64,
    /// 0 without ReLU, [`RELU_BY_INPUT`] or [`RELU_BY_OUTPUT`].
    pub mask: i32,
    /// Whether statistics were of the batch.
    pub training: bool,
}
