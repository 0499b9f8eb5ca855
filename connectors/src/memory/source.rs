//! Rows that the program adds, as a source.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{
    Error, Notifier, Offset, OffsetRange, ReadLimit, Result, Source, SourceContext, SourceOutput, SourceReader, SourceSupplier,
    Split,
};

/// A stream of the batches that the program adds.
///
/// An offset counts batches, and each batch is a split. A query that restarts in the same process reads uncommitted batches again;
/// committed ones are dropped, so one query at a time can read a stream. A later process has other rows: if a checkpoint asks
/// for rows that are gone, the query fails.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::record_batch::RecordBatch;
/// use tidegate_connectors::MemoryStream;
///
/// let rows = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
/// let stream = MemoryStream::new(rows.schema());
/// stream.add_data(rows)?; // a query with a clone of `stream` as its source wakes up
/// stream.finish(); // and ends when it has processed the rows
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryStream {
    schema: SchemaRef,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Batches that are not committed yet.
    batches: VecDeque<RecordBatch>,
    /// How many batches were dropped before the first of `batches`.
    dropped: u64,
    finished: bool,
    /// The query that reads the stream; the newest run of it, if it was restarted.
    notifier: Option<Notifier>,
}

impl Shared {
    fn end(&self) -> u64 {
        self.dropped + self.batches.len() as u64
    }

    fn get(&self, number: u64) -> Option<RecordBatch> {
        let index = usize::try_from(number.checked_sub(self.dropped)?).ok()?;
        self.batches.get(index).cloned()
    }
}

impl MemoryStream {
    /// An empty stream of rows with these columns.
    pub fn new(schema: SchemaRef) -> Self {
        MemoryStream { schema, shared: Arc::default() }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When their columns are not the stream's, or the stream is finished.
    pub fn add_data(&self, batch: RecordBatch) -> Result<()> {
        if *batch.schema_ref() != self.schema {
            let (found, expected) = (batch.schema_ref(), &self.schema);
            return Err(Error::InvalidArgument(format!("the rows have the columns {found}, the memory stream has {expected}")));
        }
        let notifier = {
            let mut shared = lock(&self.shared);
            if shared.finished {
                return Err(Error::InvalidArgument("the memory stream is finished: it takes no more rows".to_owned()));
            }
            shared.batches.push_back(batch);
            shared.notifier.clone()
        };
        wake(notifier);
        Ok(())
    }

    /// No rows will be added: a query that reads the stream ends when it has processed all of them.
    pub fn finish(&self) {
        let notifier = {
            let mut shared = lock(&self.shared);
            shared.finished = true;
            shared.notifier.clone()
        };
        wake(notifier);
    }
}

/// Called without the lock: the query may call back at once.
fn wake(notifier: Option<Notifier>) {
    if let Some(notifier) = notifier {
        notifier.notify();
    }
}

/// A thread that panicked while it held the lock left nothing half done.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SourceSupplier for MemoryStream {
    fn schema(&self) -> Result<SchemaRef> {
        Ok(Arc::clone(&self.schema))
    }

    fn supply(&self) -> Result<Box<dyn Source>> {
        Ok(Box::new(MemorySource { shared: Arc::clone(&self.shared), frozen: None }))
    }

    fn describe(&self) -> String {
        "rows added by the program".to_owned()
    }
}

struct MemorySource {
    shared: Arc<Mutex<Shared>>,
    /// Where the stream ends for this run, once it is frozen.
    frozen: Option<u64>,
}

impl MemorySource {
    fn numbers(&self, range: &OffsetRange) -> Result<Range<u64>> {
        // A new query begins with what is there: it was never promised what an earlier one has committed.
        let start = range.start.as_ref().map_or_else(|| Ok(lock(&self.shared).dropped), Offset::decode)?;
        Ok(start..range.end.decode()?)
    }
}

impl Source for MemorySource {
    fn open(&mut self, context: SourceContext) -> Result<()> {
        lock(&self.shared).notifier = Some(context.notifier);
        Ok(())
    }

    fn latest_offset(&mut self, from: Option<&Offset>, _limit: ReadLimit) -> Result<Option<Offset>> {
        let shared = lock(&self.shared);
        let from: u64 = from.map_or(Ok(shared.dropped), Offset::decode)?;
        if shared.end() < from {
            return Err(gone(shared.end()..from));
        }
        let end = self.frozen.unwrap_or(u64::MAX).min(shared.end());
        if end > from { Offset::encode(&end).map(Some) } else { Ok(None) }
    }

