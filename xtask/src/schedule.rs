//! Which run comes next on this machine, and how many at a time.

use crate::machine;
use record::{Entry, Spec};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use study::Planned;

/// Runs at a time, and threads of each, of those that are asked for, for `pending` runs: together never more than `cores`.
pub(crate) fn shares(jobs: Option<usize>, threads: Option<usize>, pending: usize, cores: usize) -> (usize, usize) {
    let threads = threads.map(|threads| threads.clamp(1, cores));
    let most = cores / threads.unwrap_or(1);
    let jobs = jobs.unwrap_or(most).min(most).min(pending).max(1);
    (jobs, threads.unwrap_or(cores / jobs))
}

/// What results say of runs that have none.
pub(crate) struct Estimates(Vec<Known>);

struct Known {
    spec: Spec,
    seconds: f64,
    memory: Option<u64>,
}

impl Estimates {
    pub(crate) fn of(entries: &[Entry]) -> Self {
        let known = entries.iter().map(|Entry { record, .. }| {
            let seconds = record.seconds.training() + record.seconds.evaluation;
            Known {
                spec: record.spec.clone(),
                seconds: seconds / epochs(&record.spec),
                memory: record.provenance.memory,
            }
        });
        Self(known.collect())
    }

    /// Seconds of a run: those of an epoch of the runs that are most like it. Without any, epochs.
    pub(crate) fn seconds(&self, spec: &Spec) -> f64 {
        let alike = self.alike(spec);
        let mean = alike.iter().map(|known| known.seconds).sum::<f64>() / alike.len() as f64;
        epochs(spec) * if alike.is_empty() { 1.0 } else { mean }
    }

    /// The most memory, in bytes, that a run most like it took; `None` where no record says it.
    pub(crate) fn memory(&self, spec: &Spec) -> Option<u64> {
        self.alike(spec).into_iter().filter_map(|known| known.memory).max()
    }

    /// Sorts the run that will take longest to the front, so that none is left alone at the end.
    pub(crate) fn longest_first(&self, runs: &mut [Planned]) {
        runs.sort_by(|one, other| self.seconds(&other.spec).total_cmp(&self.seconds(&one.spec)));
    }

    /// Runs of the same network, optimizer and method; else of the same network; else all.
    fn alike(&self, spec: &Spec) -> Vec<&Known> {
        let name = |table: &record::Table| table.get("name").cloned();
        let network = |known: &&Known| {
            let batch = |spec: &Spec| spec.train.get("batch").cloned();
            known.spec.task == spec.task && known.spec.dataset == spec.dataset && batch(&known.spec) == batch(spec)
        };
        let method = |known: &&Known| {
            name(&known.spec.optimizer) == name(&spec.optimizer) && name(&known.spec.method) == name(&spec.method)
        };
        let of_network: Vec<&Known> = self.0.iter().filter(network).collect();
        let of_method: Vec<&Known> = of_network.iter().copied().filter(method).collect();
        let groups = [of_method, of_network, self.0.iter().collect()];
        groups.into_iter().find(|group| !group.is_empty()).unwrap_or_default()
    }
}

/// That are trained.
fn epochs(spec: &Spec) -> f64 {
    let number = |key: &str| spec.train.get(key).and_then(Value::as_f64);
    number("stop_after").or(number("epochs")).unwrap_or(1.0).max(1.0)
}

/// Runs that wait for their turn, the longest first. One that would not fit into memory beside those that are trained
/// waits until one of them has ended; alone, it is tried.
pub(crate) struct Waiting {
    state: Mutex<State>,
    ended: Condvar,
    /// Bytes for all runs that are trained at a time.
    memory: u64,
}

struct State {
    queue: VecDeque<(Planned, u64)>,
    running: usize,
    memory: u64,
}

/// The place of a run that is trained; it is free again when this is dropped.
pub(crate) struct Place<'a> {
    waiting: &'a Waiting,
    memory: u64,
}

impl Waiting {
    pub(crate) fn new(runs: Vec<Planned>, estimates: &Estimates) -> Self {
        // What is free now is not all free when the run is largest.
        let memory = machine::free_memory().map_or(u64::MAX, |free| free / 10 * 9);
        Self::with_memory(runs, estimates, memory)
    }

    fn with_memory(mut runs: Vec<Planned>, estimates: &Estimates, memory: u64) -> Self {
        estimates.longest_first(&mut runs);
        let queue = runs.into_iter().map(|run| {
            let memory = estimates.memory(&run.spec).unwrap_or_default();
            (run, memory)
        });
        let state = State { queue: queue.collect(), running: 0, memory: 0 };
        Self { state: Mutex::new(state), ended: Condvar::new(), memory }
    }

