//! User code for the rows of whole epochs.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use tidegate_runtime::{
    BoxError, Epoch, EpochInfo, Error, LastCommitted, Result, Sink, SinkContext, SinkSupplier, SinkWriter, Staged,
};

use super::user_code::{UserCodeError, guarded};

type Function = dyn Fn(Vec<RecordBatch>, SchemaRef, u64) -> Result<(), BoxError> + Send + Sync;

/// Gives all rows of an epoch at once to a function: Spark's `foreachBatch` sink.
///
/// The function is called once for each epoch, in their order, also for one without rows; not before all tasks have finished it.
/// After a crash between the call and the checkpoint's commit the same epoch comes again, with the same number and, if the sources
/// are replayable and the query is deterministic, the same rows: a function that keeps the number together with what it writes
/// can leave out what it has already.
///
/// An epoch's rows are held in memory until its call has returned. A panic of the function fails the query as an error does.
///
/// ```
/// use tidegate_connectors::ForeachBatchSink;
///
/// let sink = ForeachBatchSink::new(|batches, _schema, epoch| {
///     println!("epoch {epoch}: {} rows", batches.iter().map(|batch| batch.num_rows()).sum::<usize>());
///     Ok(())
/// });
/// ```
#[derive(Clone)]
pub struct ForeachBatchSink {
    function: Arc<Function>,
}

impl ForeachBatchSink {
    /// Calls `function` with the rows of each epoch, their columns, and the epoch's number.
    pub fn new(function: impl Fn(Vec<RecordBatch>, SchemaRef, u64) -> Result<(), BoxError> + Send + Sync + 'static) -> Self {
        ForeachBatchSink { function: Arc::new(function) }
    }
}

impl fmt::Debug for ForeachBatchSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeachBatchSink").finish_non_exhaustive()
    }
}

impl SinkSupplier for ForeachBatchSink {
    fn supply(&self) -> Result<Box<dyn Sink>> {
        let schema = Arc::new(Schema::empty());
        Ok(Box::new(BatchCommitter { function: Arc::clone(&self.function), schema, staged: StagedRows::default() }))
    }

    fn describe(&self) -> String {
        "foreachBatch".to_owned()
    }
}

/// Which task staged rows, for which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct StageKey {
    epoch: Epoch,
    subtask: usize,
}

/// Rows that wait for their epoch's commit. They belong to one run: the next has its own.
#[derive(Debug, Clone, Default)]
struct StagedRows(Arc<Mutex<HashMap<StageKey, Vec<RecordBatch>>>>);

impl StagedRows {
    /// A thread that panicked while it held the lock left nothing half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<StageKey, Vec<RecordBatch>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct BatchCommitter {
    function: Arc<Function>,
    schema: SchemaRef,
    staged: StagedRows,
}

impl Sink for BatchCommitter {
    fn open(&mut self, context: SinkContext) -> Result<()> {
        self.schema = context.schema;
        Ok(())
    }

    fn last_committed(&mut self) -> Result<LastCommitted> {
        Ok(LastCommitted::Untracked)
    }

    fn writer(&mut self, subtask: usize) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(BatchWriter { subtask, rows: Vec::new(), staged: self.staged.clone() }))
    }

    fn commit(&mut self, epoch: Epoch, staged: Vec<Staged>) -> Result<()> {
        let keys = staged.iter().map(Staged::decode::<StageKey>).collect::<Result<Vec<_>>>()?;
        let rows: Option<Vec<_>> = {
            let mut staged = self.staged.lock();
            keys.iter().map(|key| staged.remove(key)).collect()
        };
        let rows =
            rows.ok_or_else(|| Error::Protocol(format!("rows of epoch {epoch} are not staged in the foreachBatch sink")))?;
        let called = guarded(|| (self.function)(rows.concat(), Arc::clone(&self.schema), epoch.number()));
        called.map_err(|cause| {
            Error::user(UserCodeError { condition: "FOREACH_BATCH_USER_FUNCTION_ERROR", sink: "foreach batch", cause })
        })
    }
}

