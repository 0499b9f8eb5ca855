//! Which rows of a side are in the state: by key, and by when they can be removed. Their columns are in the state only.

use hashbrown::HashTable;
use smallvec::SmallVec;
use tidegate_runtime::state::Deadlines;

/// Up to so many bytes of a key are where the key is: an integer and a window.
const INLINE_BYTES: usize = 32;
/// No slot.
const NONE: u32 = u32::MAX;

/// The kept rows of a side. Everything but opening costs as much as the rows that it concerns.
#[derive(Debug, Default)]
pub(super) struct KeptRows {
    /// The key of each hash.
    table: HashTable<(u64, u32)>,
    keys: Vec<Key>,
    free_keys: Vec<u32>,
    slots: Vec<Slot>,
    free_slots: Vec<u32>,
    /// When the slots' rows can be removed.
    removals: Deadlines,
    next_row: i64,
}

/// A key that has rows, which are a list.
#[derive(Debug)]
struct Key {
    hash: u64,
    bytes: SmallVec<[u8; INLINE_BYTES]>,
    first: u32,
}

/// A kept row.
#[derive(Debug, Clone, Copy)]
struct Slot {
    row: i64,
    key: u32,
    previous: u32,
    next: u32,
    matched: bool,
}

impl KeptRows {
    /// A number that no row of the task has had.
    pub(super) fn new_row(&mut self) -> i64 {
        self.next_row += 1;
        self.next_row - 1
    }

    /// Adds a row; `removal` is when it can be removed.
    pub(super) fn insert(&mut self, hash: u64, key: &[u8], row: i64, matched: bool, removal: Option<i64>) {
        self.next_row = self.next_row.max(row.saturating_add(1));
        let key = self.find(hash, key).unwrap_or_else(|| self.add_key(hash, key));
        let next = std::mem::replace(&mut self.keys[key as usize].first, NONE);
        let new = Slot { row, key, previous: NONE, next, matched };
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.slots[slot as usize] = new;
                slot
            }
            None => {
                self.slots.push(new);
                self.slots.len() as u32 - 1
            }
        };
        self.keys[key as usize].first = slot;
        if next != NONE {
            self.slots[next as usize].previous = slot;
        }
        if let Some(time) = removal {
            self.removals.set(slot, time);
        }
    }

    fn add_key(&mut self, hash: u64, bytes: &[u8]) -> u32 {
        let new = Key { hash, bytes: SmallVec::from_slice(bytes), first: NONE };
        let key = match self.free_keys.pop() {
            Some(key) => {
                self.keys[key as usize] = new;
                key
            }
            None => {
                self.keys.push(new);
                self.keys.len() as u32 - 1
            }
        };
        self.table.insert_unique(hash, (hash, key), |&(hash, _)| hash);
        key
    }

    /// The key with these bytes, if it has rows.
    pub(super) fn find(&self, hash: u64, bytes: &[u8]) -> Option<u32> {
        let is_key = |&(other, key): &(u64, u32)| other == hash && *self.keys[key as usize].bytes == *bytes;
        self.table.find(hash, is_key).map(|&(_, key)| key)
    }

    /// The slots of a key's rows, and their numbers.
    pub(super) fn rows(&self, key: u32) -> impl Iterator<Item = (u32, i64)> + '_ {
        let some = |slot: u32| (slot != NONE).then_some(slot);
        let slots = std::iter::successors(some(self.keys[key as usize].first), move |&slot| some(self.slots[slot as usize].next));
        slots.map(|slot| (slot, self.slots[slot as usize].row))
    }

    /// Notes that a row has a match; says whether that is new.
    pub(super) fn note_match(&mut self, slot: u32) -> bool {
        !std::mem::replace(&mut self.slots[slot as usize].matched, true)
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, slot: u32) {
        let Slot { key, previous, next, .. } = self.slots[slot as usize];
        self.removals.clear(slot);
        self.free_slots.push(slot);
        if next != NONE {
            self.slots[next as usize].previous = previous;
        }
        if previous != NONE {
            self.slots[previous as usize].next = next;
            return;
        }
        let own = &mut self.keys[key as usize];
        own.first = next;
        if next == NONE {
            own.bytes = SmallVec::new();
            let hash = own.hash;
            if let Ok(entry) = self.table.find_entry(hash, |&(_, other)| other == key) {
                entry.remove();
            }
            self.free_keys.push(key);
        }
    }

    /// Takes out the rows that can be removed at this watermark.
    pub(super) fn remove_due(&mut self, watermark: i64) {
        for slot in self.removals.take_due(watermark, usize::MAX) {
            self.remove(slot);
        }
        if self.slots.len() == self.free_slots.len() {
            // Nothing is left: neither is the memory of what was.
            *self = KeptRows { next_row: self.next_row, ..KeptRows::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(kept: &KeptRows, key: &[u8]) -> Vec<i64> {
        let mut rows: Vec<i64> = kept.find(7, key).map(|key| kept.rows(key).map(|(_, row)| row).collect()).unwrap_or_default();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn keys_of_one_hash_stay_apart_and_slots_are_used_again() {
        let mut kept = KeptRows::default();
        for (key, removal) in [(b"a", Some(5)), (b"b", Some(3)), (b"a", None), (b"a", Some(9))] {
            let row = kept.new_row();
            kept.insert(7, key, row, false, removal);
        }
        assert_eq!((rows(&kept, b"a"), rows(&kept, b"b"), rows(&kept, b"c")), (vec![0, 2, 3], vec![1], vec![]));
        let slot = kept.find(7, b"a").and_then(|key| kept.rows(key).find(|(_, row)| *row == 0)).unwrap().0;
        assert!(kept.note_match(slot));
        assert!(!kept.note_match(slot));
        kept.remove(slot);
        // A new row in the old one's slot is not removed in its place.
        let row = kept.new_row();
        kept.insert(7, b"c", row, false, None);
        kept.remove_due(5);
        assert_eq!((rows(&kept, b"a"), rows(&kept, b"b"), rows(&kept, b"c")), (vec![2, 3], vec![], vec![4]));
        kept.remove_due(9);
        assert_eq!((rows(&kept, b"a"), rows(&kept, b"c"), kept.new_row()), (vec![2], vec![4], 5));
    }
}
