//! The tests that every task passes: [`conformance!`](crate::conformance!) makes them.

use crate::checkpoint::read_weights;
use crate::evaluation::evaluate;
use crate::loader::{examples, stream};
use crate::plan::{Planned, plan};
use crate::task::Task;
use crate::training::{Options, train};
use crate::{Error, Result};
use anyhow::{bail, ensure};
use candle_core::{Device, Tensor};
use data::{Root, Split};
use ops::Kernels;
use rand::RngExt;
use record::{Outcome, Record, RunFolder, Spec};
use regularize::{Optimizer, Params, Role};
use std::time::Duration;

/// Makes the conformance tests of a task: `train::conformance!(MyTask, spec())`, where the expression
/// gives a [`record::Spec`] that trains in a few seconds.
#[macro_export]
macro_rules! conformance {
    ($task:ty, $spec:expr) => {
        $crate::conformance!(@tests $task, $spec,
            an_example_is_a_pure_function
            the_same_spec_gives_the_same_weights_for_any_number_of_loader_threads
            a_resumed_run_gives_the_same_weights
            kernels_and_threads_give_the_same_bits
            loss_gradient_matches_finite_differences
            declared_scale_invariance_is_real
            one_batch_can_be_learned
            scores_do_not_depend_on_the_evaluation_batch
            perfect_predictions_score_perfectly
            pictures_can_be_drawn_of_every_split);
    };
    (@tests $task:ty, $spec:expr, $($name:ident)*) => {
        $(#[test]
        fn $name() {
            let root = $crate::conformance::workspace_root(env!("CARGO_MANIFEST_DIR"));
            if let Err(error) = $crate::conformance::$name::<$task>(&root, &$spec) {
                panic!("{error:#}");
            }
        })*
    };
}

/// The data of the workspace that holds the crate in `manifest_dir`, found by its `datasets`.
pub fn workspace_root(manifest_dir: &str) -> Root {
    let folder = std::path::Path::new(manifest_dir).ancestors().find(|folder| folder.join("datasets").is_dir());
    Root::from_env(folder.unwrap_or(std::path::Path::new(manifest_dir)))
}

struct Opened<T: Task> {
    task: T,
    planned: Planned<T>,
    params: Params,
    model: T::Model,
}

fn open<T: Task>(root: &Root, spec: &Spec) -> Result<Opened<T>> {
    let planned = plan::<T>(spec, root)?;
    let task = planned.open(root)?;
    let params = planned.params();
    let model = task.model(&params)?;
    Ok(Opened { task, planned, params, model })
}

impl<T: Task> Opened<T> {
    fn batch(&self, split: Split, start: usize, len: usize) -> Result<T::Batch> {
        let indices: Vec<usize> = (start..(start + len).min(self.task.set().len(split))).collect();
        self.task.collate(examples(&self.task, split, &indices, 0, "conformance", 0)?, &self.device())
    }

    fn device(&self) -> Device {
        self.planned.settings.engine.device()
    }

    fn loss(&self, batch: &T::Batch) -> Result<f64> {
        Ok(f64::from(self.task.loss(&self.model, batch)?.to_scalar::<f32>()?))
    }
}

/// A batch made again, and made after others, gives the same loss; other streams give other examples.
pub fn an_example_is_a_pure_function<T: Task>(root: &Root, spec: &Spec) -> Result<()> {
    let opened = open::<T>(root, spec)?;
    let again = open::<T>(root, spec)?;
    for split in Split::ALL {
        let first = opened.loss(&opened.batch(split, 0, 8)?)?;
        opened.batch(split, 3, 4)?;
        ensure!(first == opened.loss(&opened.batch(split, 0, 8)?)?, "{split}: a batch made twice differs");
        ensure!(first == again.loss(&again.batch(split, 0, 8)?)?, "{split}: a batch of another instance differs");
    }
    Ok(())
}

fn run<T: Task>(root: &Root, spec: &Spec, loader_threads: usize, stops: &[u64]) -> Result<Record> {
    let folder = tempfile::tempdir()?;
    let run = RunFolder::new(folder.path().join("run"));
    run.write_spec(spec)?;
    for stop_at in stops.iter().map(Some).chain([None]) {
        let stop = |step: u64| stop_at == Some(&step);
        let options = Options { loader_threads, stop: &stop, event: &|_| {}, checkpoint_every: Duration::MAX };
        match (train::<T>(&run, root, &options), stop_at) {
            (Ok(record), None) => {
                ensure!(record.outcome == Outcome::Finished, "expected a finished run, found {:?}", record.outcome);
                let params = open::<T>(root, spec)?.params;
                read_weights(&run.weights(), &params)?;
                ensure!(params.digest()? == record.weights, "the weights on disk are not those of the record");
                return Ok(record);
            }
            (Err(Error::Interrupted), Some(_)) => {}
            (Ok(_), Some(step)) => bail!("expected the run to stop at step {step}, but it finished"),
            (Err(error), _) => return Err(error.into()),
        }
    }
    bail!("the run never ended")
}

