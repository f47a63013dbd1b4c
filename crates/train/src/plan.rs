//! From a spec as written to a spec with every default filled in, and its id.

use crate::engine::Engine;
use crate::error::Error;
use crate::task::Task;
use data::{Dataset, Label as _, Root};
use record::{RunId, Spec, Table};
use regularize::{Base, Method, Params, Schedule};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use settings::Mistake;

/// The `[train]` table: what computes, how long training is, and what is logged of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What computes.
    #[serde(default)]
    pub engine: Engine,
    /// Passes over the training split.
    pub epochs: u64,
    /// Examples a step; those that do not fill a last batch wait for the next epoch's order.
    pub batch: usize,
    /// Norm diagnostics are logged at every so many steps, and the losses of all steps with them.
    #[serde(default = "default_log_every")]
    pub log_every: u64,
    /// Scores on validation are taken after every so many epochs, and after the last.
    #[serde(default = "default_evaluate_every", skip_serializing_if = "is_default_evaluate_every")]
    pub evaluate_every: u64,
    /// Epochs after which training stops, with the schedule of the whole training: a rung of successive halving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<u64>,
}

impl Settings {
    fn check(&self) -> Result<(), Mistake> {
        let Self { epochs, batch, log_every, evaluate_every, .. } = *self;
        for (key, value, most) in [
            ("epochs", epochs, MOST),
            ("batch", batch as u64, MOST),
            ("log_every", log_every, u64::MAX),
            ("evaluate_every", evaluate_every, u64::MAX),
        ] {
            match value {
                0 => return Err(Mistake::new(key, "at least 1", 0)),
                _ if value > most => return Err(Mistake::new(key, format!("at most {most}"), value)),
                _ => {}
            }
        }
        match self.stop_after {
            Some(stop) if !(1..epochs).contains(&stop) => {
                Err(Mistake::new("stop_after", format!("1 to below `epochs`, {epochs}"), stop))
            }
            _ => Ok(()),
        }
    }

    /// Epochs that are trained.
    pub fn trained_epochs(&self) -> u64 {
        self.stop_after.unwrap_or(self.epochs)
    }
}

/// More epochs would take years, and the number of all steps has to be a number.
const MOST: u64 = 1_000_000_000;

fn default_log_every() -> u64 {
    20
}

fn default_evaluate_every() -> u64 {
    1
}

/// The default is not written, so that it is not part of the id: specs were there before the key was.
fn is_default_evaluate_every(every: &u64) -> bool {
    *every == default_evaluate_every()
}

/// A spec that can be run.
pub struct Planned<T: Task> {
    /// Address of the run.
    pub id: RunId,
    /// The spec with every default filled in.
    pub spec: Spec,
    /// The `[task]` table.
    pub task: T::Config,
    /// The `[train]` table.
    pub settings: Settings,
    /// The `[optimizer]` table.
    pub base: Base,
    /// The `[schedule]` table.
    pub schedule: Schedule,
    /// The `[method]` table.
    pub method: Method,
}

impl<T: Task> Planned<T> {
    /// The task with its data, of which it says what was wrong and tolerated.
    pub(crate) fn open(&self, root: &Root) -> crate::Result<T> {
        let dataset = &self.spec.dataset;
        let task = T::open(self.task.clone(), root, dataset)?;
        for warning in task.set().warnings() {
            eprintln!("warning: {dataset}: {warning}");
        }
        Ok(task)
    }

    /// No parameters yet, for the seed and the method of the run.
    pub fn params(&self) -> Params {
        Params::new(self.spec.seed, &self.settings.engine.device()).with_method(self.method)
    }
}

/// Reads every part of `spec`, and computes the id of its run.
///
/// # Errors
///
/// [`Error::Spec`] with the section at fault, where a key, a value or a name is wrong; [`Error::Dataset`].
pub fn plan<T: Task>(spec: &Spec, root: &Root) -> Result<Planned<T>, Error> {
    plan_on(spec, |dataset| digest::<T>(dataset, root))
}

/// The digest of the files of the set called `dataset`, which is for the task.
pub(crate) fn digest<T: Task>(dataset: &str, root: &Root) -> Result<String, String> {
    let set = Dataset::find(root, dataset).and_then(|set| set.of_task(T::Label::TASK));
    set.and_then(|set| set.digest()).map_err(|error| error.to_string())
}

/// [`plan`] with the digests of sets as `digest` gives them: who plans many runs takes each once.
pub(crate) fn plan_on<T: Task>(
    spec: &Spec,
    digest: impl FnOnce(&str) -> Result<String, String>,
) -> Result<Planned<T>, Error> {
    let task: T::Config = read("task", &spec.task)?;
    T::check(&task).map_err(|mistake| Error::spec("task", mistake))?;
    let settings: Settings = read("train", &spec.train)?;
    settings.check().map_err(|mistake| Error::spec("train", mistake))?;
    let written = write(&task);
    // What tasks call the number of training examples, where a part of them is used.
    if let Some(examples) = written.get("examples").and_then(Value::as_u64).filter(|all| *all < settings.batch as u64) {
        let expected = format!("at most `task.examples`, {examples}");
        return Err(Error::spec("train", Mistake::new("batch", expected, settings.batch)));
    }
    let base = Base::from_table(&spec.optimizer).map_err(|error| Error::settings("optimizer", error))?;
    let schedule = Schedule::from_table(&spec.schedule).map_err(|error| Error::settings("schedule", error))?;
    let method = Method::from_table(&spec.method).map_err(|error| Error::settings("method", error))?;
    method.check_with(&base).map_err(|error| Error::settings("method", error))?;
    let decays = settings::at_least("rest_decay", spec.rest_decay, 0.0);
    decays.map_err(|mistake| Error::spec("rest_decay", Mistake { key: None, ..mistake }))?;
    let digest = digest(&spec.dataset).map_err(Error::Dataset)?;
    let spec = Spec {
        task: written,
        dataset: spec.dataset.clone(),
        seed: spec.seed,
        train: write(&settings),
        optimizer: base.to_table(),
        schedule: schedule.to_table(),
        method: method.to_table(),
        rest_decay: spec.rest_decay,
    };
    let id = RunId::new(T::NAME, T::VERSION, &digest, &spec);
    Ok(Planned { id, spec, task, settings, base, schedule, method })
}

fn read<T: DeserializeOwned>(section: &'static str, table: &Table) -> Result<T, Error> {
    settings::read(table.clone()).map_err(|mistake| Error::spec(section, mistake))
}

fn write(settings: &impl Serialize) -> Table {
    match serde_json::to_value(settings) {
        Ok(Value::Object(table)) => table,
        _ => Table::new(),
    }
}
