//! The loop of a sink's task.

use std::sync::Arc;
use std::time::Instant;

use super::{AckSender, OpenEpoch, TaskAck, TaskSpans};
use crate::edge::{GateEvent, InputGate};
use crate::error::Result;
use crate::failpoint;
use crate::metrics::TaskMetrics;
use crate::sink::{SinkWriter, Staged};
use crate::types::{Epoch, EpochInfo, TaskId};

/// One task of a sink.
pub(crate) struct SinkTask {
    pub(crate) task: TaskId,
    pub(crate) writer: Box<dyn SinkWriter>,
    pub(crate) gate: InputGate,
    /// Epochs up to this one are in the sink already: their rows, which come again in a replay, are dropped.
    pub(crate) has_until: Option<Epoch>,
    pub(crate) metrics: Arc<TaskMetrics>,
    pub(crate) acks: AckSender,
    pub(crate) open_epoch: Arc<OpenEpoch>,
}

impl SinkTask {
    pub(crate) fn run(mut self) -> Result<()> {
        let mut spans = TaskSpans::new(Arc::clone(&self.open_epoch));
        loop {
            match self.gate.next_event()? {
                GateEvent::Batch(_, epoch, batch) => {
                    spans.enter(epoch.epoch);
                    if !self.has(epoch) {
                        let started = Instant::now();
                        self.writer.write(epoch, batch)?;
                        self.metrics.busy(started.elapsed());
                    }
                }
                GateEvent::Barrier(barrier) => {
                    spans.enter(barrier.epoch.epoch);
                    let staged = self.stage(barrier.epoch)?;
                    self.acknowledge(barrier.epoch, staged);
                }
                GateEvent::End => return Ok(()),
            }
        }
    }

    fn has(&self, epoch: EpochInfo) -> bool {
        self.has_until.is_some_and(|has| epoch.epoch <= has)
    }

    fn stage(&mut self, epoch: EpochInfo) -> Result<Option<Staged>> {
        if self.has(epoch) {
            return Ok(None);
        }
        failpoint::hit("sink.before_stage")?;
        let started = Instant::now();
        let staged = self.writer.stage(epoch)?;
        self.metrics.busy(started.elapsed());
        failpoint::hit("sink.staged")?;
        Ok(Some(staged))
    }

    fn acknowledge(&self, epoch: EpochInfo, staged: Option<Staged>) {
        let (task, metrics) = (self.task.clone(), self.metrics.read());
        (self.acks)(TaskAck { task, epoch: epoch.epoch, runs: Vec::new(), staged, reported: None, metrics });
    }
}
