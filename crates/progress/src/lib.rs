//! How the runs of a comparison go: a table on a terminal, plain lines off it, events for programs.

mod runs;
mod screen;
mod table;
#[cfg(test)]
mod tests;
mod words;

use record::{Outcome, Record, RunFolder, RunId, StoreError};
use runs::{Runs, State};
use screen::Screen;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use study::Planned;
use words::duration;

/// Shows how the runs of a comparison go, from the first to what is done with them afterwards.
pub struct Progress {
    runs: Arc<Mutex<Runs>>,
    began: Instant,
    json: bool,
    /// Whether there is a terminal for a table.
    terminal: bool,
    /// Where the table is drawn, from when there is something to train.
    screen: Mutex<Option<Screen>>,
    /// Why runs failed: each reason is said once.
    reasons: Mutex<Vec<String>>,
    finished: AtomicBool,
}

/// Shows one run.
pub struct RunProgress<'a> {
    progress: &'a Progress,
    run: &'a Planned,
    index: usize,
    /// Its place among all runs, from 1.
    place: usize,
}

/// How a run ended that was started here.
pub enum Ended {
    /// With a record.
    Recorded(Box<Record>),
    /// With a checkpoint.
    Interrupted,
    /// With an error, and what it says.
    Failed(String),
}

impl Progress {
    /// Of runs of which `jobs` are trained at a time; `json` prints events.
    pub fn new(jobs: usize, json: bool) -> Self {
        // Events on the same terminal would tear the table.
        let terminal = std::io::stderr().is_terminal() && !(json && std::io::stdout().is_terminal());
        Self {
            runs: Arc::new(Mutex::new(Runs::new(jobs))),
            began: Instant::now(),
            json,
            terminal,
            screen: Mutex::new(None),
            reasons: Mutex::new(Vec::new()),
            finished: AtomicBool::new(false),
        }
    }

    /// Takes in `runs`, trained or to be trained, each in its `folder`; more may follow, those that are known already are not
    /// taken twice.
    ///
    /// # Errors
    ///
    /// Where a record cannot be read.
    pub fn add(&self, runs: &[Planned], folder: impl Fn(&RunId) -> RunFolder) -> Result<(), StoreError> {
        let known = |run: &Planned| {
            let folder = folder(&run.id);
            Ok((folder.state()?, folder.read_record()?))
        };
        let known = runs.iter().map(known).collect::<Result<Vec<_>, StoreError>>()?;
        self.take_in(runs.iter().zip(known));
        Ok(())
    }

    /// Takes in `runs`, all of which are to be trained, whatever is known of them.
    pub fn add_again(&self, runs: &[Planned]) {
        self.take_in(runs.iter().map(|run| (run, (record::State::Missing, None))));
    }

