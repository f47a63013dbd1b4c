//! Times the engines that cuDNN suggests for convolutions, and writes the best as a table of plans.
//!
//!     plans properties                             properties of the device, as JSON
//!     plans list PROPERTIES JOBS                   plans for a device that need not be there; times nothing
//!     plans time JOBS TABLE LOG SECONDS [THREADS]  the table, and a line of JSON for each job
//!
//! A job is a line `n h w c k size stride padding dilation arithmetic direction`; first lines come first.

#![allow(unsafe_code, reason = "running work on a device promises that its memory suffices")]
#![allow(clippy::disallowed_methods, reason = "logs of a tool, which nobody reads while they are written")]

use cuda::{
    Arithmetic, Block, Bound, Candidate, Choice, Conv, Device, Direction, Handle, Kernels, Plan, Plans, Properties,
    Target, Type,
};
use std::error::Error;
use std::fs::{File, read_to_string, write};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Clone, Copy)]
struct Job {
    conv: Conv,
    arithmetic: Arithmetic,
    direction: Direction,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["properties"] => properties(),
        ["list", properties, jobs] => list(&read_to_string(properties)?, &read_jobs(jobs)?),
        ["time", jobs, table, log, seconds] => time(&read_jobs(jobs)?, table, log, seconds.parse()?, 14),
        ["time", jobs, table, log, seconds, threads] => {
            time(&read_jobs(jobs)?, table, log, seconds.parse()?, threads.parse()?)
        }
        _ => Err("usage: plans properties | list PROPERTIES JOBS | time JOBS TABLE LOG SECONDS [THREADS]".into()),
    }
}

fn read_jobs(path: &str) -> Result<Vec<Job>> {
    let job = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (numbers, [arithmetic, direction]) = words.split_last_chunk()?;
        let numbers: Vec<usize> = numbers.iter().map(|word| word.parse().ok()).collect::<Option<_>>()?;
        Some(Job {
            conv: Conv::from_numbers(&numbers)?,
            arithmetic: Arithmetic::from_name(arithmetic)?,
            direction: Direction::from_name(direction)?,
        })
    };
    let text = read_to_string(path)?;
    text.lines().map(|line| job(line).ok_or_else(|| format!("{path}: expected a job, found `{line}`").into())).collect()
}

fn properties() -> Result<()> {
    let device = Device::open(0)?;
    let handle = Handle::new(&device)?;
    let (name, driver, arch) = (device.name()?, device.driver_version()?, device.arch()?);
    let properties = Properties::of(&handle)?.json()?;
    println!(
        "{{\"name\": \"{name}\", \"driver\": {driver}, \"arch\": {arch}, \"cudnn\": {}, \"properties\": {properties}}}",
        cuda::cudnn_version()?
    );
    Ok(())
}

fn list(properties: &str, jobs: &[Job]) -> Result<()> {
    let properties = Properties::from_json(properties)?;
    for job in jobs {
        let start = Instant::now();
        let planned = planned(job, Target::Properties(&properties));
        let built = planned.iter().filter(|(_, plan)| plan.is_ok()).count();
        let failed = planned.iter().find_map(|(_, plan)| plan.as_ref().err().map(ToString::to_string));
        println!(
            "{} {} {}: {} candidates, {built} plans, {:.0} ms{}",
            job.conv,
            job.arithmetic.name(),
            job.direction.name(),
            planned.len(),
            start.elapsed().as_secs_f64() * 1e3,
            failed.map_or_else(String::new, |error| format!("; {error}"))
        );
    }
    Ok(())
}

type Planned = Vec<(Candidate, cuda::Result<Plan>)>;

/// Candidates that are worth a plan: later ones of cuDNN's list are hardly ever best.
const MOST: usize = 24;

fn planned(job: &Job, target: Target<'_>) -> Planned {
    let candidates = job.conv.candidates(job.arithmetic, job.direction, target).unwrap_or_default();
    let plan = |candidate: Candidate| {
        let choice = Choice { engine: candidate.engine, knobs: candidate.knobs.clone() };
        let plan = job.conv.plan(job.arithmetic, job.direction, target, &choice);
        (candidate, plan)
    };
    candidates.into_iter().take(MOST).map(plan).collect()
}

