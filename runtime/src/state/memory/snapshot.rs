//! Rows on their way to a checkpoint and back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt16Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt16Type};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::codec::Codec;
use crate::error::{Error, Result};
use crate::state::{GROUP_COLUMN, KeyGroup, KeyGroupRange, REMOVED_COLUMN, TableSpec};

/// The most rows in a batch of a snapshot.
pub(super) const MAX_BATCH_ROWS: usize = 65_536;
/// The columns before the key columns.
const OWN_COLUMNS: usize = 2;

/// Copied rows, still as bytes. Turning them into columns costs several times the copy and is done on another thread.
#[derive(Debug)]
pub(super) struct RowsToWrite {
    groups: Vec<u16>,
    removed: Vec<bool>,
    keys: Pieces,
    values: Pieces,
}

/// Pieces of bytes, one after the other.
#[derive(Debug, Default)]
struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pieces {
    fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        self.ends.push(self.bytes.len());
    }

    fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }
}

impl RowsToWrite {
    /// No rows yet, with room for `rows`.
    pub(super) fn with_capacity(rows: usize) -> Self {
        let pieces = || Pieces { bytes: Vec::new(), ends: Vec::with_capacity(rows) };
        let (groups, removed) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        RowsToWrite { groups, removed, keys: pieces(), values: pieces() }
    }

    /// Adds a row; without a value it is a removed one.
    pub(super) fn push(&mut self, group: u16, key: &[u8], value: Option<&[u8]>) {
        self.groups.push(group);
        self.removed.push(value.is_none());
        self.keys.push(key);
        self.values.push(value.unwrap_or(&[]));
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The rows as columns.
    pub(super) fn into_batches(self, keys: &Codec, values: &Codec) -> Result<Vec<RecordBatch>> {
        let schema = schema(keys.schema(), values.schema());
        let starts = (0..self.len()).step_by(MAX_BATCH_ROWS);
        starts.map(|start| self.batch(start..self.len().min(start + MAX_BATCH_ROWS), keys, values, &schema)).collect()
    }

    fn batch(&self, rows: std::ops::Range<usize>, keys: &Codec, values: &Codec, schema: &SchemaRef) -> Result<RecordBatch> {
        let value = |row: usize| if self.removed[row] { values.null() } else { self.values.get(row) };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt16Array::from(self.groups[rows.clone()].to_vec())),
            Arc::new(BooleanArray::from(self.removed[rows.clone()].to_vec())),
        ];
        columns.extend(keys.decode(rows.clone().map(|row| self.keys.get(row)))?);
        columns.extend(values.decode(rows.map(value))?);
        Ok(RecordBatch::try_new(SchemaRef::clone(schema), columns)?)
    }
}

fn schema(keys: &Schema, values: &Schema) -> SchemaRef {
    let own = [Field::new(GROUP_COLUMN, DataType::UInt16, false), Field::new(REMOVED_COLUMN, DataType::Boolean, false)];
    let columns = keys.fields().iter().chain(values.fields()).map(Arc::clone);
    Arc::new(Schema::new(own.into_iter().map(Arc::new).chain(columns).collect::<Vec<_>>()))
}

/// A batch of a snapshot, taken apart.
#[derive(Debug)]
pub(super) struct Parsed {
    groups: UInt16Array,
    pub(super) removed: BooleanArray,
    pub(super) keys: RecordBatch,
    pub(super) values: RecordBatch,
}

impl Parsed {
    /// Which rows of the batch belong to these groups.
    ///
    /// # Errors
    /// When the batch is not a snapshot.
    pub(super) fn groups_in(table: &str, batch: &RecordBatch, wanted: KeyGroupRange) -> Result<BooleanArray> {
        let groups = group_column(table, batch)?;
        Ok(groups.values().iter().map(|&group| Some(wanted.contains(KeyGroup(group)))).collect())
    }

    /// Takes a batch apart. The types of its key and value columns are checked where they are encoded.
    ///
    /// # Errors
    /// When the batch is not a snapshot of the table.
    pub(super) fn new(spec: &TableSpec, batch: &RecordBatch) -> Result<Self> {
        let groups = group_column(spec.name(), batch)?.clone();
        let removed = batch.column(1).as_boolean_opt().filter(|removed| removed.null_count() == 0);
        let removed = removed.ok_or_else(|| not_a_snapshot(spec.name(), REMOVED_COLUMN))?.clone();
        let (keys, columns) = (spec.keys().fields().len(), batch.num_columns() - OWN_COLUMNS);
        let expected = keys + spec.values().fields().len();
        if columns != expected {
            let what = format!("state table {} has {expected} columns, the snapshot to restore {columns}", spec.name());
            return Err(Error::InvalidArgument(what));
        }
        Ok(Parsed {
            groups,
            removed,
            keys: columns_of(batch, OWN_COLUMNS..OWN_COLUMNS + keys)?,
            values: columns_of(batch, OWN_COLUMNS + keys..batch.num_columns())?,
        })
    }

    /// Checks that the rows still belong to the key groups that they were written with.
    ///
    /// # Errors
    /// When one does not: its state would be looked for in another task.
    pub(super) fn check_groups(&self, table: &str, hashed: &[u16]) -> Result<()> {
        match self.groups.values().iter().zip(hashed).find(|(written, hashed)| written != hashed) {
            None => Ok(()),
            Some((written, hashed)) => Err(Error::InvalidArgument(format!(
                "state table {table}: a key of the snapshot to restore was written in key group {written} and belongs to key group \
                 {hashed}: the snapshot was taken of another table, or with another hash function"
            ))),
        }
    }
}

fn group_column<'a>(table: &str, batch: &'a RecordBatch) -> Result<&'a UInt16Array> {
    let groups = batch.columns().first().filter(|_| batch.num_columns() >= OWN_COLUMNS);
    let groups = groups.and_then(|column| column.as_primitive_opt::<UInt16Type>()).filter(|groups| groups.null_count() == 0);
    groups.ok_or_else(|| not_a_snapshot(table, GROUP_COLUMN))
}

fn not_a_snapshot(table: &str, column: &str) -> Error {
    Error::InvalidArgument(format!("state table {table}: the batch to restore is not a snapshot, as it has no column {column}"))
}

fn columns_of(batch: &RecordBatch, columns: std::ops::Range<usize>) -> Result<RecordBatch> {
    let fields: Vec<_> = batch.schema_ref().fields()[columns.clone()].iter().map(Arc::clone).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), batch.columns()[columns].to_vec(), &options)?)
}
