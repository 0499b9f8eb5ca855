//! Rows that the program reads, as a sink.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use tidegate_runtime::{
    Epoch, EpochInfo, Error, LastCommitted, NodeId, QueryId, Result, Sink, SinkContext, SinkSupplier, SinkWriter, Staged,
};
use uuid::Uuid;

/// Keeps the rows of committed epochs in memory, for tests and for programs that read a query's result directly.
///
/// Clones share their rows: keep one, give the other to the query. A query that restarts in the same process adds each epoch once.
/// In a later process the memory is empty, and only later epochs come to it.
///
/// ```
/// use tidegate_connectors::MemorySink;
///
/// let sink = MemorySink::new();
/// let reader = sink.clone(); // `sink` goes to a query
/// assert!(reader.batches().is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct MemorySink {
    mode: Mode,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Append,
    Update,
    Complete,
}

#[derive(Debug, Default)]
struct Shared {
    /// The query, and the sink of it, that writes to it.
    owner: Option<(QueryId, NodeId)>,
    /// The columns of its rows, once a query has opened it.
    schema: Option<SchemaRef>,
    last: Option<Epoch>,
    /// How many epochs were committed.
    version: u64,
    committed: BTreeMap<Epoch, Vec<RecordBatch>>,
    /// Rows that wait for their epoch's commit.
    staged: HashMap<StageKey, Vec<RecordBatch>>,
}

/// Whose rows are staged. Runs differ, so that one that is about to end can't stage into its successor's epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct StageKey {
    run: String,
    epoch: Epoch,
    subtask: usize,
}

impl MemorySink {
    /// An empty table to which each epoch adds its rows.
    pub fn new() -> Self {
        MemorySink { mode: Mode::Append, shared: Arc::default() }
    }

    /// An empty table that each epoch replaces by its rows: for queries whose epochs give their whole result.
    pub fn complete() -> Self {
        MemorySink { mode: Mode::Complete, shared: Arc::default() }
    }

    /// An empty table to which each epoch adds its rows, also new versions of rows that are there: for queries whose epochs give what
    /// has changed. As in Spark, nothing is replaced.
    pub fn update() -> Self {
        MemorySink { mode: Mode::Update, shared: Arc::default() }
    }

    /// The columns of the table; `None` before a query has opened the sink.
    pub fn schema(&self) -> Option<SchemaRef> {
        self.lock().schema.clone()
    }

    /// The table's rows, in the order of their epochs.
    pub fn batches(&self) -> Vec<RecordBatch> {
        self.lock().committed.values().flatten().cloned().collect()
    }

    /// The rows of each committed epoch; of the newest only, if epochs replace each other.
    pub fn epochs(&self) -> Vec<(Epoch, Vec<RecordBatch>)> {
        self.lock().committed.iter().map(|(epoch, batches)| (*epoch, batches.clone())).collect()
    }

    /// The rows of the newest committed epoch.
    pub fn latest(&self) -> Vec<RecordBatch> {
        self.lock().committed.last_key_value().map(|(_, batches)| batches.clone()).unwrap_or_default()
    }

    /// How many epochs were committed: it changes when the table does.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// A thread that panicked while it held the lock left nothing half done.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemorySink {
    fn default() -> Self {
        MemorySink::new()
    }
}

impl SinkSupplier for MemorySink {
    fn supply(&self) -> Result<Box<dyn Sink>> {
        Ok(Box::new(MemoryCommitter { sink: self.clone(), run: Uuid::new_v4().to_string().into() }))
    }

    fn describe(&self) -> String {
        match self.mode {
            Mode::Append | Mode::Update => "memory".to_owned(),
            Mode::Complete => "memory, replaced by each epoch".to_owned(),
        }
    }
}

struct MemoryCommitter {
    sink: MemorySink,
    run: Arc<str>,
}

impl Sink for MemoryCommitter {
    fn open(&mut self, context: SinkContext) -> Result<()> {
        let mut shared = self.sink.lock();
        match &shared.owner {
            Some((query, sink)) if *query != context.query || *sink != context.node => {
                return Err(Error::InvalidArgument(format!(
                    "the memory sink holds the rows of sink {sink} of query {query}; give sink {} of query {} one of its own",
                    context.node, context.query
                )));
            }
            Some(_) => {}
            // Earlier epochs went to the memory of an earlier process.
            None => shared.last = context.committed,
        }
        shared.owner = Some((context.query, context.node));
        shared.schema = Some(context.schema);
        shared.staged.clear();
        Ok(())
    }

    fn last_committed(&mut self) -> Result<LastCommitted> {
        Ok(self.sink.lock().last.map_or(LastCommitted::Nothing, LastCommitted::Epoch))
    }

