//! What is known of the runs of a comparison while they are trained. Times are seconds since it began.

use super::Ended;
use super::words::number;
use record::{Headline, Outcome, Record, RunId, Scores, Spec};
use serde::Deserialize;
use serde_json::Value;
use study::Planned;

/// The state of a run, as far as it is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Failed,
    Diverged,
    Interrupted,
    Running,
    /// Not begun.
    Missing,
    Finished,
}

impl State {
    /// What needs attention comes first.
    pub(super) const ALL: [Self; 6] =
        [Self::Failed, Self::Diverged, Self::Interrupted, Self::Running, Self::Missing, Self::Finished];

    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Finished => Self::Finished,
            Outcome::Diverged { .. } => Self::Diverged,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Diverged => "diverged",
            Self::Interrupted => "interrupted",
            Self::Running => "running",
            Self::Missing => "missing",
            Self::Finished => "finished",
        }
    }

    /// Whether the run has a record.
    pub(super) fn is_recorded(self) -> bool {
        matches!(self, Self::Finished | Self::Diverged)
    }
}

/// The runs of a comparison.
pub(super) struct Runs {
    runs: Vec<Run>,
    settings: Vec<Setting>,
    /// Runs that are trained at a time.
    jobs: usize,
    /// The score that ranks; known from the first run on.
    headline: Option<Headline>,
}

/// What runs have in common that differ in their seed alone.
pub(super) struct Setting {
    /// With seed 0.
    spec: Spec,
    pub(super) label: String,
}

pub(super) struct Run {
    id: RunId,
    /// Index into the settings.
    pub(super) setting: usize,
    pub(super) state: State,
    /// The last scores on validation; none of a run that diverged.
    validation: Option<Scores>,
    /// Images a step.
    batch: Option<f64>,
    here: Option<Here>,
}

/// A run that was started here.
struct Here {
    began: f64,
    ended: Option<f64>,
    training: Option<Training>,
}

/// How the steps of a run go.
struct Training {
    steps: u64,
    /// Time and steps taken when training began or went on.
    first: (f64, u64),
    last: (f64, u64),
    speed: Speed,
}

/// Steps a second of about the last [`Speed::MEMORY`] seconds, without evaluation.
struct Speed {
    /// Time and steps taken since which all time was training.
    since: (f64, u64),
    steps: f64,
    seconds: f64,
}

impl Speed {
    const MEMORY: f64 = 20.0;

    fn update(&mut self, now: f64, step: u64) {
        let seconds = now - self.since.0;
        let kept = libm::exp(-seconds / Self::MEMORY);
        self.steps = kept * self.steps + step.saturating_sub(self.since.1) as f64;
        self.seconds = kept * self.seconds + seconds;
        self.since = (now, step);
    }
}

impl Training {
    /// Seconds a step takes, its share of evaluation included.
    fn step_seconds(&self) -> Option<f64> {
        let steps = self.last.1.saturating_sub(self.first.1);
        (steps > 0).then(|| (self.last.0 - self.first.0) / steps as f64)
    }

    fn left(&self, now: f64) -> Option<f64> {
        let steps = self.steps.saturating_sub(self.first.1);
        Some((self.first.0 + self.step_seconds()? * steps as f64 - now).max(0.0))
    }
}

impl Run {
    fn training(&self) -> Option<&Training> {
        self.here.as_ref()?.training.as_ref()
    }

    /// The share of its steps that were taken; `None` where that is not known.
    pub(super) fn fraction(&self) -> Option<f64> {
        if self.state.is_recorded() {
            return Some(1.0);
        }
        self.training().map(|training| (training.last.1 as f64 / training.steps.max(1) as f64).min(1.0))
    }

    /// Seconds until it ends; `None` where it does not run, or nothing can be said yet.
    pub(super) fn left(&self, now: f64) -> Option<f64> {
        if self.is_running() { self.training()?.left(now) } else { None }
    }

