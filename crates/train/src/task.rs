//! The contract of a task.
//!
//! `predict`, `truth` and `observe` could be one function. They are separate so that the conformance tests can score
//! a perfect prediction, and pictures can show one.

use crate::error::Result;
use anyhow::bail;
use candle_core::{Device, Tensor};
use canvas::Canvas;
use data::{Root, Split};
use random::Rng;
use record::Scores;
use regularize::Params;
use serde::Serialize;
use serde::de::DeserializeOwned;
use settings::Mistake;
use std::ffi::OsString;

/// A task: data, model, loss and metric. The training loop, methods, checkpoints and reports are not its
/// business, and it names none of them.
///
/// Data is map-style, and an example is a pure function of (split, index, random stream), so a task holds
/// no iterator and no generator: resuming and independence of thread counts follow.
pub trait Task: Sized + Sync {
    /// The `[task]` table of a configuration; unknown keys are errors (`#[serde(deny_unknown_fields)]`).
    type Config: Clone + DeserializeOwned + Serialize;
    /// What is known of an image of the data set.
    type Label: data::Label;
    /// One example, decoded and augmented, on the host.
    type Example: Send;
    /// Examples collated on the device.
    type Batch;
    /// The network.
    type Model;
    /// What the network says of a batch in evaluation.
    type Prediction;
    /// What evaluation accumulates.
    type Meter: Default;

    /// Name of the task and of its folder in `configs`.
    const NAME: &'static str;
    /// Part of every run id: raise it when results change.
    const VERSION: u32;
    /// The score that ranks methods.
    const HEADLINE: Headline;
    /// What the colors of a [`Task::picture`] mean, in a sentence for legends and reports; without it, the task draws
    /// none.
    const PICTURES: Option<&'static str> = None;

    /// Whether the settings make sense, as far as that can be told without data: checked before a run has an id.
    ///
    /// # Errors
    ///
    /// The key at fault, what was expected there, and what was found.
    fn check(_config: &Self::Config) -> std::result::Result<(), Mistake> {
        Ok(())
    }

    /// Opens the data set `dataset`, for settings that were checked.
    fn open(config: Self::Config, root: &Root, dataset: &str) -> Result<Self>;

    /// The data set.
    fn set(&self) -> &data::Set<Self::Label>;

    /// What reports call the task with this data set, where its name would say something else.
    fn title(&self) -> Option<String> {
        None
    }

    /// One line about the model, for reports.
    fn model_line(&self) -> String;

    /// One line about augmentation, for reports.
    fn augmentation_line(&self) -> String;

    /// Examples that evaluation takes at once where training takes `batch`: fewer where they are larger.
    fn evaluation_batch(&self, batch: usize) -> usize {
        batch
    }

    /// Example `index` of `split`, augmented with `rng` where the split is for training. Pure: the same
    /// arguments give the same example.
    fn example(&self, split: Split, index: usize, rng: &mut Rng) -> Result<Self::Example>;

    /// Puts examples into one batch.
    fn collate(&self, examples: Vec<Self::Example>, device: &Device) -> Result<Self::Batch>;

    /// Makes the network, its parameters in `params`.
    fn model(&self, params: &Params) -> Result<Self::Model>;

    /// The training loss of a batch, a scalar: the mean over its examples.
    fn loss(&self, model: &Self::Model, batch: &Self::Batch) -> Result<Tensor>;

    /// The training loss of a batch in evaluation mode, a mean over its examples, where `prediction` is what
    /// [`Task::predict`] says of it; `None` where it cannot be told. Its mean over validation, against the training loss, is
    /// how much a network overfits.
    ///
    /// # Errors
    ///
    /// Where an operation fails.
    fn evaluation_loss(
        &self,
        _model: &Self::Model,
        _batch: &Self::Batch,
        _prediction: &Self::Prediction,
    ) -> Result<Option<f64>> {
        Ok(None)
    }

    /// What the network says of a batch, in evaluation mode.
    fn predict(&self, model: &Self::Model, batch: &Self::Batch) -> Result<Self::Prediction>;

    /// The prediction that is right for a batch; conformance tests score it.
    fn perfect_prediction(&self, batch: &Self::Batch) -> Result<Self::Prediction>;

    /// Compares a prediction with its batch.
    fn observe(&self, prediction: &Self::Prediction, batch: &Self::Batch, meter: &mut Self::Meter) -> Result<()>;

    /// The scores of all that was observed, [`Task::HEADLINE`] among them.
    fn scores(&self, meter: Self::Meter) -> Scores;

    /// Draws example `index` of `split` with what is true of it and `prediction`, which is of a batch of that example
    /// alone. `rng` is the stream that [`Task::example`] had for it, from its beginning: what is drawn of it is the
    /// augmentation that the network saw. The colors are those of [`Task::PICTURES`].
    fn picture(&self, _split: Split, _index: usize, _rng: &mut Rng, _prediction: &Self::Prediction) -> Result<Canvas> {
        bail!("the task {} draws no pictures", Self::NAME)
    }

    /// What `eval` of the task's binary prints: JSON that says how good predictions in files are, whoever made them.
    /// A task may leave it out.
    ///
    /// # Errors
    ///
    /// A [`clap::Error`] where `arguments`, those behind `eval`, are wrong or ask for help; a mistake in a file.
    fn eval(_arguments: &[OsString]) -> Result<String> {
        bail!("the task {} has no `eval`", Self::NAME)
    }
}

/// The score that ranks methods, and its direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Headline {
    /// Key among the scores, for example `top1`.
    pub score: &'static str,
    /// What a table calls it, for example `top-1 %`.
    pub title: &'static str,
    /// Factor from the score to the table's unit: 100 for a share printed in per cent.
    pub scale: f64,
    /// Whether larger is better.
    pub higher_is_better: bool,
    /// What a perfect prediction scores.
    pub perfect: f64,
}

impl Headline {
    pub(crate) fn to_record(self) -> record::Headline {
        record::Headline {
            score: self.score.into(),
            title: self.title.into(),
            scale: self.scale,
            higher_is_better: self.higher_is_better,
        }
    }
}
