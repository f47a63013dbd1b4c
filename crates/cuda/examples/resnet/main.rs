//! Whole training steps of classification networks for 32×32 images on the crate's primitives, captured as one graph each.
//!
//!     resnet bench NETWORK BATCH ARITHMETIC [PLANS]   speed, time of each kernel, memory, equal bits of two runs
//!     resnet train NETWORK BATCH ARITHMETIC [PLANS]   losses on images that can be learned
//!     resnet dump NETWORK BATCH ARITHMETIC OUT [PLANS]   input, weights and gradients of one step, for a check elsewhere
//!     resnet equal NETWORK BATCH ARITHMETIC [PLANS]   convolutions whose bits differ from run to run
//!     resnet small NETWORK BATCH ARITHMETIC [PLANS]   two steps without a graph, for a memory checker
//!
//! CHANNELS sets the channels that images are padded to. Networks: resnet18, resnet20, resnet8, vgg16. Arithmetic: f32, tf32, bf16. Prints one line of JSON.

#![allow(unsafe_code, reason = "running work on a device promises that its memory suffices")]
#![allow(clippy::disallowed_methods, reason = "logs of a tool, which nobody reads while they are written")]

mod net;
mod step;

use cuda::{Arithmetic, Block, Device, Plans, Type};
use net::{Data, Kind, Layer, Network};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use step::{Step, Work};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const LR: f32 = 0.05;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: resnet bench|train|dump|small NETWORK BATCH ARITHMETIC [OUT] [PLANS]";
    let [task, network, batch, arithmetic, rest @ ..] = args.as_slice() else { return Err(usage.into()) };
    let arithmetic = Arithmetic::from_name(arithmetic).ok_or(usage)?;
    // Tensor cores read 16 bytes of channels.
    let channels = 16 / arithmetic.maps().bytes();
    let channels = match std::env::var("CHANNELS") {
        Ok(channels) => channels.parse()?,
        Err(_) => channels,
    };
    let net = Network::named(network, batch.parse()?, channels).ok_or(usage)?;
    let device = Device::open(0)?;
    let (out, plans) = if task == "dump" { (rest.first(), rest.get(1)) } else { (None, rest.first()) };
    let plans = match plans {
        Some(path) => Plans::parse(path, &std::fs::read_to_string(path)?)?,
        None => Plans::measured(cuda::cudnn_version()?, device.arch()?)?,
    };
    let start = std::time::Instant::now();
    let step = Step::new(&device, net, arithmetic, plans, LR)?;
    let recorded = start.elapsed().as_secs_f64();
    match task.as_str() {
        "bench" => bench(&device, &step, arithmetic, recorded),
        "train" => train(&device, &step, arithmetic),
        "dump" => dump(&device, &step, out.ok_or(usage)?),
        "small" => small(&device, &step),
        "equal" => equal(&device, &step),
        _ => Err(usage.into()),
    }
}

fn describe(step: &Step, arithmetic: Arithmetic) -> String {
    let Network { name, batch, channels, .. } = &step.net;
    format!(
        "\"network\": \"{name}\", \"batch\": {batch}, \"arithmetic\": \"{}\", \"channels\": {channels}",
        arithmetic.name()
    )
}

