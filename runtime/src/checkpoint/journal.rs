//! The records of the journals. A journal only grows, and by a small record in each epoch; many of them become a large one, so
//! that the catalogue does not grow with it.
//!
//! [`PACK`] records of one entry become one, [`PACK`] of those one again, and so on up to [`PACK_BYTES`]. So an entry is copied
//! a few times at most, few records are left of any journal, and the large ones are files, which hold nothing but the entries.
//! The entries stay what they were: their order and their hash know nothing of records.

use std::path::Path;

use super::catalogue::Logged;
use super::codec::{self, Kind};
use super::database::BATCH_ITEMS;
use super::key::Key;
use super::records::{JournalRecord, SegmentRef};
use super::segment::Segments;
use crate::error::Result;

/// How many records become one. They are replaced by one batch.
const PACK: usize = 32;
const _: () = assert!(PACK <= BATCH_ITEMS);

/// No larger record is made: it is held in memory while it is written.
const PACK_BYTES: usize = 4 << 20;

/// A record, and the source whose journal it belongs to.
pub(super) type NewPart = (String, JournalPart);

/// A record of a journal, as far as it is kept in memory.
#[derive(Debug)]
pub(super) struct JournalPart {
    /// The epoch of its last entry, by which it is named.
    pub(super) epoch: u64,
    /// The file that it lies in, if it is too large for the catalogue.
    pub(super) segment: Option<SegmentRef>,
    /// How many entries it has.
    count: usize,
    /// About how many bytes they have.
    bytes: usize,
    /// Its entries, if it lies in the catalogue: that is never read again.
    entries: Vec<(u64, Vec<u8>)>,
}

impl JournalPart {
    /// What to keep of the record that is named by `epoch`.
    pub(super) fn new(epoch: u64, logged: &Logged<JournalRecord>) -> Self {
        let entries = &logged.entry.entries;
        JournalPart {
            epoch,
            segment: logged.segment.clone(),
            count: entries.len(),
            bytes: entries.iter().map(|(_, data)| size_of::<u64>() + data.len()).sum(),
            entries: if logged.segment.is_none() { entries.clone() } else { Vec::new() },
        }
    }

    /// Its name, in the journal of `node`.
    pub(super) fn key(&self, node: &str) -> Key {
        Key::Journal { node: node.to_owned(), epoch: self.epoch }
    }

    /// How often its entries were packed.
    fn rank(&self) -> u32 {
        self.count.max(1).ilog(PACK)
    }

    fn entries(&self, segments: &Segments) -> Result<Vec<(u64, Vec<u8>)>> {
        let Some(segment) = &self.segment else { return Ok(self.entries.clone()) };
        let record: Result<JournalRecord, _> = codec::decode(Kind::Journal, &segments.read(segment)?);
        record.map(|record| record.entries).map_err(|fault| fault.at(Path::new(&segment.name), "journal"))
    }
}

/// Where in the journal the records begin that are to become one.
pub(super) fn due(parts: &[JournalPart]) -> Option<usize> {
    let from = parts.len().checked_sub(PACK)?;
    let (last, before) = parts[from..].split_last()?;
    let alike = before.iter().all(|part| part.rank() == last.rank());
    let bytes: usize = parts[from..].iter().map(|part| part.bytes).sum();
    (alike && bytes <= PACK_BYTES).then_some(from)
}

/// One record with the entries of all of them.
///
/// # Errors
/// When one can't be read again.
pub(super) fn pack(node: &str, parts: &[JournalPart], segments: &Segments) -> Result<JournalRecord> {
    let mut entries = Vec::new();
    for part in parts {
        entries.extend(part.entries(segments)?);
    }
    Ok(JournalRecord { node: node.to_owned(), entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(count: usize, bytes: usize) -> JournalPart {
        JournalPart { epoch: 0, segment: None, count, bytes, entries: Vec::new() }
    }

    #[test]
    fn few_records_are_left_of_many_entries() {
        let mut parts = Vec::new();
        for _ in 0..100_000 {
            parts.push(part(1, 100));
            while let Some(from) = due(&parts) {
                let packed: Vec<JournalPart> = parts.drain(from..).collect();
                parts.push(part(packed.iter().map(|part| part.count).sum(), packed.iter().map(|part| part.bytes).sum()));
            }
            assert!(parts.len() <= 4 * PACK);
        }
        assert_eq!(parts.iter().map(|part| part.count).sum::<usize>(), 100_000);
    }

    #[test]
    fn large_records_are_left_alone() {
        let parts: Vec<JournalPart> = (0..2 * PACK).map(|_| part(1, PACK_BYTES / PACK + 1)).collect();
        assert_eq!(due(&parts), None);
        assert_eq!(due(&parts[..PACK - 1]), None);
    }
}
