//! Drives one instance of an operator by hand, without threads, epochs or a checkpoint.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use crate::edge::{CancelGuard, EdgeReceiver, Output, OutputEdge, Router, cancel_pair, edge};
use crate::error::{Error, Result};
use crate::message::{Barrier, Message};
use crate::metrics::TaskMetrics;
use crate::operator::{Operator, OperatorContext, OperatorSupplier};
use crate::state::{KeyGroupRange, MemoryTable, StateStore, TableSpec};
use crate::types::{Epoch, EpochInfo, NodeId, Port, TaskId, Watermark};

/// One instance of an operator under test.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::datatypes::SchemaRef;
/// use arrow::record_batch::RecordBatch;
/// use tidegate_runtime::testkit::OperatorHarness;
/// use tidegate_runtime::{Operator, OperatorContext, OperatorSupplier, Port, Result};
///
/// struct Pass;
/// impl Operator for Pass {
///     fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
///         context.emit(batch)
///     }
/// }
/// impl OperatorSupplier for Pass {
///     fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
///         Ok(inputs[0].clone())
///     }
///     fn supply(&self) -> Result<Box<dyn Operator>> {
///         Ok(Box::new(Pass))
///     }
///     fn describe(&self) -> String {
///         "pass".to_owned()
///     }
/// }
///
/// let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
/// let mut pass = OperatorHarness::new(&Pass, &[batch.schema()])?;
/// pass.process(0, batch.clone())?;
/// assert_eq!(pass.end_epoch()?, [batch]); // what it emitted in the epoch
/// assert!(pass.snapshot()?.is_empty()); // it has no state
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
pub struct OperatorHarness {
    operator: Box<dyn Operator>,
    task: TaskId,
    groups: KeyGroupRange,
    tables: Vec<Box<dyn StateStore>>,
    output: Output,
    emitted: EdgeReceiver,
    epoch: EpochInfo,
    reported: Option<Watermark>,
    _guard: CancelGuard,
}

impl OperatorHarness {
    /// The only instance of the operator, with empty state.
    ///
    /// # Errors
    /// When the operator can't take such inputs, or its `open` fails.
    pub fn new(supplier: &dyn OperatorSupplier, inputs: &[SchemaRef]) -> Result<Self> {
        Self::restored(supplier, inputs, 0, 1, &[])
    }

    /// Instance `subtask` of `parallelism`, with the state of earlier snapshots: for each epoch in order, each task's snapshot as
    /// [`snapshot`](Self::snapshot) gave it.
    ///
    /// # Errors
    /// When the operator can't take such inputs, a snapshot is not its own, or its `open` fails.
    pub fn restored(
        supplier: &dyn OperatorSupplier,
        inputs: &[SchemaRef],
        subtask: usize,
        parallelism: usize,
        snapshots: &[Vec<(String, Vec<RecordBatch>)>],
    ) -> Result<Self> {
        let groups = KeyGroupRange::of_subtask(subtask, parallelism);
        let specs = supplier.state(inputs)?;
        let tables = specs.into_iter().map(|spec| restore(spec, groups, snapshots)).collect::<Result<Vec<_>>>()?;
        let (target, emitted) = edge(1 << 16);
        let (guard, cancel) = cancel_pair();
        let edges = vec![OutputEdge { router: Router::Single, targets: vec![target] }];
        let mut harness = OperatorHarness {
            operator: supplier.supply()?,
            task: TaskId { node: NodeId::new("harness"), subtask },
            groups,
            tables,
            output: Output::new(edges, cancel, Arc::new(TaskMetrics::default())),
            emitted,
            epoch: EpochInfo { epoch: Epoch::FIRST, trigger_time_ms: 0, watermark: None, late_watermark: None },
            reported: None,
            _guard: guard,
        };
        harness.with_context(None, |operator, context| operator.open(context))?;
        Ok(harness)
    }

    /// The key groups of this instance.
    pub fn groups(&self) -> KeyGroupRange {
        self.groups
    }

    /// Sets what the next epoch is given by its plan.
    pub fn set_epoch(&mut self, epoch: EpochInfo) {
        self.epoch = epoch;
    }

    /// Sets the watermarks of the open epoch and those after it: `late` judges rows, `watermark` removes state.
    pub fn set_watermarks(&mut self, late: Watermark, watermark: Watermark) {
        (self.epoch.late_watermark, self.epoch.watermark) = (Some(late), Some(watermark));
    }

    /// The greatest event time that the operator has reported since the last call.
    pub fn take_reported(&mut self) -> Option<Watermark> {
        self.reported.take()
    }

    /// How many late rows the operator has counted.
    pub fn late_rows(&self) -> u64 {
        self.output.metrics().read().late_rows
    }

    /// How many rows its state has.
    pub fn state_rows(&self) -> usize {
        self.tables.iter().map(|table| table.len()).sum()
    }

    /// Gives the operator rows on a port.
    ///
    /// # Errors
    /// The operator's.
    pub fn process(&mut self, port: usize, batch: RecordBatch) -> Result<()> {
        self.with_context(Some(self.epoch), |operator, context| operator.process(Port(port), batch, context))
    }

    /// Ends the epoch; gives the batches that the operator emitted in it.
    ///
    /// # Errors
    /// The operator's.
    pub fn end_epoch(&mut self) -> Result<Vec<RecordBatch>> {
        self.with_context(Some(self.epoch), |operator, context| operator.end_epoch(context))?;
        self.output.barrier(Barrier { epoch: self.epoch })?;
        self.epoch.epoch = self.epoch.epoch.next();
        let mut batches = Vec::new();
        while let Ok(message) = self.emitted.channel().try_recv() {
            self.emitted.take();
            match message {
                Message::Batch(batch) => batches.push(batch.batch),
                Message::Barrier(_) => return Ok(batches),
                Message::End => break,
            }
        }
        Err(Error::Protocol("the operator's output has no barrier".to_owned()))
    }

    /// The state's changes since the last call, by table.
    ///
    /// # Errors
    /// The store's.
    pub fn snapshot(&mut self) -> Result<Vec<(String, Vec<RecordBatch>)>> {
        self.tables.iter_mut().map(|t| Ok((t.spec().name().to_owned(), t.snapshot()?.into_batches()?))).collect()
    }

    fn with_context(
        &mut self,
        epoch: Option<EpochInfo>,
        call: impl FnOnce(&mut dyn Operator, &mut OperatorContext<'_>) -> Result<()>,
    ) -> Result<()> {
        let (tables, output, reported) = (&mut self.tables, &mut self.output, &mut self.reported);
        let mut context = OperatorContext { task: &self.task, epoch, tables, output, reported };
        call(self.operator.as_mut(), &mut context)
    }
}

fn restore(spec: TableSpec, groups: KeyGroupRange, snapshots: &[Vec<(String, Vec<RecordBatch>)>]) -> Result<Box<dyn StateStore>> {
    let mut table = MemoryTable::new(spec, groups)?;
    for (name, batches) in snapshots.iter().flatten() {
        if name == table.spec().name() {
            batches.iter().try_for_each(|batch| table.restore(batch, groups))?;
        }
    }
    Ok(Box::new(table))
}

impl std::fmt::Debug for OperatorHarness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperatorHarness").field("task", &self.task).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
