//! What of ours is queued. Only display, and to submit nothing twice: a queue forgets.

use super::{PREFIX, Work, folder, program};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// An element of an array that waits or runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// As Slurm calls it: `PENDING`, `RUNNING`, `COMPLETING`, …
    pub state: String,
    /// Why it waits; `None` where it does not.
    pub reason: Option<String>,
}

impl std::fmt::Display for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.state.to_lowercase())?;
        self.reason.iter().try_for_each(|reason| write!(f, " ({reason})"))
    }
}

/// What of this store is queued.
#[derive(Debug, Default)]
pub struct Queue {
    work: BTreeMap<Work, Queued>,
    plans: BTreeSet<String>,
}

impl Queue {
    /// Asks `squeue` for what is of the store in the project's folder `root`.
    ///
    /// # Errors
    ///
    /// Where it does not answer.
    pub fn ask(root: &Path) -> Result<Self> {
        let mut squeue = Command::new("squeue");
        squeue.args(["--me", "--noheader", "--array", "--format=%j|%K|%T|%r"]);
        Ok(Self::of_answer(root, &program::ask(&mut squeue)?))
    }

    fn of_answer(root: &Path, answer: &str) -> Self {
        let mut plans = BTreeMap::<String, Vec<Work>>::new();
        let mut queue = BTreeMap::new();
        for line in answer.lines() {
            let [name, element, state, reason] = line.trim().splitn(4, '|').collect::<Vec<_>>()[..] else { continue };
            let (true, Ok(element)) = (name.starts_with(PREFIX), element.parse::<usize>()) else { continue };
            let plan = plans.entry(name.to_owned()).or_insert_with(|| {
                let path = folder(root).join(format!("{name}.plan"));
                let text = std::fs::read_to_string(path).unwrap_or_default();
                text.lines().filter_map(Work::parse).collect()
            });
            if let Some(work) = plan.get(element) {
                let reason = (!["None", ""].contains(&reason)).then(|| reason.to_owned());
                queue.insert(work.clone(), Queued { state: state.to_owned(), reason });
            }
        }
        Self { work: queue, plans: plans.into_keys().collect() }
    }

    /// Where `work` is in the queue.
    pub(super) fn of(&self, work: &Work) -> Option<&Queued> {
        self.work.get(work)
    }

    /// The plans of which something is queued.
    pub fn plans(&self) -> impl Iterator<Item = &str> {
        self.plans.iter().map(String::as_str)
    }

    /// Where training, or else testing, of `id` is in the queue.
    pub fn of_run(&self, id: &record::RunId) -> Option<&Queued> {
        self.of(&Work::run(id)).or_else(|| self.of(&Work::test(id)))
    }
}
