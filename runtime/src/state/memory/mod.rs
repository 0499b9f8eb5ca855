//! The state table that lives in memory.
//!
//! A row is two pieces of bytes, the `arrow-row` encodings of its key and of its value ([`Codec`]), that lie together in one of a
//! few large segments ([`Records`]); a hash table of slot numbers finds it by its key. Nothing is boxed, and a row of one integer
//! key and two integer values takes about 75 bytes.
//!
//! A change sets a mark on its slot and puts the slot on a list. [`snapshot`](StateStore::snapshot) copies the bytes of the slots
//! on the list, and turns them into columns later, on the thread that writes the checkpoint. A removed row that the last snapshot
//! had keeps its slot as a tombstone until the next one, so that its key can be written, and revived by a `put` before that.
//!
//! A row that has a deadline is found by its slot when it is due: its key is neither kept elsewhere nor hashed and looked for again.

mod codec;
mod index;
mod mark;
mod records;
mod snapshot;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use hashbrown::hash_table::Entry;

use self::codec::{Codec, Encoded, Part, check_rows};
use self::index::{Index, Indexed, Tag};
use self::mark::{Mark, SlotState};
use self::records::Records;
use self::snapshot::{Parsed, RowsToWrite};
use super::{Deadlines, KeyGroup, KeyGroupRange, Snapshot, StateRows, StateStore, TableSpec, hash_columns};
use crate::TARGET_BATCH_ROWS;
use crate::error::{Error, Result};

/// A state table in memory.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array, StringArray};
/// use arrow::datatypes::DataType;
/// use arrow::record_batch::RecordBatch;
/// use tidegate_runtime::state::{KeyGroupRange, MemoryTable, StateStore, TableSpec};
///
/// let spec = TableSpec::new("counts", [("word", DataType::Utf8)], [("count", DataType::Int64)])?;
/// let mut table = MemoryTable::new(spec, KeyGroupRange::ALL)?;
/// let words: ArrayRef = Arc::new(StringArray::from(vec!["high", "tide"]));
/// let counts: ArrayRef = Arc::new(Int64Array::from(vec![3, 5]));
/// let keys = RecordBatch::try_from_iter([("word", words)])?;
/// table.put(&keys, &RecordBatch::try_from_iter([("count", counts.clone())])?)?;
///
/// let rows = table.get(&keys)?;
/// assert_eq!(rows.found.true_count(), 2);
/// assert_eq!(rows.values.column(0), &counts);
/// assert_eq!(table.snapshot()?.rows, 2);
/// assert_eq!(table.snapshot()?.rows, 0);
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryTable {
    spec: TableSpec,
    /// The key groups whose rows may be put.
    groups: KeyGroupRange,
    /// Shared with snapshots that are still being turned into columns.
    keys: Arc<Codec>,
    values: Arc<Codec>,
    /// Key columns, then value columns: what `scan` gives.
    row_schema: SchemaRef,
    /// The slots of all rows and tombstones, by the hash of their key.
    index: Index,
    records: Records,
    /// What is known of each slot, whether in use or not.
    marks: Vec<Mark>,
    /// The slots that may have changed since the last snapshot, each once.
    listed: Vec<u32>,
    deadlines: Deadlines,
    /// How many rows there are, without tombstones.
    live: usize,
}

/// Whether a change must be in the next snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// An operator's: yes.
    Operator,
    /// A snapshot's: no, it is in the checkpoint.
    Checkpoint,
}

/// Rows on their way into the table.
struct RowsToPut<'a> {
    hashes: &'a [u64],
    groups: &'a [u16],
    keys: &'a Encoded,
    values: &'a Encoded,
    /// The rows that are not to be put, if there are such.
    removed: Option<&'a BooleanArray>,
    /// When those that are new are due, if they are some day.
    deadlines: Option<&'a Int64Array>,
}

impl RowsToPut<'_> {
    #[inline]
    fn deadline(&self, row: usize) -> Option<i64> {
        self.deadlines.filter(|deadlines| deadlines.is_valid(row)).map(|deadlines| deadlines.value(row))
    }
}

