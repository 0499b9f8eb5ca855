//! What happens to rows on their way: the trait that the author of an operator implements.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use crate::edge::Output;
use crate::error::{Error, Result};
use crate::state::{StateStore, TableSpec};
use crate::types::{EpochInfo, Port, TaskId, Watermark};

/// One parallel instance of an operator. It runs on a thread of its own, so its methods may compute or block as they like.
///
/// The runtime calls [`open`](Operator::open) once, then for each epoch [`process`](Operator::process) for every batch and
/// [`end_epoch`](Operator::end_epoch) once all inputs have delivered the epoch's barrier, then [`close`](Operator::close). State
/// kept in [`OperatorContext::state`] is snapshotted after `end_epoch` and restored before `open`; anything else that an operator
/// keeps across epochs is lost by a restart.
///
/// An error or a panic fails the query with this task named as its cause, and never the process.
///
/// ```
/// use arrow::record_batch::RecordBatch;
/// use tidegate_runtime::{Operator, OperatorContext, Port, Result};
///
/// /// Passes on the first rows of each epoch.
/// struct Head { limit: usize, seen: usize }
///
/// impl Operator for Head {
///     fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
///         let rows = batch.num_rows().min(self.limit - self.seen);
///         self.seen += rows;
///         context.emit(batch.slice(0, rows))
///     }
///     fn end_epoch(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
///         self.seen = 0;
///         Ok(())
///     }
/// }
/// ```
pub trait Operator: Send {
    /// Called once, with the state restored, before the first batch.
    ///
    /// # Errors
    /// Any error fails the query.
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        Ok(())
    }

    /// Takes rows of the open epoch from one input. Empty batches are not delivered.
    ///
    /// # Errors
    /// Any error fails the query.
    fn process(&mut self, port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()>;

    /// The epoch's rows are all in: emit what it owes. What is emitted here still belongs to the epoch, and what is put into the
    /// state here is in its snapshot.
    ///
    /// # Errors
    /// Any error fails the query.
    fn end_epoch(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        Ok(())
    }

    /// The input has ended, with a stop or for good. Not called when the query fails or is cancelled. Rows can't be emitted here:
    /// they would belong to no epoch.
    ///
    /// # Errors
    /// Any error fails the query.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What the runtime gives an operator with every call.
pub struct OperatorContext<'a> {
    pub(crate) task: &'a TaskId,
    pub(crate) epoch: Option<EpochInfo>,
    pub(crate) tables: &'a mut [Box<dyn StateStore>],
    pub(crate) output: &'a mut Output,
    /// The greatest event time reported since the last barrier.
    pub(crate) reported: &'a mut Option<Watermark>,
}

impl OperatorContext<'_> {
    /// The task that the operator runs in.
    pub fn task(&self) -> &TaskId {
        self.task
    }

    /// The open epoch.
    ///
    /// # Errors
    /// In `open`, where there is none yet.
    pub fn epoch(&self) -> Result<EpochInfo> {
        self.epoch.ok_or_else(|| Error::InvalidArgument(format!("task {}: no epoch is open before the first batch", self.task)))
    }

    /// Passes rows on to everything downstream. Blocks while that is busy. An empty batch is dropped.
    ///
    /// # Errors
    /// When the query is being cancelled: return it. Also when no epoch is open, as in `open`.
    pub fn emit(&mut self, batch: RecordBatch) -> Result<()> {
        let epoch = self.epoch()?;
        self.output.batch(epoch, batch)
    }

    /// Reports how far event time has come: the greatest that the operator has seen, less the delay that it allows. It may be called
    /// any number of times and with any values; the greatest of the epoch counts, and moves the watermark of epochs that are
    /// planned after this one's commit. The supplier has to say that its operators
    /// [report](OperatorSupplier::reports_watermark).
    pub fn report_event_time(&mut self, watermark: Watermark) {
        *self.reported = (*self.reported).max(Some(watermark));
    }

    /// Counts rows that are dropped because they came after the watermark had passed them.
    pub fn count_late(&self, rows: usize) {
        self.output.metrics().late(rows as u64);
    }

    /// The state table that the operator declared under this name.
    ///
    /// # Errors
    /// When it declared none of that name.
    pub fn state(&mut self, table: &str) -> Result<&mut dyn StateStore> {
        match self.tables.iter_mut().find(|store| store.spec().name() == table) {
            Some(store) => Ok(store.as_mut()),
            None => Err(Error::InvalidArgument(format!("task {} declared no state table {table}", self.task))),
        }
    }
}

impl std::fmt::Debug for OperatorContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperatorContext").field("task", self.task).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// Makes the parallel instances of an operator and says, before anything runs, what it takes, gives and keeps.
///
/// ```
/// use arrow::datatypes::SchemaRef;
/// use tidegate_runtime::{Operator, OperatorSupplier, Result};
/// # use arrow::record_batch::RecordBatch;
/// # use tidegate_runtime::{OperatorContext, Port};
/// # struct Head { limit: usize, seen: usize }
/// # impl Operator for Head {
/// #     fn process(&mut self, _: Port, b: RecordBatch, c: &mut OperatorContext<'_>) -> Result<()> { c.emit(b) }
/// # }
///
/// struct HeadOf(usize);
///
/// impl OperatorSupplier for HeadOf {
///     fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
///         Ok(inputs[0].clone())
///     }
///     fn supply(&self) -> Result<Box<dyn Operator>> {
///         Ok(Box::new(Head { limit: self.0, seen: 0 }))
///     }
///     fn describe(&self) -> String {
///         format!("first {} rows of each epoch", self.0)
///     }
/// }
/// ```
pub trait OperatorSupplier: Send + Sync {
    /// The columns of the rows it emits, from those of its inputs (one schema for each port, at least one).
    ///
    /// # Errors
    /// When it can't take such inputs; the message names the column.
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef>;

    /// The state tables that each instance keeps.
    ///
    /// # Errors
    /// When the inputs have no such columns.
    fn state(&self, _inputs: &[SchemaRef]) -> Result<Vec<TableSpec>> {
        Ok(Vec::new())
    }

    /// Whether its instances report how far event time has come, with [`OperatorContext::report_event_time`]. A query has a
    /// watermark if any of its operators does.
    fn reports_watermark(&self) -> bool {
        false
    }

    /// Whether an instance has something to do when the watermark moves, also when it gets no rows: results to emit, state to
    /// remove. The query then runs an epoch without input after one that moved the watermark.
    fn needs_watermark_epochs(&self) -> bool {
        false
    }

    /// A new instance. Called once for each task, at every start.
    ///
    /// # Errors
    /// When it can't be made.
    fn supply(&self) -> Result<Box<dyn Operator>>;

    /// The instances of all tasks of a run, in their order. To be implemented where they share something.
    ///
    /// # Errors
    /// When one can't be made.
    fn supply_all(&self, parallelism: usize) -> Result<Vec<Box<dyn Operator>>> {
        (0..parallelism).map(|_| self.supply()).collect()
    }

    /// What it does, in a few words, for `Topology::describe`.
    fn describe(&self) -> String;
}
