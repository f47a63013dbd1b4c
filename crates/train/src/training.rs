//! The one training loop.

use crate::checkpoint::{self, Loaded, Pixels, Progress};
use crate::error::Error;
use crate::evaluation::evaluate_with_loss;
use crate::loader::{Loader, examples};
use crate::plan::{Planned, Settings, plan};
use crate::provenance;
use crate::task::Task;
use candle_core::Tensor;
use data::{Root, Split};
use record::{About, EpochRow, LayerRow, LogLine, NormRow, Outcome, Record, RunFolder, RunLock, SCHEMA, digest};
use regularize::{Before, LayerNorms, Optimizer, Params};
use serde::Serialize;
use settings::Mistake;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What does not change the result of a run.
pub struct Options<'a> {
    /// Threads that prepare examples.
    pub loader_threads: usize,
    /// Asked before the first step and after each, with the number of steps taken: whether to write a
    /// checkpoint and stop.
    pub stop: &'a dyn Fn(u64) -> bool,
    /// Told how training goes.
    pub event: &'a dyn Fn(&Event<'_>),
    /// Time between checkpoints; one is also written after each evaluation.
    pub checkpoint_every: Duration,
}

/// How training goes.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// Training begins, or goes on from a checkpoint.
    Start {
        /// Steps already taken.
        step: u64,
        /// Steps of the run.
        steps: u64,
        /// The score that ranks methods.
        headline: record::Headline,
    },
    /// A step was taken.
    Step {
        /// Steps taken.
        step: u64,
        /// Steps of the run.
        steps: u64,
        /// Loss of the step.
        loss: f64,
    },
    /// An epoch ended, and validation was scored.
    Epoch(&'a EpochRow),
}

/// Trains the run in `folder` from its `spec.json`, from its checkpoint where there is one, and writes its
/// record; returns the record at once where there is one.
///
/// The result depends on the spec alone: not on threads, nor on how often the run was interrupted.
///
/// # Errors
///
/// [`Error::Interrupted`] where `options.stop` says so. A loss that is not finite is no error but a
/// record that says so.
pub fn train<T: Task>(folder: &RunFolder, root: &Root, options: &Options<'_>) -> std::result::Result<Record, Error> {
    if let (Some(record), false) = (folder.read_record()?, checkpoint::is_left(folder)) {
        return Ok(record);
    }
    let lock = lock(folder, options.stop)?;
    checkpoint::remove_half_written(folder)?;
    let record = match folder.read_record()? {
        Some(record) => record,
        None => {
            let planned = plan::<T>(&folder.read_spec()?, root)?;
            let task = planned.open(root)?;
            let mut run = Run::new(&task, folder, &planned, options)?;
            let outcome = run.train()?;
            run.finish(outcome)?
        }
    };
    // What is left of the run is no longer needed, by nobody.
    checkpoint::remove(folder)?;
    lock.remove()?;
    Ok(record)
}

