//! Key groups: the unit in which keys, and the state that belongs to them, are dealt to tasks.

use std::ops::Range;

/// How many key groups there are. Pinned in every checkpoint: another number would tear keys from their state.
pub const KEY_GROUPS: u16 = 128;

/// The number of a key group, below [`KEY_GROUPS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroup(pub u16);

impl KeyGroup {
    /// The group of the keys with this hash.
    pub const fn of_hash(hash: u64) -> Self {
        // The upper half: hash tables use the lower bits, and keys of one group must still spread in them.
        KeyGroup(((hash >> 32) % KEY_GROUPS as u64) as u16)
    }

    /// Which of `parallelism` tasks owns the group.
    pub fn owner(self, parallelism: usize) -> usize {
        usize::from(self.0) * parallelism / usize::from(KEY_GROUPS)
    }
}

/// A contiguous range of key groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyGroupRange {
    /// The first group.
    pub start: u16,
    /// One past the last group.
    pub end: u16,
}

impl KeyGroupRange {
    /// Every group.
    pub const ALL: KeyGroupRange = KeyGroupRange { start: 0, end: KEY_GROUPS };

    /// The groups that subtask `subtask` of `parallelism` owns. Empty when there are more tasks than groups.
    pub fn of_subtask(subtask: usize, parallelism: usize) -> Self {
        let groups = usize::from(KEY_GROUPS);
        // The inverse of `KeyGroup::owner`: the first group g with g * parallelism / groups == subtask.
        let first = |task: usize| ((task * groups).div_ceil(parallelism)).min(groups) as u16;
        KeyGroupRange { start: first(subtask), end: first(subtask + 1) }
    }

    /// Whether the group is in it.
    pub fn contains(self, group: KeyGroup) -> bool {
        self.groups().contains(&group.0)
    }

    /// Whether the two have a group in common.
    pub fn overlaps(self, other: KeyGroupRange) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The groups' numbers.
    pub fn groups(self) -> Range<u16> {
        self.start..self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_partition_the_groups_and_agree_with_the_owner() {
        for parallelism in 1..=200 {
            let mut next = 0;
            for subtask in 0..parallelism {
                let range = KeyGroupRange::of_subtask(subtask, parallelism);
                assert_eq!(range.start, next, "parallelism {parallelism}, subtask {subtask}");
                next = range.end;
                for group in range.groups() {
                    assert_eq!(KeyGroup(group).owner(parallelism), subtask);
                }
            }
            assert_eq!(next, KEY_GROUPS);
        }
    }
}