/// Twice with one loader thread, and with 2 and 5, the weights and scores are the same bits.
pub fn the_same_spec_gives_the_same_weights_for_any_number_of_loader_threads<T: Task>(
    root: &Root,
    spec: &Spec,
) -> Result<()> {
    let first = run::<T>(root, spec, 1, &[])?;
    for threads in [1, 2, 5] {
        let again = run::<T>(root, spec, threads, &[])?;
        ensure!(first.weights == again.weights, "{threads} loader threads give other weights");
        ensure!(
            (&first.losses, &first.epochs, &first.norms) == (&again.losses, &again.epochs, &again.norms),
            "{threads} loader threads log other numbers"
        );
    }
    let other = run::<T>(root, &Spec { seed: spec.seed + 1, ..spec.clone() }, 1, &[])?;
    ensure!(first.weights != other.weights, "another seed gives the same weights");
    Ok(())
}

/// Interrupted after steps drawn at random, the run ends with the same weights and log.
pub fn a_resumed_run_gives_the_same_weights<T: Task>(root: &Root, spec: &Spec) -> Result<()> {
    let whole = run::<T>(root, spec, 1, &[])?;
    ensure!(whole.steps >= 4, "expected a spec of at least 4 steps, found {}", whole.steps);
    let mut rng = random::stream(spec.seed, "interruptions", &[]);
    for _ in 0..2 {
        let mut stops = [rng.random_range(1..whole.steps), rng.random_range(1..whole.steps)];
        stops.sort_unstable();
        let stops = if stops[0] == stops[1] { &stops[..1] } else { &stops[..] };
        let resumed = run::<T>(root, spec, 2, stops)?;
        ensure!(whole.weights == resumed.weights, "interrupted at {stops:?}, the weights differ");
        ensure!(
            (&whole.losses, &whole.epochs, &whole.norms) == (&resumed.losses, &resumed.epochs, &resumed.norms),
            "interrupted at {stops:?}, the log differs"
        );
        ensure!(
            (whole.decay_efolds, whole.collapsed) == (resumed.decay_efolds, resumed.collapsed),
            "interrupted at {stops:?}, e-foldings of decay or collapsed filters differ"
        );
        ensure!(resumed.provenance.resumed == stops.len() as u64, "the record does not say how often it was resumed");
    }
    Ok(())
}

/// A few steps give the same weights and losses on every set of kernels of this machine, and with one, two and three
/// threads.
pub fn kernels_and_threads_give_the_same_bits<T: Task>(root: &Root, spec: &Spec) -> Result<()> {
    let steps = || -> Result<(String, Vec<f64>)> {
        let opened = open::<T>(root, spec)?;
        let mut optimizer = Optimizer::new(&opened.params, opened.planned.base, 0.0)?;
        let mut losses = Vec::new();
        for start in [0, 8] {
            let loss = opened.task.loss(&opened.model, &opened.batch(Split::Train, start, 8)?)?;
            optimizer.step(&ops::backward(&loss)?, opened.planned.base.rule.lr())?;
            losses.push(f64::from(loss.to_scalar::<f32>()?));
        }
        // With running statistics, in one go.
        let batch = opened.batch(Split::Validation, 0, 8)?;
        let mut meter = T::Meter::default();
        opened.task.observe(&ops::no_grad(|| opened.task.predict(&opened.model, &batch))?, &batch, &mut meter)?;
        losses.extend(opened.task.scores(meter).into_values());
        Ok((opened.params.digest()?, losses))
    };
    let run = |kernels: Kernels, threads| -> Result<(String, Vec<f64>)> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        pool.install(|| kernels.scope(steps))?
    };
    let (weights, losses) = run(Kernels::Portable, 1)?;
    for kernels in Kernels::available().filter(|kernels| *kernels != Kernels::Candle) {
        for threads in 1..=3 {
            let (found, found_losses) = run(kernels, threads)?;
            let here = format!("the {} kernels with {threads} threads", kernels.name());
            ensure!(
                losses.iter().map(|loss| loss.to_bits()).eq(found_losses.iter().map(|loss| loss.to_bits())),
                "{here} give losses and scores {found_losses:?}, the portable ones with one thread {losses:?}"
            );
            ensure!(found == weights, "{here} give other weights than the portable ones with one thread");
        }
    }
    Ok(())
}

