//! Where rows come from: the traits that the author of a source implements.
//!
//! A source has two halves. The [`Source`] lives with the coordinator and *plans*: it says how far the input reaches and cuts a
//! range of it into splits. [`SourceReader`]s live in the source's tasks and *read* splits. A range that was planned once is logged
//! before it is read; after a failure the same range is cut and read again and must give the same rows.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::types::{Epoch, EpochInfo, NodeId, QueryId};

/// A position in a source's input, as JSON text of the source's own form. It is logged and shown, so keep it small: what grows
/// with the input belongs into the [journal](Source::journal).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Offset(String);

impl Offset {
    /// The offset that serialises as `value`.
    ///
    /// # Errors
    /// When `value` can't be written as JSON.
    pub fn encode(value: &impl Serialize) -> Result<Self> {
        serde_json::to_string(value).map(Offset).map_err(Error::user)
    }

    /// Reads the offset back.
    ///
    /// # Errors
    /// When the text is not of the source's form: the checkpoint is not this source's.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.0).map_err(|e| Error::user(format!("the logged offset {} is not of this source: {e}", self.0)))
    }

    /// The offset with this JSON text, as it was logged.
    pub fn from_json(json: impl Into<String>) -> Self {
        Offset(json.into())
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// A stretch of a source's input: after `start` (from the beginning, if `None`) up to and with `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetRange {
    /// Where the previous epoch ended; `None` for the first.
    pub start: Option<Offset>,
    /// Where this epoch ends.
    pub end: Offset,
}

/// A part of an epoch's range that one task reads, in the source's own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split(Vec<u8>);

impl Split {
    /// The split that serialises as `value`.
    ///
    /// # Errors
    /// When `value` can't be written as JSON.
    pub fn encode(value: &impl Serialize) -> Result<Self> {
        serde_json::to_vec(value).map(Split).map_err(Error::user)
    }

    /// Reads the split back.
    ///
    /// # Errors
    /// When it is not of the reader's form.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.0).map_err(Error::user)
    }
}

/// How much an epoch may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadLimit {
    /// The limits that the source was configured with (`maxFilesPerTrigger` and the like).
    Configured,
    /// Everything there is: the trigger `once`.
    All,
}

/// How a source tells that it has new input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// It calls its [`Notifier`].
    Notified,
    /// It must be asked: its system offers no notification. An idle query asks again after this time.
    Poll(Duration),
}

/// Tells a query that a source has new input. Cheap to clone and to call; calls between two triggers count as one.
#[derive(Clone)]
pub struct Notifier(Arc<dyn Fn() + Send + Sync>);

impl Notifier {
    /// A notifier that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Notifier(Arc::new(wake))
    }

    /// A notifier that nobody listens to, for tests of a source.
    pub fn ignored() -> Self {
        Notifier::new(|| {})
    }

    /// Tells it.
    pub fn notify(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notifier")
    }
}

/// What a source wrote into its journal with one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// The epoch that it was planned for.
    pub epoch: Epoch,
    /// What [`Source::journal`] gave.
    pub data: Vec<u8>,
}

/// What a source is given when it opens.
#[derive(Debug)]
pub struct SourceContext {
    /// The source's name in the topology.
    pub node: NodeId,
    /// The query's id.
    pub query: QueryId,
    /// How many tasks read the source.
    pub parallelism: usize,
    /// Where the newest logged epoch ends; `None` on a new checkpoint.
    pub offset: Option<Offset>,
    /// Everything that the source wrote into its journal, oldest first.
    pub journal: Vec<JournalEntry>,
    /// To be called when there is new input.
    pub notifier: Notifier,
}

/// The planning half of a source. All calls come from one thread, one at a time.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
/// use arrow::record_batch::RecordBatch;
/// use tidegate_runtime::{Offset, OffsetRange, ReadLimit, Result, Source, SourceContext, SourceOutput, SourceReader, Split};
///
/// /// Counts to a limit, ten numbers an epoch.
/// struct Numbers { limit: i64 }
///
/// impl Source for Numbers {
///     fn latest_offset(&mut self, from: Option<&Offset>, _limit: ReadLimit) -> Result<Option<Offset>> {
///         let from: i64 = from.map_or(Ok(0), Offset::decode)?;
///         let end = self.limit.min(from + 10);
///         Ok(if end > from { Some(Offset::encode(&end)?) } else { None })
///     }
///     fn splits(&mut self, range: &OffsetRange) -> Result<Vec<Split>> {
///         let start: i64 = range.start.as_ref().map_or(Ok(0), Offset::decode)?;
///         Ok(vec![Split::encode(&(start, range.end.decode::<i64>()?))?])
///     }
///     fn reader(&mut self, _subtask: usize) -> Result<Box<dyn SourceReader>> {
///         Ok(Box::new(Reader))
///     }
///     fn is_finished(&self) -> bool {
///         true // nothing is ever added
///     }
/// }
///
/// struct Reader;
///
/// impl SourceReader for Reader {
///     fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
///         let (start, end): (i64, i64) = split.decode()?;
///         let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
///         let column: ArrayRef = Arc::new(Int64Array::from_iter_values(start..end));
///         out.emit(RecordBatch::try_new(schema, vec![column])?)
///     }
/// }
/// ```
pub trait Source: Send {
    /// Called once before anything else: connect, list, restore the journal.
    ///
    /// # Errors
    /// When the source can't be reached. The query does not start, or fails if it was restarting.
    fn open(&mut self, _context: SourceContext) -> Result<()> {
        Ok(())
    }

