//! Which group each row of an epoch belongs to: the distinct keys of the epoch, numbered in the order in which they came.

mod int_groups;
mod word_groups;

use std::sync::Arc;

use arrow::array::{Array, ArrayBuilder, ArrayRef, AsArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use arrow_row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use tidegate_runtime::state::{canonical_keys, hash_columns, relabel_columns};
use tidegate_runtime::{Error, Result};

use self::int_groups::IntGroups;
use self::word_groups::WordGroups;

/// A table with this many times the room that was needed is given back rather than kept for the next epoch.
pub(crate) const MAX_SLACK: usize = 16;

/// The group of a row whose key is none of the groups'.
pub(crate) const UNKNOWN: usize = usize::MAX;

/// The number of a group, as narrow or wide as its user reads it.
pub(crate) trait GroupNumber: Copy {
    /// The group with this number.
    fn of(group: u32) -> Self;
}

impl GroupNumber for u32 {
    #[inline]
    fn of(group: u32) -> Self {
        group
    }
}

impl GroupNumber for usize {
    #[inline]
    fn of(group: u32) -> Self {
        group as usize
    }
}

/// The distinct keys of an epoch.
#[derive(Debug)]
pub(crate) enum Groups {
    /// No key columns: all rows are one group.
    Global {
        /// Whether there was a row.
        seen: bool,
    },
    /// One column of integers, or of a type that is one in disguise.
    Int {
        /// The groups by the integers.
        groups: IntGroups,
        /// The column's own type.
        data_type: DataType,
    },
    /// One string column.
    Utf8(StringGroups),
    /// Several columns of integers, or structs of such.
    Words(WordGroups),
    /// Anything else, as row bytes.
    Rows(Box<RowGroups>),
}

impl Groups {
    /// No groups yet, for keys with these columns.
    pub(crate) fn new(keys: &Schema) -> Result<Self> {
        let types: Vec<&DataType> = keys.fields().iter().map(|field| field.data_type()).collect();
        Ok(match types.as_slice() {
            [] => Groups::Global { seen: false },
            [data_type] if is_integer(data_type) => Groups::Int { groups: IntGroups::default(), data_type: (*data_type).clone() },
            [DataType::Utf8] => Groups::Utf8(StringGroups::default()),
            _ => match WordGroups::new(keys) {
                Some(groups) => Groups::Words(groups),
                None => Groups::Rows(Box::new(RowGroups::new(keys)?)),
            },
        })
    }

    /// Adds the group of no key columns, if these groups are such.
    pub(crate) fn touch_global(&mut self) {
        if let Groups::Global { seen } = self {
            *seen = true;
        }
    }

    /// How many groups there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Groups::Global { seen } => usize::from(*seen),
            Groups::Int { groups, .. } => groups.len(),
            Groups::Utf8(groups) => groups.keys.len(),
            Groups::Words(groups) => groups.len(),
            Groups::Rows(groups) => groups.rows.num_rows(),
        }
    }

    /// Gives the group of each row, a new one for a key that has not been seen in the epoch.
    pub(crate) fn assign<G: GroupNumber>(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<G>) -> Result<()> {
        groups.clear();
        match self {
            Groups::Global { seen } => {
                *seen = true;
                groups.resize(rows, G::of(0));
                Ok(())
            }
            Groups::Int { groups: own, data_type } => own.assign(&to_integers(column(keys)?, data_type)?, groups),
            Groups::Utf8(own) => own.assign(column(keys)?, groups),
            Groups::Words(own) => own.assign(keys, rows, groups),
            Groups::Rows(own) => own.assign(keys, rows, groups),
        }
    }

    /// Gives the group of each row; [`UNKNOWN`] for a key that is none of the groups'.
    pub(crate) fn find(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<usize>) -> Result<()> {
        groups.clear();
        match self {
            Groups::Global { seen } => {
                groups.resize(rows, if *seen { 0 } else { UNKNOWN });
                Ok(())
            }
            Groups::Int { groups: own, data_type } => own.find(&to_integers(column(keys)?, data_type)?, groups),
            Groups::Utf8(own) => own.find(column(keys)?, groups),
            Groups::Words(own) => own.find(keys, rows, groups),
            Groups::Rows(own) => own.find(keys, rows, groups),
        }
    }

    /// The key columns, one row for each group in order, and no groups any more.
    pub(crate) fn take(&mut self) -> Result<Vec<ArrayRef>> {
        match self {
            Groups::Global { seen } => {
                *seen = false;
                Ok(Vec::new())
            }
            Groups::Int { groups, data_type: DataType::Int64 } => Ok(vec![groups.take()]),
            Groups::Int { groups, data_type } => Ok(vec![cast(&groups.take(), data_type)?]),
            Groups::Utf8(groups) => Ok(vec![groups.take()]),
            Groups::Words(groups) => groups.take(),
            Groups::Rows(groups) => groups.take(),
        }
    }
}