struct BatchWriter {
    subtask: usize,
    /// The open epoch's rows.
    rows: Vec<RecordBatch>,
    staged: StagedRows,
}

impl SinkWriter for BatchWriter {
    fn write(&mut self, _epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        self.rows.push(batch);
        Ok(())
    }

    fn stage(&mut self, epoch: EpochInfo) -> Result<Staged> {
        let rows = std::mem::take(&mut self.rows);
        let key = StageKey { epoch: epoch.epoch, subtask: self.subtask };
        let staged = Staged::encode(rows.iter().map(|batch| batch.num_rows() as u64).sum(), &key)?;
        self.staged.lock().insert(key, rows);
        Ok(staged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{info, sink_context, strings};
    use arrow::array::{ArrayRef, StringArray};
    use tidegate_runtime::QueryId;

    fn rows(values: &[&str]) -> RecordBatch {
        RecordBatch::try_from_iter([("value", Arc::new(StringArray::from(values.to_vec())) as ArrayRef)]).unwrap()
    }

    fn open(sink: &ForeachBatchSink) -> Box<dyn Sink> {
        let mut sink = sink.supply().unwrap();
        sink.open(sink_context(QueryId::random(), rows(&[]).schema(), None)).unwrap();
        sink
    }

    fn stage(sink: &mut dyn Sink, epoch: u64, tasks: &[&[&str]]) -> Vec<Staged> {
        let stage = |(subtask, values): (usize, &&[&str])| {
            let mut writer = sink.writer(subtask).unwrap();
            for value in *values {
                writer.write(info(epoch), rows(&[value])).unwrap();
            }
            writer.stage(info(epoch)).unwrap()
        };
        tasks.iter().enumerate().map(stage).collect()
    }

    #[test]
    fn called_once_for_each_epoch_with_all_rows_also_with_none() {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&calls);
        let config = ForeachBatchSink::new(move |batches, schema, epoch| {
            assert_eq!(schema.field(0).name(), "value");
            log.lock().unwrap().push((epoch, strings(&batches)));
            Ok(())
        });
        let mut sink = open(&config);
        let first = stage(&mut *sink, 0, &[&["a", "b"], &["c"]]);
        let second = stage(&mut *sink, 1, &[&[], &[]]);
        assert!(calls.lock().unwrap().is_empty());
        sink.commit(Epoch::new(0), first).unwrap();
        sink.commit(Epoch::new(1), second).unwrap();
        // A crash before the checkpoint's commit: the epoch comes again to the next run.
        let mut sink = open(&config);
        assert_eq!(sink.last_committed().unwrap(), LastCommitted::Untracked);
        let again = stage(&mut *sink, 1, &[&["d"]]);
        assert_eq!(again[0].rows, 1);
        sink.commit(Epoch::new(1), again).unwrap();
        let all = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        assert_eq!(*calls.lock().unwrap(), [(0, all(&["a", "b", "c"])), (1, all(&[])), (1, all(&["d"]))]);
    }

    #[test]
    fn errors_and_panics_fail_the_commit() {
        let sink = ForeachBatchSink::new(|_, _, epoch| if epoch == 0 { Err("full".into()) } else { panic!("at {epoch}") });
        for (epoch, reason) in [(0, "full"), (1, "panicked: at 1")] {
            let mut sink = open(&sink);
            let staged = stage(&mut *sink, epoch, &[&["a"]]);
            let error = sink.commit(Epoch::new(epoch), staged).unwrap_err().to_string();
            assert!(error.starts_with("[FOREACH_BATCH_USER_FUNCTION_ERROR]") && error.ends_with(reason), "{error}");
        }
    }

    #[test]
    fn rows_of_another_run_are_not_taken() {
        let sink = ForeachBatchSink::new(|_, _, _| Ok(()));
        let stale = stage(&mut *open(&sink), 0, &[&["stale"]]);
        assert!(matches!(open(&sink).commit(Epoch::FIRST, stale), Err(Error::Protocol(_))));
    }
}
