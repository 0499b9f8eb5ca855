//! The sending side of a task: the only place that waits for room.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};

use super::exchange::Router;
use crate::error::{Error, Result};
use crate::message::{Barrier, EpochBatch, Message};
use crate::metrics::TaskMetrics;
use crate::types::EpochInfo;

/// Ends every wait of a query when its [`CancelGuard`] is dropped. Nothing is ever sent on it.
pub type Cancel = Receiver<Infallible>;

/// Whoever holds it keeps the query running; dropping it cancels the query.
#[derive(Debug)]
pub struct CancelGuard {
    _alive: Sender<Infallible>,
}

/// A guard and the signal that fires when it is dropped.
pub fn cancel_pair() -> (CancelGuard, Cancel) {
    let (alive, cancel) = bounded(0);
    (CancelGuard { _alive: alive }, cancel)
}

/// One edge of the topology, seen from one of its producer tasks.
#[derive(Debug)]
pub struct OutputEdge {
    pub(crate) router: Router,
    pub(crate) targets: Vec<Sender<Message>>,
}

/// All edges that leave a task.
#[derive(Debug)]
pub struct Output {
    edges: Vec<OutputEdge>,
    sender: EdgeSender,
}

impl Output {
    /// The output of a task over these edges.
    pub fn new(edges: Vec<OutputEdge>, cancel: Cancel, metrics: Arc<TaskMetrics>) -> Self {
        Output { edges, sender: EdgeSender { cancel, metrics } }
    }

    /// Sends rows of an epoch to every edge.
    ///
    /// # Errors
    /// [`Error::Cancelled`] and [`Error::PeerGone`], which a caller passes on; and when the rows can't be split by key.
    pub fn batch(&mut self, epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let Output { edges, sender } = self;
        let Some((last, others)) = edges.split_last_mut() else { return Ok(()) };
        for edge in others {
            edge.route(epoch, batch.clone(), sender)?;
        }
        last.route(epoch, batch, sender)
    }

    /// Ends an epoch on every edge. There is no other way to send a barrier, so none can be sent on a part of the edges.
    ///
    /// # Errors
    /// [`Error::Cancelled`] and [`Error::PeerGone`].
    pub fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        let Output { edges, sender } = self;
        for edge in edges.iter_mut() {
            let OutputEdge { router, targets } = edge;
            router.flush(&mut |target, batch| sender.send_batch(&targets[target], barrier.epoch, batch))?;
        }
        self.to_all(&Message::Barrier(barrier))
    }

    /// Ends every edge for good.
    ///
    /// # Errors
    /// [`Error::Cancelled`] and [`Error::PeerGone`].
    pub fn end(&mut self) -> Result<()> {
        self.to_all(&Message::End)
    }

    fn to_all(&self, message: &Message) -> Result<()> {
        self.edges.iter().flat_map(|edge| &edge.targets).try_for_each(|target| self.sender.send(target, message.clone()))
    }
}

impl OutputEdge {
    fn route(&mut self, epoch: EpochInfo, batch: RecordBatch, sender: &EdgeSender) -> Result<()> {
        let OutputEdge { router, targets } = self;
        router.route(batch, targets.len(), &mut |target, batch| sender.send_batch(&targets[target], epoch, batch))
    }
}

/// What a send needs beside its channel.
#[derive(Debug)]
struct EdgeSender {
    cancel: Cancel,
    metrics: Arc<TaskMetrics>,
}

impl EdgeSender {
    fn send_batch(&self, target: &Sender<Message>, epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        self.metrics.batch_out(&batch);
        self.send(target, Message::Batch(EpochBatch { epoch, batch }))
    }

    fn send(&self, target: &Sender<Message>, message: Message) -> Result<()> {
        let message = match target.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(_)) => return Err(Error::PeerGone),
            Err(TrySendError::Full(message)) => message,
        };
        let waiting = Instant::now();
        let sent = select! {
            send(target, message) -> sent => sent.map_err(|_| Error::PeerGone),
            recv(self.cancel) -> _ => Err(Error::Cancelled),
        };
        self.metrics.blocked(waiting.elapsed());
        sent
    }
}