impl MemoryTable {
    /// An empty table for the rows of these key groups.
    ///
    /// # Errors
    /// When a column's type can't be kept.
    pub fn new(spec: TableSpec, groups: KeyGroupRange) -> Result<Self> {
        let keys = Codec::new(spec.name(), Part::Key, spec.keys())?;
        let values = Codec::new(spec.name(), Part::Value, spec.values())?;
        // A key that can't be hashed is refused now rather than at the first row.
        let samples: Vec<ArrayRef> =
            spec.keys().fields().iter().map(|f| arrow::array::new_null_array(f.data_type(), 1)).collect();
        hash_columns(&samples, 1, &mut Vec::new())?;
        let fields: Vec<Arc<Field>> = spec.keys().fields().iter().chain(spec.values().fields()).map(Arc::clone).collect();
        Ok(MemoryTable {
            spec,
            groups,
            keys: Arc::new(keys),
            values: Arc::new(values),
            row_schema: Arc::new(Schema::new(fields)),
            index: Index::default(),
            records: Records::default(),
            marks: Vec::new(),
            listed: Vec::new(),
            deadlines: Deadlines::default(),
            live: 0,
        })
    }

    /// The hashes of the keys and their encodings.
    fn locate(&self, keys: &RecordBatch) -> Result<(Vec<u64>, Encoded)> {
        let encoded = self.keys.encode(keys.columns())?;
        let mut hashes = Vec::new();
        hash_columns(keys.columns(), keys.num_rows(), &mut hashes)?;
        Ok((hashes, encoded))
    }

    /// The key group of each row, by the columns that decide it.
    fn groups_of(&self, keys: &RecordBatch, hashes: &[u64]) -> Result<Vec<u16>> {
        let columns = self.spec.group_columns();
        if columns == keys.num_columns() {
            return Ok(hashes.iter().map(|&hash| KeyGroup::of_hash(hash).0).collect());
        }
        let mut of_group = Vec::new();
        hash_columns(&keys.columns()[..columns], keys.num_rows(), &mut of_group)?;
        Ok(of_group.into_iter().map(|hash| KeyGroup::of_hash(hash).0).collect())
    }

    fn check_groups(&self, groups: &[u16]) -> Result<()> {
        match groups.iter().find(|&&group| !self.groups.contains(KeyGroup(group))) {
            None => Ok(()),
            Some(group) => Err(Error::InvalidArgument(format!(
                "state table {}: a key belongs to key group {group}, this task has the groups from {} to {}: the input of this \
                 operator is not exchanged by the table's key",
                self.spec.name(),
                self.groups.start,
                self.groups.end,
            ))),
        }
    }

    fn check_deadlines(&self, deadlines: Option<&Int64Array>, rows: &RecordBatch) -> Result<()> {
        match deadlines.map(Array::len) {
            Some(given) if given != rows.num_rows() => {
                let (name, rows) = (self.spec.name(), rows.num_rows());
                Err(Error::InvalidArgument(format!("state table {name}: {given} deadlines for {rows} rows")))
            }
            _ => Ok(()),
        }
    }

