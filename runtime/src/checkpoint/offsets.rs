//! What an epoch is to read, as the coordinator sees it, and how that becomes an entry of the offset log.

use std::collections::{BTreeMap, BTreeSet};

use super::codec;
use super::records::{OffsetEntry, SourceEntry};
use crate::error::{Error, Result};
use crate::source::{Offset, OffsetRange};
use crate::types::{Epoch, NodeId, Watermark};

/// What is logged of an epoch before it runs, and is the same when it is run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OffsetRecord {
    /// The epoch.
    pub(crate) epoch: Epoch,
    /// The wall-clock time of its trigger, in milliseconds since 1970-01-01 UTC.
    pub(crate) trigger_time_ms: i64,
    /// Its watermark.
    pub(crate) watermark: Option<Watermark>,
    /// The watermark of the epoch before it.
    pub(crate) late_watermark: Option<Watermark>,
    /// What each source of the topology gives to it: all of them, each once, also those that have nothing new.
    pub(crate) sources: Vec<SourceOffset>,
    /// The settings that shape results.
    pub(crate) settings: BTreeMap<String, String>,
}

/// One source's part of an epoch. If it has nothing new, `end` is `start`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceOffset {
    /// The source.
    pub(crate) node: NodeId,
    /// The offset after which the epoch starts; `None` at the source's beginning.
    pub(crate) start: Option<Offset>,
    /// The offset at which it ends; `None` if the source never had anything.
    pub(crate) end: Option<Offset>,
}

impl SourceOffset {
    /// What the source is to read; `None` if it has nothing new.
    pub(crate) fn range(&self) -> Option<OffsetRange> {
        let end = self.end.clone().filter(|_| self.end != self.start)?;
        Some(OffsetRange { start: self.start.clone(), end })
    }
}

impl OffsetRecord {
    /// The entry for this record, after `previous` and with what the sources journal in it.
    ///
    /// # Errors
    /// When the sources are not those of the topology, or the journal has other ones.
    pub(super) fn entry(
        &self,
        expected: &BTreeSet<&str>,
        journal: &BTreeMap<&str, &[u8]>,
        previous: Option<&OffsetEntry>,
    ) -> Result<OffsetEntry> {
        let named: BTreeSet<&str> = self.sources.iter().map(|source| source.node.as_str()).collect();
        if named != *expected || named.len() != self.sources.len() {
            return Err(self.protocol(format!("has the sources {named:?} instead of each of {expected:?} once")));
        }
        if let Some(stranger) = journal.keys().find(|node| !named.contains(*node)) {
            return Err(self.protocol(format!("journals for {stranger}, which is no source")));
        }
        let source = |source: &SourceOffset| self.source_entry(source, journal, previous);
        Ok(OffsetEntry {
            epoch: self.epoch.number(),
            trigger_time_ms: self.trigger_time_ms,
            watermark: self.watermark.map(Watermark::micros),
            late_watermark: self.late_watermark.map(Watermark::micros),
            sources: self.sources.iter().map(source).collect(),
            settings: self.settings.clone(),
            previous: None,
            commit: None,
        })
    }

    fn source_entry(
        &self,
        source: &SourceOffset,
        journal: &BTreeMap<&str, &[u8]>,
        previous: Option<&OffsetEntry>,
    ) -> SourceEntry {
        let node = source.node.as_str();
        let before = previous.and_then(|entry| entry.sources.iter().find(|source| source.node == node));
        let before = before.map_or(0, |source| source.journal_hash);
        let text = |offset: &Option<Offset>| offset.as_ref().map(|offset| offset.as_json().to_owned());
        SourceEntry {
            node: node.to_owned(),
            start: text(&source.start),
            end: text(&source.end),
            journal_hash: journal.get(node).map_or(before, |data| journal_hash(before, self.epoch.number(), data)),
        }
    }

    fn protocol(&self, what: String) -> Error {
        Error::Protocol(format!("offsets of epoch {}: {what}", self.epoch))
    }
}

impl OffsetEntry {
    /// What the coordinator sees of the entry.
    pub(super) fn record(&self) -> OffsetRecord {
        let offset = |text: &Option<String>| text.clone().map(Offset::from_json);
        let source = |source: &SourceEntry| SourceOffset {
            node: NodeId::new(&source.node),
            start: offset(&source.start),
            end: offset(&source.end),
        };
        OffsetRecord {
            epoch: Epoch::new(self.epoch),
            trigger_time_ms: self.trigger_time_ms,
            watermark: self.watermark.map(Watermark::from_micros),
            late_watermark: self.late_watermark.map(Watermark::from_micros),
            sources: self.sources.iter().map(source).collect(),
            settings: self.settings.clone(),
        }
    }

    /// Whether the two log the same, wherever they stand in the log.
    pub(super) fn same_content(&self, other: &Self) -> bool {
        let content = |entry: &Self| OffsetEntry { previous: None, commit: None, ..entry.clone() };
        content(self) == content(other)
    }
}

/// The hash over a journal, one entry longer.
pub(super) fn journal_hash(before: u64, epoch: u64, data: &[u8]) -> u64 {
    let mut bytes = Vec::with_capacity(16 + data.len());
    bytes.extend_from_slice(&before.to_le_bytes());
    bytes.extend_from_slice(&epoch.to_le_bytes());
    bytes.extend_from_slice(data);
    // Zero is the hash of the empty journal.
    codec::hash(&bytes).max(1)
}
