//! The in-memory table (stub, being written).
#![allow(clippy::todo, reason = "stub")]
use super::{KeyGroupRange, Snapshot, StateRows, StateStore, TableSpec};
use crate::error::Result;
use arrow::record_batch::RecordBatch;

/// A state table in memory.
#[derive(Debug)]
pub struct MemoryTable {
    spec: TableSpec,
}

impl MemoryTable {
    /// An empty table for the rows of these key groups.
    ///
    /// # Errors
    /// When a column's type can't be kept.
    pub fn new(spec: TableSpec, _groups: KeyGroupRange) -> Result<Self> {
        Ok(MemoryTable { spec })
    }
}

impl StateStore for MemoryTable {
    fn spec(&self) -> &TableSpec {
        &self.spec
    }
    fn len(&self) -> usize {
        todo!()
    }
    fn memory_bytes(&self) -> usize {
        todo!()
    }
    fn get(&self, _keys: &RecordBatch) -> Result<StateRows> {
        todo!()
    }
    fn put(&mut self, _keys: &RecordBatch, _values: &RecordBatch) -> Result<()> {
        todo!()
    }
    fn remove(&mut self, _keys: &RecordBatch) -> Result<()> {
        todo!()
    }
    fn scan(&self, _batch_rows: usize) -> Box<dyn Iterator<Item = Result<RecordBatch>> + '_> {
        todo!()
    }
    fn snapshot(&mut self) -> Result<Snapshot> {
        todo!()
    }
    fn snapshot_all(&mut self) -> Result<Snapshot> {
        todo!()
    }
    fn restore(&mut self, _batch: &RecordBatch, _groups: KeyGroupRange) -> Result<()> {
        todo!()
    }
}