    /// Steps a second while it runs.
    pub(super) fn speed(&self) -> Option<f64> {
        let speed = &self.training().filter(|_| self.is_running())?.speed;
        (speed.seconds > 0.0).then(|| speed.steps / speed.seconds)
    }

    /// When it ended here.
    pub(super) fn ended(&self) -> Option<f64> {
        self.here.as_ref()?.ended
    }

    /// Seconds that it has been trained here.
    pub(super) fn seconds(&self, now: f64) -> f64 {
        self.here.as_ref().map_or(0.0, |here| here.ended.unwrap_or(now) - here.began)
    }

    /// Seconds that a run like this takes from its first step to its last.
    fn whole(&self) -> Option<f64> {
        let (here, training) = (self.here.as_ref()?, self.training()?);
        Some(training.first.0 - here.began + training.step_seconds()? * training.steps as f64)
    }

    pub(super) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Whether it is still to be started here.
    pub(super) fn is_waiting(&self) -> bool {
        self.here.is_none() && !self.state.is_recorded()
    }
}

impl Runs {
    pub(super) fn new(jobs: usize) -> Self {
        Self { runs: Vec::new(), settings: Vec::new(), jobs: jobs.max(1), headline: None }
    }

    pub(super) fn all(&self) -> &[Run] {
        &self.runs
    }

    pub(super) fn settings(&self) -> &[Setting] {
        &self.settings
    }

    pub(super) fn headline(&self) -> Option<&Headline> {
        self.headline.as_ref()
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.runs.iter().filter(|run| run.state == state).count()
    }

    /// Takes a run in and gives the words for its setting; nothing where it is known already.
    pub(super) fn add(&mut self, run: &Planned, state: record::State, record: Option<&Record>) -> Option<&str> {
        if self.runs.iter().any(|known| known.id == run.id) {
            return None;
        }
        let index = self.push(run);
        let added = &mut self.runs[index];
        added.state = match state {
            // What another process trains is waited for here.
            record::State::Missing | record::State::Running => State::Missing,
            record::State::Interrupted => State::Interrupted,
            record::State::Finished => State::Finished,
            record::State::Diverged => State::Diverged,
        };
        if let Some(record) = record {
            self.recorded(index, record);
        }
        Some(&self.settings[self.runs[index].setting].label)
    }

    fn push(&mut self, run: &Planned) -> usize {
        let spec = Spec { seed: 0, ..run.spec.clone() };
        let setting = self.settings.iter().position(|known| known.spec == spec).unwrap_or_else(|| {
            let seed = format!(" seed {}", run.spec.seed);
            let label = run.line.strip_suffix(&seed).unwrap_or(&run.line).to_owned();
            self.settings.push(Setting { spec, label });
            self.settings.len() - 1
        });
        let batch = run.spec.train.get("batch").and_then(Value::as_f64);
        let id = run.id.clone();
        self.runs.push(Run { id, setting, state: State::Missing, validation: None, batch, here: None });
        self.runs.len() - 1
    }

    /// Starts a run; gives its index, and its place in the order of starts, after what had a record before.
    pub(super) fn start(&mut self, run: &Planned, now: f64) -> (usize, usize) {
        let known = self.runs.iter().position(|known| known.id == run.id);
        let index = known.unwrap_or_else(|| self.push(run));
        let started = &mut self.runs[index];
        started.state = State::Running;
        started.here = Some(Here { began: now, ended: None, training: None });
        (index, self.runs.iter().filter(|run| !run.is_waiting()).count())
    }

