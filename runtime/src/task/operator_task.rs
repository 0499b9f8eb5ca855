//! The loop of an operator's task.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Sender, select};

use super::{AckSender, OpenEpoch, SnapshotJob, TaskAck, TaskSpans};
use crate::checkpoint::StateReader;
use crate::edge::{Cancel, GateEvent, InputGate, Output};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::message::Barrier;
use crate::metrics::TaskMetrics;
use crate::operator::{Operator, OperatorContext};
use crate::state::{KeyGroupRange, MemoryTable, StateStore, TableSpec};
use crate::types::{EpochInfo, TaskId, Watermark};

/// One task of an operator.
pub(crate) struct OperatorTask {
    pub(crate) task: TaskId,
    pub(crate) operator: Box<dyn Operator>,
    pub(crate) state: TaskState,
    pub(crate) gate: InputGate,
    pub(crate) output: Output,
    pub(crate) cancel: Cancel,
    pub(crate) metrics: Arc<TaskMetrics>,
    pub(crate) acks: AckSender,
    pub(crate) snapshots: Sender<SnapshotJob>,
    pub(crate) open_epoch: Arc<OpenEpoch>,
    /// Whether the supplier says that the operator reports event times.
    pub(crate) reports: bool,
    /// The greatest one that it has reported in the open epoch.
    pub(crate) reported: Option<Watermark>,
}

/// A task's part of its operator's state tables.
pub(crate) struct TaskState {
    tables: Vec<Box<dyn StateStore>>,
    parallelism: usize,
    /// The checkpoint holds the state of another parallelism: the next snapshot must be a whole one, to replace it.
    snapshot_all: bool,
}

impl TaskState {
    /// Reads the state that the checkpoint holds for the task's key groups.
    pub(crate) fn restore(task: &TaskId, parallelism: usize, specs: Vec<TableSpec>, reader: &StateReader) -> Result<Self> {
        let groups = KeyGroupRange::of_subtask(task.subtask, parallelism);
        let mut tables: Vec<Box<dyn StateStore>> = Vec::with_capacity(specs.len());
        for spec in specs {
            let mut table = MemoryTable::new(spec.clone(), groups)?;
            reader.read(&task.node, &spec, &mut |batch| table.restore(&batch, groups))?;
            tables.push(Box::new(table));
        }
        let snapshot_all = reader.parallelism(&task.node).is_some_and(|logged| logged != parallelism);
        Ok(TaskState { tables, parallelism, snapshot_all })
    }

    /// The changes of the epoch, table by table; tables without any are left out. Of a table that has no more rows than have changed
    /// it is all rows: where rows come and go with event time, that is less to write, and neither has to be merged with what was
    /// written before.
    fn snapshot(&mut self) -> Result<Vec<(TableSpec, crate::state::Snapshot)>> {
        let all = std::mem::take(&mut self.snapshot_all);
        let mut snapshots = Vec::new();
        for table in &mut self.tables {
            let changes = table.changes();
            let all = all || (changes > 0 && table.len() <= changes);
            let snapshot = if all { table.snapshot_all()? } else { table.snapshot()? };
            if all || snapshot.rows > 0 {
                snapshots.push((table.spec().clone(), snapshot));
            }
        }
        Ok(snapshots)
    }

    fn measure(&self, metrics: &TaskMetrics) {
        let rows: usize = self.tables.iter().map(|table| table.len()).sum();
        let bytes: usize = self.tables.iter().map(|table| table.memory_bytes()).sum();
        metrics.state(rows as u64, bytes as u64);
    }
}

impl OperatorTask {
    pub(crate) fn run(mut self) -> Result<()> {
        let mut spans = TaskSpans::new(Arc::clone(&self.open_epoch));
        self.state.measure(&self.metrics);
        self.call(None, |operator, context| operator.open(context))?;
        loop {
            match self.gate.next_event()? {
                GateEvent::Batch(port, epoch, batch) => {
                    spans.enter(epoch.epoch);
                    failpoint::hit("run.mid")?;
                    self.call(Some(epoch), |operator, context| operator.process(port, batch, context))?;
                }
                GateEvent::Barrier(barrier) => {
                    spans.enter(barrier.epoch.epoch);
                    self.end_epoch(barrier)?;
                }
                GateEvent::End => {
                    self.operator.close()?;
                    return self.output.end();
                }
            }
        }
    }

    /// What the epoch owes goes out before its barrier; the snapshot is taken between the two, and written elsewhere.
    fn end_epoch(&mut self, barrier: Barrier) -> Result<()> {
        self.call(Some(barrier.epoch), |operator, context| operator.end_epoch(context))?;
        failpoint::hit("align.before")?;
        let snapshots = self.state.snapshot()?;
        self.state.measure(&self.metrics);
        self.output.barrier(barrier)?;
        failpoint::hit("align.half")?;
        self.acknowledge(barrier.epoch, snapshots)
    }

    fn acknowledge(&mut self, epoch: EpochInfo, tables: Vec<(TableSpec, crate::state::Snapshot)>) -> Result<()> {
        let reported = self.reported.take();
        if reported.is_some() && !self.reports {
            return Err(Error::InvalidArgument("reports event times; its supplier says that it does not".to_owned()));
        }
        let (task, metrics) = (self.task.clone(), self.metrics.read());
        let ack = TaskAck { task, epoch: epoch.epoch, runs: Vec::new(), staged: None, reported, metrics };
        if tables.is_empty() {
            (self.acks)(ack);
            return Ok(());
        }
        let job = SnapshotJob { ack, parallelism: self.state.parallelism, tables, metrics: Arc::clone(&self.metrics) };
        select! {
            send(self.snapshots, job) -> sent => sent.map_err(|_| Error::PeerGone),
            recv(self.cancel) -> _ => Err(Error::Cancelled),
        }
    }

    fn call(
        &mut self,
        epoch: Option<EpochInfo>,
        call: impl FnOnce(&mut dyn Operator, &mut OperatorContext<'_>) -> Result<()>,
    ) -> Result<()> {
        let (started, blocked) = (Instant::now(), self.metrics.blocked_so_far());
        let (tables, output, reported) = (&mut self.state.tables, &mut self.output, &mut self.reported);
        let mut context = OperatorContext { task: &self.task, epoch, tables, output, reported };
        let result = call(self.operator.as_mut(), &mut context);
        self.metrics.busy(started.elapsed().saturating_sub(self.metrics.blocked_so_far() - blocked));
        result
    }
}