    fn take_in<'r>(&self, runs: impl Iterator<Item = (&'r Planned, (record::State, Option<Record>))>) {
        let (mut added, mut waiting) = (Vec::new(), false);
        for (run, (state, record)) in runs {
            waiting |= record.is_none();
            if let Some(setting) = self.runs().add(run, state, record.as_ref()) {
                let (method, seed) = (&run.spec.method["name"], run.spec.seed);
                added.push(json!({"id": run.id, "method": method, "setting": setting, "seed": seed, "state": state}));
            }
        }
        self.event(&json!({"event": "plan", "runs": added}));
        if self.terminal && waiting {
            let (runs, began) = (self.runs.clone(), self.began);
            let lines = move |width, height| table::lines(&lock(&runs), began.elapsed().as_secs_f64(), width, height);
            lock(&self.screen).get_or_insert_with(|| Screen::new(lines));
        }
    }

    /// Begins to show `run`.
    pub fn start<'a>(&'a self, run: &'a Planned) -> RunProgress<'a> {
        let (index, place) = self.runs().start(run, self.now());
        self.event(&json!({"event": "run_start", "id": run.id, "spec": run.spec}));
        RunProgress { progress: self, run, index, place }
    }

    /// Says a line, above the table.
    pub fn note(&self, line: &str) {
        match lock(&self.screen).as_ref() {
            Some(screen) => screen.note(line),
            None => eprintln!("{line}"),
        }
    }

    /// Prints an event, where events are wanted.
    pub fn event(&self, event: &Value) {
        if self.json {
            // A pipe may be closed.
            let _ = writeln!(std::io::stdout(), "{event}");
        }
    }

    /// Ends the table, whose last state stays, and the events. What is printed afterwards stands below it.
    pub fn finish(&self) {
        if self.finished.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(screen) = lock(&self.screen).take() {
            screen.close();
        }
        let mut done = json!({"event": "done", "runs": self.runs().all().len(), "seconds": self.now()});
        for state in State::ALL {
            done[state.name()] = self.runs().count(state).into();
        }
        self.event(&done);
    }

    fn is_drawn(&self) -> bool {
        lock(&self.screen).is_some()
    }

    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        lock(&self.runs)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl RunProgress<'_> {
    /// Takes a line that the task's binary printed: an event, or something that it wants to say.
    pub fn line(&self, line: &str) {
        match serde_json::from_str::<Value>(line) {
            Ok(mut event) if event["event"].is_string() => {
                self.progress.runs().update(self.index, &event, self.progress.now());
                if let (Some(said), false) = (self.said(&event), self.progress.is_drawn()) {
                    self.note(&said);
                }
                event["id"] = json!(self.run.id);
                self.progress.event(&event);
            }
            _ => self.note(line),
        }
    }

    /// Whether the run has come to its steps.
    pub fn has_begun(&self) -> bool {
        self.progress.runs().has_begun(self.index)
    }

    /// Shows how the run ended.
    pub fn end(self, ended: &Ended) {
        let now = self.progress.now();
        self.progress.runs().end(self.index, ended, now);
        let (seconds, score, left) = {
            let runs = self.progress.runs();
            (runs.all()[self.index].seconds(now), runs.shown_score(self.index), self.left(&runs))
        };
        let (state, validation, error) = match ended {
            Ended::Recorded(record) => (State::of(&record.outcome), record.validation(), None),
            Ended::Interrupted => (State::Interrupted, None, None),
            Ended::Failed(why) => (State::Failed, None, Some(why)),
        };
        let new = matches!(ended, Ended::Failed(why) if self.is_new(why));
        if !self.progress.is_drawn() || new {
            let what = match ended {
                Ended::Recorded(record) => match &record.outcome {
                    Outcome::Finished => score.map(|score| format!(", {score}")).unwrap_or_default(),
                    Outcome::Diverged { epoch, reason, .. } => format!(" in epoch {}, {reason}", epoch + 1),
                },
                Ended::Interrupted => String::new(),
                Ended::Failed(why) if new => format!(", {why}"),
                Ended::Failed(_) => " for the same reason".to_owned(),
            };
            self.note(&format!("{}{what}, {}{left}", state.name(), duration(seconds)));
        }
        let mut event = json!({"event": "run_end", "id": self.run.id, "state": state.name(), "seconds": seconds});
        event["validation"] = json!(validation);
        if let Some(error) = error {
            event["error"] = json!(error);
        }
        self.progress.event(&event);
    }

    /// Whether no run failed for this reason before.
    fn is_new(&self, why: &str) -> bool {
        let mut reasons = lock(&self.progress.reasons);
        let new = !reasons.iter().any(|reason| reason == why);
        if new {
            reasons.push(why.to_owned());
        }
        new
    }

    /// Says a line about this run.
    fn note(&self, line: &str) {
        let of = self.progress.runs().all().len();
        self.progress.note(&format!("[{}/{of}] {:.8} {}: {line}", self.place, self.run.id, self.run.line));
    }

    /// The words for an event where there is no table.
    fn said(&self, event: &Value) -> Option<String> {
        let number = |key: &str| event[key].as_u64().unwrap_or(0);
        let decimal = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        match event["event"].as_str()? {
            "start" => Some(match (number("step"), number("steps")) {
                (0, steps) => format!("starts, {steps} steps"),
                (step, steps) => format!("resumes at step {step} of {steps}"),
            }),
            "epoch" => {
                let of = self.run.spec.train.get("epochs").and_then(Value::as_u64);
                let of = of.map(|epochs| format!(" of {epochs}")).unwrap_or_default();
                // Not those of parts.
                let scores =
                    event["validation"].as_object().into_iter().flatten().filter(|(name, _)| !name.contains('/'));
                let scores: Vec<String> = scores.map(|(name, score)| format!("{name} {:.4}", decimal(score))).collect();
                Some(format!(
                    "epoch {}{of}, training loss {:.4}, validation {}{}",
                    number("epoch") + 1,
                    decimal(&event["train_loss"]),
                    scores.join(", "),
                    self.left(&self.progress.runs())
                ))
            }
            _ => None,
        }
    }

    /// The time left of all runs, as the end of a line.
    fn left(&self, runs: &Runs) -> String {
        let left = runs.left(self.progress.now());
        left.map(|left| format!("; about {} left", duration(left))).unwrap_or_default()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