/// The gradient of the loss in random directions of each parameter equals central differences.
pub fn loss_gradient_matches_finite_differences<T: Task>(root: &Root, spec: &Spec) -> Result<()> {
    let opened = open::<T>(root, spec)?;
    let batch = opened.batch(Split::Train, 0, 8)?;
    let loss = opened.task.loss(&opened.model, &batch)?;
    let before = f64::from(loss.to_scalar::<f32>()?);
    let gradients = ops::backward(&loss)?;
    let (mut analytic, mut numeric) = (Vec::new(), Vec::new());
    let mut lengths = Vec::new();
    for parameter in opened.params.trainable() {
        let Some(gradient) = gradients.get(&parameter.var) else { bail!("{} has no gradient", parameter.name) };
        let length = gradient.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?;
        lengths.push((parameter, gradient, length));
    }
    let longest = lengths.iter().map(|(.., length)| *length).fold(0.0, f32::max);
    for (parameter, gradient, length) in lengths {
        // Rounding, of a parameter that the loss does not depend on.
        if length <= 1e-5 * longest {
            continue;
        }
        // Along the gradient itself, where the derivative is its length and rounding matters least. Steps
        // are small against the distance to the kinks of ReLU, so a few halvings tell the slope.
        let direction = (gradient / f64::from(length))?;
        let start = parameter.var.copy()?;
        let size = start.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?.max(0.1);
        let at = |h: f64| -> Result<f64> {
            parameter.var.set(&(&start + (&direction * h)?)?)?;
            let loss = opened.loss(&batch)?;
            parameter.var.set(&start)?;
            Ok(loss)
        };
        let h = f64::from(size) * 2e-3;
        let slopes = [h, h / 2.0, h / 4.0].map(|h| Ok::<_, anyhow::Error>((at(h)? - at(-h)?) / (2.0 * h)));
        let mut best = f64::INFINITY;
        for slope in slopes {
            let slope = slope?;
            if (slope - f64::from(length)).abs() < (best - f64::from(length)).abs() {
                best = slope;
            }
        }
        analytic.push(f64::from(length));
        numeric.push(best);
        // What rounding two losses to single precision does to their difference.
        let rounding = f64::from(f32::EPSILON) * before.abs() / (2.0 * h);
        let error = (best - f64::from(length)).abs() - rounding;
        ensure!(
            error < 0.1 * f64::from(length),
            "{}: the gradient's length is {length}, differences along it say {best}",
            parameter.name
        );
    }
    ensure!(!analytic.is_empty(), "no parameter has a gradient");
    let error = analytic.iter().zip(&numeric).map(|(a, n)| (a - n) * (a - n)).sum::<f64>().sqrt();
    let length = analytic.iter().map(|a| a * a).sum::<f64>().sqrt();
    ensure!(
        error < 0.02 * length,
        "over all parameters, gradients are {:.1} % off differences",
        100.0 * error / length
    );
    Ok(())
}

/// Each scale-invariant weight, doubled filter by filter, leaves the loss unchanged up to the ε of its batch
/// norm; some other parameter does not.
pub fn declared_scale_invariance_is_real<T: Task>(root: &Root, spec: &Spec) -> Result<()> {
    let opened = open::<T>(root, spec)?;
    let batch = opened.batch(Split::Train, 0, 8)?;
    let before = opened.loss(&batch)?;
    let (mut invariant, mut head) = (0, false);
    for parameter in opened.params.trainable() {
        let start = parameter.var.copy()?;
        let mut dims = vec![1; start.rank()];
        dims[0] = start.dims()[0];
        // Another factor for each filter: 1, 2, 3, 1, …
        let factors: Vec<f32> = (0..dims[0]).map(|filter| (filter % 3) as f32 + 1.0).collect();
        let factors = Tensor::from_vec(factors, dims, start.device())?;
        parameter.var.set(&start.broadcast_mul(&factors)?)?;
        let change = (opened.loss(&batch)? - before).abs();
        parameter.var.set(&start)?;
        if matches!(parameter.role, Role::ScaleInvariant(_)) {
            invariant += 1;
            ensure!(
                change < 5e-3 * before.abs().max(1e-3),
                "{}: declared scale-invariant, but the loss changes by {change} of {before}",
                parameter.name
            );
        } else {
            head |= change > 1e-2 * before.abs();
        }
    }
    ensure!(invariant > 0, "no parameter is declared scale-invariant");
    ensure!(head, "no other parameter changes the loss when it is scaled: something is declared wrong");
    Ok(())
}

