//! What a run leaves behind: a [`Record`], and a [`TestRecord`] where its setting was chosen.

use crate::spec::{RunId, Spec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Version of [`Record`] and [`TestRecord`] as files, and what is written. Raise it with any change of their fields
/// or of what a field means. Only prose of [`About`] may be added without it, as an option: no number hangs on it.
///
/// | schema | new in it |
/// |---|---|
/// | 2 | |
/// | 3 | [`Record::losses`], [`Record::tensors`], [`Provenance::kernels`]; specs name the engine |
/// | 4 | [`EpochRow::validation_loss`], [`Record::decay_efolds`], [`Record::collapsed`] |
/// | 5 | [`Provenance::memory`], [`Provenance::faults`] |
pub const SCHEMA: u32 = 5;

/// The versions that are read. A field that is newer than the first of them is an option, says since when it is
/// there, and is `None` in older records: what a reader filled in would be made up. A change that cannot be made so
/// raises the first; readers refuse other versions by name.
pub const SCHEMAS: RangeInclusive<u32> = 2..=SCHEMA;

/// Named scores of an evaluation, for example `{"top1": 0.91, "loss": 0.27}`. A name with a slash, `iou/car`, is of a part
/// of what is scored; there may be many.
pub type Scores = BTreeMap<String, f64>;

/// What the name of a score begins with that is the headline's of a guess without a look at the image, `baseline/training mean`: the
/// report says it beside the table.
pub const BASELINE: &str = "baseline/";

/// The result of a training run. Written once, when training ends or diverges, and never edited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// Address of the run.
    pub id: RunId,
    /// Name of the task.
    pub task: String,
    /// Version of the task's code, part of the id.
    pub task_version: u32,
    /// What was run, defaults filled in.
    pub spec: Spec,
    /// How it ended.
    pub outcome: Outcome,
    /// The score that ranks methods.
    pub headline: Headline,
    /// One row an epoch.
    pub epochs: Vec<EpochRow>,
    /// Norm diagnostics at fixed steps, each the median over the scale-invariant layers.
    pub norms: Vec<NormRow>,
    /// Norm diagnostics of each scale-invariant layer at the last logged step.
    pub layers: Vec<LayerRow>,
    /// SHA-256 over names, shapes and bits of the final parameters and buffers.
    pub weights: String,
    /// [`digest::tensor`](crate::digest::tensor) of each of them by name; since schema 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensors: Option<BTreeMap<String, String>>,
    /// [`digest::losses`](crate::digest::losses) of the training loss of each step; since schema 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub losses: Option<String>,
    /// E-foldings that decay alone would have taken off the fourth power of the norm of scale-invariant weights: with decay
    /// λ, momentum μ and the rate η of each step the sum of 4ηλ/(1−μ), of 4ηλ where decay is decoupled. `None` where the
    /// method does not decay them, or no formula is known. Since schema 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay_efolds: Option<f64>,
    /// Share of the filters of scale-invariant weights whose norm ended below 1e-6 of that at the start; `None` where there
    /// are none. Since schema 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapsed: Option<f64>,
    /// Optimizer steps taken.
    pub steps: u64,
    /// Where the time went.
    pub seconds: Seconds,
    /// What the method, the optimizer and the data set are, for legends and caveats.
    pub about: About,
    /// Where the numbers come from.
    pub provenance: Provenance,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All steps were taken.
    Finished,
    /// The loss stopped being a finite number.
    Diverged {
        /// Epoch, from 0.
        epoch: u64,
        /// Step of the run, from 0.
        step: u64,
        /// What was seen.
        reason: String,
    },
}

/// The score that ranks methods in a task, and its direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Headline {
    /// Key in [`Scores`], for example `top1`.
    pub score: String,
    /// What a table calls it, for example `top-1 %`.
    pub title: String,
    /// Factor from the score to the table's unit: 100 for a share printed in per cent.
    pub scale: f64,
    /// Whether larger is better.
    pub higher_is_better: bool,
}

/// Training up to the end of an epoch that was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// From 0.
    pub epoch: u64,
    /// Steps taken when it ended.
    pub step: u64,
    /// Mean training loss over the epoch's examples, and those of epochs before it that were not evaluated.
    pub train_loss: f64,
    /// Scores on the validation split.
    pub validation: Scores,
    /// The training objective, without decay, over the validation split in evaluation mode; `None` where the task has none.
    /// Since schema 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
}

/// Medians over the scale-invariant layers at one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NormRow {
    /// Step of the run, from 0.
    pub step: u64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Of the whole layer's weight, after the step.
    pub weight_norm: f64,
    /// Of the smallest filter of a layer; the minimum, not the median, over layers.
    pub filter_norm_min: f64,
    /// Median filter norm.
    pub filter_norm_median: f64,
    /// Norm of the loss gradient of the layer's weight.
    pub gradient_norm: f64,
    /// Effective learning rate of the median filter: η/‖f‖² for SGD, η/‖f‖ for Adam.
    pub effective_lr: f64,
    /// Median angle, in radians, that a filter turned in the step.
    pub rotation: f64,
    /// The angle, in radians, that a filter turns in a step in equilibrium at [`NormRow::lr`], by the formula
    /// of the optimizer and the method; `None` where there is none.
    pub equilibrium_rotation: Option<f64>,
}

