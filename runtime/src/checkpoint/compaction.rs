//! Compaction: keeps chains of runs short by merging runs of committed epochs, on a thread of its own.
//!
//! An epoch never waits for it. A merge that has finished takes the place of its runs with the next commit; one that is lost
//! with a crash is garbage, and is made again.
//!
//! What it costs: all of a chain is rewritten when the changes outweigh the rows that they change, so once for every time that
//! as much was written; in between, at least eight runs of similar size are merged at a time, so each row moves through few
//! sizes. What it gives: a chain has in the order of 8·log(n) runs, and changes outweigh rows by little more than one to one.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::manifest::{ChainId, Merged};
use super::merge::merge;
use super::records::{Manifest, RunRecord};
use super::segment::{Segments, SmallSegments};
use crate::error::{Error, Result, catch_panic};
use crate::failpoint;

/// So many runs must be there before changes are merged into the base.
const LEAST_RUNS: usize = 4;
/// So many changes are merged at a time.
const TIER_RUNS: usize = 8;
/// Finished merges that wait for a commit; then the thread waits too.
const RESULTS: usize = 64;

/// What decides whether a run is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunInfo {
    /// Its size.
    pub(super) bytes: u64,
}

/// Which runs of a chain, oldest first, to merge into one; `None` if it is well as it is.
pub(super) fn plan(runs: &[RunInfo]) -> Option<Range<usize>> {
    let (base, deltas) = runs.split_first()?;
    let changed: u64 = deltas.iter().map(|run| run.bytes).sum();
    if runs.len() >= LEAST_RUNS && changed >= base.bytes {
        return Some(0..runs.len());
    }
    let start = 1 + similar_suffix(deltas);
    (runs.len() - start >= TIER_RUNS).then_some(start..runs.len())
}

/// Where the longest suffix begins in which no run is larger than twice the ones after it.
fn similar_suffix(runs: &[RunInfo]) -> usize {
    let mut start = runs.len();
    let mut later = 0;
    while start > 0 && (start == runs.len() || runs[start - 1].bytes <= 2 * later) {
        start -= 1;
        later += runs[start].bytes;
    }
    start
}

/// The runs of one chain that are to be merged.
#[derive(Debug)]
pub(super) struct Job {
    /// The chain.
    pub(super) chain: ChainId,
    /// How many key columns its table has.
    pub(super) keys: usize,
    /// Whether the first run is the chain's first: then nothing is left that a removed row could hide.
    pub(super) oldest: bool,
    /// The runs, oldest first.
    pub(super) runs: Vec<RunRecord>,
    /// Those of their segments that lie in the catalogue.
    pub(super) small: SmallSegments,
}

/// The thread that merges, and what is known of its work.
#[derive(Debug)]
pub(super) struct Compactor {
    segments: Segments,
    worker: Option<Worker>,
    /// Merges that were asked for and have not come back.
    pending: usize,
    /// Merges that wait to be adopted.
    finished: Vec<Merged>,
}

#[derive(Debug)]
struct Worker {
    jobs: Sender<Vec<Job>>,
    results: Receiver<Result<Merged>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Compactor {
    /// A compactor that has nothing to do yet, and no thread.
    pub(super) fn new(segments: Segments) -> Self {
        Compactor { segments, worker: None, pending: 0, finished: Vec::new() }
    }

    /// Starts to merge what is due, unless earlier work is not done.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub(super) fn start(&mut self, manifest: &Manifest, small: &SmallSegments) -> Result<()> {
        if self.pending > 0 || !self.finished.is_empty() {
            return Ok(());
        }
        let jobs: Vec<Job> =
            manifest.chains().filter_map(|(id, table, runs)| job(id, table.table.keys.len(), runs, small)).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        self.pending = jobs.len();
        self.worker()?.jobs.send(jobs).map_err(|_| Error::PeerGone)
    }

    /// The merges that have finished since they were taken last.
    ///
    /// # Errors
    /// What made a merge fail. The runs that it was to merge are still in their chain.
    pub(super) fn take_finished(&mut self) -> Result<Vec<Merged>> {
        let results: Vec<_> = self.worker.iter().flat_map(|worker| worker.results.try_iter()).collect();
        self.pending -= results.len();
        for result in results {
            self.finished.push(result?);
        }
        Ok(std::mem::take(&mut self.finished))
    }

