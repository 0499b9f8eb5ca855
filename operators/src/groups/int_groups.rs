//! Groups of one `Int64` column: the case that is worth a hash table of its own.
//!
//! With many keys the time goes into waiting for memory, so a look-up should touch one place only. Here that is an entry of twelve
//! bytes with key and group, found by linear probing in a table that is at most half full; a general table has its control bytes
//! in another place. Entries are never removed one by one, which keeps it simple.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int64Type};
use tidegate_runtime::Result;

use super::{GroupNumber, MAX_SLACK, UNKNOWN, wrong_type};

const MIN_ENTRIES: usize = 1 << 10;
/// Up to this size a table is kept emptier, as memory is not what takes its time, but wrong guesses of the processor are.
const SMALL_ENTRIES: usize = 1 << 16;
/// The group of an empty entry.
const EMPTY: u32 = u32::MAX;

/// The key in two halves, so that an entry needs no padding.
#[derive(Debug, Clone, Copy)]
struct Entry {
    key: [u32; 2],
    group: u32,
}

/// The distinct keys of an epoch, numbered in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct IntGroups {
    /// A power of two of them, or none at all before the first key.
    entries: Vec<Entry>,
    /// The key of each group.
    keys: Vec<i64>,
    null: Option<u32>,
}

#[inline]
fn halves(key: i64) -> [u32; 2] {
    [key as u32, (key as u64 >> 32) as u32]
}

/// A hash for this table only, so that it may be cheaper than the one that is pinned in checkpoints.
#[inline]
fn hash(key: i64) -> usize {
    let product = u128::from(key as u64 ^ 0x243f_6a88_85a3_08d3) * 0x9e37_79b9_7f4a_7c15;
    ((product as u64) ^ ((product >> 64) as u64)) as usize
}

impl IntGroups {
    /// How many groups there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Adds the group of each row.
    pub(crate) fn assign<G: GroupNumber>(&mut self, column: &ArrayRef, groups: &mut Vec<G>) -> Result<()> {
        let column = column.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong_type(column, &DataType::Int64))?;
        if self.entries.is_empty() {
            self.grow();
        }
        match column.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => groups.extend(column.values().iter().map(|&key| G::of(self.group(key)))),
            Some(_) => groups.extend(column.iter().map(|key| match key {
                Some(key) => G::of(self.group(key)),
                None => G::of(self.null_group()),
            })),
        }
        Ok(())
    }

    /// Adds the group of each row, or [`UNKNOWN`].
    pub(crate) fn find(&self, column: &ArrayRef, groups: &mut Vec<usize>) -> Result<()> {
        let column = column.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong_type(column, &DataType::Int64))?;
        let known = |key| self.known(key).map_or(UNKNOWN, |group| group as usize);
        groups.extend(column.iter().map(|key| key.map_or_else(|| self.null.map_or(UNKNOWN, |null| null as usize), known)));
        Ok(())
    }

    fn known(&self, key: i64) -> Option<u32> {
        let mask = self.entries.len().checked_sub(1)?;
        let mut at = hash(key) & mask;
        loop {
            let entry = self.entries.get(at).filter(|entry| entry.group != EMPTY)?;
            if entry.key == halves(key) {
                return Some(entry.group);
            }
            at = (at + 1) & mask;
        }
    }

    /// The key column, one row for each group in order, and no groups any more.
    pub(crate) fn take(&mut self) -> ArrayRef {
        if self.entries.len() / MAX_SLACK > self.keys.len().max(MIN_ENTRIES) {
            self.entries = Vec::new();
        } else {
            self.entries.fill(Entry { key: [0; 2], group: EMPTY });
        }
        let keys = std::mem::take(&mut self.keys);
        let null = self.null.take();
        let nulls = null.map(|null| (0..keys.len()).map(|group| group != null as usize).collect::<NullBuffer>());
        Arc::new(Int64Array::new(keys.into(), nulls))
    }

    #[inline]
    fn group(&mut self, key: i64) -> u32 {
        let entries = self.entries.as_slice();
        let mask = entries.len() - 1;
        let mut at = hash(key) & mask;
        loop {
            let entry = &entries[at & mask];
            if entry.group == EMPTY {
                return self.insert(key, at);
            }
            if entry.key == halves(key) {
                return entry.group;
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    #[inline(never)]
    fn insert(&mut self, key: i64, at: usize) -> u32 {
        let group = self.keys.len() as u32;
        self.keys.push(key);
        self.entries[at] = Entry { key: halves(key), group };
        let most = if self.entries.len() <= SMALL_ENTRIES { self.entries.len() / 8 } else { self.entries.len() / 2 };
        if self.keys.len() >= most {
            self.grow();
        }
        group
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.entries.len() * 2).max(MIN_ENTRIES);
        self.entries = vec![Entry { key: [0; 2], group: EMPTY }; size];
        for (group, &key) in (0..).zip(&self.keys).filter(|(group, _)| Some(*group) != self.null) {
            let mut at = hash(key) & (size - 1);
            while self.entries[at].group != EMPTY {
                at = (at + 1) & (size - 1);
            }
            self.entries[at] = Entry { key: halves(key), group };
        }
    }

    fn null_group(&mut self) -> u32 {
        *self.null.get_or_insert_with(|| {
            self.keys.push(0);
            self.keys.len() as u32 - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn numbers_keys_as_a_map_does_over_several_epochs() {
        let mut groups = IntGroups::default();
        for epoch in 0..3_i64 {
            let keys: Vec<Option<i64>> = (0..200_000_i64)
                .map(|n| (n.wrapping_mul(n + epoch) % (50_000 * (epoch + 1))) << (epoch * 20))
                .map(|key| (key % 1_000 != 7).then_some(key))
                .collect();
            let mut twin = HashMap::new();
            let mut order = Vec::new();
            let mut given: Vec<usize> = Vec::new();
            for batch in keys.chunks(777) {
                let column: ArrayRef = Arc::new(Int64Array::from(batch.to_vec()));
                given.clear();
                groups.assign(&column, &mut given).unwrap();
                for (key, group) in batch.iter().zip(&given) {
                    let expected = *twin.entry(*key).or_insert_with(|| {
                        order.push(*key);
                        order.len() - 1
                    });
                    assert_eq!(*group, expected, "{key:?}");
                }
            }
            assert_eq!(groups.len(), order.len());
            assert_eq!(groups.take().as_ref(), &Int64Array::from(order));
            assert_eq!(groups.len(), 0);
        }
    }
}