/// Makes plans of jobs, in their order, until none is left or `stop`.
fn plan_all(
    device: &Arc<Device>,
    jobs: &[Job],
    next: &AtomicUsize,
    stop: &AtomicBool,
    to: &SyncSender<(usize, Planned)>,
) {
    let Ok(handle) = Handle::new(device) else { return };
    while !stop.load(Ordering::Relaxed) {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(job) = jobs.get(index) else { return };
        if to.send((index, planned(job, Target::Handle(&handle)))).is_err() {
            return;
        }
    }
}

fn time(jobs: &[Job], table: &str, log: &str, seconds: f64, threads: usize) -> Result<()> {
    let start = Instant::now();
    let device = Device::open(0)?;
    let handle = Handle::new(&device)?;
    let bench = Bench::new(device.clone(), handle, jobs)?;
    let mut plans = Plans::new(cuda::cudnn_version()?, device.arch()?);
    let mut log = File::create(log)?;
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (to, from) = sync_channel(64);
    std::thread::scope(|scope| -> Result<()> {
        for _ in 0..threads {
            let (to, device, next, stop) = (to.clone(), &device, &next, &stop);
            scope.spawn(move || plan_all(device, jobs, next, stop, &to));
        }
        drop(to);
        let mut done = 0;
        for (index, planned) in &from {
            if start.elapsed().as_secs_f64() > seconds {
                break;
            }
            let job = &jobs[index];
            let line = match bench.job(job, planned) {
                Ok((line, best)) => {
                    if let Some((choice, microseconds)) = best {
                        plans.insert(job.conv, job.arithmetic, job.direction, choice, microseconds);
                    }
                    line
                }
                Err(error) => format!("\"error\": {:?}", error.to_string()),
            };
            let Job { conv, arithmetic, direction } = job;
            let (arithmetic, direction) = (arithmetic.name(), direction.name());
            writeln!(
                log,
                "{{\"conv\": \"{conv}\", \"arithmetic\": \"{arithmetic}\", \"direction\": \"{direction}\", {line}}}"
            )?;
            done += 1;
            if done % 100 == 0 {
                println!("{done} of {} jobs after {:.0} s", jobs.len(), start.elapsed().as_secs_f64());
                write(table, plans.text())?;
            }
        }
        stop.store(true, Ordering::Relaxed);
        drop(from);
        write(table, plans.text())?;
        println!("{} plans of {} jobs in {:.0} s", plans.len(), jobs.len(), start.elapsed().as_secs_f64());
        Ok(())
    })
}

/// Memory that all jobs share: x, w, y of random values, and a result.
struct Bench {
    device: Arc<Device>,
    handle: Handle,
    operands: [Block; 3],
    result: Block,
    again: Block,
    part: Block,
    kernels: Kernels,
}

/// Workspaces above this are not worth their speed.
const WORKSPACE: usize = 1 << 30;

impl Bench {
    fn new(device: Arc<Device>, handle: Handle, jobs: &[Job]) -> Result<Self> {
        let mut most = [1 << 20; 3];
        for job in jobs {
            let bytes = job.conv.lens().map(|len| len * 4);
            most = std::array::from_fn(|i| most[i].max(bytes[i]));
        }
        let operands = [device.alloc(most[0])?, device.alloc(most[1])?, device.alloc(most[2])?];
        let pattern = pattern(8 << 20);
        for block in &operands {
            for offset in (0..block.bytes()).step_by(size_of_val(pattern.as_slice())) {
                let words = pattern.len().min((block.bytes() - offset) / 4);
                device.upload(block, offset, &pattern[..words])?;
            }
        }
        let largest = most.into_iter().max().unwrap_or(1);
        Ok(Self {
            handle,
            operands,
            result: device.alloc(largest)?,
            again: device.alloc(largest)?,
            part: device.alloc(4 * cuda::DIFFERENCES)?,
            kernels: Kernels::load_cached(&device, Type::F32, &std::env::temp_dir())?,
            device,
        })
    }

