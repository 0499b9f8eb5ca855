//! The sending side of a task: the only place that waits for room.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::channel::EdgeSender;
use super::exchange::Router;
use crate::error::{Error, Result};
use crate::message::{Barrier, EpochBatch, Message};
use crate::metrics::TaskMetrics;
use crate::types::EpochInfo;

/// Ends every wait of a query when its [`CancelGuard`] is dropped. Nothing is ever sent on it.
pub(crate) type Cancel = Receiver<Infallible>;

/// Whoever holds it keeps the query running; dropping it cancels the query.
#[derive(Debug)]
pub(crate) struct CancelGuard {
    _alive: Sender<Infallible>,
}

/// A guard and the signal that fires when it is dropped.
pub(crate) fn cancel_pair() -> (CancelGuard, Cancel) {
    let (alive, cancel) = bounded(0);
    (CancelGuard { _alive: alive }, cancel)
}

/// One edge of the topology, seen from one of its producer tasks.
#[derive(Debug)]
pub(crate) struct OutputEdge {
    pub(crate) router: Router,
    pub(crate) targets: Vec<EdgeSender>,
}

/// All edges that leave a task.
#[derive(Debug)]
pub(crate) struct Output {
    edges: Vec<OutputEdge>,
    sending: Sending,
}

impl Output {
    /// The output of a task over these edges.
    pub(crate) fn new(edges: Vec<OutputEdge>, cancel: Cancel, metrics: Arc<TaskMetrics>) -> Self {
        Output { edges, sending: Sending { cancel, metrics } }
    }

    /// What its task has done.
    pub(crate) fn metrics(&self) -> &TaskMetrics {
        &self.sending.metrics
    }

    /// Sends rows of an epoch to every edge.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) and [`Error::PeerGone`](crate::Error::PeerGone), which a caller passes on; and when the rows can't be split by key.
    pub(crate) fn batch(&mut self, epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return self.sending.check_cancel();
        }
        let Output { edges, sending } = self;
        let Some((last, others)) = edges.split_last_mut() else { return Ok(()) };
        for edge in others {
            edge.route(epoch, batch.clone(), sending)?;
        }
        last.route(epoch, batch, sending)
    }

    /// Ends an epoch on every edge. There is no other way to send a barrier, so none can be sent on a part of the edges.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) and [`Error::PeerGone`](crate::Error::PeerGone).
    pub(crate) fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        let Output { edges, sending } = self;
        for edge in edges.iter_mut() {
            let OutputEdge { router, targets } = edge;
            router.flush(&mut |target, batch| sending.batch(&mut targets[target], barrier.epoch, batch))?;
        }
        self.broadcast(&Message::Barrier(barrier))
    }

    /// Ends every edge for good.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) and [`Error::PeerGone`](crate::Error::PeerGone).
    pub(crate) fn end(&mut self) -> Result<()> {
        self.broadcast(&Message::End)
    }

    fn broadcast(&mut self, message: &Message) -> Result<()> {
        let Output { edges, sending } = self;
        let mut targets = edges.iter_mut().flat_map(|edge| &mut edge.targets);
        targets.try_for_each(|target| sending.message(target, message.clone()))
    }
}

impl OutputEdge {
    fn route(&mut self, epoch: EpochInfo, batch: RecordBatch, sending: &Sending) -> Result<()> {
        let OutputEdge { router, targets } = self;
        router.route(batch, targets.len(), &mut |target, batch| sending.batch(&mut targets[target], epoch, batch))
    }
}

/// What a send needs beside its edge.
#[derive(Debug)]
struct Sending {
    cancel: Cancel,
    metrics: Arc<TaskMetrics>,
}

impl Sending {
    /// Whether there is still anyone to send to.
    fn check_cancel(&self) -> Result<()> {
        match self.cancel.try_recv() {
            Err(TryRecvError::Disconnected) => Err(Error::Cancelled),
            Ok(_) | Err(TryRecvError::Empty) => Ok(()),
        }
    }

    fn batch(&self, target: &mut EdgeSender, epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        self.metrics.batch_out(&batch);
        self.message(target, Message::Batch(EpochBatch { epoch, batch }))
    }

    fn message(&self, target: &mut EdgeSender, message: Message) -> Result<()> {
        if target.has_room() {
            return target.send(message, &self.cancel);
        }
        let waiting = Instant::now();
        let sent = target.send(message, &self.cancel);
        self.metrics.blocked(waiting.elapsed());
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Epoch;
    use arrow::datatypes::Schema;

    #[test]
    fn a_batch_without_rows_asks_whether_the_query_goes_on() {
        let (guard, cancel) = cancel_pair();
        let mut output = Output::new(Vec::new(), cancel, Arc::default());
        let epoch = EpochInfo { epoch: Epoch::FIRST, trigger_time_ms: 0, watermark: None, late_watermark: None };
        let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
        assert!(output.batch(epoch, empty.clone()).is_ok());
        drop(guard);
        assert!(matches!(output.batch(epoch, empty), Err(Error::Cancelled)));
    }
}