    /// Takes an event of the task's binary.
    pub(super) fn update(&mut self, index: usize, event: &Value, now: f64) {
        let number = |key: &str| event[key].as_u64().unwrap_or(0);
        let (run, step) = (&mut self.runs[index], number("step"));
        let Some(here) = &mut run.here else { return };
        match event["event"].as_str() {
            Some("start") => {
                let at = (now, step);
                let speed = Speed { since: at, steps: 0.0, seconds: 0.0 };
                here.training = Some(Training { steps: number("steps"), first: at, last: at, speed });
                if let Ok(headline) = Headline::deserialize(&event["headline"]) {
                    self.headline = Some(headline);
                }
            }
            Some("step") => {
                if let Some(training) = &mut here.training {
                    training.last = (now, step);
                    training.speed.update(now, step);
                }
            }
            Some("epoch") => {
                run.validation = Scores::deserialize(&event["validation"]).ok().or(run.validation.take());
                if let Some(training) = &mut here.training {
                    training.last = (now, step);
                    training.speed.since = (now, step);
                }
            }
            _ => {}
        }
    }

    /// Whether a run that was started here has come to its steps.
    pub(super) fn has_begun(&self, index: usize) -> bool {
        self.runs[index].training().is_some()
    }

    pub(super) fn end(&mut self, index: usize, ended: &Ended, now: f64) {
        let run = &mut self.runs[index];
        if let Some(here) = &mut run.here {
            here.ended = Some(now);
            if let Some(training) = &mut here.training {
                training.last.0 = now;
            }
        }
        match ended {
            Ended::Recorded(record) => {
                run.state = State::of(&record.outcome);
                self.recorded(index, record);
            }
            Ended::Interrupted => run.state = State::Interrupted,
            Ended::Failed(_) => run.state = State::Failed,
        }
    }

    fn recorded(&mut self, index: usize, record: &Record) {
        self.headline = Some(record.headline.clone());
        let last = record.epochs.last().map(|row| row.validation.clone());
        self.runs[index].validation = last.filter(|_| record.outcome == Outcome::Finished);
    }

    /// The last score on validation, in the table's unit.
    pub(super) fn score(&self, run: &Run) -> Option<f64> {
        let headline = self.headline.as_ref()?;
        Some(headline.scale * run.validation.as_ref()?.get(&headline.score)?)
    }

    /// The last score on validation of a run, with what it is called.
    pub(super) fn shown_score(&self, index: usize) -> Option<String> {
        let score = self.score(&self.runs[index])?;
        Some(format!("{} {}", self.headline.as_ref()?.title, number(score)))
    }

    /// Images a step, where all runs say so.
    pub(super) fn batch(&self, run: &Run) -> Option<f64> {
        if self.runs.iter().all(|run| run.batch.is_some()) { run.batch } else { None }
    }

    /// The share of all work that was done; runs count alike.
    pub(super) fn fraction(&self) -> f64 {
        self.runs.iter().map(|run| run.fraction().unwrap_or(0.0)).sum::<f64>() / self.runs.len().max(1) as f64
    }

    /// Whether a run goes on, or is still to be started.
    pub(super) fn is_going(&self) -> bool {
        self.runs.iter().any(|run| run.is_running() || run.is_waiting())
    }

    /// Seconds until the last run ends, if those that wait take as long as others on average; `None` where
    /// nothing can be said yet, or none is going.
    pub(super) fn left(&self, now: f64) -> Option<f64> {
        let whole: Vec<f64> = self.runs.iter().filter_map(Run::whole).collect();
        if whole.is_empty() || !self.is_going() {
            return None;
        }
        let mean = whole.iter().sum::<f64>() / whole.len() as f64;
        let running = self.runs.iter().filter(|run| run.is_running());
        let mut ends: Vec<f64> =
            running.map(|run| run.left(now).unwrap_or_else(|| (mean - run.seconds(now)).max(0.0))).collect();
        ends.resize(ends.len().max(self.jobs), 0.0);
        for _ in self.runs.iter().filter(|run| run.is_waiting()) {
            // A run that waits begins where another ends first.
            if let Some(first) = ends.iter_mut().min_by(|one, other| one.total_cmp(other)) {
                *first += mean;
            }
        }
        ends.into_iter().max_by(f64::total_cmp)
    }
}
