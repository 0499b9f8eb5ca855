//! User code for rows as they arrive.

use std::fmt;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use tidegate_runtime::{
    BoxError, Epoch, EpochInfo, Error, LastCommitted, Result, Sink, SinkContext, SinkSupplier, SinkWriter, Staged,
};

use super::user_code::{UserCodeError, guarded};

/// Takes the rows of one task in one epoch: Spark's `ForeachWriter`.
///
/// A new writer is made for each task and epoch. It is opened once, also if there are no rows; gets the rows if it says that it wants
/// them; and is closed once if it could be opened, whatever happened in between, unless the process dies.
pub trait ForeachWriter: Send {
    /// Begins the part `partition_id` of the epoch `epoch_id`. `false` declines its rows.
    ///
    /// An epoch may come again after a failure, and then its rows may be dealt differently to its parts: the two numbers together
    /// don't tell whether these rows were processed before.
    ///
    /// # Errors
    /// Any error fails the query. The writer is not closed then.
    fn open(&mut self, partition_id: usize, epoch_id: u64) -> Result<bool, BoxError>;

    /// Takes some of the rows, at least one.
    ///
    /// # Errors
    /// Any error fails the query.
    fn process(&mut self, rows: &RecordBatch) -> Result<(), BoxError>;

    /// Ends the part: with the error of [`process`](Self::process) if there was one, or another one if the query is being stopped in
    /// the middle of the epoch.
    ///
    /// # Errors
    /// Any error fails the query, unless it has failed already.
    fn close(&mut self, error: Option<&BoxError>) -> Result<(), BoxError>;
}

/// A row of a batch, without a copy of it.
#[derive(Debug, Clone, Copy)]
pub struct ForeachRow<'a> {
    /// The batch.
    pub batch: &'a RecordBatch,
    /// The row's number in it.
    pub index: usize,
}

impl ForeachRow<'_> {
    /// The row as a batch of its own, which shares the memory of the other.
    pub fn to_batch(&self) -> RecordBatch {
        self.batch.slice(self.index, 1)
    }
}

/// Gives rows to user code as they arrive: Spark's `foreach` sink.
///
/// Rows are processed while their epoch runs. If it fails they come again, so each is processed at least once; an epoch that has
/// failed may never be seen whole. Code that must not see a row twice belongs into a [`ForeachBatchSink`](crate::ForeachBatchSink),
/// where the epoch's number tells.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use std::sync::Arc;
/// use arrow::record_batch::RecordBatch;
/// use tidegate_connectors::{ForeachSink, ForeachWriter};
/// use tidegate_runtime::BoxError;
///
/// struct Counter(Arc<AtomicUsize>);
///
/// impl ForeachWriter for Counter {
///     fn open(&mut self, _partition_id: usize, _epoch_id: u64) -> Result<bool, BoxError> {
///         Ok(true)
///     }
///     fn process(&mut self, rows: &RecordBatch) -> Result<(), BoxError> {
///         self.0.fetch_add(rows.num_rows(), Ordering::Relaxed);
///         Ok(())
///     }
///     fn close(&mut self, _error: Option<&BoxError>) -> Result<(), BoxError> {
///         Ok(())
///     }
/// }
///
/// let count = Arc::new(AtomicUsize::new(0));
/// let sink = ForeachSink::new(move || Counter(Arc::clone(&count)));
/// ```
#[derive(Clone)]
pub struct ForeachSink {
    factory: Arc<dyn Fn() -> Box<dyn ForeachWriter> + Send + Sync>,
}

impl ForeachSink {
    /// Makes a writer for each task and epoch by `factory`.
    pub fn new<W: ForeachWriter + 'static>(factory: impl Fn() -> W + Send + Sync + 'static) -> Self {
        ForeachSink { factory: Arc::new(move || Box::new(factory())) }
    }

    /// Calls `process` for each row, in several tasks at once.
    ///
    /// ```
    /// use arrow::array::AsArray;
    /// use tidegate_connectors::ForeachSink;
    ///
    /// let sink = ForeachSink::rows(|row| {
    ///     println!("{}", row.batch.column(0).as_string::<i32>().value(row.index));
    ///     Ok(())
    /// });
    /// ```
    pub fn rows(process: impl Fn(ForeachRow<'_>) -> Result<(), BoxError> + Send + Sync + 'static) -> Self {
        let process = Arc::new(process);
        ForeachSink::new(move || RowByRow(Arc::clone(&process)))
    }
}