    fn splits(&mut self, range: &OffsetRange) -> Result<Vec<Split>> {
        let numbers = self.numbers(range)?;
        let shared = lock(&self.shared);
        if numbers.start < shared.dropped || shared.end() < numbers.end {
            return Err(gone(numbers));
        }
        numbers.map(|number| Split::encode(&number)).collect()
    }

    fn reader(&mut self, _subtask: usize) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(MemoryReader(Arc::clone(&self.shared))))
    }

    fn commit(&mut self, end: &Offset) -> Result<()> {
        let end: u64 = end.decode()?;
        let mut shared = lock(&self.shared);
        while shared.dropped < end && shared.batches.pop_front().is_some() {
            shared.dropped += 1;
        }
        Ok(())
    }

    fn freeze(&mut self) -> Result<()> {
        self.frozen = Some(lock(&self.shared).end());
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.frozen.is_some() || lock(&self.shared).finished
    }
}

struct MemoryReader(Arc<Mutex<Shared>>);

impl SourceReader for MemoryReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let number: u64 = split.decode()?;
        let batch = lock(&self.0).get(number).ok_or_else(|| gone(number..number + 1))?;
        out.emit(batch)
    }
}

fn gone(numbers: Range<u64>) -> Error {
    Error::SourceDataLoss(format!(
        "the memory stream has no batches {} to {} any more: its rows live as long as the process, and until they are committed",
        numbers.start, numbers.end
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{read, source_context, strings};
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn rows(values: &[&str]) -> RecordBatch {
        RecordBatch::try_from_iter([("value", Arc::new(StringArray::from(values.to_vec())) as ArrayRef)]).unwrap()
    }

    fn open(stream: &MemoryStream) -> Box<dyn Source> {
        let mut source = stream.supply().unwrap();
        source.open(source_context(None, Vec::new())).unwrap();
        source
    }

    fn plan(source: &mut dyn Source, start: Option<Offset>) -> Option<OffsetRange> {
        let end = source.latest_offset(start.as_ref(), ReadLimit::Configured).unwrap()?;
        Some(OffsetRange { start, end })
    }

    #[test]
    fn gives_rows_in_order_and_again_until_committed() {
        let stream = MemoryStream::new(rows(&[]).schema());
        let mut source = open(&stream);
        assert_eq!(plan(&mut *source, None), None);
        stream.add_data(rows(&["a", "b"])).unwrap();
        stream.add_data(rows(&["c"])).unwrap();
        let first = plan(&mut *source, None).unwrap();
        let mut source = open(&stream);
        assert_eq!(source.splits(&first).unwrap().len(), 2);
        assert_eq!(strings(&read(&mut *source, &first).unwrap()), ["a", "b", "c"]);
        source.commit(&first.end).unwrap();
        assert_eq!(plan(&mut *source, Some(first.end.clone())), None);
        stream.add_data(rows(&["d"])).unwrap();
        let second = plan(&mut *source, Some(first.end)).unwrap();
        assert_eq!(strings(&read(&mut *source, &second).unwrap()), ["d"]);
        let again = OffsetRange { start: Some(Offset::from_json("0")), end: second.end };
        assert!(matches!(source.splits(&again), Err(Error::SourceDataLoss(_))));
    }

    #[test]
    fn a_checkpoint_of_another_process_is_data_loss() {
        let mut source = open(&MemoryStream::new(rows(&[]).schema()));
        let from = Offset::from_json("3");
        assert!(matches!(source.latest_offset(Some(&from), ReadLimit::Configured), Err(Error::SourceDataLoss(_))));
    }

    #[test]
    fn notifies_and_ends() {
        let stream = MemoryStream::new(rows(&[]).schema());
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let mut context = source_context(None, Vec::new());
        context.notifier = Notifier::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let mut source = stream.supply().unwrap();
        source.open(context).unwrap();
        stream.add_data(rows(&["a"])).unwrap();
        assert!(!source.is_finished());
        stream.finish();
        assert!(source.is_finished());
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        assert!(stream.add_data(rows(&["b"])).is_err());
    }

    #[test]
    fn freezing_fixes_the_end_for_the_run() {
        let stream = MemoryStream::new(rows(&[]).schema());
        stream.add_data(rows(&["a"])).unwrap();
        let mut source = open(&stream);
        source.freeze().unwrap();
        stream.add_data(rows(&["b"])).unwrap();
        let range = plan(&mut *source, None).unwrap();
        assert_eq!(strings(&read(&mut *source, &range).unwrap()), ["a"]);
        assert_eq!(plan(&mut *source, Some(range.end)), None);
    }

    #[test]
    fn other_columns_are_refused() {
        let stream = MemoryStream::new(rows(&[]).schema());
        let numbers = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
        assert!(matches!(stream.add_data(numbers), Err(Error::InvalidArgument(_))));
    }
}
