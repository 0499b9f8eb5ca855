//! The loop of a source's task.

use std::sync::Arc;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use crossbeam_channel::{Receiver, select};

use super::{AckSender, OpenEpoch, TaskAck, TaskSpans};
use crate::edge::{Cancel, Output};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::message::Barrier;
use crate::metrics::TaskMetrics;
use crate::source::{SourceOutput, SourceReader, Split};
use crate::types::{EpochInfo, TaskId};

/// What the coordinator tells a source's task.
#[derive(Debug)]
pub(crate) enum SourceCommand {
    /// Read these splits, then send the epoch's barrier.
    RunEpoch { epoch: EpochInfo, splits: Vec<Split> },
    /// No epoch will follow: end the edges.
    Drain,
}

/// One task of a source.
pub(crate) struct SourceTask {
    pub(crate) task: TaskId,
    pub(crate) reader: Box<dyn SourceReader>,
    pub(crate) commands: Receiver<SourceCommand>,
    pub(crate) cancel: Cancel,
    pub(crate) output: Output,
    pub(crate) metrics: Arc<TaskMetrics>,
    pub(crate) acks: AckSender,
    pub(crate) open_epoch: Arc<OpenEpoch>,
}

impl SourceTask {
    pub(crate) fn run(mut self) -> Result<()> {
        let mut spans = TaskSpans::new(Arc::clone(&self.open_epoch));
        loop {
            match self.next_command()? {
                SourceCommand::RunEpoch { epoch, splits } => {
                    spans.enter(epoch.epoch);
                    self.run_epoch(epoch, &splits)?;
                }
                SourceCommand::Drain => return self.output.end(),
            }
        }
    }

    fn next_command(&self) -> Result<SourceCommand> {
        let waiting = Instant::now();
        let command = select! {
            recv(self.commands) -> command => command.map_err(|_| Error::Cancelled),
            recv(self.cancel) -> _ => Err(Error::Cancelled),
        };
        self.metrics.idle(waiting.elapsed());
        command
    }

    fn run_epoch(&mut self, epoch: EpochInfo, splits: &[Split]) -> Result<()> {
        let (started, blocked) = (Instant::now(), self.metrics.blocked_so_far());
        let SourceTask { reader, output, metrics, .. } = self;
        let mut emit = |batch: RecordBatch| {
            if batch.num_rows() > 0 {
                failpoint::hit("run.read")?;
                metrics.batch_in(&batch);
            }
            output.batch(epoch, batch)
        };
        let mut uncounted = 0u64;
        for split in splits {
            let mut out = SourceOutput::new(epoch, &mut emit);
            reader.read(split, &mut out)?;
            uncounted = uncounted.wrapping_add(out.uncounted());
        }
        metrics.rows_in(uncounted);
        metrics.busy(started.elapsed().saturating_sub(metrics.blocked_so_far() - blocked));
        output.barrier(Barrier { epoch })?;
        let (task, metrics) = (self.task.clone(), metrics.read());
        (self.acks)(TaskAck { task, epoch: epoch.epoch, runs: Vec::new(), staged: None, reported: None, metrics });
        Ok(())
    }
}