    /// The slot of the row or tombstone with this key.
    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index.find(Tag::of(hash), |slot| self.records.key(slot) == key)
    }

    /// The slots of the rows and tombstones with these keys.
    ///
    /// Passes of their own, one by tag and one that compares keys: without writes in between, and with one place of memory to wait
    /// for in each, the processor waits for many rows at once.
    fn find_all(&self, hashes: &[u64], keys: &Encoded) -> Vec<Option<u32>> {
        let mut found: Vec<Option<u32>> = hashes.iter().map(|&hash| self.index.guess(Tag::of(hash))).collect();
        for (row, slot) in found.iter_mut().enumerate() {
            // Two keys may have the same tag.
            if slot.is_some_and(|slot| self.records.key(slot) != keys.row(row)) {
                *slot = self.find(hashes[row], keys.row(row));
            }
        }
        found
    }

    /// The values of the rows in these slots; tombstones have none.
    fn stored(&self, slots: &[Option<u32>]) -> Result<StateRows> {
        let live = |slot: &Option<u32>| slot.filter(|&slot| self.marks[slot as usize].is_live());
        let found: BooleanArray = slots.iter().map(|slot| Some(live(slot).is_some())).collect();
        let bytes = slots.iter().map(|slot| live(slot).map_or(self.values.null(), |slot| self.records.value(slot)));
        let values = batch(self.values.schema(), self.values.decode(bytes)?, slots.len())?;
        Ok(StateRows { found, values })
    }

    /// Inserts rows, replaces their values, or revives their tombstones.
    fn put_rows(&mut self, rows: &RowsToPut<'_>, origin: Origin) {
        let found = self.find_all(rows.hashes, rows.keys);
        self.put_found(rows, found, origin);
    }

    /// [`put_rows`](MemoryTable::put_rows) of rows whose slots are known.
    fn put_found(&mut self, rows: &RowsToPut<'_>, found: Vec<Option<u32>>, origin: Origin) {
        for (row, slot) in found.into_iter().enumerate() {
            if rows.removed.is_some_and(|removed| removed.value(row)) {
                continue;
            }
            if let Some(slot) = slot.or_else(|| self.insert_row(rows, row, origin)) {
                self.replace(slot, rows, row, origin);
            }
        }
    }

    /// Gives the row or tombstone in a slot the value of a row with its key.
    #[inline]
    fn replace(&mut self, slot: u32, rows: &RowsToPut<'_>, row: usize, origin: Origin) {
        let (value, live) = (rows.values.row(row), self.marks[slot as usize].is_live());
        if live && self.records.value(slot) == value && origin == Origin::Operator {
            return;
        }
        if !live && let Some(deadline) = rows.deadline(row) {
            self.deadlines.set(slot, deadline);
        }
        self.records.set_value(slot, value);
        self.mark_put(slot, origin);
    }

    /// Inserts a row, unless an earlier one of the batch has the same key: gives the slot of that one.
    fn insert_row(&mut self, rows: &RowsToPut<'_>, row: usize, origin: Origin) -> Option<u32> {
        let (tag, key, value) = (Tag::of(rows.hashes[row]), rows.keys.row(row), rows.values.row(row));
        let MemoryTable { index, records, marks, deadlines, .. } = self;
        match index.entry(tag, |slot| records.key(slot) == key) {
            Entry::Occupied(entry) => Some(entry.get().slot),
            Entry::Vacant(entry) => {
                let slot = records.insert(tag, key, value);
                entry.insert(Indexed::new(tag, slot));
                marks.resize(records.slot_count(), Mark::default());
                marks[slot as usize].group = rows.groups[row];
                if let Some(deadline) = rows.deadline(row) {
                    deadlines.set(slot, deadline);
                }
                self.mark_put(slot, origin);
                None
            }
        }
    }

    #[inline]
    fn mark_put(&mut self, slot: u32, origin: Origin) {
        let mark = &mut self.marks[slot as usize];
        self.live += usize::from(!mark.is_live());
        match origin {
            Origin::Checkpoint => (mark.state, mark.snapshotted) = (SlotState::Clean, true),
            Origin::Operator => {
                mark.state = SlotState::Changed;
                if !mark.listed {
                    mark.listed = true;
                    self.listed.push(slot);
                }
            }
        }
    }

    /// Removes the rows in these slots.
    fn remove_found(&mut self, found: Vec<Option<u32>>, origin: Origin) {
        let mut freed = Vec::new();
        for slot in found.into_iter().flatten() {
            let mark = &mut self.marks[slot as usize];
            self.live -= usize::from(mark.is_live());
            self.deadlines.clear(slot);
            match mark.state {
                // Its key came twice.
                SlotState::Free => {}
                _ if origin == Origin::Checkpoint || !mark.snapshotted => {
                    mark.free();
                    freed.push(slot);
                }
                _ => {
                    mark.state = SlotState::Removed;
                    if !mark.listed {
                        mark.listed = true;
                        self.listed.push(slot);
                    }
                }
            }
        }
        self.forget(&freed);
    }

    /// Gives up slots whose marks say that they are free. They may still be on the list of changes, where they are passed over.
    fn forget(&mut self, freed: &[u32]) {
        let MemoryTable { index, records, .. } = self;
        index.remove(freed, |slot| records.tag(slot));
        freed.iter().for_each(|&slot| records.remove(slot));
    }

    /// The slots of all rows, in the order of their numbers, which is about that of their records.
    fn live_slots(&self) -> impl Iterator<Item = u32> {
        self.marks.iter().zip(0..).filter(|(mark, _)| mark.is_live()).map(|(_, slot)| slot)
    }

    /// The rows of these slots, as `scan` gives them.
    fn rows(&self, slots: &[u32]) -> Result<RecordBatch> {
        let mut columns = self.keys.decode(slots.iter().map(|&slot| self.records.key(slot)))?;
        columns.extend(self.values.decode(slots.iter().map(|&slot| self.records.value(slot)))?);
        batch(&self.row_schema, columns, slots.len())
    }

    /// The slots on the list, in an order that is quick to read.
    fn take_listed(&mut self) -> Vec<u32> {
        if self.listed.len() < self.marks.len() / 8 {
            return std::mem::take(&mut self.listed);
        }
        // So many that going through all slots is cheaper than going to and fro between records.
        self.listed = Vec::new();
        self.marks.iter().zip(0..).filter(|(mark, _)| mark.listed).map(|(_, slot)| slot).collect()
    }

    /// Notes that a snapshot has these slots' rows, and forgets tombstones.
    fn mark_snapshotted(&mut self, slots: &[u32]) {
        let mut freed = Vec::new();
        for &slot in slots {
            let mark = &mut self.marks[slot as usize];
            mark.listed = false;
            match mark.state {
                SlotState::Free | SlotState::Clean => (),
                SlotState::Changed => (mark.state, mark.snapshotted) = (SlotState::Clean, true),
                SlotState::Removed => {
                    mark.free();
                    freed.push(slot);
                }
            }
        }
        self.forget(&freed);
    }

    fn write(&self, full: bool, rows: RowsToWrite) -> Snapshot {
        let (keys, values) = (Arc::clone(&self.keys), Arc::clone(&self.values));
        Snapshot::new(rows.len(), full, move || rows.into_batches(&keys, &values))
    }

    /// Puts and removes the rows of a snapshot.
    fn apply(&mut self, rows: &Parsed) -> Result<()> {
        let (hashes, keys) = self.locate(&rows.keys)?;
        let values = self.values.encode(rows.values.columns())?;
        let groups = self.groups_of(&rows.keys, &hashes)?;
        rows.check_groups(self.spec.name(), &groups)?;
        // Each key is in a batch once, so that the order of the two does not matter.
        let removed = rows.removed.values().set_indices().map(|row| self.find(hashes[row], keys.row(row))).collect();
        self.remove_found(removed, Origin::Checkpoint);
        let removed = Some(&rows.removed).filter(|removed| removed.true_count() > 0);
        let rows = RowsToPut { hashes: &hashes, groups: &groups, keys: &keys, values: &values, removed, deadlines: None };
        self.put_rows(&rows, Origin::Checkpoint);
        Ok(())
    }
}

