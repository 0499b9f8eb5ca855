//! The thread that serialises a query's snapshots, so that tasks go on with the next epoch meanwhile.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Receiver;

use super::{AckSender, TaskAck};
use crate::checkpoint::SnapshotWriter;
use crate::error::Result;
use crate::failpoint;
use crate::metrics::TaskMetrics;
use crate::state::{Snapshot, TableSpec};

/// A task's snapshot of one epoch, to be written before the task's acknowledgement goes out.
pub(crate) struct SnapshotJob {
    pub(crate) ack: TaskAck,
    pub(crate) parallelism: usize,
    pub(crate) tables: Vec<(TableSpec, Snapshot)>,
    pub(crate) metrics: Arc<TaskMetrics>,
}

/// The loop of the snapshot thread.
pub(crate) struct SnapshotThread {
    pub(crate) jobs: Receiver<SnapshotJob>,
    pub(crate) writer: SnapshotWriter,
    pub(crate) acks: AckSender,
}

impl SnapshotThread {
    /// Runs until all tasks that could send a job are gone.
    pub(crate) fn run(self) -> Result<()> {
        for job in &self.jobs {
            let ack = self.write(job)?;
            (self.acks)(ack);
        }
        Ok(())
    }

    fn write(&self, job: SnapshotJob) -> Result<TaskAck> {
        let SnapshotJob { mut ack, parallelism, tables, metrics } = job;
        let started = Instant::now();
        let (mut rows, mut bytes) = (0, 0);
        for (spec, snapshot) in tables {
            failpoint::hit("state.mid")?;
            if let Some(run) = self.writer.write(&ack.task, parallelism, ack.epoch, &spec, snapshot)? {
                rows += run.rows();
                bytes += run.bytes();
                ack.runs.push(run);
            }
        }
        metrics.snapshot(rows, bytes, started.elapsed());
        // Only these: the task may be counting rows of the next epoch already.
        let written = metrics.read();
        ack.metrics.snapshot_rows = written.snapshot_rows;
        ack.metrics.snapshot_bytes = written.snapshot_bytes;
        ack.metrics.snapshot = written.snapshot;
        Ok(ack)
    }
}
