//! Examples, prepared ahead by threads and handed over in order.

use crate::error::Result;
use crate::task::Task;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

/// Batches that each thread may have ready.
const AHEAD: usize = 2;

/// Gives batches in order. Thread `k` of `n` prepares batches `k`, `k + n`, …, so neither their order nor
/// their content depends on how many there are.
pub(crate) struct Loader<E> {
    queues: Vec<Receiver<Result<Vec<E>>>>,
    next: usize,
}

impl<E: Send> Loader<E> {
    /// Starts `threads` threads that prepare the batches of `range`: `examples(b)` gives batch `b`.
    pub(crate) fn start<'scope, 'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        threads: usize,
        range: Range<u64>,
        examples: impl Fn(u64) -> Result<Vec<E>> + Clone + Send + 'scope,
    ) -> Self
    where
        E: 'scope,
    {
        let threads = threads.max(1);
        let queues = (0..threads)
            .map(|k| {
                let (sender, receiver) = sync_channel(AHEAD);
                let (range, examples) = (range.clone(), examples.clone());
                scope.spawn(move || prepare(&sender, range.skip(k).step_by(threads), examples));
                receiver
            })
            .collect();
        Self { queues, next: 0 }
    }

    /// The next batch; `None` behind the last.
    pub(crate) fn next(&mut self) -> Option<Result<Vec<E>>> {
        let queue = self.next % self.queues.len();
        self.next += 1;
        self.queues[queue].recv().ok()
    }
}

fn prepare<E>(
    sender: &SyncSender<Result<Vec<E>>>,
    batches: impl Iterator<Item = u64>,
    examples: impl Fn(u64) -> Result<Vec<E>>,
) {
    for batch in batches {
        // The receiver is gone when nobody wants more.
        if sender.send(examples(batch)).is_err() {
            return;
        }
    }
}

/// The examples at `indices` of `split`, each augmented with the stream of (`seed`, `purpose`, `epoch`, index).
pub(crate) fn examples<T: Task>(
    task: &T,
    split: data::Split,
    indices: &[usize],
    seed: u64,
    purpose: &str,
    epoch: u64,
) -> Result<Vec<T::Example>> {
    let one = |index: &usize| task.example(split, *index, &mut stream(seed, purpose, epoch, *index));
    indices.iter().map(one).collect()
}

/// The stream of an example.
pub(crate) fn stream(seed: u64, purpose: &str, epoch: u64, index: usize) -> random::Rng {
    random::stream(seed, purpose, &[epoch, index as u64])
}
