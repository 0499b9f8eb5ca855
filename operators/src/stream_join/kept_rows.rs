//! Which rows of a side are in the state: by key, and by when they can be removed. Their columns are in the state only.

use std::collections::BTreeMap;

use hashbrown::HashTable;

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
    /// The slots and rows that can be removed at a time; many have the same one, as the end of a window. A slot may hold another row
    /// by then, which the row's number shows.
    removals: BTreeMap<i64, Vec<(u32, i64)>>,
    next_row: i64,
}

/// A key that has rows, which are a list.
#[derive(Debug)]
struct Key {
    hash: u64,
    bytes: Box<[u8]>,
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

/// A row that is not kept any more.
#[derive(Debug)]
pub(super) struct Removed {
    pub(super) key: Box<[u8]>,
    pub(super) row: i64,
    pub(super) matched: bool,
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
            self.removals.entry(time).or_default().push((slot, row));
        }
    }

    fn add_key(&mut self, hash: u64, bytes: &[u8]) -> u32 {
        let new = Key { hash, bytes: bytes.into(), first: NONE };
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
    pub(super) fn remove(&mut self, slot: u32) -> Removed {
        let Slot { row, key, previous, next, matched } = self.slots[slot as usize];
        // No row has this number: what is left in `removals` finds nothing.
        self.slots[slot as usize].row = i64::MIN;
        self.free_slots.push(slot);
        if next != NONE {
            self.slots[next as usize].previous = previous;
        }
        if previous != NONE {
            self.slots[previous as usize].next = next;
        } else {
            self.keys[key as usize].first = next;
        }
        let own = &mut self.keys[key as usize];
        if own.first != NONE {
            return Removed { key: own.bytes.clone(), row, matched };
        }
        let (hash, bytes) = (own.hash, std::mem::take(&mut own.bytes));
        if let Ok(entry) = self.table.find_entry(hash, |&(_, other)| other == key) {
            entry.remove();
        }
        self.free_keys.push(key);
        Removed { key: bytes, row, matched }
    }

    /// Takes out rows that can be removed at this watermark, earliest first and at most so many.
    pub(super) fn take_due(&mut self, watermark: i64, at_most: usize) -> Vec<Removed> {
        let mut due = Vec::new();
        while due.len() < at_most
            && let Some(mut entry) = self.removals.first_entry()
            && *entry.key() <= watermark
        {
            let Some((slot, row)) = entry.get_mut().pop() else {
                entry.remove();
                continue;
            };
            if self.slots[slot as usize].row == row {
                due.push(self.remove(slot));
            }
        }
        if self.removals.is_empty() && self.slots.len() == self.free_slots.len() {
            // Nothing is left: neither is the memory of what was.
            *self = KeptRows { next_row: self.next_row, ..KeptRows::default() };
        }
        due
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
        assert!(kept.remove(slot).matched);
        // A new row in the old one's slot is not removed in its place.
        let row = kept.new_row();
        kept.insert(7, b"c", row, false, None);
        let due: Vec<i64> = kept.take_due(5, 10).into_iter().map(|removed| removed.row).collect();
        assert_eq!((due, rows(&kept, b"c")), (vec![1], vec![4]));
        assert_eq!(kept.take_due(9, 0).len(), 0);
        assert_eq!(kept.take_due(9, 1).into_iter().map(|removed| removed.row).collect::<Vec<_>>(), [3]);
        assert_eq!((rows(&kept, b"a"), rows(&kept, b"b"), kept.new_row()), (vec![2], vec![], 5));
    }
}
