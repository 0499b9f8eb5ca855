//! One edge between two tasks: a bounded channel with credits.
//!
//! A plain bounded channel wakes a waiting producer for every message that its consumer takes, and the producer then fills the one
//! place and waits again: two context switches for each batch, as soon as the consumer is the slower of the two. Here the consumer
//! returns places by half an edge at a time, so a producer that had to wait sends half an edge before it waits again.
//!
//! A waiting producer has at least half an edge of unread messages before it, so it never waits for a consumer that waits for it.

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::Cancel;
use crate::error::{Error, Result};
use crate::message::Message;

/// The producer's end.
#[derive(Debug)]
pub(crate) struct EdgeSender {
    messages: Sender<Message>,
    returned: Receiver<()>,
    /// How many messages may be sent before places are returned.
    places: usize,
    /// How many places come back at a time.
    share: usize,
}

/// The consumer's end.
#[derive(Debug)]
pub(crate) struct EdgeReceiver {
    messages: Receiver<Message>,
    returns: Sender<()>,
    /// How many messages were taken since places were last returned.
    taken: usize,
    share: usize,
}

/// An edge that holds up to `capacity` messages.
pub(crate) fn edge(capacity: usize) -> (EdgeSender, EdgeReceiver) {
    let share = capacity.div_ceil(2);
    let (messages, receiver) = bounded(capacity);
    // At most two shares can be on their way.
    let (returns, returned) = bounded(2);
    let sender = EdgeSender { messages, returned, places: capacity, share };
    (sender, EdgeReceiver { messages: receiver, returns, taken: 0, share })
}

impl EdgeSender {
    /// Whether a message can be sent without a wait.
    pub(crate) fn has_room(&mut self) -> bool {
        while self.places == 0 && self.returned.try_recv().is_ok() {
            self.places += self.share;
        }
        self.places > 0
    }

    /// Sends a message; waits for room.
    pub(crate) fn send(&mut self, message: Message, cancel: &Cancel) -> Result<()> {
        while !self.has_room() {
            select! {
                recv(self.returned) -> share => {
                    share.map_err(|_| Error::PeerGone)?;
                    self.places += self.share;
                }
                recv(cancel) -> _ => return Err(Error::Cancelled),
            }
        }
        self.places -= 1;
        self.messages.send(message).map_err(|_| Error::PeerGone)
    }
}

impl EdgeReceiver {
    /// The channel to look at or wait on. What is received from it must be [`take`](Self::take)n account of.
    pub(crate) fn channel(&self) -> &Receiver<Message> {
        &self.messages
    }

    /// A message was received.
    pub(crate) fn take(&mut self) {
        self.taken += 1;
        if self.taken == self.share {
            self.taken = 0;
            // It is never full; a producer that has ended needs no places.
            self.returns.try_send(()).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::cancel_pair;

    #[test]
    fn an_edge_holds_its_capacity_and_returns_places_by_halves() {
        for capacity in 1..6 {
            let (mut sender, mut receiver) = edge(capacity);
            let (_guard, cancel) = cancel_pair();
            for _ in 0..capacity {
                assert!(sender.has_room());
                sender.send(Message::End, &cancel).unwrap();
            }
            for taken in 1..=capacity.div_ceil(2) {
                assert!(!sender.has_room(), "capacity {capacity}, {taken}");
                receiver.channel().recv().unwrap();
                receiver.take();
            }
            assert!(sender.has_room());
        }
    }

    #[test]
    fn a_wait_for_room_ends_with_the_peer_or_the_query() {
        let (guard, cancel) = cancel_pair();
        let (mut sender, receiver) = edge(1);
        sender.send(Message::End, &cancel).unwrap();
        drop(receiver);
        assert!(matches!(sender.send(Message::End, &cancel), Err(Error::PeerGone)));
        let (mut sender, _receiver) = edge(1);
        sender.send(Message::End, &cancel).unwrap();
        drop(guard);
        assert!(matches!(sender.send(Message::End, &cancel), Err(Error::Cancelled)));
    }
}
