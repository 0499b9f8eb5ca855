//! The loops that run on the tasks' threads. They know channels, not actors: each can be run on any thread and tested there.
//!
//! `SourceTask` waits for the coordinator's command, `OperatorTask` and `SinkTask` for their gate; all of them also for the
//! cancel signal. The snapshot thread serialises what operators hand over at a barrier.

mod operator_task;
mod sink_task;
mod snapshot_thread;
mod source_task;
pub(crate) mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub(crate) use operator_task::{OperatorTask, TaskState};
pub(crate) use sink_task::SinkTask;
pub(crate) use snapshot_thread::{SnapshotJob, SnapshotThread};
pub(crate) use source_task::{SourceCommand, SourceTask};

use crate::checkpoint::NewRun;
use crate::error::Result;
use crate::metrics::TaskMetricsSnapshot;
use crate::sink::Staged;
use crate::types::{Epoch, RunId, TaskId, Watermark};

/// A task has done its part of an epoch, durably.
#[derive(Debug)]
pub(crate) struct TaskAck {
    pub(crate) task: TaskId,
    pub(crate) epoch: Epoch,
    /// An operator's snapshot, by table; tables without changes are left out.
    pub(crate) runs: Vec<NewRun>,
    /// What a sink staged; `None` when the sink has the epoch already, and for other tasks.
    pub(crate) staged: Option<Staged>,
    /// The greatest event time that an operator reported in the epoch.
    pub(crate) reported: Option<Watermark>,
    /// The task's counters at its barrier.
    pub(crate) metrics: TaskMetricsSnapshot,
}

/// Takes acknowledgements to the coordinator.
pub(crate) type AckSender = Arc<dyn Fn(TaskAck) + Send + Sync>;

/// A task's thread has ended.
#[derive(Debug)]
pub(crate) struct TaskExit {
    pub(crate) run: RunId,
    pub(crate) task: TaskId,
    /// The epoch that was open.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) result: Result<()>,
}

/// The epoch that is open in a task, readable from outside so that a panic can be reported with it.
#[derive(Debug)]
pub(crate) struct OpenEpoch(AtomicU64);

impl OpenEpoch {
    const NONE: u64 = u64::MAX;

    pub(crate) fn set(&self, epoch: Epoch) {
        self.0.store(epoch.number(), Relaxed);
    }

    pub(crate) fn get(&self) -> Option<Epoch> {
        match self.0.load(Relaxed) {
            Self::NONE => None,
            number => Some(Epoch::new(number)),
        }
    }
}

impl Default for OpenEpoch {
    fn default() -> Self {
        OpenEpoch(AtomicU64::new(Self::NONE))
    }
}

/// The spans that a task's log lines are in: the task's, entered once, and the open epoch's, replaced at each barrier.
#[derive(Debug)]
pub(crate) struct TaskSpans {
    epoch: Option<(Epoch, tracing::span::EnteredSpan)>,
    open: Arc<OpenEpoch>,
}

impl TaskSpans {
    pub(crate) fn new(open: Arc<OpenEpoch>) -> Self {
        TaskSpans { epoch: None, open }
    }

    /// Enters the epoch, if it is not the one that is entered already.
    pub(crate) fn enter(&mut self, epoch: Epoch) {
        if self.epoch.as_ref().is_none_or(|(entered, _)| *entered != epoch) {
            self.open.set(epoch);
            // The old span must be left before the new one is entered, or they would nest.
            self.epoch = None;
            self.epoch = Some((epoch, tracing::debug_span!("epoch", %epoch).entered()));
        }
    }
}