    fn writer(&mut self, subtask: usize) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(MemoryWriter { sink: self.sink.clone(), run: Arc::clone(&self.run), subtask, rows: Vec::new() }))
    }

    fn commit(&mut self, epoch: Epoch, staged: Vec<Staged>) -> Result<()> {
        let keys = staged.iter().map(Staged::decode::<StageKey>).collect::<Result<Vec<_>>>()?;
        let mut shared = self.sink.lock();
        let missing = keys.iter().any(|key| !shared.staged.contains_key(key));
        let rows: Vec<RecordBatch> = keys.iter().filter_map(|key| shared.staged.remove(key)).flatten().collect();
        if shared.last >= Some(epoch) {
            return Ok(());
        }
        if missing {
            return Err(Error::Protocol(format!("rows of epoch {epoch} are not staged in the memory sink")));
        }
        if self.sink.mode == Mode::Complete {
            shared.committed.clear();
        }
        shared.committed.insert(epoch, rows);
        shared.last = Some(epoch);
        shared.version += 1;
        Ok(())
    }
}

struct MemoryWriter {
    sink: MemorySink,
    run: Arc<str>,
    subtask: usize,
    /// The open epoch's rows.
    rows: Vec<RecordBatch>,
}

impl SinkWriter for MemoryWriter {
    fn write(&mut self, _epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        self.rows.push(batch);
        Ok(())
    }

    fn stage(&mut self, epoch: EpochInfo) -> Result<Staged> {
        let rows = std::mem::take(&mut self.rows);
        let count = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        let key = StageKey { run: self.run.to_string(), epoch: epoch.epoch, subtask: self.subtask };
        let staged = Staged::encode(count, &key)?;
        self.sink.lock().staged.insert(key, rows);
        Ok(staged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{info, sink_context, strings};
    use arrow::array::{ArrayRef, StringArray};

    fn rows(value: &str) -> RecordBatch {
        RecordBatch::try_from_iter([("value", Arc::new(StringArray::from(vec![value])) as ArrayRef)]).unwrap()
    }

    fn open(sink: &MemorySink, query: QueryId, committed: Option<u64>) -> Box<dyn Sink> {
        let mut committer = sink.supply().unwrap();
        committer.open(sink_context(query, rows("").schema(), committed)).unwrap();
        committer
    }

    fn stage(committer: &mut dyn Sink, epoch: u64, tasks: &[&str]) -> Vec<Staged> {
        let stage = |(subtask, value): (usize, &&str)| {
            let mut writer = committer.writer(subtask).unwrap();
            writer.write(info(epoch), rows(value)).unwrap();
            writer.stage(info(epoch)).unwrap()
        };
        tasks.iter().enumerate().map(stage).collect()
    }

    #[test]
    fn appends_committed_epochs_once_in_task_order() {
        let (sink, query) = (MemorySink::new(), QueryId::random());
        let mut committer = open(&sink, query, None);
        let first = stage(&mut *committer, 0, &["a", "b"]);
        let second = stage(&mut *committer, 1, &["c"]);
        assert!(sink.batches().is_empty());
        committer.commit(Epoch::new(0), first).unwrap();
        committer.commit(Epoch::new(1), second).unwrap();
        let mut committer = open(&sink, query, Some(0));
        assert_eq!(committer.last_committed().unwrap(), LastCommitted::Epoch(Epoch::new(1)));
        let again = stage(&mut *committer, 1, &["c"]);
        committer.commit(Epoch::new(1), again).unwrap();
        assert_eq!(strings(&sink.batches()), ["a", "b", "c"]);
        assert_eq!(strings(&sink.latest()), ["c"]);
        assert_eq!(sink.epochs().len(), 2);
        assert!(sink.lock().staged.is_empty());
    }

    #[test]
    fn complete_replaces_the_table_and_update_adds_to_it() {
        for (sink, expected) in [(MemorySink::complete(), &["b"][..]), (MemorySink::update(), &["a", "b"])] {
            assert_eq!(sink.schema(), None);
            let mut committer = open(&sink, QueryId::random(), None);
            for (epoch, value) in [(0, "a"), (1, "b")] {
                let staged = stage(&mut *committer, epoch, &[value]);
                committer.commit(Epoch::new(epoch), staged).unwrap();
            }
            assert_eq!(strings(&sink.batches()), expected);
            assert_eq!(sink.schema(), Some(rows("").schema()));
        }
    }

    #[test]
    fn rows_of_a_run_that_is_gone_are_not_committed() {
        let (sink, query) = (MemorySink::new(), QueryId::random());
        let stale = stage(&mut *open(&sink, query, None), 0, &["stale"]);
        let mut committer = open(&sink, query, None);
        assert!(committer.commit(Epoch::FIRST, stale).is_err());
        let staged = stage(&mut *committer, 0, &["new"]);
        committer.commit(Epoch::FIRST, staged).unwrap();
        assert_eq!(strings(&sink.batches()), ["new"]);
    }

    #[test]
    fn empty_memory_follows_the_checkpoint_and_another_query_is_refused() {
        let sink = MemorySink::new();
        let mut committer = open(&sink, QueryId::random(), Some(4));
        assert_eq!(committer.last_committed().unwrap(), LastCommitted::Epoch(Epoch::new(4)));
        let other = sink.supply().unwrap().open(sink_context(QueryId::random(), rows("").schema(), None));
        assert!(other.unwrap_err().to_string().contains("one of its own"));
    }
}