    /// Waits until all that was asked for is merged or has failed; the results stay where they are.
    #[cfg(test)]
    pub(super) fn wait(&self) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let Some(worker) = &self.worker else { return };
        while worker.results.len() < self.pending.min(RESULTS) {
            assert!(std::time::Instant::now() < deadline, "compaction does not end");
            thread::yield_now();
        }
    }

    fn worker(&mut self) -> Result<&Worker> {
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start(self.segments.clone())?,
        };
        Ok(self.worker.insert(worker))
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        let Some(Worker { jobs, results, stop, thread }) = self.worker.take() else { return };
        stop.store(true, Ordering::Relaxed);
        drop((jobs, results));
        if thread.join().is_err() {
            tracing::warn!("compaction thread panicked");
        }
    }
}

impl Worker {
    fn start(segments: Segments) -> Result<Self> {
        let (jobs, queue) = bounded::<Vec<Job>>(1);
        let (done, results) = bounded(RESULTS);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || work(&segments, &queue, &done, &stopped);
        let thread = thread::Builder::new().name("tg-compact".to_owned()).spawn(run);
        let thread = thread.map_err(Error::io("start a thread for", "compaction"))?;
        Ok(Worker { jobs, results, stop, thread })
    }
}

fn work(segments: &Segments, queue: &Receiver<Vec<Job>>, done: &Sender<Result<Merged>>, stop: &AtomicBool) {
    for job in queue.iter().flatten() {
        let result = catch_panic(|| merge(segments, &job, stop).and_then(written));
        if stop.load(Ordering::Relaxed) || done.send(result).is_err() {
            return;
        }
    }
}

fn written(merged: Merged) -> Result<Merged> {
    failpoint::hit("base.switch")?;
    Ok(merged)
}

fn job(chain: ChainId, keys: usize, runs: &[RunRecord], small: &SmallSegments) -> Option<Job> {
    let infos: Vec<RunInfo> = runs.iter().map(|run| RunInfo { bytes: run.segment.length }).collect();
    let window = plan(&infos)?;
    let (oldest, runs) = (window.start == 0, runs[window].to_vec());
    let names: BTreeSet<&str> = runs.iter().map(|run| run.segment.name.as_str()).collect();
    let taken = names.into_iter().filter_map(|name| Some((name.to_owned(), Arc::clone(small.get(name)?))));
    let small = taken.collect();
    Some(Job { chain, keys, oldest, runs, small })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn infos(sizes: &[u64]) -> Vec<RunInfo> {
        sizes.iter().map(|bytes| RunInfo { bytes: *bytes }).collect()
    }

    #[test]
    fn short_chains_stay() {
        assert_eq!(plan(&[]), None);
        assert_eq!(plan(&infos(&[1, 10, 10])), None);
        assert_eq!(plan(&infos(&[1000, 1, 1, 1, 1, 1, 1, 1])), None);
    }

    #[test]
    fn everything_is_merged_when_changes_outweigh_the_base() {
        assert_eq!(plan(&infos(&[30, 10, 10, 10])), Some(0..4));
        assert_eq!(plan(&infos(&[31, 10, 10, 10])), None);
    }

    #[test]
    fn eight_similar_changes_are_merged() {
        assert_eq!(plan(&infos(&[1000, 100, 1, 1, 1, 1, 1, 1, 1, 1])), Some(2..10));
        assert_eq!(plan(&infos(&[1000, 16, 1, 1, 1, 1, 1, 1, 1, 1])), Some(1..10));
    }

    proptest! {
        /// A run is as large as what it merges (no key is written twice): the worst case for all bounds.
        #[test]
        fn chains_stay_short_and_rewriting_bounded(base in 1_u64..1_000_000, sizes in prop::collection::vec(1_u64..1000, 1..2000)) {
            let mut chain = infos(&[base]);
            let (mut written, mut rewritten) = (base, 0);
            for bytes in sizes {
                chain.push(RunInfo { bytes });
                written += bytes;
                while let Some(window) = plan(&chain) {
                    let bytes = chain[window.clone()].iter().map(|run| run.bytes).sum();
                    rewritten += bytes;
                    chain.splice(window, [RunInfo { bytes }]);
                }
                let changed: u64 = chain[1..].iter().map(|run| run.bytes).sum();
                prop_assert!(changed < chain[0].bytes || chain.len() < LEAST_RUNS);
                prop_assert!(chain.len() <= 8 * (written.ilog2() as usize + 1));
            }
            prop_assert!(rewritten <= written * u64::from(written.ilog2() + 2), "{rewritten} of {written}");
        }
    }
}