/// Waits until no other process trains this run.
fn lock(folder: &RunFolder, stop: &dyn Fn(u64) -> bool) -> std::result::Result<RunLock, Error> {
    let mut told = false;
    loop {
        if let Some(lock) = RunLock::try_take(folder)? {
            return Ok(lock);
        }
        if stop(0) {
            return Err(Error::Interrupted);
        }
        if !told {
            eprintln!("{}: another process trains this run; waiting for it", folder.path().display());
            told = true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

struct Run<'a, T: Task> {
    task: &'a T,
    folder: &'a RunFolder,
    planned: &'a Planned<T>,
    options: &'a Options<'a>,
    params: Params,
    model: T::Model,
    optimizer: Optimizer,
    /// Norms of the filters of scale-invariant weights at the start.
    start_norms: Vec<f64>,
    progress: Progress,
    log: Vec<LogLine>,
    saved: Instant,
}

impl<'a, T: Task> Run<'a, T> {
    fn new(
        task: &'a T,
        folder: &'a RunFolder,
        planned: &'a Planned<T>,
        options: &'a Options<'a>,
    ) -> std::result::Result<Self, Error> {
        let batch = planned.settings.batch;
        if task.set().len(Split::Train) < batch {
            let expected = format!("at most the {} examples that the training split has", task.set().len(Split::Train));
            return Err(Error::spec("train", Mistake::new("batch", expected, batch)));
        }
        let params = planned.params();
        let model = task.model(&params).map_err(|error| match error.downcast_ref() {
            Some(regularize::Error::Settings { mistake, .. }) => Error::spec("task", mistake.clone()),
            _ => Error::spec("task", Mistake::of_all("settings of a network that can be made", format!("{error:#}"))),
        })?;
        let mut optimizer = Optimizer::new(&params, planned.base, planned.spec.rest_decay)?;
        let start_norms = params.filter_norms()?;
        let Loaded { saved, faults } = checkpoint::load(folder, &planned.id, &params, &mut optimizer)?;
        let (mut progress, log) = match saved {
            Some((mut progress, log)) => {
                progress.resumed += 1;
                (progress, log)
            }
            None => (Progress::new(provenance::now()), Vec::new()),
        };
        for fault in &faults {
            eprintln!("warning: {}: {fault}", folder.path().display());
        }
        progress.faults.extend(faults);
        let saved = Instant::now();
        Ok(Self { task, folder, planned, options, params, model, optimizer, start_norms, progress, log, saved })
    }

    fn steps_per_epoch(&self) -> u64 {
        (self.task.set().len(Split::Train) / self.planned.settings.batch) as u64
    }

    /// Steps that are taken.
    fn steps(&self) -> u64 {
        self.steps_per_epoch() * self.planned.settings.trained_epochs()
    }

    fn train(&mut self) -> std::result::Result<Outcome, Error> {
        let (step, steps, per_epoch) = (self.progress.step, self.steps(), self.steps_per_epoch());
        (self.options.event)(&Event::Start { step, steps, headline: T::HEADLINE.to_record() });
        let (task, seed, size) = (self.task, self.planned.spec.seed, self.planned.settings.batch);
        let prepare = move |step: u64| {
            let (epoch, position) = (step / per_epoch, (step % per_epoch) as usize);
            let order = random::permutation(task.set().len(Split::Train), &mut random::stream(seed, "order", &[epoch]));
            examples(task, Split::Train, &order[position * size..][..size], seed, "augment", epoch)
        };
        let device = self.planned.settings.engine.device();
        std::thread::scope(|scope| {
            let mut loader = Loader::start(scope, self.options.loader_threads, step..steps, prepare);
            if (self.options.stop)(step) {
                return Err(Error::Interrupted);
            }
            loop {
                let waiting = Instant::now();
                let Some(examples) = loader.next() else { return Ok(Outcome::Finished) };
                let batch = task.collate(examples?, &device)?;
                self.progress.seconds.data += waiting.elapsed().as_secs_f64();
                let outcome = self.step(&batch)?;
                if let Some(diverged) = outcome {
                    return Ok(diverged);
                }
                if (self.options.stop)(self.progress.step) && self.progress.step < steps {
                    self.save()?;
                    return Err(Error::Interrupted);
                }
            }
        })
    }

    /// Takes a step, and what comes after the last one of an epoch.
    fn step(&mut self, batch: &T::Batch) -> std::result::Result<Option<Outcome>, Error> {
        let (step, per_epoch) = (self.progress.step, self.steps_per_epoch());
        let epoch = step / per_epoch;
        if step > 0 && step.is_multiple_of(per_epoch) {
            self.begin_epoch()?;
        }
        let start = Instant::now();
        let loss = self.task.loss(&self.model, batch)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        let forward = Instant::now();
        self.progress.seconds.forward += (forward - start).as_secs_f64();
        if !value.is_finite() {
            return Ok(Some(Outcome::Diverged { epoch, step, reason: format!("the training loss became {value}") }));
        }
        self.log_loss(step, value);
        self.update(batch, loss, forward)?;
        self.progress.step += 1;
        self.progress.loss_sum += value;
        (self.options.event)(&Event::Step { step: step + 1, steps: self.steps(), loss: value });
        let Settings { evaluate_every, .. } = self.planned.settings;
        let is_last = epoch + 1 == self.planned.settings.trained_epochs();
        let is_evaluated = (epoch + 1).is_multiple_of(evaluate_every) || is_last;
        if (step + 1).is_multiple_of(per_epoch) && is_evaluated {
            return self.end_epoch(epoch);
        }
        if self.saved.elapsed() >= self.options.checkpoint_every {
            self.save()?;
        }
        Ok(None)
    }

    fn log_loss(&mut self, step: u64, loss: f64) {
        if step.is_multiple_of(self.planned.settings.log_every) {
            self.log.push(LogLine::Losses { first: step, losses: Vec::new() });
        }
        let losses = |line| match line {
            &mut LogLine::Losses { ref mut losses, .. } => Some(losses),
            _ => None,
        };
        if let Some(losses) = self.log.iter_mut().rev().find_map(losses) {
            losses.push(loss);
        }
    }

    fn update(&mut self, batch: &T::Batch, loss: Tensor, forward: Instant) -> std::result::Result<(), Error> {
        let mut gradients = ops::backward(&loss)?;
        // The graph holds every activation.
        drop(loss);
        if let Some(perturbed) = self.optimizer.perturb(&gradients)? {
            gradients = ops::backward(&self.task.loss(&self.model, batch)?)?;
            perturbed.restore()?;
        }
        self.progress.seconds.backward += forward.elapsed().as_secs_f64();
        let step = self.progress.step;
        let (per_epoch, epochs) = (self.steps_per_epoch(), self.planned.settings.epochs);
        let factor = self.planned.schedule.factor(step, per_epoch * epochs, per_epoch);
        let lr = self.planned.base.rule.lr() * factor;
        let before = match step.is_multiple_of(self.planned.settings.log_every) {
            true => Some(Before::new(&self.params, &gradients)?),
            false => None,
        };
        let start = Instant::now();
        self.optimizer.step(&gradients, lr)?;
        self.progress.seconds.update += start.elapsed().as_secs_f64();
        if let Some(efolds) = self.optimizer.decay_efolds(lr) {
            self.progress.decay_efolds = Some(self.progress.decay_efolds.unwrap_or(0.0) + efolds);
        }
        if let Some(before) = before {
            let rotation = self.optimizer.equilibrium_rotation(lr);
            self.log.extend(norms(step, lr, rotation, before.after(&self.optimizer, lr)?));
        }
        Ok(())
    }

    /// Before the first step of an epoch that is not the first: after the evaluation between them.
    fn begin_epoch(&mut self) -> std::result::Result<(), Error> {
        let start = Instant::now();
        self.optimizer.begin_epoch()?;
        self.progress.seconds.update += start.elapsed().as_secs_f64();
        Ok(())
    }

    fn end_epoch(&mut self, epoch: u64) -> std::result::Result<Option<Outcome>, Error> {
        let start = Instant::now();
        let (batch, threads) = (self.planned.settings.batch, self.options.loader_threads);
        let device = self.planned.settings.engine.device();
        let sizes = [batch, threads];
        let (validation, validation_loss) =
            evaluate_with_loss(self.task, &self.model, Split::Validation, sizes, &device)?;
        self.progress.seconds.evaluation += start.elapsed().as_secs_f64();
        let step = self.progress.step;
        if let Some((name, score)) = validation.iter().find(|(_, score)| !score.is_finite()) {
            let reason = format!("the validation score `{name}` became {score}");
            return Ok(Some(Outcome::Diverged { epoch, step: step - 1, reason }));
        }
        let Settings { evaluate_every, .. } = self.planned.settings;
        let since = if epoch + 1 == self.planned.settings.trained_epochs() {
            epoch % evaluate_every + 1
        } else {
            evaluate_every
        };
        let train_loss = self.progress.loss_sum / (since * self.steps_per_epoch()) as f64;
        let validation_loss = validation_loss.filter(|loss| loss.is_finite());
        let row = EpochRow { epoch, step, train_loss, validation, validation_loss };
        (self.options.event)(&Event::Epoch(&row));
        self.log.push(LogLine::Epoch(row));
        self.progress.loss_sum = 0.0;
        self.save()?;
        Ok(None)
    }

    fn save(&mut self) -> std::result::Result<(), Error> {
        self.progress.log_lines = self.log.len();
        checkpoint::save(self.folder, &self.planned.id, &self.progress, &self.log, &self.params, &self.optimizer)?;
        self.saved = Instant::now();
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> std::result::Result<Record, Error> {
        let (mut epochs, mut rows, mut last, mut all_losses) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for line in &self.log {
            match line {
                LogLine::Losses { losses, .. } => all_losses.extend_from_slice(losses),
                LogLine::Epoch(row) => epochs.push(row.clone()),
                LogLine::Norms { median, layers } => {
                    rows.push(median.clone());
                    last.clone_from(layers);
                }
            }
        }
        let (task, planned) = (self.task, self.planned);
        let record = Record {
            schema: SCHEMA,
            id: planned.id.clone(),
            task: T::NAME.into(),
            task_version: T::VERSION,
            spec: planned.spec.clone(),
            outcome,
            headline: T::HEADLINE.to_record(),
            epochs,
            norms: rows,
            layers: last,
            weights: self.params.digest()?,
            tensors: Some(self.tensors()?),
            losses: Some(digest::losses(all_losses)),
            decay_efolds: self.progress.decay_efolds.filter(|efolds| efolds.is_finite()),
            collapsed: self.collapsed()?,
            steps: self.progress.step,
            seconds: self.progress.seconds,
            about: self.about(),
            provenance: provenance::provenance(
                task.set().digest(),
                self.progress.started.clone(),
                self.progress.resumed,
                &self.progress.faults,
            )?,
        };
        let pixels = Pixels { mean: task.set().mean(), std: task.set().std() };
        checkpoint::write_weights(&self.folder.weights(), &self.params, pixels)?;
        self.folder.write_record(&record)?;
        Ok(record)
    }

    /// Share of the filters that have lost their norm.
    fn collapsed(&self) -> std::result::Result<Option<f64>, Error> {
        /// What is left of a norm, below which a filter only follows decay.
        const COLLAPSED: f64 = 1e-6;
        let norms = self.params.filter_norms()?;
        let collapsed = norms.iter().zip(&self.start_norms).filter(|(now, start)| **now < COLLAPSED * **start).count();
        Ok((!norms.is_empty()).then(|| collapsed as f64 / norms.len() as f64))
    }

    /// The digest of each parameter and buffer.
    fn tensors(&self) -> std::result::Result<BTreeMap<String, String>, Error> {
        let digest = |parameter: regularize::Parameter| {
            let values = parameter.var.flatten_all()?.to_vec1::<f32>()?;
            Ok((parameter.name, digest::tensor(parameter.var.dims(), &values)))
        };
        self.params.all().into_iter().map(digest).collect()
    }

    fn about(&self) -> About {
        let (method, optimizer) = (self.planned.method.info(), self.planned.base.rule.info());
        let manifest = self.task.set().manifest();
        let settings = self.planned.settings;
        About {
            method: method.description.into(),
            method_source: method.source.into(),
            optimizer: optimizer.description.into(),
            optimizer_source: optimizer.source.into(),
            model: self.task.model_line(),
            parameters: self.params.count() as u64,
            dataset: manifest.title.clone(),
            dataset_licence: manifest.licence.clone(),
            dataset_caveat: manifest.caveat.clone(),
            examples: Split::ALL.iter().map(|split| (split.to_string(), self.task.set().len(*split) as u64)).collect(),
            recipe: format!(
                "{} epochs of {} steps, batch {}; {}",
                settings.epochs,
                self.steps_per_epoch(),
                settings.batch,
                self.task.augmentation_line()
            ),
            title: self.task.title(),
            pictures: T::PICTURES.map(str::to_owned),
        }
    }
}

/// A log line of norms; none where there are no scale-invariant layers, or a number is not finite.
fn norms(step: u64, lr: f64, equilibrium_rotation: Option<f64>, layers: Vec<LayerNorms>) -> Option<LogLine> {
    let median = |of: fn(&LayerNorms) -> f64| {
        let values: Vec<f64> = layers.iter().map(of).collect();
        statistics::median(&values).unwrap_or(f64::NAN)
    };
    let row = NormRow {
        step,
        lr,
        weight_norm: median(|l| l.weight_norm),
        filter_norm_min: layers.iter().map(|l| l.filter_norm_min).fold(f64::INFINITY, f64::min),
        filter_norm_median: median(|l| l.filter_norm_median),
        gradient_norm: median(|l| l.gradient_norm),
        effective_lr: median(|l| l.effective_lr),
        rotation: median(|l| l.rotation),
        equilibrium_rotation,
    };
    let layers: Vec<LayerRow> = layers
        .iter()
        .map(|l| LayerRow {
            name: l.name.clone(),
            weight_norm: l.weight_norm,
            filter_norm_min: l.filter_norm_min,
            filter_norm_median: l.filter_norm_median,
            gradient_norm: l.gradient_norm,
            effective_lr: l.effective_lr,
            rotation: l.rotation,
        })
        .collect();
    let numbers = |l: &LayerRow| {
        [l.weight_norm, l.filter_norm_min, l.filter_norm_median, l.gradient_norm, l.effective_lr, l.rotation]
    };
    let finite = !layers.is_empty() && layers.iter().flat_map(numbers).all(f64::is_finite);
    finite.then_some(LogLine::Norms { median: row, layers })
}
