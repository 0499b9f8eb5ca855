//! A sink that remembers what was committed, and does what a test tells it at any step.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};
use crate::sink::{LastCommitted, Sink, SinkContext, SinkSupplier, SinkWriter, Staged};
use crate::types::{Epoch, EpochInfo};

/// A step of a sink, as a hook sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkCall {
    /// Before rows are written.
    Write(Epoch),
    /// Before an epoch is staged by one task.
    Stage(Epoch),
    /// Before an epoch becomes visible.
    BeforeCommit(Epoch),
    /// After an epoch became visible and is on the sink's record.
    AfterCommit(Epoch),
}

type Hook = Arc<dyn Fn(SinkCall) -> Result<()> + Send + Sync>;

/// A sink with a record of what it committed. Clones share it, as two processes share an external system: a query that is
/// started again with a clone finds the epochs of the runs before.
#[derive(Clone)]
pub struct TestSink {
    state: Arc<Mutex<State>>,
    hook: Hook,
}

#[derive(Debug, Default)]
struct State {
    committed: BTreeMap<Epoch, Vec<RecordBatch>>,
    /// What is staged, by epoch and subtask. Cleared when a run opens the sink.
    staged: BTreeMap<(Epoch, usize), Vec<RecordBatch>>,
    writers: usize,
}

impl TestSink {
    /// An empty sink.
    pub fn new() -> Self {
        TestSink { state: Arc::default(), hook: Arc::new(|_| Ok(())) }
    }

    /// The same sink with a hook that is called at every step, and may return an error or panic.
    #[must_use]
    pub fn with_hook(self, hook: impl Fn(SinkCall) -> Result<()> + Send + Sync + 'static) -> Self {
        TestSink { hook: Arc::new(hook), ..self }
    }

    /// What was committed, by epoch; the batches of one epoch in the order of the sink's tasks.
    pub fn epochs(&self) -> Vec<(Epoch, Vec<RecordBatch>)> {
        self.state().committed.iter().map(|(epoch, batches)| (*epoch, batches.clone())).collect()
    }

    /// All committed batches, in the order of their epochs.
    pub fn batches(&self) -> Vec<RecordBatch> {
        self.state().committed.values().flatten().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TestSink {
    fn default() -> Self {
        TestSink::new()
    }
}

impl SinkSupplier for TestSink {
    fn supply(&self) -> Result<Box<dyn Sink>> {
        Ok(Box::new(self.clone()))
    }

    fn describe(&self) -> String {
        "remembers its rows".to_owned()
    }
}

impl Sink for TestSink {
    fn open(&mut self, _context: SinkContext) -> Result<()> {
        let mut state = self.state();
        state.staged.clear();
        state.writers = 0;
        Ok(())
    }

    fn last_committed(&mut self) -> Result<LastCommitted> {
        Ok(self.state().committed.last_key_value().map_or(LastCommitted::Nothing, |(epoch, _)| LastCommitted::Epoch(*epoch)))
    }

    fn writer(&mut self, subtask: usize) -> Result<Box<dyn SinkWriter>> {
        self.state().writers += 1;
        Ok(Box::new(TestSinkWriter { sink: self.clone(), subtask, rows: Vec::new() }))
    }

    fn commit(&mut self, epoch: Epoch, staged: Vec<Staged>) -> Result<()> {
        (self.hook)(SinkCall::BeforeCommit(epoch))?;
        {
            let mut state = self.state();
            if staged.len() != state.writers {
                return Err(Error::Protocol(format!("{} of {} writers staged epoch {epoch}", staged.len(), state.writers)));
            }
            let parts: Vec<(Epoch, usize)> = state.staged.range((epoch, 0)..(epoch.next(), 0)).map(|(key, _)| *key).collect();
            let batches = parts.iter().filter_map(|part| state.staged.remove(part)).flatten().collect();
            state.committed.entry(epoch).or_insert(batches);
        }
        (self.hook)(SinkCall::AfterCommit(epoch))
    }
}

/// One task's half.
struct TestSinkWriter {
    sink: TestSink,
    subtask: usize,
    rows: Vec<RecordBatch>,
}

impl SinkWriter for TestSinkWriter {
    fn write(&mut self, epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        (self.sink.hook)(SinkCall::Write(epoch.epoch))?;
        self.rows.push(batch);
        Ok(())
    }

    fn stage(&mut self, epoch: EpochInfo) -> Result<Staged> {
        (self.sink.hook)(SinkCall::Stage(epoch.epoch))?;
        let batches = std::mem::take(&mut self.rows);
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        self.sink.state().staged.insert((epoch.epoch, self.subtask), batches);
        Staged::encode(rows, &())
    }
}

impl fmt::Debug for TestSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestSink").field("epochs", &self.state().committed.len()).finish_non_exhaustive()
    }
}
