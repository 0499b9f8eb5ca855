//! The contract between operators and whatever holds their state.

use arrow::array::{BooleanArray, Int64Array};
use arrow::record_batch::RecordBatch;

use super::key_group::KeyGroupRange;
use super::spec::TableSpec;
use crate::error::Result;

/// A snapshot's column with the key group of each row (`UInt16`), before the key and value columns.
pub const GROUP_COLUMN: &str = "__group";
/// A snapshot's column that says of each row whether it was removed (`Boolean`); the value columns of a removed row are null.
pub const REMOVED_COLUMN: &str = "__removed";

/// One task's part of a state table. All calls work on whole batches: the cost of a call is shared by its rows.
///
/// Batches of keys have the columns of [`TableSpec::keys`], batches of values those of [`TableSpec::values`], by position.
pub trait StateStore: Send {
    /// What the table holds.
    fn spec(&self) -> &TableSpec;

    /// The key groups whose rows it holds: those of its task.
    fn groups(&self) -> KeyGroupRange;

    /// How many rows it has.
    fn len(&self) -> usize;

    /// Whether it has none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that it takes, in bytes, about.
    fn memory_bytes(&self) -> usize;

    /// Looks up the rows with these keys. Row *i* of the answer belongs to row *i* of `keys`.
    ///
    /// # Errors
    /// When the columns are not the table's.
    fn get(&self, keys: &RecordBatch) -> Result<StateRows>;

    /// Inserts or replaces rows. If a key occurs twice, the last one stays.
    ///
    /// # Errors
    /// When the columns are not the table's, the numbers of rows differ, or a key belongs to a key group of another task: then
    /// the operator's input is not exchanged by the table's key.
    fn put(&mut self, keys: &RecordBatch, values: &RecordBatch) -> Result<()>;

    /// Looks up the rows with these keys, and puts what `merge` makes of them, one row for each key: a `get` and a `put` that look
    /// for each key once. A key may not occur twice. `deadlines` say of the rows that are new when they are
    /// [due](StateStore::take_due).
    ///
    /// # Errors
    /// Those of [`get`](StateStore::get), `merge` and [`put`](StateStore::put); then nothing has changed.
    fn update(
        &mut self,
        keys: &RecordBatch,
        deadlines: Option<&Int64Array>,
        merge: &mut dyn FnMut(&StateRows) -> Result<RecordBatch>,
    ) -> Result<()>;

    /// Inserts the rows whose keys are not there; of a key that occurs twice, the first one. Says which rows these are. `deadlines`
    /// say when they are [due](StateStore::take_due).
    ///
    /// # Errors
    /// Those of [`put`](StateStore::put).
    fn insert(&mut self, keys: &RecordBatch, values: &RecordBatch, deadlines: Option<&Int64Array>) -> Result<BooleanArray>;

    /// Removes rows whose deadlines are not after `time`, at most so many: the earliest first, those of one deadline in the order in
    /// which they were given. They come as [`scan`](StateStore::scan) gives them; none means that no more is due. Costs as much as
    /// there are such rows.
    ///
    /// A deadline is a time in microseconds, in event time or any other that the operator counts in; null stands for never.
    ///
    /// # Errors
    /// When the store can't read its own rows.
    fn take_due(&mut self, time: i64, at_most: usize) -> Result<RecordBatch>;

    /// Removes all rows whose deadlines are not after `time`; gives their number.
    fn remove_due(&mut self, time: i64) -> usize;

    /// Gives all rows the deadlines that `of` says of them, a batch as [`scan`](StateStore::scan) gives it at a time. Snapshots
    /// don't hold deadlines: an operator that has such calls this when it is opened.
    ///
    /// # Errors
    /// Those of `of`, or when it says something of another number of rows.
    fn set_deadlines(&mut self, of: &mut dyn FnMut(&RecordBatch) -> Result<Int64Array>) -> Result<()>;

    /// Removes the rows with these keys; a key that is not there is ignored.
    ///
    /// # Errors
    /// When the columns are not the table's.
    fn remove(&mut self, keys: &RecordBatch) -> Result<()>;

    /// All rows (key columns, then value columns), in no particular order, in batches of at most `batch_rows`.
    fn scan(&self, batch_rows: usize) -> Box<dyn Iterator<Item = Result<RecordBatch>> + '_>;

    /// How many rows have changed since the last [`snapshot`](StateStore::snapshot), at most.
    fn changes(&self) -> usize;

    /// The changes since the last call, as an immutable copy, and starts to collect the next ones. Costs as much as there are
    /// changed keys, not as there are rows.
    ///
    /// # Errors
    /// When the store can't read its own rows.
    fn snapshot(&mut self) -> Result<Snapshot>;

    /// Like [`snapshot`](StateStore::snapshot), but all rows: taken after a restore at another parallelism, and where it is the
    /// smaller one. What was snapshotted before is not needed any more.
    ///
    /// # Errors
    /// When the store can't read its own rows.
    fn snapshot_all(&mut self) -> Result<Snapshot>;

    /// Applies a batch of an earlier snapshot: rows whose key group is in `groups` are put or removed, the others skipped. The
    /// caller gives the batches of a table in the order in which they were taken. Does not count as a change.
    ///
    /// # Errors
    /// When the batch is not a snapshot of this table.
    fn restore(&mut self, batch: &RecordBatch, groups: KeyGroupRange) -> Result<()>;
}

/// The answer to a look-up.
#[derive(Debug, Clone)]
pub struct StateRows {
    /// Which of the keys have a row. Never null.
    pub found: BooleanArray,
    /// Their value columns; null where there is no row.
    pub values: RecordBatch,
}

/// A table's changes of one epoch, ready to be serialised on another thread.
pub struct Snapshot {
    /// How many rows, removed ones included.
    pub rows: usize,
    /// Whether it holds the whole table rather than the changes.
    pub full: bool,
    encode: Box<dyn FnOnce() -> Result<Vec<RecordBatch>> + Send>,
}

impl Snapshot {
    /// A snapshot of `rows` rows that `encode` turns into batches.
    pub fn new(rows: usize, full: bool, encode: impl FnOnce() -> Result<Vec<RecordBatch>> + Send + 'static) -> Self {
        Snapshot { rows, full, encode: Box::new(encode) }
    }

    /// The rows: [`GROUP_COLUMN`], [`REMOVED_COLUMN`], key columns, value columns. Each key once.
    ///
    /// # Errors
    /// When the rows can't be turned into columns.
    pub fn into_batches(self) -> Result<Vec<RecordBatch>> {
        (self.encode)()
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("rows", &self.rows).field("full", &self.full).finish_non_exhaustive()
    }
}
