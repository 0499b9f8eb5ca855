//! Which group each row of an epoch belongs to: the distinct keys of the epoch, numbered in the order in which they came.

use std::sync::Arc;

use arrow::array::{Array, ArrayBuilder, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{DataType, Schema};
use arrow_row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use tidegate_runtime::state::{canonical_keys, hash_columns};
use tidegate_runtime::{Error, Result};

use super::int_groups::IntGroups;

/// A table with this many times the room that was needed is given back rather than kept for the next epoch.
pub(super) const MAX_SLACK: usize = 16;

/// The distinct keys of an epoch.
#[derive(Debug)]
pub(super) enum Groups {
    /// No key columns: all rows are one group.
    Global {
        /// Whether there was a row.
        seen: bool,
    },
    /// One integer column.
    Int64(IntGroups),
    /// One string column.
    Utf8(StringGroups),
    /// Anything else, as row bytes.
    Rows(Box<RowGroups>),
}

impl Groups {
    /// No groups yet, for keys with these columns.
    pub(super) fn new(keys: &Schema) -> Result<Self> {
        let types: Vec<&DataType> = keys.fields().iter().map(|field| field.data_type()).collect();
        Ok(match types.as_slice() {
            [] => Groups::Global { seen: false },
            [DataType::Int64] => Groups::Int64(IntGroups::default()),
            [DataType::Utf8] => Groups::Utf8(StringGroups::default()),
            _ => Groups::Rows(Box::new(RowGroups::new(keys)?)),
        })
    }

    /// Adds the group of no key columns, if these groups are such.
    pub(super) fn touch_global(&mut self) {
        if let Groups::Global { seen } = self {
            *seen = true;
        }
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Groups::Global { seen } => usize::from(*seen),
            Groups::Int64(groups) => groups.len(),
            Groups::Utf8(groups) => groups.keys.len(),
            Groups::Rows(groups) => groups.rows.num_rows(),
        }
    }

    /// Gives the group of each row, a new one for a key that has not been seen in the epoch.
    pub(super) fn assign(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        groups.clear();
        match self {
            Groups::Global { seen } => {
                *seen = true;
                groups.resize(rows, 0);
                Ok(())
            }
            Groups::Int64(own) => own.assign(column(keys)?, groups),
            Groups::Utf8(own) => own.assign(column(keys)?, groups),
            Groups::Rows(own) => own.assign(keys, rows, groups),
        }
    }

    /// The key columns, one row for each group in order, and no groups any more.
    pub(super) fn take(&mut self) -> Result<Vec<ArrayRef>> {
        match self {
            Groups::Global { seen } => {
                *seen = false;
                Ok(Vec::new())
            }
            Groups::Int64(groups) => Ok(vec![groups.take()]),
            Groups::Utf8(groups) => Ok(vec![groups.take()]),
            Groups::Rows(groups) => groups.take(),
        }
    }
}

fn column(keys: &[ArrayRef]) -> Result<&ArrayRef> {
    keys.first().ok_or_else(|| Error::Protocol("a batch without the key columns that its operator was made for".to_owned()))
}

/// The error of a key column whose type is not the one that the state has.
pub(super) fn wrong_type(column: &ArrayRef, expected: &DataType) -> Error {
    Error::InvalidArgument(format!("a key column is {}, its operator was made for {expected}", column.data_type()))
}

/// Empties a hash table for the next epoch.
fn recycle<T>(table: &mut HashTable<T>) {
    if table.capacity() / MAX_SLACK > table.len() {
        *table = HashTable::new();
    } else {
        table.clear();
    }
}

/// Groups of one `Utf8` column. The hash table holds hashes, so that strings are compared only where they are almost certainly
/// equal; the strings lie one after the other as the key column that is given at the end.
#[derive(Debug, Default)]
pub(super) struct StringGroups {
    table: HashTable<(u64, u32)>,
    keys: StringBuilder,
    null: Option<u32>,
    hashes: Vec<u64>,
}

impl StringGroups {
    fn assign(&mut self, column: &ArrayRef, groups: &mut Vec<u32>) -> Result<()> {
        let strings = column.as_string_opt::<i32>().ok_or_else(|| wrong_type(column, &DataType::Utf8))?;
        // Above 2 GiB the key column could not be built.
        if self.keys.values_slice().len() + strings.value_data().len() > i32::MAX as usize {
            return Err(Error::InvalidArgument("the keys of one epoch take more than 2 GiB in one task".to_owned()));
        }
        let mut hashes = std::mem::take(&mut self.hashes);
        hash_columns(std::slice::from_ref(column), strings.len(), &mut hashes)?;
        let rows = strings.iter().zip(&hashes);
        groups.extend(rows.map(|(key, &hash)| match key {
            Some(key) => self.group(hash, key),
            None => self.null_group(),
        }));
        self.hashes = hashes;
        Ok(())
    }

    #[inline]
    fn group(&mut self, hash: u64, key: &str) -> u32 {
        let StringGroups { table, keys, .. } = self;
        let is_key = |&(other, group): &(u64, u32)| other == hash && string(keys, group) == key.as_bytes();
        match table.entry(hash, is_key, |&(hash, _)| hash) {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let group = keys.len() as u32;
                entry.insert((hash, group));
                keys.append_value(key);
                group
            }
        }
    }

    fn null_group(&mut self) -> u32 {
        *self.null.get_or_insert_with(|| {
            self.keys.append_null();
            self.keys.len() as u32 - 1
        })
    }

    fn take(&mut self) -> ArrayRef {
        recycle(&mut self.table);
        self.null = None;
        Arc::new(self.keys.finish())
    }
}

/// The bytes of one of the builder's strings.
#[inline]
fn string(keys: &StringBuilder, group: u32) -> &[u8] {
    let ends = &keys.offsets_slice()[group as usize..group as usize + 2];
    &keys.values_slice()[ends[0] as usize..ends[1] as usize]
}

/// Groups of any key columns, as row bytes.
#[derive(Debug)]
pub(super) struct RowGroups {
    table: HashTable<(u64, u32)>,
    converter: RowConverter,
    /// The distinct keys.
    rows: Rows,
    /// The keys of the batch at hand.
    batch: Rows,
    hashes: Vec<u64>,
}

impl RowGroups {
    fn new(keys: &Schema) -> Result<Self> {
        let fields = keys.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let (rows, batch) = (converter.empty_rows(0, 0), converter.empty_rows(0, 0));
        Ok(RowGroups { table: HashTable::new(), converter, rows, batch, hashes: Vec::new() })
    }

    fn assign(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        let keys = canonical_keys(keys)?;
        hash_columns(&keys, rows, &mut self.hashes)?;
        self.batch.clear();
        self.converter.append(&mut self.batch, &keys)?;
        let RowGroups { table, rows, batch, hashes, .. } = self;
        groups.extend(hashes.iter().zip(batch.iter()).map(|(&hash, key)| {
            let is_key = |&(other, group): &(u64, u32)| other == hash && rows.row(group as usize) == key;
            match table.entry(hash, is_key, |&(hash, _)| hash) {
                Entry::Occupied(entry) => entry.get().1,
                Entry::Vacant(entry) => {
                    let group = rows.num_rows() as u32;
                    entry.insert((hash, group));
                    rows.push(key);
                    group
                }
            }
        }));
        Ok(())
    }

    fn take(&mut self) -> Result<Vec<ArrayRef>> {
        recycle(&mut self.table);
        let keys = self.converter.convert_rows(self.rows.iter())?;
        self.rows.clear();
        Ok(keys)
    }
}
