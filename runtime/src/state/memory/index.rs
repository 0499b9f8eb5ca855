//! Finds slots by the hashes of their keys.
//!
//! An entry holds half of the hash beside the slot, so that a key that is not there costs one place of memory to wait for, and a
//! table that grows does not have to look at the rows.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// So many slots are given up together.
const REMOVE_AT_ONCE: usize = 256;

/// The slots of a table, by the tags of their keys.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: HashTable<Indexed>,
}

/// Half of a key's hash: of two keys in four thousand million they are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u32);

/// A slot and the tag of its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Indexed {
    tag: Tag,
    pub(super) slot: u32,
}

impl Tag {
    /// The half that does not decide the key group.
    #[inline]
    pub(super) fn of(hash: u64) -> Self {
        Tag(hash as u32)
    }

    /// The hash that the table goes by: it looks at the lowest bits and at the highest ones.
    #[inline]
    fn hash(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Index {
    /// The slot with this tag for which `is_key` is true.
    #[inline]
    pub(super) fn find(&self, tag: Tag, is_key: impl Fn(u32) -> bool) -> Option<u32> {
        self.entries.find(tag.hash(), |entry| entry.tag == tag && is_key(entry.slot)).map(|entry| entry.slot)
    }

    /// A slot with this tag: almost certainly that of the key, if it has one.
    #[inline]
    pub(super) fn guess(&self, tag: Tag) -> Option<u32> {
        self.entries.find(tag.hash(), |entry| entry.tag == tag).map(|entry| entry.slot)
    }

    /// The place of the slot with this tag for which `is_key` is true, or one for a slot that [`Indexed::new`] makes.
    #[inline]
    pub(super) fn entry(&mut self, tag: Tag, is_key: impl Fn(u32) -> bool) -> Entry<'_, Indexed> {
        self.entries.entry(tag.hash(), |entry| entry.tag == tag && is_key(entry.slot), |entry| entry.tag.hash())
    }

    /// Removes slots, whose tags `tag` knows.
    pub(super) fn remove(&mut self, slots: &[u32], tag: impl Fn(u32) -> Tag) {
        let mut places = Vec::with_capacity(REMOVE_AT_ONCE.min(slots.len()));
        for slots in slots.chunks(REMOVE_AT_ONCE) {
            // All are found before the first is removed: the processor waits for many at once.
            let place = |&slot: &u32| self.entries.find_bucket_index(tag(slot).hash(), |entry| entry.slot == slot);
            places.extend(slots.iter().filter_map(place));
            for place in places.drain(..) {
                if let Ok(entry) = self.entries.get_bucket_entry(place) {
                    entry.remove();
                }
            }
        }
    }

    /// Gives memory back after many slots were removed.
    pub(super) fn shrink(&mut self) {
        if self.entries.capacity() > 1024 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2, |entry| entry.tag.hash());
        }
    }

    /// The memory taken, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.allocation_size()
    }
}

impl Indexed {
    /// A slot whose key has this tag.
    pub(super) fn new(tag: Tag, slot: u32) -> Self {
        Indexed { tag, slot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_tag_are_told_apart() {
        let mut index = Index::default();
        let tag = Tag::of(0xdead_beef_0000_0007);
        assert_eq!(tag, Tag::of(7), "the other half is the key group's");
        for slot in 0..600 {
            let Entry::Vacant(entry) = index.entry(tag, |other| other == slot) else { panic!("slot {slot} is there") };
            entry.insert(Indexed::new(tag, slot));
        }
        assert!((0..600).all(|slot| index.find(tag, |other| other == slot) == Some(slot)));
        assert!(index.guess(tag).is_some());
        assert_eq!((index.guess(Tag::of(8)), index.find(tag, |_| false)), (None, None));
        index.remove(&(0..599).collect::<Vec<u32>>(), |_| tag);
        index.shrink();
        assert_eq!(index.guess(tag), Some(599));
    }
}