    /// Times all plans of a job: a line for the log, and the fastest.
    fn job(&self, job: &Job, planned: Planned) -> Result<(String, Option<(Choice, f32)>)> {
        let mut best: Option<(Choice, f32)> = None;
        let (mut times, mut unequal, mut failed, candidates) = (Vec::new(), Vec::new(), 0, planned.len());
        let mut problem = String::new();
        for (candidate, plan) in planned {
            let least = best.as_ref().map_or(f32::INFINITY, |(_, time)| *time);
            let timed = plan.map_err(Into::into).and_then(|plan| self.plan(job, plan, least));
            let (microseconds, equal) = match timed {
                Ok(timed) => timed,
                Err(error) => {
                    failed += 1;
                    problem = format!(", \"problem\": {:?}", error.to_string());
                    continue;
                }
            };
            if !equal {
                unequal.push(format!("[{}, {microseconds:.2}]", candidate.engine));
                continue;
            }
            times.push(format!("[{}, {microseconds:.2}, {}]", candidate.engine, u8::from(candidate.tensor_cores())));
            if best.as_ref().is_none_or(|(_, time)| microseconds < *time) {
                best = Some((Choice { engine: candidate.engine, knobs: candidate.knobs }, microseconds));
            }
        }
        let tflops = best.as_ref().map_or(0.0, |(_, time)| job.conv.flops() / f64::from(*time) / 1e6);
        let (times, unequal) = (times.join(", "), unequal.join(", "));
        let line = format!(
            "\"candidates\": {candidates}, \"failed\": {failed}, \"tflops\": {tflops:.1}, \"times\": [{times}], \"unequal\": [{unequal}]{problem}"
        );
        Ok((line, best))
    }

    /// Microseconds of a run, rough where it is far above `least`; and, where it is below, whether runs give equal bits.
    fn plan(&self, job: &Job, plan: Plan, least: f32) -> Result<(f32, bool)> {
        if plan.workspace() > WORKSPACE {
            return Err("a workspace above the limit".into());
        }
        let workspace = self.device.alloc(plan.workspace())?;
        let mut addresses = [0, 1, 2].map(|i: usize| self.operands[i].address());
        let result = match job.direction {
            Direction::Input => 0,
            Direction::Weight => 1,
            Direction::Forward => 2,
        };
        addresses[result] = self.result.address();
        let bound = plan.bind(addresses, workspace.address())?;
        // The first run loads the engine's code.
        self.repeat(&bound, 1)?;
        self.device.synchronize()?;
        let rough = self.measure(|| self.repeat(&bound, 1))?;
        if rough > 1.5 * least + 60.0 {
            return Ok((rough, true));
        }
        let runs = (500.0 / rough).clamp(2.0, 20.0) as usize;
        // Captured: launching would take longer than small convolutions.
        let graph = self.device.capture(|| self.repeat(&bound, runs))?;
        graph.launch()?;
        let mut fastest = f32::INFINITY;
        for _ in 0..2 {
            fastest = fastest.min(self.measure(|| graph.launch())? / runs as f32);
        }
        let bytes = job.conv.lens()[result] * job.arithmetic.maps().bytes();
        Ok((fastest, fastest >= least || self.equal(&bound, bytes)?))
    }

    /// Whether runs over different contents leave equal bits: not all engines do that cuDNN calls deterministic.
    fn equal(&self, bound: &Bound, bytes: usize) -> Result<bool> {
        for run in 0..4 {
            self.device.fill_bytes(&self.result, 0x11 * run)?;
            self.repeat(bound, 1)?;
            if run == 0 {
                self.device.copy(&self.result, &self.again, bytes)?;
                continue;
            }
            let (a, b) = (self.result.address(), self.again.address());
            let launch = cuda::differences(a, b, bytes / 4, self.part.address());
            // SAFETY: both results are as large as the largest job's, the part as large as it has to be.
            unsafe { self.kernels.run(&launch) }?;
            let counts: Vec<f32> = self.device.download(&self.part, 0, launch.grid[0] as usize)?;
            if counts.iter().any(|count| *count > 0.0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn repeat(&self, bound: &Bound, runs: usize) -> cuda::Result<()> {
        for _ in 0..runs {
            // SAFETY: operands and result are as large as the largest job asks for, the workspace as the plan does.
            unsafe { bound.run(&self.handle) }?;
        }
        Ok(())
    }

    fn measure(&self, enqueue: impl FnOnce() -> cuda::Result<()>) -> cuda::Result<f32> {
        let start = self.device.event()?;
        enqueue()?;
        let end = self.device.event()?;
        self.device.synchronize()?;
        Ok(start.milliseconds(&end)? * 1e3)
    }
}

/// Words whose halves are bf16 of ±[0.5, 1), so that they are sound values as f32 too.
fn pattern(words: usize) -> Vec<u32> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let bits = (state >> 40) as u32;
        0x3f00 | (bits & 0x807f)
    };
    (0..words).map(|_| next() | next() << 16).collect()
}