/// One scale-invariant layer at one step; fields as in [`NormRow`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerRow {
    /// Name of the weight, as torch names it.
    pub name: String,
    /// See [`NormRow::weight_norm`].
    pub weight_norm: f64,
    /// See [`NormRow::filter_norm_min`].
    pub filter_norm_min: f64,
    /// See [`NormRow::filter_norm_median`].
    pub filter_norm_median: f64,
    /// See [`NormRow::gradient_norm`].
    pub gradient_norm: f64,
    /// See [`NormRow::effective_lr`].
    pub effective_lr: f64,
    /// See [`NormRow::rotation`].
    pub rotation: f64,
}

/// Wall-clock seconds, summed over the run and over interruptions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Waiting for the loader, and collating.
    pub data: f64,
    /// Forward pass and loss.
    pub forward: f64,
    /// Backward pass.
    pub backward: f64,
    /// The step of optimizer and method, which is one pass over the parameters.
    pub update: f64,
    /// Evaluation on the validation split.
    pub evaluation: f64,
}

impl Seconds {
    /// Of a training step: everything but evaluation.
    pub fn training(&self) -> f64 {
        self.data + self.forward + self.backward + self.update
    }
}

/// Words for legends and caveats, so that a report needs nothing but records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// What the method does, one line.
    pub method: String,
    /// Where the method comes from.
    pub method_source: String,
    /// What the optimizer does, one line.
    pub optimizer: String,
    /// Where the optimizer comes from.
    pub optimizer_source: String,
    /// The model, one line.
    pub model: String,
    /// Trainable parameters.
    pub parameters: u64,
    /// Title of the data set.
    pub dataset: String,
    /// Its licence.
    pub dataset_licence: String,
    /// What a reader must know before comparing numbers: derived, re-encoded, a part only.
    pub dataset_caveat: Option<String>,
    /// Examples in each split.
    pub examples: BTreeMap<String, u64>,
    /// Length of training, schedule and augmentation, one line.
    pub recipe: String,
    /// What the task is called with this data set, where its name would say something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the colors of the task's pictures mean, a sentence; `None` of a task that draws none, and of records that
    /// were written before tasks drew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<String>,
}

/// Where a number comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Commit of the code, with `+changes` where the work tree differed; `unknown` outside git.
    pub commit: String,
    /// SHA-256 of the data set's files.
    pub dataset_digest: String,
    /// Model name of the processor.
    pub cpu: String,
    /// Which code of the engine computed: `avx512`, `avx2` or `portable` for the engine `cpu`; since schema 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernels: Option<String>,
    /// Worker threads of the kernels.
    pub threads: u64,
    /// `f32`.
    pub precision: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// RFC 3339, UTC.
    pub ended: String,
    /// How often the run was resumed.
    pub resumed: u64,
    /// The most memory that the process held which ended the run, in bytes; `None` where the system does not tell. Since
    /// schema 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// What was damaged when the run went on, and from where it went on instead, in words; `None` where nothing was. Since
    /// schema 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Vec<String>>,
}

impl Provenance {
    /// What computed, where and from which code, in a line.
    pub fn line(&self) -> String {
        let kernels = self.kernels.iter().map(|kernels| format!("{kernels} kernels, ")).collect::<String>();
        let plural = if self.threads == 1 { "" } else { "s" };
        format!("{kernels}{}, {} thread{plural}, commit {}", self.cpu, self.threads, self.commit)
    }
}

/// A line of a run's `log.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLine {
    /// Training losses from a step on that is logged up to the next, as far as the log goes.
    Losses {
        /// Step of the run, from 0.
        first: u64,
        /// Of each step.
        losses: Vec<f64>,
    },
    /// Norms at a step: medians, and each layer.
    Norms {
        /// Medians over layers.
        median: NormRow,
        /// Each layer.
        layers: Vec<LayerRow>,
    },
    /// An epoch ended, and validation was scored.
    Epoch(EpochRow),
}

/// Scores on the test split: read once, for a setting that was chosen on validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestRecord {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// The run whose final weights were evaluated.
    pub id: RunId,
    /// Digest of those weights.
    pub weights: String,
    /// The scores.
    pub scores: Scores,
    /// Where the numbers come from.
    pub provenance: Provenance,
}

/// One line of `reports/records/<name>.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The run's record.
    pub record: Record,
    /// Its test scores, where its setting was chosen.
    pub test: Option<TestRecord>,
}

impl Record {
    /// The headline score on validation after the last epoch; `None` for a run that diverged.
    pub fn validation(&self) -> Option<f64> {
        self.finished()?.epochs.last()?.validation.get(&self.headline.score).copied()
    }

    /// Training loss of the last epoch; `None` for a run that diverged.
    pub fn training_loss(&self) -> Option<f64> {
        Some(self.finished()?.epochs.last()?.train_loss)
    }

    /// The training's loss on the validation split after the last epoch; `None` where it is not known.
    pub fn validation_loss(&self) -> Option<f64> {
        let last = self.finished()?.epochs.last()?;
        // Where it is a score anyway.
        last.validation_loss.or(last.validation.get("loss").copied())
    }

    /// The norms that were logged nearest to half of training; `None` for a run that diverged or logged none.
    pub fn midway(&self) -> Option<&NormRow> {
        let half = self.steps / 2;
        self.finished()?.norms.iter().min_by_key(|row| row.step.abs_diff(half))
    }

    fn finished(&self) -> Option<&Self> {
        (self.outcome == Outcome::Finished).then_some(self)
    }
}