impl fmt::Debug for ForeachSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeachSink").finish_non_exhaustive()
    }
}

impl SinkSupplier for ForeachSink {
    fn supply(&self) -> Result<Box<dyn Sink>> {
        Ok(Box::new(ForeachCommitter { sink: self.clone() }))
    }

    fn describe(&self) -> String {
        "foreach".to_owned()
    }
}

struct RowByRow<F>(Arc<F>);

impl<F: Fn(ForeachRow<'_>) -> Result<(), BoxError> + Send + Sync> ForeachWriter for RowByRow<F> {
    fn open(&mut self, _partition_id: usize, _epoch_id: u64) -> Result<bool, BoxError> {
        Ok(true)
    }

    fn process(&mut self, rows: &RecordBatch) -> Result<(), BoxError> {
        (0..rows.num_rows()).try_for_each(|index| (self.0)(ForeachRow { batch: rows, index }))
    }

    fn close(&mut self, _error: Option<&BoxError>) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Nothing is left to do at the commit: the rows are where they go already.
struct ForeachCommitter {
    sink: ForeachSink,
}

impl Sink for ForeachCommitter {
    fn open(&mut self, _context: SinkContext) -> Result<()> {
        Ok(())
    }

    fn last_committed(&mut self) -> Result<LastCommitted> {
        Ok(LastCommitted::Untracked)
    }

    fn writer(&mut self, subtask: usize) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(ForeachTask { sink: self.sink.clone(), subtask, open: None }))
    }

    fn commit(&mut self, _epoch: Epoch, _staged: Vec<Staged>) -> Result<()> {
        Ok(())
    }
}

struct ForeachTask {
    sink: ForeachSink,
    subtask: usize,
    /// The open epoch's writer.
    open: Option<OpenWriter>,
}

impl ForeachTask {
    fn open(&self, epoch: EpochInfo) -> Result<OpenWriter> {
        let opened = guarded(|| {
            let mut writer = (self.sink.factory)();
            let wants_rows = writer.open(self.subtask, epoch.epoch.number())?;
            Ok((writer, wants_rows))
        });
        let (writer, wants_rows) = opened.map_err(failed)?;
        Ok(OpenWriter { writer, wants_rows, rows: 0, is_closed: false })
    }
}

impl SinkWriter for ForeachTask {
    fn write(&mut self, epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        // Out of `self` while user code runs: after an error there is nothing to go on with.
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open(epoch)?,
        };
        open.process(&batch)?;
        self.open = Some(open);
        Ok(())
    }

    fn stage(&mut self, epoch: EpochInfo) -> Result<Staged> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open(epoch)?,
        };
        open.close(None).map_err(failed)?;
        Staged::encode(open.rows, &())
    }
}

/// A user's writer that was opened, and is closed exactly once.
struct OpenWriter {
    writer: Box<dyn ForeachWriter>,
    wants_rows: bool,
    rows: u64,
    is_closed: bool,
}

impl OpenWriter {
    fn process(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        if !self.wants_rows {
            return Ok(());
        }
        let processed = guarded(|| self.writer.process(batch));
        processed.map_err(|error| {
            self.close_after(&error);
            failed(error)
        })
    }

    fn close(&mut self, error: Option<&BoxError>) -> Result<(), BoxError> {
        self.is_closed = true;
        guarded(|| self.writer.close(error))
    }

    /// Closes after an error, which is the one that counts.
    fn close_after(&mut self, error: &BoxError) {
        if let Err(second) = self.close(Some(error)) {
            tracing::warn!(error = %second, "a foreach writer can't be closed");
        }
    }
}

impl Drop for OpenWriter {
    fn drop(&mut self) {
        if !self.is_closed {
            self.close_after(&BoxError::from(Error::Cancelled));
        }
    }
}

