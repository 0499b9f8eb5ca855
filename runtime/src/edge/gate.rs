//! The receiving side of a task: the only place that waits for input, and the alignment of barriers.

use std::sync::Arc;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use crossbeam_channel::{Receiver, Select, TryRecvError};

use super::output::Cancel;
use crate::error::{Error, Result};
use crate::message::{Barrier, Message};
use crate::metrics::TaskMetrics;
use crate::types::{Epoch, EpochInfo, Port};

/// What a task receives next.
#[derive(Debug)]
pub enum GateEvent {
    /// Rows of the open epoch, from one port.
    Batch(Port, EpochInfo, RecordBatch),
    /// All inputs have delivered the epoch's barrier, or have ended.
    Barrier(Barrier),
    /// All inputs have ended.
    End,
}

/// One incoming edge: the channel from one producer task.
#[derive(Debug)]
struct Input {
    port: Port,
    channel: Receiver<Message>,
}

/// Merges a task's inputs and aligns their barriers.
///
/// An input that has delivered the open epoch's barrier is not read until all others have: its channel fills and its producer
/// waits, which is the backpressure. The gate decides what is read; an operator never chooses an input, so a diamond of bounded
/// edges can't deadlock.
#[derive(Debug)]
pub struct InputGate {
    inputs: Vec<Input>,
    /// Inputs to read, as indices into `inputs`.
    open: Vec<usize>,
    /// Inputs that wait for the others at the pending barrier.
    aligned: Vec<usize>,
    /// The barrier that some inputs have delivered, and when the first did.
    pending: Option<(Barrier, Instant)>,
    /// The epoch of the last barrier that was passed on.
    last: Option<Epoch>,
    /// The epoch that the rows read since then belong to.
    current: Option<Epoch>,
    /// Where in `open` the next look for a ready input starts, so that a busy one does not starve the others.
    turn: usize,
    cancel: Cancel,
    metrics: Arc<TaskMetrics>,
}

impl InputGate {
    /// A gate over these channels, each with the port that it feeds.
    pub fn new(inputs: Vec<(Port, Receiver<Message>)>, cancel: Cancel, metrics: Arc<TaskMetrics>) -> Self {
        let inputs: Vec<Input> = inputs.into_iter().map(|(port, channel)| Input { port, channel }).collect();
        let open = (0..inputs.len()).collect();
        InputGate { inputs, open, aligned: Vec::new(), pending: None, last: None, current: None, turn: 0, cancel, metrics }
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::PeerGone`] when an input closed without its end, [`Error::Protocol`] for a batch or barrier
    /// of an epoch that is not the open one.
    pub fn next(&mut self) -> Result<GateEvent> {
        loop {
            if self.open.is_empty() {
                return Ok(self.all_arrived());
            }
            let (input, message) = self.receive()?;
            match message {
                Message::Batch(batch) => {
                    self.check_open(batch.epoch.epoch)?;
                    self.metrics.batch_in(&batch.batch);
                    return Ok(GateEvent::Batch(self.inputs[input].port, batch.epoch, batch.batch));
                }
                Message::Barrier(barrier) => self.align(input, barrier)?,
                Message::End => self.open.retain(|&open| open != input),
            }
        }
    }

    /// Every input is aligned or has ended: passes the pending barrier on and reads the aligned inputs again.
    fn all_arrived(&mut self) -> GateEvent {
        let Some((barrier, first)) = self.pending.take() else { return GateEvent::End };
        self.metrics.aligned(first.elapsed());
        std::mem::swap(&mut self.open, &mut self.aligned);
        self.last = Some(barrier.epoch.epoch);
        self.current = None;
        GateEvent::Barrier(barrier)
    }

    fn align(&mut self, input: usize, barrier: Barrier) -> Result<()> {
        match self.pending {
            None => {
                self.check_open(barrier.epoch.epoch)?;
                self.pending = Some((barrier, Instant::now()));
            }
            Some((pending, _)) if pending == barrier => {}
            Some((pending, _)) => {
                return Err(Error::Protocol(format!("barrier {:?} met barrier {:?}", barrier.epoch, pending.epoch)));
            }
        }
        self.open.retain(|&open| open != input);
        self.aligned.push(input);
        Ok(())
    }

    /// Checks that `epoch` is the open one: the same as of all rows and barriers since the last barrier, and the next after it.
    fn check_open(&mut self, epoch: Epoch) -> Result<()> {
        let expected = self.current.or(self.last.map(Epoch::next));
        match expected {
            Some(expected) if expected != epoch => {
                Err(Error::Protocol(format!("epoch {epoch} came while epoch {expected} is open")))
            }
            Some(_) | None => {
                self.current = Some(epoch);
                Ok(())
            }
        }
    }

    fn receive(&mut self) -> Result<(usize, Message)> {
        match self.try_receive()? {
            Some(received) => Ok(received),
            None => self.wait(),
        }
    }

    /// A message that is there already, looked for at each open input in turn.
    fn try_receive(&mut self) -> Result<Option<(usize, Message)>> {
        for offset in 0..self.open.len() {
            let at = (self.turn + offset) % self.open.len();
            let input = self.open[at];
            match self.inputs[input].channel.try_recv() {
                Ok(message) => {
                    self.turn = at + 1;
                    return Ok(Some((input, message)));
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Err(Error::PeerGone),
            }
        }
        Ok(None)
    }

    fn wait(&self) -> Result<(usize, Message)> {
        let waiting = Instant::now();
        let mut select = Select::new();
        let cancelled = select.recv(&self.cancel);
        for &input in &self.open {
            select.recv(&self.inputs[input].channel);
        }
        let ready = select.select();
        let arm = ready.index();
        if arm == cancelled {
            // The only thing that can come here is the disconnection.
            return match ready.recv(&self.cancel) {
                Ok(never) => match never {},
                Err(_disconnected) => Err(Error::Cancelled),
            };
        }
        let input = self.open[arm - 1];
        let message = ready.recv(&self.inputs[input].channel).map_err(|_| Error::PeerGone)?;
        self.metrics.idle(waiting.elapsed());
        Ok((input, message))
    }
}