fn bench(device: &Arc<Device>, step: &Step, arithmetic: Arithmetic, recorded: f64) -> Result<()> {
    let data = Data::new(4 * step.net.batch, 10, 7);
    step.batch(&data, 0, true)?;
    // The first run loads code, which cannot be captured.
    step.run(&step.ops)?;
    let graph = device.capture(|| step.run(&step.ops))?;
    let runs = (20 * 64 / step.net.batch).clamp(5, 20) * 2;
    let replay = |count: usize| (0..count).try_for_each(|_| graph.launch());
    replay(runs)?;
    let mut times = Vec::new();
    for _ in 0..9 {
        let start = device.event()?;
        replay(runs)?;
        let end = device.event()?;
        device.synchronize()?;
        times.push(f64::from(start.milliseconds(&end)?) / runs as f64);
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let table = profile(device, step)?;
    let mut digests = Vec::new();
    for captured in [true, true, false] {
        step.restart(LR)?;
        for index in 0..20 {
            step.batch(&data, index * step.net.batch, true)?;
            if captured { graph.launch() } else { step.run(&step.ops) }?;
        }
        digests.push(digest(device, step)?);
    }
    let equal = digests.iter().all(|digest| *digest == digests[0]);
    let loss: Vec<f32> = device.download(&step.loss, 0, 1)?;
    let per_second = step.net.batch as f64 / median * 1e3;
    println!(
        "{{\"bench\": {{{}}}, \"milliseconds\": {median:.4}, \"fastest\": {:.4}, \"slowest\": {:.4}, \"images_per_second\": {per_second:.0}, \"launches\": {}, \
         \"peak_bytes\": {}, \"record_seconds\": {recorded:.2}, \"equal_bits\": {equal}, \"digests\": {digests:?}, \"loss_after_20\": {}, \"kernels\": {{{table}}}}}",
        describe(step, arithmetic),
        times[0],
        times[times.len() - 1],
        step.ops.len(),
        device.peak(),
        loss[0],
    );
    Ok(())
}

/// Microseconds of each kind of work, as `name: [microseconds, count]`: each captured ten times in a row, so inputs that fit
/// into the cache are in it.
fn profile(device: &Arc<Device>, step: &Step) -> Result<String> {
    let mut kinds: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for op in &step.ops {
        let one = std::slice::from_ref(op);
        let graph = device.capture(|| (0..10).try_for_each(|_| step.run(one)))?;
        graph.launch()?;
        let start = device.event()?;
        graph.launch()?;
        let end = device.event()?;
        device.synchronize()?;
        let (time, count) = kinds.entry(&op.name).or_default();
        *time += f64::from(start.milliseconds(&end)?) * 100.0;
        *count += 1;
    }
    let lines: Vec<String> =
        kinds.iter().map(|(name, (time, count))| format!("\"{name}\": [{time:.1}, {count}]")).collect();
    Ok(lines.join(", "))
}

fn train(device: &Arc<Device>, step: &Step, arithmetic: Arithmetic) -> Result<()> {
    let data = Data::new(5120, 10, 3);
    step.batch(&data, 0, true)?;
    let mut losses = Vec::new();
    for index in 0..400 {
        step.batch(&data, index * step.net.batch, true)?;
        step.run(&step.ops)?;
        if index % 20 == 0 || index == 399 {
            losses.push(device.download::<f32>(&step.loss, 0, 1)?[0]);
        }
    }
    println!("{{\"train\": {{{}}}, \"losses_every_20\": {losses:?}}}", describe(step, arithmetic));
    Ok(())
}

fn small(device: &Arc<Device>, step: &Step) -> Result<()> {
    let data = Data::new(2 * step.net.batch, 10, 3);
    for index in 0..2 {
        step.batch(&data, index * step.net.batch, true)?;
        step.run(&step.ops)?;
    }
    println!("{{\"small\": \"{}\", \"digest\": {}}}", step.net.name, digest(device, step)?);
    Ok(())
}

/// Runs each convolution of a step again and again on what it works on in the step, and names those whose bits differ.
fn equal(device: &Arc<Device>, step: &Step) -> Result<()> {
    step.batch(&Data::new(step.net.batch, 10, 3), 0, true)?;
    let most = step.ops.iter().filter_map(|op| match &op.work {
        Work::Conv(_, output) => Some(output.bytes),
        Work::Kernel(_) => None,
    });
    let first = device.alloc(most.max().unwrap_or(1))?;
    let part = device.alloc(4 * cuda::DIFFERENCES)?;
    let mut unequal = Vec::new();
    for op in &step.ops {
        let one = std::slice::from_ref(op);
        step.run(one)?;
        let Work::Conv(_, output) = &op.work else { continue };
        let words = output.bytes / 4;
        // Copies through the kernel that joins channels.
        let save = cuda::copy_channels(
            output.address,
            first.address(),
            words * 4 / step.kernels.maps().bytes(),
            (1, 0),
            (1, 0),
            1,
        );
        // SAFETY: both hold as many bytes as the convolution writes.
        unsafe { step.kernels.run(&save) }?;
        let mut counts = Vec::new();
        for _ in 0..5 {
            step.run(one)?;
            let launch = cuda::differences(output.address, first.address(), words, part.address());
            // SAFETY: as above, and the part is as large as it has to be.
            unsafe { step.kernels.run(&launch) }?;
            counts.push(device.download::<f32>(&part, 0, launch.grid[0] as usize)?.iter().sum::<f32>());
        }
        if counts.iter().any(|count| *count > 0.0) {
            unequal.push(format!("[{:?}, {counts:?}]", output.what));
        }
    }
    println!("{{\"equal\": \"{} {}\", \"unequal\": [{}]}}", step.net.name, step.net.batch, unequal.join(", "));
    Ok(())
}

/// FNV-1a of the weights' bits.
fn digest(device: &Arc<Device>, step: &Step) -> Result<u64> {
    let words: Vec<u32> = device.download(&step.weights, 0, step.net.len())?;
    Ok(words.iter().fold(0xcbf2_9ce4_8422_2325, |hash, word| (hash ^ u64::from(*word)).wrapping_mul(0x100_0000_01b3)))
}

/// Writes `out`.json, and to `out`.bin as f32: the input `[n, h, w, c]`, weights and gradients.
fn dump(device: &Arc<Device>, step: &Step, out: &str) -> Result<()> {
    let net = &step.net;
    let data = Data::new(net.batch, 10, 5);
    step.batch(&data, 0, true)?;
    step.run(&step.ops[..step.update])?;
    let maps = |block: &Block, count: usize| -> Result<Vec<f32>> {
        Ok(match step.kernels.maps() {
            Type::F32 => device.download(block, 0, count)?,
            Type::Bf16 => {
                let bits: Vec<u16> = device.download(block, 0, count)?;
                bits.into_iter().map(|bits| f32::from_bits(u32::from(bits) << 16)).collect()
            }
        })
    };
    let input = maps(&step.input, net.batch * Data::SIDE * Data::SIDE * net.channels)?;
    let weights: Vec<f32> = device.download(&step.weights, 0, net.len())?;
    let mut gradients: Vec<f32> = device.download(&step.gradients, 0, net.len())?;
    let narrow = maps(&step.narrow, net.len())?;
    for param in net.params.iter().filter(|param| matches!(param.kind, Kind::Filter | Kind::Linear)) {
        let range = param.offset..param.offset + param.rows * param.len;
        gradients[range.clone()].copy_from_slice(&narrow[range]);
    }
    let loss: Vec<f32> = device.download(&step.loss, 0, 1)?;
    let values = input.iter().chain(&weights).chain(&gradients);
    std::fs::write(format!("{out}.bin"), values.flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
    let layer = |layer: &Layer| match layer {
        Layer::Conv { conv, input, residual, relu, param } => {
            let residual = residual.map_or(-1, |value| value as i64);
            let (size, stride, padding) = (conv.size, conv.stride, conv.padding);
            format!("[\"conv\", {input}, {residual}, {relu}, {param}, {size}, {stride}, {padding}]")
        }
        Layer::Pool { input, .. } => format!("[\"pool\", {input}]"),
        Layer::Head { input, param } => format!("[\"head\", {input}, {param}]"),
    };
    let layers: Vec<String> = net.layers.iter().map(layer).collect();
    let params: Vec<String> = net
        .params
        .iter()
        .map(|param| format!("[\"{}\", {}, {}, {}]", param.name, param.rows, param.len, param.offset))
        .collect();
    let json = format!(
        "{{\"network\": \"{}\", \"batch\": {}, \"channels\": {}, \"len\": {}, \"loss\": {}, \"targets\": {:?}, \"layers\": [{}], \"params\": [{}]}}",
        net.name,
        net.batch,
        net.channels,
        net.len(),
        loss[0],
        data.targets,
        layers.join(", "),
        params.join(", ")
    );
    std::fs::write(format!("{out}.json"), json)?;
    println!("{{\"dump\": \"{}\", \"loss\": {}}}", net.name, loss[0]);
    Ok(())
}