fn failed(cause: BoxError) -> Error {
    Error::user(UserCodeError { condition: "FOREACH_USER_FUNCTION_ERROR", sink: "foreach", cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{info, sink_context};
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use std::sync::Mutex;
    use tidegate_runtime::QueryId;

    type Log = Arc<Mutex<Vec<String>>>;

    /// Writes down its calls; number 13 is an error, 14 a panic, part 1 is declined, and epoch 9 can't be opened.
    struct Recorder(Log);

    impl Recorder {
        fn note(&self, text: String) {
            self.0.lock().unwrap().push(text);
        }
    }

    impl ForeachWriter for Recorder {
        fn open(&mut self, partition_id: usize, epoch_id: u64) -> Result<bool, BoxError> {
            self.note(format!("open {partition_id} {epoch_id}"));
            if epoch_id == 9 { Err("locked".into()) } else { Ok(partition_id != 1) }
        }

        fn process(&mut self, rows: &RecordBatch) -> Result<(), BoxError> {
            for value in rows.column(0).as_primitive::<Int64Type>().values() {
                match value {
                    13 => return Err("unlucky".into()),
                    14 => panic!("{value}"),
                    _ => self.note(value.to_string()),
                }
            }
            Ok(())
        }

        fn close(&mut self, error: Option<&BoxError>) -> Result<(), BoxError> {
            self.note(format!("close {}", error.map_or_else(|| "well".to_owned(), ToString::to_string)));
            Ok(())
        }
    }

    fn rows(values: &[i64]) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef)]).unwrap()
    }

    fn sink() -> (Box<dyn Sink>, Log) {
        let log = Log::default();
        let shared = Arc::clone(&log);
        let mut sink = ForeachSink::new(move || Recorder(Arc::clone(&shared))).supply().unwrap();
        sink.open(sink_context(QueryId::random(), rows(&[]).schema(), None)).unwrap();
        assert_eq!(sink.last_committed().unwrap(), LastCommitted::Untracked);
        (sink, log)
    }

    fn taken(log: &Log) -> Vec<String> {
        std::mem::take(&mut *log.lock().unwrap())
    }

    #[test]
    fn one_writer_for_each_task_and_epoch_also_without_rows() {
        let (mut sink, log) = sink();
        let mut task = sink.writer(0).unwrap();
        task.write(info(3), rows(&[1, 2])).unwrap();
        task.write(info(3), rows(&[3])).unwrap();
        assert_eq!(task.stage(info(3)).unwrap().rows, 3);
        task.stage(info(4)).unwrap();
        assert_eq!(taken(&log), ["open 0 3", "1", "2", "3", "close well", "open 0 4", "close well"]);
        let mut declined = sink.writer(1).unwrap();
        declined.write(info(3), rows(&[1])).unwrap();
        declined.stage(info(3)).unwrap();
        drop((task, declined));
        assert_eq!(taken(&log), ["open 1 3", "close well"]);
    }

    #[test]
    fn closed_once_with_the_error_after_failures_and_cancellation() {
        for (value, reason) in [(13, "unlucky"), (14, "panicked: 14")] {
            let (mut sink, log) = sink();
            let mut task = sink.writer(0).unwrap();
            let error = task.write(info(0), rows(&[1, value])).unwrap_err().to_string();
            assert!(error.starts_with("[FOREACH_USER_FUNCTION_ERROR]") && error.ends_with(reason), "{error}");
            drop(task);
            assert_eq!(taken(&log), ["open 0 0".to_owned(), "1".to_owned(), format!("close {reason}")]);
        }
        let (mut sink, log) = sink();
        let mut task = sink.writer(0).unwrap();
        task.write(info(0), rows(&[1])).unwrap();
        drop(task);
        assert_eq!(taken(&log), ["open 0 0", "1", "close cancelled"]);
        let mut task = sink.writer(0).unwrap();
        assert!(task.stage(info(9)).unwrap_err().to_string().ends_with("locked"));
        drop(task);
        assert_eq!(taken(&log), ["open 0 9"]);
    }

    #[test]
    fn a_closure_for_each_row() {
        let sum = Arc::new(Mutex::new(0));
        let shared = Arc::clone(&sum);
        let sink = ForeachSink::rows(move |row| {
            assert_eq!(row.to_batch().num_rows(), 1);
            *shared.lock().unwrap() += row.batch.column(0).as_primitive::<Int64Type>().value(row.index);
            Ok(())
        });
        let mut task = sink.supply().unwrap().writer(0).unwrap();
        task.write(info(0), rows(&[1, 2, 3])).unwrap();
        task.stage(info(0)).unwrap();
        assert_eq!(*sum.lock().unwrap(), 6);
    }
}