/// A few dozen steps on one batch bring its loss below a tenth.
pub fn one_batch_can_be_learned<T: Task>(root: &Root, spec: &Spec) -> Result<()> {
    let opened = open::<T>(root, spec)?;
    let batch = opened.batch(Split::Train, 0, 16)?;
    let mut optimizer = Optimizer::new(&opened.params, opened.planned.base, 0.0)?;
    let first = opened.loss(&batch)?;
    let mut last = first;
    for _ in 0..100 {
        let loss = opened.task.loss(&opened.model, &batch)?;
        last = f64::from(loss.to_scalar::<f32>()?);
        if last < 0.1 * first {
            return Ok(());
        }
        optimizer.step(&ops::backward(&loss)?, opened.planned.base.rule.lr())?;
    }
    bail!("100 steps on one batch brought the loss from {first} only to {last}")
}

/// Scores of the validation split, with batches of 1, of 7 and of all examples, are equal.
pub fn scores_do_not_depend_on_the_evaluation_batch<T: Task>(root: &Root, spec: &Spec) -> Result<()> {
    let opened = open::<T>(root, spec)?;
    // Some steps, so that running statistics are not those of the start.
    for start in [0, 8] {
        opened.loss(&opened.batch(Split::Train, start, 8)?)?;
    }
    let all = opened.task.set().len(Split::Validation);
    let scores = |batch| evaluate(&opened.task, &opened.model, Split::Validation, batch, 2, &opened.device());
    let expected = scores(all)?;
    for batch in [1, 7] {
        let found = scores(batch)?;
        for (name, expected) in &expected {
            let found = found.get(name).copied().unwrap_or(f64::NAN);
            let close = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
            ensure!(close, "`{name}` is {found} with batches of {batch}, {expected} with one of all examples");
        }
    }
    Ok(())
}

/// Observing the truth as if it were the prediction gives the headline's perfect score.
pub fn perfect_predictions_score_perfectly<T: Task>(root: &Root, spec: &Spec) -> Result<()> {
    let opened = open::<T>(root, spec)?;
    let mut meter = T::Meter::default();
    for start in (0..opened.task.set().len(Split::Test)).step_by(64) {
        let batch = opened.batch(Split::Test, start, 64)?;
        opened.task.observe(&opened.task.perfect_prediction(&batch)?, &batch, &mut meter)?;
    }
    let scores = opened.task.scores(meter);
    let found = scores.get(T::HEADLINE.score).copied();
    ensure!(
        found == Some(T::HEADLINE.perfect),
        "expected `{}` of {}, found {found:?}",
        T::HEADLINE.score,
        T::HEADLINE.perfect
    );
    // And an untrained network does not.
    let untrained = evaluate(&opened.task, &opened.model, Split::Test, 64, 2, &opened.device())?;
    ensure!(untrained.get(T::HEADLINE.score) != found.as_ref(), "an untrained network scores perfectly too");
    Ok(())
}

/// Of a task that draws, the truth and an untrained network's prediction of an example are drawn, and again the same;
/// one that draws none says so.
pub fn pictures_can_be_drawn_of_every_split<T: Task>(root: &Root, spec: &Spec) -> Result<()> {
    let opened = open::<T>(root, spec)?;
    for split in Split::ALL {
        for index in [0, opened.task.set().len(split) / 2] {
            let batch = opened.batch(split, index, 1)?;
            for prediction in [opened.task.perfect_prediction(&batch)?, opened.task.predict(&opened.model, &batch)?] {
                let picture =
                    || opened.task.picture(split, index, &mut stream(0, "conformance", 0, index), &prediction);
                match (T::PICTURES, picture()) {
                    (Some(_), drawn) => {
                        let again = picture()?;
                        ensure!(drawn? == again, "{split}: a picture drawn twice differs");
                    }
                    (None, Ok(_)) => bail!("expected `PICTURES` of a task that draws, found none"),
                    (None, Err(_)) => {}
                }
            }
        }
    }
    Ok(())
}