impl StateStore for MemoryTable {
    fn spec(&self) -> &TableSpec {
        &self.spec
    }

    fn groups(&self) -> KeyGroupRange {
        self.groups
    }

    fn len(&self) -> usize {
        self.live
    }

    fn memory_bytes(&self) -> usize {
        self.records.memory_bytes()
            + self.index.memory_bytes()
            + self.marks.capacity() * size_of::<Mark>()
            + self.listed.capacity() * size_of::<u32>()
            + self.deadlines.memory_bytes()
    }

    fn get(&self, keys: &RecordBatch) -> Result<StateRows> {
        let (hashes, encoded) = self.locate(keys)?;
        self.stored(&self.find_all(&hashes, &encoded))
    }

    fn put(&mut self, keys: &RecordBatch, values: &RecordBatch) -> Result<()> {
        check_rows(self.spec.name(), values, keys.num_rows())?;
        let (hashes, keys_encoded) = self.locate(keys)?;
        let values = self.values.encode(values.columns())?;
        let groups = self.groups_of(keys, &hashes)?;
        self.check_groups(&groups)?;
        let (removed, deadlines) = (None, None);
        let rows = RowsToPut { hashes: &hashes, groups: &groups, keys: &keys_encoded, values: &values, removed, deadlines };
        self.put_rows(&rows, Origin::Operator);
        Ok(())
    }

    fn update(
        &mut self,
        keys: &RecordBatch,
        deadlines: Option<&Int64Array>,
        merge: &mut dyn FnMut(&StateRows) -> Result<RecordBatch>,
    ) -> Result<()> {
        self.check_deadlines(deadlines, keys)?;
        let (hashes, keys_encoded) = self.locate(keys)?;
        let groups = self.groups_of(keys, &hashes)?;
        self.check_groups(&groups)?;
        let found = self.find_all(&hashes, &keys_encoded);
        let values = merge(&self.stored(&found)?)?;
        check_rows(self.spec.name(), &values, keys.num_rows())?;
        let values = self.values.encode(values.columns())?;
        let removed = None;
        let rows = RowsToPut { hashes: &hashes, groups: &groups, keys: &keys_encoded, values: &values, removed, deadlines };
        self.put_found(&rows, found, Origin::Operator);
        Ok(())
    }

