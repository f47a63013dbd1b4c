//! A training step as a list of launches and convolutions on fixed memory.

use crate::net::{Data, Kind, Layer, Network};
use cuda::{
    Arithmetic, Augment, Block, Bound, Conv, CrossEntropy, Device, Direction, FilterRow, Handle, Kernels, Launch, Norm,
    NormGradient, Plans, RELU_BY_INPUT, RELU_BY_OUTPUT, Rates, Result, Rows, Sgd, Type,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A piece of work of a step.
pub(crate) struct Op {
    pub name: String,
    pub work: Work,
}

pub(crate) enum Work {
    Kernel(Launch),
    Conv(Box<Bound>, Output),
}

/// What a convolution writes, and which engine does.
pub(crate) struct Output {
    pub address: u64,
    pub bytes: usize,
    pub what: String,
}

/// The decay of what is not rescaled.
const DECAY: f32 = 5e-4;

/// A step on memory of its own.
pub(crate) struct Step {
    pub device: Arc<Device>,
    pub handle: Handle,
    pub kernels: Kernels,
    pub net: Network,
    pub ops: Vec<Op>,
    /// Where the optimizer's ops begin.
    pub update: usize,
    pub images: Block,
    pub places: Block,
    pub targets: Block,
    pub input: Block,
    pub weights: Block,
    /// Gradients of f32: of vectors.
    pub gradients: Block,
    /// Gradients that convolutions write; the same memory where maps are f32.
    pub narrow: Block,
    pub loss: Block,
    pub rates: Block,
    // Memory of its own must be taken before anything is recorded: later blocks may be ones that recorded work uses.
    momentum: Block,
    copy: Block,
    running: BTreeMap<usize, Block>,
    colors: [Block; 2],
    table: Block,
    norms: Block,
    rows: usize,
    arithmetic: Arithmetic,
    plans: Plans,
}

/// What the forward pass of a convolution leaves for its gradient.
struct Saved {
    z: Block,
    norm: Norm,
    vectors: Block,
    rows: Rows,
}

impl Step {
    pub(crate) fn new(
        device: &Arc<Device>,
        net: Network,
        arithmetic: Arithmetic,
        plans: Plans,
        lr: f32,
    ) -> Result<Self> {
        let kernels = Kernels::load_cached(device, arithmetic.maps(), &std::env::temp_dir())?;
        let (len, n) = (net.len(), net.batch);
        let bytes = arithmetic.maps().bytes();
        let table = filter_rows(&net, &net.initial(1));
        let (weights, gradients) = (device.zeros(len * 4)?, device.zeros(len * 4)?);
        let mut running = BTreeMap::new();
        for layer in &net.layers {
            if let Layer::Conv { conv, param, .. } = layer {
                running.insert(*param, device.zeros(2 * conv.k * 4)?);
            }
        }
        let mut step = Self {
            handle: Handle::new(device)?,
            images: device.zeros(n * Data::SIDE * Data::SIDE * 3)?,
            places: device.zeros(n * 12)?,
            targets: device.zeros(n * 4)?,
            input: device.zeros(n * Data::SIDE * Data::SIDE * net.channels * bytes)?,
            copy: if bytes == 2 { device.zeros(len * 2)? } else { weights.clone() },
            weights,
            narrow: if bytes == 2 { device.zeros(len * 2)? } else { gradients.clone() },
            gradients,
            momentum: device.zeros(len * 4)?,
            loss: device.zeros(4)?,
            rates: device.zeros(24)?,
            running,
            colors: [device.zeros(12)?, device.zeros(12)?],
            norms: device.zeros(table.len() * 4)?,
            rows: table.len(),
            table: device.alloc(size_of_val(table.as_slice()))?,
            ops: Vec::new(),
            update: 0,
            device: device.clone(),
            kernels,
            net,
            arithmetic,
            plans,
        };
        step.device.upload(&step.table, 0, &table)?;
        step.record()?;
        step.restart(lr)?;
        Ok(step)
    }

    fn maps(&self) -> Type {
        self.arithmetic.maps()
    }

    fn kernel(&mut self, name: &str, launches: impl IntoIterator<Item = Launch>) {
        for launch in launches {
            self.ops.push(Op { name: format!("{name} {}", launch.kernel), work: Work::Kernel(launch) });
        }
    }

    fn convolution(&mut self, name: &str, conv: Conv, direction: Direction, addresses: [u64; 3]) -> Result<()> {
        let plan = conv.best(self.arithmetic, direction, &self.handle, &self.plans)?;
        // Given back at once: the stream runs what is recorded later after this.
        let workspace = self.device.alloc(plan.workspace())?;
        let result = match direction {
            Direction::Input => 0,
            Direction::Weight => 1,
            Direction::Forward => 2,
        };
        let output = Output {
            address: addresses[result],
            bytes: conv.lens()[result] * self.maps().bytes(),
            what: format!("{conv} {} {:?}", direction.name(), plan.choice()),
        };
        let work = Work::Conv(Box::new(plan.bind(addresses, workspace.address())?), output);
        self.ops.push(Op { name: format!("{name} conv {}", direction.name()), work });
        Ok(())
    }

    /// The address of a parameter's values in `block`, of `bytes` bytes each.
    fn at(&self, block: &Block, param: usize, bytes: usize) -> u64 {
        block.address() + (self.net.params[param].offset * bytes) as u64
    }

    fn record(&mut self) -> Result<()> {
        let (net, maps, copy) = (self.net.clone(), self.maps(), self.copy.clone());
        self.augmentation()?;
        let mut values: Vec<Option<Block>> = vec![Some(self.input.clone())];
        let mut saved: Vec<Option<Saved>> = Vec::new();
        let mut taps: BTreeMap<usize, Block> = BTreeMap::new();
        let mut gradients: BTreeMap<usize, Vec<Block>> = BTreeMap::new();
        for (index, layer) in net.layers.iter().enumerate() {
            match *layer {
                Layer::Conv { conv, input, residual, relu, param } => {
                    let (y, keep) = self.forward(&values, &copy, (conv, input, residual, relu, param))?;
                    values.push(Some(y));
                    saved.push(Some(keep));
                }
                Layer::Pool { window, input } => {
                    let [oh, ow] = window.output();
                    let count = net.batch * oh * ow * window.dims[3];
                    let (y, from) = (self.device.alloc(count * maps.bytes())?, self.device.alloc(count)?);
                    self.kernel(
                        "pool",
                        [cuda::max_pool(&window, address(&values, input), y.address(), from.address())],
                    );
                    values.push(Some(y));
                    saved.push(None);
                    taps.insert(index, from);
                }
                Layer::Head { input, param } => {
                    let dx = self.head(address(&values, input), input, param, &copy)?;
                    gradients.insert(input, vec![dx]);
                }
            }
        }
        for (index, layer) in net.layers.iter().enumerate().rev() {
            let dy = gradients.remove(&(index + 1)).unwrap_or_default();
            match *layer {
                Layer::Conv { conv, input, residual, relu, param } => {
                    let Some(saved) = saved[index].take() else { continue };
                    let layer = (conv, input, residual, relu, param);
                    let (dx, dz) = self.backward(&values, &copy, layer, saved, &dy, address(&values, index + 1))?;
                    if let Some(dx) = dx {
                        gradients.entry(input).or_default().push(dx);
                    }
                    if let (Some(dz), Some(residual)) = (dz, residual) {
                        gradients.entry(residual).or_default().push(dz);
                    }
                }
                Layer::Pool { window, input } => {
                    let dx = self.device.alloc(window.dims.iter().product::<usize>() * maps.bytes())?;
                    if let (Some(dy), Some(from)) = (dy.first(), taps.remove(&index)) {
                        let launch = cuda::max_pool_gradient(&window, dy.address(), from.address(), dx.address());
                        self.kernel("pool", [launch]);
                    }
                    gradients.entry(input).or_default().push(dx);
                }
                Layer::Head { .. } => continue,
            }
            values[index + 1] = None;
        }
        self.update();
        Ok(())
    }

    fn augmentation(&mut self) -> Result<()> {
        let [mean, inv_std] = self.colors.clone();
        self.device.upload(&mean, 0, &[0.5_f32; 3])?;
        self.device.upload(&inv_std, 0, &[4.0_f32; 3])?;
        let side = [Data::SIDE; 2];
        let launch = cuda::augment(&Augment {
            images: self.images.address(),
            places: self.places.address(),
            mean: mean.address(),
            inv_std: inv_std.address(),
            y: self.input.address(),
            n: self.net.batch,
            size: side,
            c: 3,
            out: side,
            channels: self.net.channels,
        });
        self.kernel("input", [launch]);
        Ok(())
    }

    fn forward(
        &mut self,
        values: &[Option<Block>],
        copy: &Block,
        (conv, input, residual, relu, param): (Conv, usize, Option<usize>, bool, usize),
    ) -> Result<(Block, Saved)> {
        let (maps, [oh, ow]) = (self.maps(), conv.output());
        let rows = Rows::new(conv.n * oh * ow, conv.k, maps);
        let (z, y) =
            (self.device.alloc(conv.lens()[2] * maps.bytes())?, self.device.alloc(conv.lens()[2] * maps.bytes())?);
        let addresses = [address(values, input), self.at(copy, param, maps.bytes()), z.address()];
        self.convolution("forward", conv, Direction::Forward, addresses)?;
        let (vectors, part) = (self.device.alloc(7 * conv.k * 4)?, self.device.alloc(rows.part_len() * 4)?);
        let running = self.running.get(&param).map_or(0, Block::address);
        let vector = |index: usize| vectors.address() + (index * conv.k * 4) as u64;
        let norm = Norm {
            gamma: self.at(&self.weights, param + 1, 4),
            beta: self.at(&self.weights, param + 2, 4),
            running_mean: running,
            running_var: running + (conv.k * 4) as u64,
            mean: vector(0),
            inv_std: vector(1),
            scale: vector(2),
            shift: vector(3),
            part: part.address(),
            eps: 1e-5,
            momentum: 0.1,
        };
        self.kernel("norm", norm.statistics(&rows, z.address()));
        let residual = residual.map_or(0, |value| address(values, value));
        self.kernel("norm", [norm.apply(&rows, z.address(), residual, y.address(), relu)]);
        Ok((y, Saved { z, norm, vectors, rows }))
    }

    fn backward(
        &mut self,
        values: &[Option<Block>],
        copy: &Block,
        (conv, input, residual, relu, param): (Conv, usize, Option<usize>, bool, usize),
        saved: Saved,
        dy: &[Block],
        y: u64,
    ) -> Result<(Option<Block>, Option<Block>)> {
        let Saved { z, mut norm, vectors, rows } = saved;
        let (bytes, device) = (self.maps().bytes(), self.device.clone());
        let len = conv.lens()[2] * bytes;
        let dz = residual.is_some().then(|| device.alloc(len)).transpose()?;
        let (dx, part) = (device.alloc(len)?, device.alloc(rows.part_len() * 4)?);
        norm.part = part.address();
        let gradient = NormGradient {
            dy: dy.first().map_or(0, Block::address),
            dy2: dy.get(1).map_or(0, Block::address),
            x: z.address(),
            y,
            dz: dz.as_ref().map_or(0, Block::address),
            dx: dx.address(),
            dgamma: self.at(&self.gradients, param + 1, 4),
            dbeta: self.at(&self.gradients, param + 2, 4),
            factors: vectors.address() + (4 * conv.k * 4) as u64,
            mask: match (relu, residual) {
                (false, _) => 0,
                (true, None) => RELU_BY_INPUT,
                (true, Some(_)) => RELU_BY_OUTPUT,
            },
            training: true,
        };
        self.kernel("norm", norm.gradient(&rows, &gradient));
        let dw = self.at(&self.narrow, param, bytes);
        self.convolution("backward", conv, Direction::Weight, [address(values, input), dw, dx.address()])?;
        if input == 0 {
            return Ok((None, dz));
        }
        let dinput = device.alloc(conv.lens()[0] * bytes)?;
        let w = self.at(copy, param, bytes);
        self.convolution("backward", conv, Direction::Input, [dinput.address(), w, dx.address()])?;
        Ok((Some(dinput), dz))
    }

    /// The last layer and the loss, forwards and backwards; returns the gradient of `x`.
    fn head(&mut self, x: u64, input: usize, param: usize, copy: &Block) -> Result<Block> {
        let (maps, [h, w, c], [n, classes]) = (self.maps(), self.net.dims[input], [self.net.batch, self.net.classes]);
        let (bytes, device) = (maps.bytes(), self.device.clone());
        let conv = Conv { n, h: 1, w: 1, c, k: classes, size: 1, stride: 1, padding: 0, dilation: 1 };
        let (pooled, dpooled) = (device.alloc(n * c * bytes)?, device.alloc(n * c * bytes)?);
        let (logits, dlogits) = (device.alloc(n * classes * bytes)?, device.alloc(n * classes * bytes)?);
        let (losses, total) = (device.alloc(n * 4)?, device.alloc(4)?);
        let rows = Rows::new(n, classes, maps);
        let (part, dx) = (device.alloc(rows.part_len() * 4)?, device.alloc(n * h * w * c * bytes)?);
        self.kernel("head", [cuda::global_pool(x, pooled.address(), [n, h * w, c])]);
        let weight = self.at(copy, param, bytes);
        self.convolution("head", conv, Direction::Forward, [pooled.address(), weight, logits.address()])?;
        let bias = self.at(&self.weights, param + 1, 4);
        self.kernel("head", [cuda::add_bias(logits.address(), bias, n, classes)]);
        let loss = CrossEntropy {
            logits: logits.address(),
            targets: self.targets.address(),
            weight: 0,
            total: total.address(),
            rows: n,
            classes,
            ignore: -1,
            smoothing: 0.0,
            scale: 1.0,
            loss: losses.address(),
            dx: dlogits.address(),
        };
        self.kernel("head", cuda::cross_entropy(&loss));
        self.kernel("head", [cuda::sum_all(losses.address(), n, 1.0, self.loss.address())]);
        let dbias = self.at(&self.gradients, param + 1, 4);
        self.kernel("head", cuda::column_sums(&rows, dlogits.address(), part.address(), dbias));
        let dw = self.at(&self.narrow, param, bytes);
        self.convolution("head", conv, Direction::Weight, [pooled.address(), dw, dlogits.address()])?;
        self.convolution("head", conv, Direction::Input, [dpooled.address(), weight, dlogits.address()])?;
        self.kernel("head", [cuda::global_pool_gradient(dpooled.address(), dx.address(), [n, h * w, c])]);
        Ok(dx)
    }

    fn update(&mut self) {
        self.update = self.ops.len();
        let sgd = Sgd {
            rows: self.table.address(),
            rates: self.rates.address(),
            g: self.gradients.address(),
            maps_g: self.narrow.address(),
            m: self.momentum.address(),
            w: self.weights.address(),
            copy: if self.maps() == Type::Bf16 { self.copy.address() } else { 0 },
            norms: self.norms.address(),
        };
        self.kernel("step", [sgd.launch(self.rows), cuda::count_step(self.rates.address())]);
    }

    /// Back to the first weights.
    pub(crate) fn restart(&self, lr: f32) -> Result<()> {
        self.device.upload(&self.weights, 0, &self.net.initial(1))?;
        self.device.fill_bytes(&self.momentum, 0)?;
        for running in self.running.values() {
            self.device.fill_bytes(running, 0)?;
        }
        if self.maps() == Type::Bf16 {
            let launch = cuda::from_f32(self.weights.address(), self.copy.address(), self.net.len());
            // SAFETY: both hold as many values as there are weights.
            unsafe { self.kernels.run(&launch) }?;
        }
        let rates = Rates { lr, momentum: 0.9, beta2: 0.999, eps: 1e-8, nesterov: 0, step: 1 };
        self.device.upload(&self.rates, 0, &[rates])?;
        self.device.synchronize()
    }

    /// Uploads a batch; windows move by up to 4 pixels and every other image is mirrored where `moves` says so.
    pub(crate) fn batch(&self, data: &Data, first: usize, moves: bool) -> Result<()> {
        let (n, count) = (self.net.batch, data.targets.len());
        let pixels = Data::SIDE * Data::SIDE * 3;
        let (mut images, mut targets, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for index in (first..first + n).map(|index| index % count) {
            images.extend_from_slice(&data.images[index * pixels..][..pixels]);
            targets.push(data.targets[index]);
            let place = (index * 7 + first) as i32;
            places.extend(if moves { [place % 9 - 4, place / 9 % 9 - 4, place % 2] } else { [0, 0, 0] });
        }
        self.device.upload(&self.images, 0, &images)?;
        self.device.upload(&self.targets, 0, &targets)?;
        self.device.upload(&self.places, 0, &places)
    }

    /// Enqueues `ops`.
    pub(crate) fn run(&self, ops: &[Op]) -> Result<()> {
        ops.iter().try_for_each(|op| match &op.work {
            // SAFETY: recorded on blocks that this step keeps, or whose memory the pool keeps for ops in this order.
            Work::Kernel(launch) => unsafe { self.kernels.run(launch) },
            // SAFETY: as above.
            Work::Conv(bound, _) => unsafe { bound.run(&self.handle) },
        })
    }
}

/// The parameters' rows: filters are put back to the norms they begin with, the last layer decays.
fn filter_rows(net: &Network, weights: &[f32]) -> Vec<FilterRow> {
    let mut table = Vec::new();
    for param in &net.params {
        for row in 0..param.rows {
            let start = param.offset + row * param.len;
            let norm = weights[start..start + param.len].iter().map(|w| w * w).sum::<f32>().sqrt();
            let target = if param.kind == Kind::Filter { norm } else { -1.0 };
            let decay = if param.kind == Kind::Linear { DECAY } else { 0.0 };
            let narrow = i32::from(matches!(param.kind, Kind::Filter | Kind::Linear));
            let (start, len) = (start as i64, param.len as i32);
            table.push(FilterRow { start, len, decay, target, decoupled: 0, narrow, unused: 0 });
        }
    }
    table
}

fn address(values: &[Option<Block>], index: usize) -> u64 {
    values.get(index).and_then(Option::as_ref).map_or(0, Block::address)
}
