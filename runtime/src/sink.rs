//! Where rows go: the traits that the author of a sink implements.
//!
//! A sink has two halves. [`SinkWriter`]s live in the sink's tasks: they write an epoch's rows where no reader sees them and *stage*
//! them durably at the barrier. The [`Sink`] lives with the coordinator and *commits*: once every task has staged and every
//! operator's snapshot is durable, it makes the epoch visible. After a failure between the two, the sink is asked what it
//! [committed last](Sink::last_committed), and an epoch that it already has is not given to it again.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::types::{Epoch, EpochInfo, NodeId, QueryId};

/// What a sink is given when it opens.
#[derive(Debug, Clone)]
pub struct SinkContext {
    /// The sink's name in the topology.
    pub node: NodeId,
    /// The query's id, the same over restarts.
    pub query: QueryId,
    /// The columns of the rows.
    pub schema: SchemaRef,
    /// How many tasks write to the sink.
    pub parallelism: usize,
    /// The newest epoch that the checkpoint has committed; `None` on a new checkpoint. What was staged for a later epoch belongs
    /// to a run that is gone and may be removed.
    pub committed: Option<Epoch>,
}

/// What one task staged for one epoch, in the sink's own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// How many rows.
    pub rows: u64,
    /// What [`Sink::commit`] needs to know.
    payload: Vec<u8>,
}

impl Staged {
    /// Rows, and what `commit` needs to know of them.
    ///
    /// # Errors
    /// When `payload` can't be written as JSON.
    pub fn encode(rows: u64, payload: &impl Serialize) -> Result<Self> {
        Ok(Staged { rows, payload: serde_json::to_vec(payload).map_err(Error::user)? })
    }

    /// Reads the payload back.
    ///
    /// # Errors
    /// When it is not of this form.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.payload).map_err(Error::user)
    }
}

/// What a sink knows of its own past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastCommitted {
    /// It keeps no record: an epoch may come to it again after a failure between its commit and the checkpoint's.
    Untracked,
    /// It keeps a record, which is empty.
    Nothing,
    /// The newest epoch in its record.
    Epoch(Epoch),
}

/// The committing half of a sink. All calls come from one thread, one at a time.
pub trait Sink: Send {
    /// Called once before anything else. Remove here what an earlier run staged and did not commit.
    ///
    /// # Errors
    /// When the sink can't be written to, or belongs to another query.
    fn open(&mut self, _context: SinkContext) -> Result<()> {
        Ok(())
    }

    /// The newest epoch that is visible to readers. Asked at every start.
    ///
    /// # Errors
    /// When the record can't be read.
    fn last_committed(&mut self) -> Result<LastCommitted>;

    /// A writer for one task.
    ///
    /// # Errors
    /// When it can't be made.
    fn writer(&mut self, subtask: usize) -> Result<Box<dyn SinkWriter>>;

    /// Makes an epoch visible, once and whole, and records that it is. `staged` holds one entry for each task, in their order.
    /// Epochs come in order; one that was committed before may come again and must change nothing.
    ///
    /// # Errors
    /// Any error fails the query; the epoch is run and staged anew.
    fn commit(&mut self, epoch: Epoch, staged: Vec<Staged>) -> Result<()>;

    /// The query ends in good order.
    ///
    /// # Errors
    /// Any error fails the query.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The writing half of a sink: one per task, on the task's own thread, where it may block.
pub trait SinkWriter: Send {
    /// Takes rows of an epoch. Empty batches are not delivered.
    ///
    /// # Errors
    /// Any error fails the query.
    fn write(&mut self, epoch: EpochInfo, batch: RecordBatch) -> Result<()>;

    /// All rows of the epoch are in: make them durable, not yet visible. Called also for an epoch without rows. Rows of the next
    /// epoch may follow before this one is committed.
    ///
    /// # Errors
    /// Any error fails the query.
    fn stage(&mut self, epoch: EpochInfo) -> Result<Staged>;
}

/// Makes sinks of one kind: what a topology holds, so that a query can be started again.
pub trait SinkSupplier: Send + Sync {
    /// Whether the sink can take rows of this schema.
    ///
    /// # Errors
    /// When it can't; the message names the column.
    fn check_input(&self, _schema: &SchemaRef) -> Result<()> {
        Ok(())
    }

    /// A new sink.
    ///
    /// # Errors
    /// When the configuration can't be used.
    fn supply(&self) -> Result<Box<dyn Sink>>;

    /// Where it writes, in a few words, without secrets.
    fn describe(&self) -> String;
}
