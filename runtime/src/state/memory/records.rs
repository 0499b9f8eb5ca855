//! Where the bytes of the rows lie.
//!
//! A row has a *slot*, a number that stays the same for as long as the row lives, and a *record*: its key and value bytes in one
//! piece in one of several segments of a mebibyte. A value that still fits is overwritten in place; else the record moves to the
//! end of the open segment and leaves garbage. A segment that is more than half garbage is emptied into the open one, so that
//! memory stays within twice of what lives, and no single call ever moves more than half a segment for it.

use super::index::Tag;

/// The size of a segment. A longer record has a segment of its own.
const SEGMENT_BYTES: usize = 1 << 20;
/// Before a record: its slot and its capacity, four bytes each, by which an emptied segment is read.
const HEADER_BYTES: usize = 8;
/// The segment of a slot without a record.
const NOWHERE: u32 = u32::MAX;

/// What is known of a row without reading its record.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The tag of its key.
    tag: Tag,
    segment: u32,
    /// Where its record begins in the segment.
    offset: u32,
    key_bytes: u32,
    value_bytes: u32,
}

#[derive(Debug, Default)]
struct Segment {
    bytes: Vec<u8>,
    garbage: usize,
}

/// The slots and records of a table.
#[derive(Debug, Default)]
pub(super) struct Records {
    slots: Vec<Slot>,
    free_slots: Vec<u32>,
    segments: Vec<Segment>,
    free_segments: Vec<u32>,
    /// The segment that new records are appended to.
    open: Option<u32>,
    /// Closed segments that are more than half garbage: empty again whenever a call returns.
    sparse: Vec<u32>,
    /// A record on its way from one segment to another.
    moving: Vec<u8>,
}

impl Records {
    /// One more than the highest slot number.
    pub(super) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// The tag that the row was stored with.
    #[inline]
    pub(super) fn tag(&self, slot: u32) -> Tag {
        self.slots[slot as usize].tag
    }

    /// The bytes of the row's key.
    #[inline]
    pub(super) fn key(&self, slot: u32) -> &[u8] {
        let slot = &self.slots[slot as usize];
        let start = slot.offset as usize + HEADER_BYTES;
        &self.segments[slot.segment as usize].bytes[start..start + slot.key_bytes as usize]
    }

    /// The bytes of the row's value.
    #[inline]
    pub(super) fn value(&self, slot: u32) -> &[u8] {
        let slot = &self.slots[slot as usize];
        let start = slot.offset as usize + HEADER_BYTES + slot.key_bytes as usize;
        &self.segments[slot.segment as usize].bytes[start..start + slot.value_bytes as usize]
    }

    /// Stores a new row; gives its slot.
    pub(super) fn insert(&mut self, tag: Tag, key: &[u8], value: &[u8]) -> u32 {
        let slot = self.free_slots.pop().unwrap_or(self.slots.len() as u32);
        let (segment, offset) = self.append(slot, key.len() + value.len(), key, value);
        let new = Slot { tag, segment, offset, key_bytes: key.len() as u32, value_bytes: value.len() as u32 };
        match self.slots.get_mut(slot as usize) {
            Some(free) => *free = new,
            None => self.slots.push(new),
        }
        self.empty_sparse_segments();
        slot
    }

    /// Replaces the row's value.
    #[inline]
    pub(super) fn set_value(&mut self, slot: u32, value: &[u8]) {
        let found = &mut self.slots[slot as usize];
        let bytes = &mut self.segments[found.segment as usize].bytes;
        let start = found.offset as usize + HEADER_BYTES + found.key_bytes as usize;
        // A value of the same length always fits: the capacity need not even be read.
        if found.value_bytes as usize != value.len() {
            let capacity = read_u32(bytes, found.offset as usize + 4) as usize;
            if found.key_bytes as usize + value.len() > capacity {
                return self.grow(slot, value);
            }
            found.value_bytes = value.len() as u32;
        }
        bytes[start..start + value.len()].copy_from_slice(value);
    }

    /// Forgets the row; its slot may be given to another one.
    pub(super) fn remove(&mut self, slot: u32) {
        self.discard(slot);
        self.slots[slot as usize].segment = NOWHERE;
        self.free_slots.push(slot);
        self.empty_sparse_segments();
    }

