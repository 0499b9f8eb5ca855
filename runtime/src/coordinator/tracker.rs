//! Who acknowledged which epoch. Pure: no clock, no channel, no I/O.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::types::{Epoch, TaskId};

/// The acknowledgements of the epochs in flight. `A` is what a task acknowledges with.
#[derive(Debug)]
pub(crate) struct EpochTracker<A> {
    tasks: BTreeSet<TaskId>,
    /// Epochs begun and not yet taken as complete, oldest first, with the acknowledgements that are in.
    in_flight: BTreeMap<Epoch, BTreeMap<TaskId, A>>,
    newest: Option<Epoch>,
}

impl<A> EpochTracker<A> {
    /// A tracker of these tasks, all of which acknowledge every epoch.
    pub(crate) fn new(tasks: impl IntoIterator<Item = TaskId>) -> Self {
        EpochTracker { tasks: tasks.into_iter().collect(), in_flight: BTreeMap::new(), newest: None }
    }

    /// How many epochs are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Begins the next epoch.
    ///
    /// # Errors
    /// [`Error::Protocol`] when it is not the one after the newest.
    pub(crate) fn begin(&mut self, epoch: Epoch) -> Result<()> {
        if self.newest.is_some_and(|newest| epoch != newest.next()) {
            return Err(Error::Protocol(format!("epoch {epoch} begins after epoch {:?}", self.newest)));
        }
        self.newest = Some(epoch);
        self.in_flight.insert(epoch, BTreeMap::new());
        Ok(())
    }

    /// Takes a task's acknowledgement.
    ///
    /// # Errors
    /// [`Error::Protocol`] for a task that is not known, an epoch that is not in flight, and a second acknowledgement.
    pub(crate) fn ack(&mut self, task: &TaskId, epoch: Epoch, ack: A) -> Result<()> {
        if !self.tasks.contains(task) {
            return Err(Error::Protocol(format!("unknown task {task} acknowledged epoch {epoch}")));
        }
        let Some(acks) = self.in_flight.get_mut(&epoch) else {
            return Err(Error::Protocol(format!("task {task} acknowledged epoch {epoch}, which is not in flight")));
        };
        match acks.insert(task.clone(), ack) {
            None => Ok(()),
            Some(_) => Err(Error::Protocol(format!("task {task} acknowledged epoch {epoch} twice"))),
        }
    }

    /// Takes the oldest epoch in flight, if every task has acknowledged it. Epochs complete in order.
    pub(crate) fn take_complete(&mut self) -> Option<(Epoch, BTreeMap<TaskId, A>)> {
        let oldest = self.in_flight.first_entry()?;
        if oldest.get().len() == self.tasks.len() { Some(oldest.remove_entry()) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;
    use proptest::prelude::*;

    fn task(subtask: usize) -> TaskId {
        TaskId { node: NodeId::new("t"), subtask }
    }

    #[test]
    fn an_epoch_is_complete_when_all_tasks_acknowledged() {
        let mut tracker = EpochTracker::new([task(0), task(1)]);
        tracker.begin(Epoch::new(7)).unwrap();
        tracker.ack(&task(1), Epoch::new(7), 'b').unwrap();
        assert_eq!(tracker.take_complete(), None);
        tracker.ack(&task(0), Epoch::new(7), 'a').unwrap();
        let (epoch, acks) = tracker.take_complete().unwrap();
        assert_eq!((epoch, acks.into_values().collect::<String>()), (Epoch::new(7), "ab".to_owned()));
        assert_eq!(tracker.in_flight(), 0);
    }

    #[test]
    fn what_does_not_belong_is_refused() {
        let mut tracker = EpochTracker::new([task(0), task(1)]);
        tracker.begin(Epoch::FIRST).unwrap();
        assert!(tracker.begin(Epoch::new(2)).is_err(), "a gap");
        assert!(tracker.begin(Epoch::FIRST).is_err(), "again");
        assert!(tracker.ack(&task(2), Epoch::FIRST, ()).is_err(), "unknown task");
        assert!(tracker.ack(&task(0), Epoch::new(1), ()).is_err(), "not begun");
        tracker.ack(&task(0), Epoch::FIRST, ()).unwrap();
        assert!(tracker.ack(&task(0), Epoch::FIRST, ()).is_err(), "twice");
    }

    proptest! {
        /// Whatever the order in which the tasks acknowledge: epochs complete in order, each once, with every task's own ack.
        #[test]
        fn epochs_complete_in_order(tasks in 1usize..5, epochs in 1u64..6, order in any::<u64>()) {
            let mut tracker = EpochTracker::new((0..tasks).map(task));
            (0..epochs).for_each(|e| tracker.begin(Epoch::new(e)).unwrap());
            // Each task acknowledges its epochs in order; the tasks interleave by a random walk.
            let mut next = vec![0u64; tasks];
            let mut complete = Vec::new();
            let mut random = order;
            while next.iter().any(|&n| n < epochs) {
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let chosen = (random >> 33) as usize % tasks;
                if next[chosen] < epochs {
                    tracker.ack(&task(chosen), Epoch::new(next[chosen]), (chosen, next[chosen])).unwrap();
                    next[chosen] += 1;
                }
                while let Some((epoch, acks)) = tracker.take_complete() {
                    prop_assert!(acks.iter().all(|(t, ack)| *ack == (t.subtask, epoch.number())));
                    complete.push(epoch.number());
                }
            }
            prop_assert_eq!(complete, (0..epochs).collect::<Vec<_>>());
        }
    }
}