    /// The next run, once there is memory for it; none where none is left, or `stop` says so.
    pub(crate) fn next(&self, stop: impl Fn() -> bool) -> Option<(Planned, Place<'_>)> {
        let mut state = self.state();
        loop {
            if stop() || state.queue.is_empty() {
                return None;
            }
            let free = self.memory.saturating_sub(state.memory);
            let fits = state.queue.iter().position(|(_, memory)| *memory <= free || state.running == 0);
            if let Some((run, memory)) = fits.and_then(|index| state.queue.remove(index)) {
                state.running += 1;
                state.memory += memory;
                return Some((run, Place { waiting: self, memory }));
            }
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes those out of the queue that are `alike`; gives how many.
    pub(crate) fn drop_alike(&self, alike: impl Fn(&Planned) -> bool) -> usize {
        let mut state = self.state();
        let before = state.queue.len();
        state.queue.retain(|(run, _)| !alike(run));
        before - state.queue.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.waiting.state();
        state.running -= 1;
        state.memory -= self.memory;
        self.waiting.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(method: &str, epochs: u64, width: u64) -> Spec {
        serde_json::from_value(
            json!({"task": {"width": width}, "dataset": "d", "seed": 0, "train": {"epochs": epochs, "batch": 8},
            "optimizer": {"name": "sgd"}, "schedule": {}, "method": {"name": method}, "rest_decay": 0.0}),
        )
        .unwrap()
    }

    fn planned(id: u64, spec: Spec) -> Planned {
        Planned { id: serde_json::from_value(json!(format!("{id:016x}"))).unwrap(), spec, line: String::new() }
    }

    fn known(spec: Spec, seconds: f64, memory: u64) -> Known {
        Known { spec, seconds, memory: Some(memory) }
    }

    #[test]
    fn jobs_and_threads_are_never_more_than_the_cores() {
        for cores in 1..=9 {
            for jobs in (0..12).map(|jobs| (jobs > 0).then_some(jobs)) {
                for threads in (0..12).map(|threads| (threads > 0).then_some(threads)) {
                    for pending in [1, 2, 100] {
                        let (at_a_time, each) = shares(jobs, threads, pending, cores);
                        assert!(at_a_time >= 1 && each >= 1 && at_a_time * each <= cores && at_a_time <= pending);
                        assert!(
                            jobs.is_none_or(|jobs| at_a_time <= jobs) && threads.is_none_or(|threads| each <= threads)
                        );
                    }
                }
            }
        }
        assert_eq!(shares(None, None, 100, 4), (4, 1));
        assert_eq!(shares(None, None, 2, 8), (2, 4));
        assert_eq!(shares(Some(3), None, 100, 8), (3, 2));
        assert_eq!(shares(Some(4), Some(4), 100, 8), (2, 4));
    }

    #[test]
    fn the_longest_come_first_by_the_records_of_those_alike() {
        let estimates = Estimates(vec![known(spec("slow", 9, 1), 10.0, 1), known(spec("fast", 9, 1), 1.0, 1)]);
        let mut runs =
            vec![planned(0, spec("fast", 20, 1)), planned(1, spec("slow", 3, 1)), planned(2, spec("other", 5, 1))];
        estimates.longest_first(&mut runs);
        let ids: Vec<&str> = runs.iter().map(|run| &run.id.as_str()[15..]).collect();
        assert_eq!(ids, ["1", "2", "0"], "30, 27.5 and 20 seconds");
        assert_eq!(Estimates(Vec::new()).seconds(&spec("fast", 7, 1)), 7.0);
    }

    #[test]
    fn a_run_that_does_not_fit_into_memory_waits() {
        let estimates = Estimates(vec![known(spec("a", 1, 1), 1.0, 60), known(spec("a", 1, 2), 1.0, 30)]);
        let runs = vec![planned(0, spec("a", 9, 1)), planned(1, spec("a", 8, 1)), planned(2, spec("a", 7, 2))];
        let waiting = Waiting::with_memory(runs, &estimates, 100);
        let next = || waiting.next(|| false).unwrap();
        let number = |run: &Planned| run.id.as_str()[15..].to_owned();
        let (first, place) = next();
        let (second, _other) = next();
        assert_eq!([number(&first), number(&second)], ["0", "2"], "a small one beside the first");
        std::thread::scope(|scope| {
            let third = scope.spawn(|| number(&next().0));
            drop(place);
            assert_eq!(third.join().unwrap(), "1");
        });
        assert!(waiting.next(|| false).is_none());
    }

    #[test]
    fn alone_a_run_is_tried_and_a_stop_ends_all() {
        let estimates = Estimates(vec![known(spec("a", 1, 1), 1.0, 600)]);
        let runs = || vec![planned(0, spec("a", 1, 1)), planned(1, spec("a", 1, 1))];
        let waiting = Waiting::with_memory(runs(), &estimates, 100);
        assert!(waiting.next(|| false).is_some());
        assert!(Waiting::with_memory(runs(), &estimates, 100).next(|| true).is_none());
    }
}
