//! The receiving side of a task: the only place that waits for input, and the alignment of barriers.

use std::sync::Arc;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use crossbeam_channel::{Select, TryRecvError};

use super::channel::EdgeReceiver;
use super::output::Cancel;
use crate::error::{Error, Result};
use crate::message::{Barrier, Message};
use crate::metrics::TaskMetrics;
use crate::types::{Epoch, EpochInfo, Port};

/// What a task receives next.
#[derive(Debug)]
pub(crate) enum GateEvent {
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
    edge: EdgeReceiver,
}

/// Merges a task's inputs and aligns their barriers.
///
/// An input that has delivered the open epoch's barrier is not read until all others have: its channel fills and its producer
/// waits, which is the backpressure. The gate decides what is read; an operator never chooses an input, so a diamond of bounded
/// edges can't deadlock.
#[derive(Debug)]
pub(crate) struct InputGate {
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
    pub(crate) fn new(inputs: Vec<(Port, EdgeReceiver)>, cancel: Cancel, metrics: Arc<TaskMetrics>) -> Self {
        let inputs: Vec<Input> = inputs.into_iter().map(|(port, edge)| Input { port, edge }).collect();
        let open = (0..inputs.len()).collect();
        InputGate { inputs, open, aligned: Vec::new(), pending: None, last: None, current: None, turn: 0, cancel, metrics }
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::PeerGone`] when an input closed without its end, [`Error::Protocol`] for a batch or barrier
    /// of an epoch that is not the open one.
    pub(crate) fn next_event(&mut self) -> Result<GateEvent> {
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
        let (input, message) = match self.try_receive()? {
            Some(received) => received,
            None => self.wait()?,
        };
        self.inputs[input].edge.take();
        Ok((input, message))
    }

    /// A message that is there already, looked for at each open input in turn.
    fn try_receive(&mut self) -> Result<Option<(usize, Message)>> {
        for offset in 0..self.open.len() {
            let at = (self.turn + offset) % self.open.len();
            let input = self.open[at];
            match self.inputs[input].edge.channel().try_recv() {
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
            select.recv(self.inputs[input].edge.channel());
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
        let message = ready.recv(self.inputs[input].edge.channel()).map_err(|_| Error::PeerGone)?;
        self.metrics.idle(waiting.elapsed());
        Ok((input, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::{CancelGuard, EdgeSender, Output, OutputEdge, Router, cancel_pair, edge};
    use crate::message::EpochBatch;
    use crate::task::thread;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use crossbeam_channel::bounded;
    use proptest::prelude::*;
    use std::time::Duration;

    fn info(epoch: u64) -> EpochInfo {
        EpochInfo { epoch: Epoch::new(epoch), trigger_time_ms: 0, watermark: None, late_watermark: None }
    }

    fn row(value: i64) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![value])) as ArrayRef)]).unwrap()
    }

    fn rows(epoch: u64, value: i64) -> Message {
        Message::Batch(EpochBatch { epoch: info(epoch), batch: row(value) })
    }

    fn barrier(epoch: u64) -> Message {
        Message::Barrier(Barrier { epoch: info(epoch) })
    }

    fn values(batch: &RecordBatch) -> Vec<i64> {
        batch.column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    fn gate(inputs: usize, capacity: usize) -> (Vec<EdgeSender>, InputGate, CancelGuard) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..inputs).map(|_| edge(capacity)).unzip();
        let (guard, cancel) = cancel_pair();
        let ports = receivers.into_iter().enumerate().map(|(port, receiver)| (Port(port), receiver)).collect();
        (senders, InputGate::new(ports, cancel, Arc::default()), guard)
    }

    #[test]
    fn an_aligned_input_waits_for_the_others() {
        let (mut senders, mut gate, _guard) = gate(2, 8);
        for message in [barrier(0), rows(1, 10), barrier(1)] {
            senders[0].send(message, &never()).unwrap();
        }
        for message in [rows(0, 20), barrier(0), barrier(1)] {
            senders[1].send(message, &never()).unwrap();
        }
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(match gate.next_event().unwrap() {
                GateEvent::Batch(port, _, batch) => format!("{}:{}", port.0, values(&batch)[0]),
                GateEvent::Barrier(barrier) => format!("|{}", barrier.epoch.epoch),
                GateEvent::End => "end".to_owned(),
            });
        }
        assert_eq!(seen, ["1:20", "|0", "0:10", "|1"]);
    }

    #[test]
    fn an_ended_input_does_not_hold_barriers_back() {
        let (mut senders, mut gate, _guard) = gate(2, 8);
        senders[0].send(Message::End, &never()).unwrap();
        senders[1].send(barrier(0), &never()).unwrap();
        senders[1].send(Message::End, &never()).unwrap();
        assert!(matches!(gate.next_event(), Ok(GateEvent::Barrier(b)) if b.epoch.epoch == Epoch::FIRST));
        assert!(matches!(gate.next_event(), Ok(GateEvent::End)));
    }

    #[test]
    fn a_row_of_another_epoch_is_a_protocol_error() {
        for wrong in [
            vec![rows(0, 1), rows(1, 2)],
            vec![barrier(0), rows(0, 1)],
            vec![barrier(0), barrier(2)],
            vec![rows(3, 1), barrier(2)],
        ] {
            let (mut senders, mut gate, _guard) = gate(1, 8);
            wrong.into_iter().for_each(|message| senders[0].send(message, &never()).unwrap());
            let error = loop {
                match gate.next_event() {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, Error::Protocol(_)), "{error}");
        }
    }

    #[test]
    fn a_closed_input_and_a_cancel_end_the_wait() {
        let (senders, mut lost_peer, _guard) = gate(2, 1);
        drop(senders);
        assert!(matches!(lost_peer.next_event(), Err(Error::PeerGone)));
        let (_senders, mut cancelled, guard) = gate(2, 1);
        drop(guard);
        assert!(matches!(cancelled.next_event(), Err(Error::Cancelled)));
    }

    /// What one producer sends: for each epoch, how many rows.
    type Script = Vec<usize>;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However k producers interleave over bounded edges: each one's order is kept, and no row crosses its barrier.
        #[test]
        fn alignment_keeps_order_and_epochs(
            scripts in (1usize..5, 1usize..5).prop_flat_map(|(inputs, epochs)| {
                prop::collection::vec(prop::collection::vec(0usize..6, epochs), inputs)
            }),
            capacity in 1usize..4,
            schedule in prop::collection::vec(any::<u8>(), 0..32),
        ) {
            let epochs = scripts[0].len() as u64;
            let (senders, mut gate, _guard) = gate(scripts.len(), capacity);
            let threads: Vec<_> = senders.into_iter().zip(scripts.clone()).enumerate().map(|(input, (mut sender, script))| {
                let yields = schedule.clone();
                thread::spawn("producer", move || produce(input, &mut sender, &script, &yields)).unwrap()
            }).collect();
            let mut received: Vec<Vec<Vec<i64>>> = vec![vec![Vec::new(); epochs as usize]; scripts.len()];
            let mut open = 0;
            loop {
                match gate.next_event().unwrap() {
                    GateEvent::Batch(port, epoch, batch) => {
                        prop_assert_eq!(epoch.epoch, Epoch::new(open), "a row crossed its barrier");
                        received[port.0][open as usize].extend(values(&batch));
                    }
                    GateEvent::Barrier(barrier) => {
                        prop_assert_eq!(barrier.epoch.epoch, Epoch::new(open));
                        open += 1;
                    }
                    GateEvent::End => break,
                }
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            prop_assert_eq!(open, epochs);
            for (input, script) in scripts.iter().enumerate() {
                for (epoch, &count) in script.iter().enumerate() {
                    let expected: Vec<i64> = (0..count as i64).map(|n| value(input, epoch, n)).collect();
                    prop_assert_eq!(&received[input][epoch], &expected);
                }
            }
        }

        /// A diamond: one producer feeds a gate over two paths of different length and one-message edges. It must not deadlock.
        #[test]
        fn a_diamond_of_bounded_edges_does_not_deadlock(rows_per_epoch in prop::collection::vec(0i64..40, 1..4), hops in 1usize..3) {
            let (guard, cancel) = cancel_pair();
            let (short, short_end) = edge(1);
            let (long, mut long_end) = edge(1);
            for _ in 0..hops {
                let (next, end) = edge(1);
                relay(std::mem::replace(&mut long_end, end), next);
            }
            let edges = [short, long].map(|target| OutputEdge { router: Router::Single, targets: vec![target] });
            let mut output = Output::new(edges.into(), cancel.clone(), Arc::default());
            let script = rows_per_epoch.clone();
            let producer = thread::spawn("producer", move || {
                for (epoch, &count) in script.iter().enumerate() {
                    (0..count).for_each(|n| output.batch(info(epoch as u64), row(n)).unwrap());
                    output.barrier(Barrier { epoch: info(epoch as u64) }).unwrap();
                }
                output.end().unwrap();
            }).unwrap();
            let mut gate = InputGate::new(vec![(Port(0), short_end), (Port(1), long_end)], cancel, Arc::default());
            let (done, finished) = bounded(1);
            let consumer = thread::spawn("consumer", move || {
                let mut rows = 0;
                loop {
                    match gate.next_event().unwrap() {
                        GateEvent::Batch(..) => rows += 1,
                        GateEvent::Barrier(_) => {}
                        GateEvent::End => break,
                    }
                }
                done.send(rows).unwrap();
            }).unwrap();
            let rows = finished.recv_timeout(Duration::from_secs(60));
            drop(guard);
            prop_assert_eq!(rows, Ok(2 * rows_per_epoch.iter().sum::<i64>()), "deadlock");
            producer.join().unwrap();
            consumer.join().unwrap();
        }
    }

    /// A cancel signal that does not fire while the test runs.
    fn never() -> Cancel {
        let (guard, cancel) = cancel_pair();
        std::mem::forget(guard);
        cancel
    }

    fn value(input: usize, epoch: usize, n: i64) -> i64 {
        (input as i64) * 1_000_000 + (epoch as i64) * 1_000 + n
    }

    fn produce(input: usize, sender: &mut EdgeSender, script: &Script, yields: &[u8]) {
        let mut turn = input;
        for (epoch, &count) in script.iter().enumerate() {
            for n in 0..count as i64 {
                if yields.get(turn % yields.len().max(1)).is_some_and(|y| y % 2 == 0) {
                    std::thread::yield_now();
                }
                turn += 1;
                sender.send(rows(epoch as u64, value(input, epoch, n)), &never()).unwrap();
            }
            sender.send(barrier(epoch as u64), &never()).unwrap();
        }
        sender.send(Message::End, &never()).unwrap();
    }

    fn relay(mut from: EdgeReceiver, mut to: EdgeSender) {
        let body = move || {
            while let Ok(message) = from.channel().recv() {
                from.take();
                to.send(message, &never()).unwrap();
            }
        };
        thread::spawn("relay", body).unwrap();
    }
}
