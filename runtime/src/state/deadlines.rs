//! When rows are due, by the numbers that a table or an operator gives them.

use std::collections::{BTreeMap, VecDeque};

/// The slot has no deadline.
const NONE: i64 = i64::MIN;
/// Deadlines are kept apart by so many low bits, about a second of microseconds: they are put in order only when they are due.
const BUCKET_BITS: u32 = 20;

/// The deadlines of slots, the places of a table that are given to one row after the other. Which slots are due is known without
/// looking at the others, and costs as much as there are such. They are in memory only.
///
/// ```
/// use tidegate_runtime::state::Deadlines;
///
/// let mut deadlines = Deadlines::default();
/// deadlines.set(0, 300);
/// deadlines.set(1, 100);
/// deadlines.set(2, 200);
/// deadlines.clear(2);
/// assert_eq!(deadlines.take_due(300, usize::MAX), [1, 0]);
/// ```
#[derive(Debug, Default)]
pub struct Deadlines {
    /// By deadline, without the low bits. What is said of a slot that has another deadline by now, or none, is passed over.
    buckets: BTreeMap<i64, Vec<(i64, u32)>>,
    /// What was found to be due and has not been taken, in order.
    due: VecDeque<(i64, u32)>,
    of_slot: Vec<i64>,
}

impl Deadlines {
    /// Notes when a slot is due, in microseconds.
    #[inline]
    pub fn set(&mut self, slot: u32, deadline: i64) {
        let deadline = deadline.max(NONE + 1);
        if self.of_slot.len() <= slot as usize {
            self.of_slot.resize(slot as usize + 1, NONE);
        }
        self.of_slot[slot as usize] = deadline;
        self.buckets.entry(deadline >> BUCKET_BITS).or_default().push((deadline, slot));
    }

    /// Forgets when a slot is due.
    #[inline]
    pub fn clear(&mut self, slot: u32) {
        if let Some(deadline) = self.of_slot.get_mut(slot as usize) {
            *deadline = NONE;
        }
    }

    /// Takes out at most so many slots whose deadlines are not after `time`: the earliest first, those of one time in the order in
    /// which they were set.
    pub fn take_due(&mut self, time: i64, at_most: usize) -> Vec<u32> {
        let mut slots = Vec::new();
        while slots.len() < at_most {
            let Some(&(deadline, slot)) = self.due.front() else {
                if !self.find_due(time) {
                    break;
                }
                continue;
            };
            if deadline > time {
                break;
            }
            self.due.pop_front();
            if self.of_slot.get(slot as usize) == Some(&deadline) {
                self.clear(slot);
                slots.push(slot);
            }
        }
        slots
    }

    /// Puts the due part of the earliest bucket in order; says whether there is one.
    fn find_due(&mut self, time: i64) -> bool {
        let Some(mut bucket) = self.buckets.first_entry() else { return false };
        let mut due = if *bucket.key() < time >> BUCKET_BITS {
            bucket.remove()
        } else {
            let (due, later) = bucket.get().iter().partition(|(deadline, _)| *deadline <= time);
            *bucket.get_mut() = later;
            if bucket.get().is_empty() {
                bucket.remove();
            }
            due
        };
        due.sort_by_key(|(deadline, _)| *deadline);
        self.due = due.into();
        !self.due.is_empty()
    }

    /// The memory that they take, in bytes, about.
    pub fn memory_bytes(&self) -> usize {
        let entries = self.due.capacity() + self.buckets.values().map(Vec::capacity).sum::<usize>();
        self.of_slot.capacity() * size_of::<i64>() + entries * size_of::<(i64, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_of_the_same_time_the_first() {
        let mut deadlines = Deadlines::default();
        let second = 1 << BUCKET_BITS;
        for (slot, deadline) in [(0, 5 * second), (1, 7), (2, -3 * second), (3, 5), (4, 7), (5, i64::MIN), (6, i64::MAX)] {
            deadlines.set(slot, deadline);
        }
        assert_eq!(deadlines.take_due(i64::MIN, 9), Vec::<u32>::new());
        assert_eq!(deadlines.take_due(6, 2), [5, 2]);
        assert_eq!(deadlines.take_due(6, 9), [3]);
        assert_eq!(deadlines.take_due(6, 9), Vec::<u32>::new());
        // A slot that was given to another row is due when that row is.
        deadlines.clear(1);
        deadlines.set(1, second + 1);
        deadlines.clear(4);
        assert_eq!(deadlines.take_due(second, 9), Vec::<u32>::new());
        assert_eq!(deadlines.take_due(i64::MAX, 9), [1, 0, 6]);
        assert!(deadlines.buckets.is_empty());
    }
}