    /// How far an epoch that starts after `from` should reach; `None` if there is nothing after `from`.
    ///
    /// Called for every trigger, so it must not wait for input.
    ///
    /// # Errors
    /// Any error fails the query.
    fn latest_offset(&mut self, from: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>>;

    /// What the source must remember of `range` beyond its end offset, for instance the files in it. Made durable together with
    /// the offsets, before a row of the range is read, and given back at the next [`open`](Source::open).
    ///
    /// # Errors
    /// Any error fails the query.
    fn journal(&mut self, _range: &OffsetRange) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Cuts `range` into splits, dealt to the source's tasks in turn. The same range gives the same splits, in the same order,
    /// also in a later process.
    ///
    /// # Errors
    /// When the range can no longer be read: [`Error::SourceDataLoss`], never fewer rows.
    fn splits(&mut self, range: &OffsetRange) -> Result<Vec<Split>>;

    /// A reader for one task.
    ///
    /// # Errors
    /// When it can't be made.
    fn reader(&mut self, subtask: usize) -> Result<Box<dyn SourceReader>>;

    /// Everything up to `end` is committed and will never be asked for again: it may be forgotten.
    ///
    /// # Errors
    /// Any error fails the query.
    fn commit(&mut self, _end: &Offset) -> Result<()> {
        Ok(())
    }

    /// From now on, [`latest_offset`](Source::latest_offset) must not go beyond what is there at this moment: the trigger
    /// `available-now`.
    ///
    /// # Errors
    /// Any error fails the query.
    fn freeze(&mut self) -> Result<()> {
        Ok(())
    }

    /// No input will ever be added to what [`latest_offset`](Source::latest_offset) gives. A query whose sources have all
    /// finished ends by itself when it has processed all of it.
    fn is_finished(&self) -> bool {
        false
    }

    /// How the source tells that it has new input.
    fn wake(&self) -> Wake {
        Wake::Notified
    }

    /// How far the input reached at the last look, for progress; limits do not count.
    fn reported_latest(&self) -> Option<Offset> {
        None
    }

    /// Figures of the source's own for the progress of an epoch that ends at `end`, by name.
    fn metrics(&self, _end: &Offset) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The reading half of a source: one per task, on the task's own thread, where it may block.
pub trait SourceReader: Send {
    /// Reads one split to its end.
    ///
    /// # Errors
    /// Any error fails the query; what was emitted is discarded with the epoch.
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()>;
}

/// Takes the rows that a reader reads. Blocks while the tasks downstream are busy.
pub struct SourceOutput<'a> {
    epoch: EpochInfo,
    emitted: u64,
    /// Set by readers that emit others than the rows that they read.
    read: Option<u64>,
    emit: &'a mut dyn FnMut(RecordBatch) -> Result<()>,
}

impl<'a> SourceOutput<'a> {
    /// An output that hands each batch to `emit`, also for tests of a reader.
    pub fn new(epoch: EpochInfo, emit: &'a mut dyn FnMut(RecordBatch) -> Result<()>) -> Self {
        SourceOutput { epoch, emitted: 0, read: None, emit }
    }

    /// The epoch that is being read.
    pub fn epoch(&self) -> EpochInfo {
        self.epoch
    }

    /// Passes rows on, around [`TARGET_BATCH_ROWS`](crate::TARGET_BATCH_ROWS) at a time. A batch without rows only asks whether the query
    /// is being cancelled: a reader that waits for its system does so now and then.
    ///
    /// # Errors
    /// When the query is being cancelled: return it.
    pub fn emit(&mut self, batch: RecordBatch) -> Result<()> {
        self.emitted += batch.num_rows() as u64;
        (self.emit)(batch)
    }

    /// Says how many rows were read, by a reader that filters or multiplies them: progress counts these rather than those that are
    /// emitted.
    pub fn count_read(&mut self, rows: usize) {
        *self.read.get_or_insert(0) += rows as u64;
    }

    /// How many rows were read beyond those that were emitted; wraps around if there were fewer.
    pub(crate) fn uncounted(&self) -> u64 {
        self.read.map_or(0, |read| read.wrapping_sub(self.emitted))
    }
}

impl std::fmt::Debug for SourceOutput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceOutput").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// Makes sources of one kind: what a topology holds, so that a query can be started again.
pub trait SourceSupplier: Send + Sync {
    /// The columns of the rows.
    ///
    /// # Errors
    /// When the configuration can't be used.
    fn schema(&self) -> Result<SchemaRef>;

    /// A new source.
    ///
    /// # Errors
    /// When the configuration can't be used.
    fn supply(&self) -> Result<Box<dyn Source>>;

    /// Whether a range can be read again in a later process. If not, rows may be lost when the query fails.
    fn is_replayable(&self) -> bool {
        true
    }

    /// What it reads, in a few words, without secrets.
    fn describe(&self) -> String;
}