/// Whether the type's values are integers that [`cast`] takes to 64 bits and back without a loss.
fn is_integer(data_type: &DataType) -> bool {
    data_type.is_signed_integer() || matches!(data_type, DataType::Date32 | DataType::Timestamp(_, _))
}

fn to_integers(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Int64 if *data_type == DataType::Int64 => Ok(Arc::clone(column)),
        given if given == data_type => Ok(cast(column, &DataType::Int64)?),
        _ => Err(wrong_type(column, data_type)),
    }
}

fn column(keys: &[ArrayRef]) -> Result<&ArrayRef> {
    keys.first().ok_or_else(|| Error::Protocol("a batch without the key columns that its operator was made for".to_owned()))
}

/// The error of a key column whose type is not the one that the state has.
pub(crate) fn wrong_type(column: &ArrayRef, expected: &DataType) -> Error {
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
pub(crate) struct StringGroups {
    table: HashTable<(u64, u32)>,
    keys: StringBuilder,
    null: Option<u32>,
    hashes: Vec<u64>,
}

impl StringGroups {
    fn assign<G: GroupNumber>(&mut self, column: &ArrayRef, groups: &mut Vec<G>) -> Result<()> {
        let strings = column.as_string_opt::<i32>().ok_or_else(|| wrong_type(column, &DataType::Utf8))?;
        // Above 2 GiB the key column could not be built.
        if self.keys.values_slice().len() + strings.value_data().len() > i32::MAX as usize {
            return Err(Error::InvalidArgument("the keys of one epoch take more than 2 GiB in one task".to_owned()));
        }
        let mut hashes = std::mem::take(&mut self.hashes);
        hash_columns(std::slice::from_ref(column), strings.len(), &mut hashes)?;
        let rows = strings.iter().zip(&hashes);
        groups.extend(rows.map(|(key, &hash)| match key {
            Some(key) => G::of(self.group(hash, key)),
            None => G::of(self.null_group()),
        }));
        self.hashes = hashes;
        Ok(())
    }

    fn find(&mut self, column: &ArrayRef, groups: &mut Vec<usize>) -> Result<()> {
        let strings = column.as_string_opt::<i32>().ok_or_else(|| wrong_type(column, &DataType::Utf8))?;
        hash_columns(std::slice::from_ref(column), strings.len(), &mut self.hashes)?;
        let StringGroups { table, keys, null, hashes } = self;
        groups.extend(strings.iter().zip(hashes.iter()).map(|(key, &hash)| {
            let Some(key) = key else { return null.map_or(UNKNOWN, |null| null as usize) };
            let is_key = |&(other, group): &(u64, u32)| other == hash && string(keys, group) == key.as_bytes();
            table.find(hash, is_key).map_or(UNKNOWN, |&(_, group)| group as usize)
        }));
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
pub(crate) struct RowGroups {
    table: HashTable<(u64, u32)>,
    schema: Schema,
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
        Ok(RowGroups { table: HashTable::new(), schema: keys.clone(), converter, rows, batch, hashes: Vec::new() })
    }

    /// Encodes and hashes the keys of the batch at hand.
    fn encode(&mut self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        let keys = canonical_keys(&relabel_columns(&self.schema, keys.to_vec())?)?;
        hash_columns(&keys, rows, &mut self.hashes)?;
        self.batch.clear();
        Ok(self.converter.append(&mut self.batch, &keys)?)
    }

    fn find(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<usize>) -> Result<()> {
        self.encode(keys, rows)?;
        let RowGroups { table, rows, batch, hashes, .. } = self;
        groups.extend(hashes.iter().zip(batch.iter()).map(|(&hash, key)| {
            let is_key = |&(other, group): &(u64, u32)| other == hash && rows.row(group as usize) == key;
            table.find(hash, is_key).map_or(UNKNOWN, |&(_, group)| group as usize)
        }));
        Ok(())
    }

    fn assign<G: GroupNumber>(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<G>) -> Result<()> {
        self.encode(keys, rows)?;
        let RowGroups { table, rows, batch, hashes, .. } = self;
        groups.extend(hashes.iter().zip(batch.iter()).map(|(&hash, key)| {
            let is_key = |&(other, group): &(u64, u32)| other == hash && rows.row(group as usize) == key;
            match table.entry(hash, is_key, |&(hash, _)| hash) {
                Entry::Occupied(entry) => G::of(entry.get().1),
                Entry::Vacant(entry) => {
                    let group = rows.num_rows() as u32;
                    entry.insert((hash, group));
                    rows.push(key);
                    G::of(group)
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
