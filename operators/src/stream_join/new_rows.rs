//! The new rows of a side, by key.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_row::{RowConverter, Rows};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use tidegate_runtime::Result;
use tidegate_runtime::state::{canonical_keys, hash_columns};

use super::{JoinSide, NAME};
use crate::event_time::micros;
use crate::expressions::batch_of;

/// The end of a list of rows.
const NONE: u32 = u32::MAX;

/// The rows of a side that an epoch brings.
pub(super) struct NewRows {
    /// Their columns in the output.
    pub(super) rows: RecordBatch,
    /// Their keys, as columns, as bytes and as hashes.
    pub(super) key_columns: Vec<ArrayRef>,
    pub(super) keys: Rows,
    pub(super) hashes: Vec<u64>,
    /// Rows whose key equals none are null here.
    unequal: Option<NullBuffer>,
    /// When each can be removed; null: never.
    removals: Option<Int64Array>,
    /// Whether each has had a match.
    pub(super) matched: Vec<bool>,
    /// The first row of each key, and the next row of the same key of each.
    table: HashTable<(u64, u32)>,
    next: Vec<u32>,
}

impl NewRows {
    /// Puts rows in order; `columns` are those of the output.
    pub(super) fn new(
        side: &JoinSide,
        null_equal: &[bool],
        given: &RecordBatch,
        columns: &SchemaRef,
        converter: &RowConverter,
    ) -> Result<Self> {
        let count = given.num_rows();
        let key_columns: Vec<ArrayRef> = side.keys.iter().map(|&column| Arc::clone(given.column(column))).collect();
        let nulls = key_columns.iter().zip(null_equal).filter(|(_, null_equal)| !**null_equal);
        let unequal = nulls.fold(None, |all, (key, _)| NullBuffer::union(all.as_ref(), key.logical_nulls().as_ref()));
        let key_columns = canonical_keys(&key_columns)?;
        let keys = converter.convert_columns(&key_columns)?;
        let mut hashes = Vec::new();
        hash_columns(&key_columns, count, &mut hashes)?;
        let removals = match side.remove {
            Some(remove) => {
                let times = micros(given.column(remove.column))?;
                Some(times.unary(|time: i64| time.saturating_add(remove.offset_micros)))
            }
            None => None,
        };
        let rows = batch_of(NAME, columns, given.columns().iter().take(side.columns).map(Arc::clone).collect(), count)?;
        let (table, next) = (HashTable::with_capacity(count), vec![NONE; count]);
        let matched = vec![false; count];
        let mut new = NewRows { rows, key_columns, keys, hashes, unequal, removals, matched, table, next };
        new.link();
        Ok(new)
    }

    /// Backwards, so that the lists are forwards.
    fn link(&mut self) {
        let NewRows { keys, hashes, unequal, table, next, .. } = self;
        for (row, &hash) in hashes.iter().enumerate().rev() {
            if unequal.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            let is_key = |&(other, first): &(u64, u32)| other == hash && keys.row(first as usize) == keys.row(row);
            match table.entry(hash, is_key, |&(hash, _)| hash) {
                Entry::Occupied(mut entry) => next[row] = std::mem::replace(&mut entry.get_mut().1, row as u32),
                Entry::Vacant(entry) => {
                    entry.insert((hash, row as u32));
                }
            }
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// The first row of each key, in the order of the rows.
    pub(super) fn firsts(&self) -> Vec<u32> {
        let mut firsts: Vec<u32> = self.table.iter().map(|&(_, first)| first).collect();
        firsts.sort_unstable();
        firsts
    }

    /// The first row with a key.
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let is_key = |&(other, first): &(u64, u32)| other == hash && self.keys.row(first as usize).as_ref() == key;
        self.table.find(hash, is_key).map(|&(_, first)| first)
    }

    /// A key's rows from its first one on.
    pub(super) fn same(&self, first: u32) -> impl Iterator<Item = u32> + Clone + '_ {
        let some = |row: u32| (row != NONE).then_some(row);
        std::iter::successors(some(first), move |&row| some(self.next[row as usize]))
    }

    /// The bytes of a row's key.
    pub(super) fn key(&self, row: usize) -> &[u8] {
        self.keys.row(row).data()
    }

    /// Whether a row's key may equal another.
    pub(super) fn may_match(&self, row: usize) -> bool {
        self.unequal.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }

    /// When a row can be removed.
    pub(super) fn removal(&self, row: usize) -> Option<i64> {
        self.removals.as_ref().filter(|times| times.is_valid(row)).map(|times| times.value(row))
    }
}