    fn insert(&mut self, keys: &RecordBatch, values: &RecordBatch, deadlines: Option<&Int64Array>) -> Result<BooleanArray> {
        self.check_deadlines(deadlines, keys)?;
        check_rows(self.spec.name(), values, keys.num_rows())?;
        let (hashes, keys_encoded) = self.locate(keys)?;
        let values = self.values.encode(values.columns())?;
        let groups = self.groups_of(keys, &hashes)?;
        self.check_groups(&groups)?;
        let found = self.find_all(&hashes, &keys_encoded);
        let removed = None;
        let rows = RowsToPut { hashes: &hashes, groups: &groups, keys: &keys_encoded, values: &values, removed, deadlines };
        let mut insert = |(row, slot): (usize, Option<u32>)| match slot {
            None => self.insert_row(&rows, row, Origin::Operator).is_none(),
            Some(slot) if self.marks[slot as usize].is_live() => false,
            Some(tombstone) => {
                self.replace(tombstone, &rows, row, Origin::Operator);
                true
            }
        };
        Ok(found.into_iter().enumerate().map(|row| Some(insert(row))).collect())
    }

    fn remove(&mut self, keys: &RecordBatch) -> Result<()> {
        let (hashes, encoded) = self.locate(keys)?;
        let found = self.find_all(&hashes, &encoded);
        self.remove_found(found, Origin::Operator);
        Ok(())
    }

    fn take_due(&mut self, time: i64, at_most: usize) -> Result<RecordBatch> {
        let slots = self.deadlines.take_due(time, at_most);
        let rows = self.rows(&slots)?;
        self.remove_found(slots.into_iter().map(Some).collect(), Origin::Operator);
        Ok(rows)
    }

    fn remove_due(&mut self, time: i64) -> usize {
        let slots = self.deadlines.take_due(time, usize::MAX);
        let rows = slots.len();
        self.remove_found(slots.into_iter().map(Some).collect(), Origin::Operator);
        rows
    }

    fn set_deadlines(&mut self, of: &mut dyn FnMut(&RecordBatch) -> Result<Int64Array>) -> Result<()> {
        let slots: Vec<u32> = self.live_slots().collect();
        for slots in slots.chunks(TARGET_BATCH_ROWS) {
            let rows = self.rows(slots)?;
            let deadlines = of(&rows)?;
            self.check_deadlines(Some(&deadlines), &rows)?;
            for (&slot, deadline) in slots.iter().zip(&deadlines) {
                match deadline {
                    Some(deadline) => self.deadlines.set(slot, deadline),
                    None => self.deadlines.clear(slot),
                }
            }
        }
        Ok(())
    }

    fn scan(&self, batch_rows: usize) -> Box<dyn Iterator<Item = Result<RecordBatch>> + '_> {
        let mut slots = self.live_slots();
        let mut next = move || slots.by_ref().take(batch_rows.max(1)).collect::<Vec<_>>();
        Box::new(std::iter::from_fn(move || Some(next()).filter(|slots| !slots.is_empty())).map(|slots| self.rows(&slots)))
    }

    fn changes(&self) -> usize {
        self.listed.len()
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        let slots = self.take_listed();
        let mut rows = RowsToWrite::with_capacity(slots.len());
        for &slot in &slots {
            let mark = self.marks[slot as usize];
            match mark.state {
                SlotState::Free | SlotState::Clean => (),
                SlotState::Changed => rows.push(mark.group, self.records.key(slot), Some(self.records.value(slot))),
                SlotState::Removed => rows.push(mark.group, self.records.key(slot), None),
            }
        }
        self.mark_snapshotted(&slots);
        self.index.shrink();
        Ok(self.write(false, rows))
    }

    fn snapshot_all(&mut self) -> Result<Snapshot> {
        let mut rows = RowsToWrite::with_capacity(self.live);
        for slot in self.live_slots() {
            rows.push(self.marks[slot as usize].group, self.records.key(slot), Some(self.records.value(slot)));
        }
        let listed = self.take_listed();
        self.mark_snapshotted(&listed);
        self.index.shrink();
        Ok(self.write(true, rows))
    }

    fn restore(&mut self, batch: &RecordBatch, groups: KeyGroupRange) -> Result<()> {
        let wanted = Parsed::groups_in(self.spec.name(), batch, groups)?;
        let filtered = if wanted.true_count() == wanted.len() { batch.clone() } else { filter_record_batch(batch, &wanted)? };
        let rows = Parsed::new(&self.spec, &filtered)?;
        self.apply(&rows)
    }
}

/// A batch that knows its number of rows even without columns.
fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(SchemaRef::clone(schema), columns, &options)?)
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