    /// The memory taken, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let segments: usize = self.segments.iter().map(|segment| segment.bytes.capacity()).sum();
        segments
            + self.slots.capacity() * size_of::<Slot>()
            + self.segments.capacity() * size_of::<Segment>()
            + (self.free_slots.capacity() + self.free_segments.capacity()) * size_of::<u32>()
            + self.moving.capacity()
    }

    /// Moves a row whose value has outgrown its record, with room to grow on.
    fn grow(&mut self, slot: u32, value: &[u8]) {
        let mut key = std::mem::take(&mut self.moving);
        key.clear();
        key.extend_from_slice(self.key(slot));
        self.discard(slot);
        let (segment, offset) = self.append(slot, key.len() + value.len() + value.len() / 4, &key, value);
        let moved = &mut self.slots[slot as usize];
        (moved.segment, moved.offset, moved.value_bytes) = (segment, offset, value.len() as u32);
        self.moving = key;
        self.empty_sparse_segments();
    }

    /// Writes a record; gives its segment and offset.
    fn append(&mut self, slot: u32, capacity: usize, key: &[u8], value: &[u8]) -> (u32, u32) {
        // Multiples of four leave room for a few bytes of growth and keep records of one size in step.
        let capacity = capacity.next_multiple_of(4);
        let open = self.segment_for(HEADER_BYTES + capacity);
        let bytes = &mut self.segments[open as usize].bytes;
        let offset = bytes.len();
        bytes.extend_from_slice(&slot.to_le_bytes());
        bytes.extend_from_slice(&(capacity as u32).to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        bytes.resize(offset + HEADER_BYTES + capacity, 0);
        (open, offset as u32)
    }

    /// The open segment, or a new one if it has no room.
    #[inline]
    fn segment_for(&mut self, needed: usize) -> u32 {
        match self.open {
            Some(open) if self.segments[open as usize].bytes.len() + needed <= SEGMENT_BYTES => open,
            full => self.open_segment(full, needed),
        }
    }

    fn open_segment(&mut self, full: Option<u32>, needed: usize) -> u32 {
        let next = self.free_segments.pop().unwrap_or(self.segments.len() as u32);
        if next as usize == self.segments.len() {
            self.segments.push(Segment::default());
        }
        self.open = Some(next);
        // The first segment grows as it is filled: most tables of a process are small.
        if let Some(full) = full {
            self.segments[next as usize].bytes.reserve_exact(needed.max(SEGMENT_BYTES));
            self.check_sparse(full, 0);
        }
        next
    }

    /// Counts the slot's record as garbage.
    fn discard(&mut self, slot: u32) {
        let Slot { segment, offset, .. } = self.slots[slot as usize];
        let found = &mut self.segments[segment as usize];
        let size = HEADER_BYTES + read_u32(&found.bytes, offset as usize + 4) as usize;
        found.garbage += size;
        self.slots[slot as usize].segment = NOWHERE;
        if self.open != Some(segment) {
            self.check_sparse(segment, size);
        }
    }

    /// Notes a closed segment that has become more than half garbage by the last `added` bytes of it.
    fn check_sparse(&mut self, segment: u32, added: usize) {
        let Segment { bytes, garbage } = &self.segments[segment as usize];
        let is_sparse = |garbage: usize| garbage * 2 > bytes.len();
        if is_sparse(*garbage) && (added == 0 || !is_sparse(garbage - added)) {
            self.sparse.push(segment);
        }
    }

    #[inline]
    fn empty_sparse_segments(&mut self) {
        while let Some(segment) = self.sparse.pop() {
            self.empty_segment(segment);
        }
    }

    /// Moves the live records of a segment to the open one.
    fn empty_segment(&mut self, segment: u32) {
        let bytes = std::mem::take(&mut self.segments[segment as usize]).bytes;
        let mut offset = 0;
        while offset < bytes.len() {
            let (number, capacity) = (read_u32(&bytes, offset), read_u32(&bytes, offset + 4) as usize);
            let slot = self.slots[number as usize];
            if (slot.segment, slot.offset) == (segment, offset as u32) {
                let (key, value) = bytes[offset + HEADER_BYTES..][..capacity].split_at(slot.key_bytes as usize);
                let (to, at) = self.append(number, capacity, key, value);
                let moved = &mut self.slots[number as usize];
                (moved.segment, moved.offset) = (to, at);
            }
            offset += HEADER_BYTES + capacity;
        }
        self.free_segments.push(segment);
    }
}

#[inline]
fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}
