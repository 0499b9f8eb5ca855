//! What the catalogue's records hold, as it is written. A changed field is a new format version.

use std::collections::BTreeMap;

use super::codec::{Decode, Encode};
use super::descriptor::{TableDescriptor, TopologyDescriptor};

/// What is fixed for the life of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct Meta {
    /// The query's id.
    pub(super) query: String,
    /// How many key groups there are.
    pub(super) key_groups: u16,
    /// The name of the hash function that deals keys to key groups.
    pub(super) hash: String,
    /// The topology that writes the checkpoint.
    pub(super) topology: TopologyDescriptor,
    /// The newest epoch whose commit was given up because its state was damaged: the offset log may still speak of it.
    pub(super) given_up: Option<u64>,
}

/// An entry of the offset log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct OffsetEntry {
    /// The epoch.
    pub(super) epoch: u64,
    /// The wall-clock time of its trigger.
    pub(super) trigger_time_ms: i64,
    /// Its watermark, in microseconds.
    pub(super) watermark: Option<i64>,
    /// The watermark of the epoch before it, in microseconds.
    pub(super) late_watermark: Option<i64>,
    /// What every source gives to it.
    pub(super) sources: Vec<SourceEntry>,
    /// The settings that shape results.
    pub(super) settings: BTreeMap<String, String>,
    /// The hash of the entry of the epoch before; the newest entry so proves all others.
    pub(super) previous: Option<u64>,
    /// The hash of the commit log's entry of the epoch before, if that was committed by then.
    pub(super) commit: Option<u64>,
}

/// One source's part of an [`OffsetEntry`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct SourceEntry {
    /// The source.
    pub(super) node: String,
    /// The offset after which the epoch starts.
    pub(super) start: Option<String>,
    /// The offset at which it ends.
    pub(super) end: Option<String>,
    /// The hash over the source's whole journal up to this epoch: proves that no entry is missing.
    pub(super) journal_hash: u64,
}

/// What a source journalled in one epoch or more, by the last of which the record is named.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct JournalRecord {
    /// The source.
    pub(super) node: String,
    /// The epochs and the source's bytes, oldest first.
    pub(super) entries: Vec<(u64, Vec<u8>)>,
}

/// An entry of the commit log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct CommitEntry {
    /// The epoch.
    pub(super) epoch: u64,
    /// The watermark of epochs that are planned after it, in microseconds.
    pub(super) next_watermark: Option<i64>,
    /// The greatest event time that each node had reported by then, in microseconds.
    pub(super) reported: BTreeMap<String, i64>,
    /// The hash of its entry in the offset log.
    pub(super) offsets_hash: u64,
    /// The hash of the entry of the epoch before.
    pub(super) previous: Option<u64>,
    /// The hash of its manifest.
    pub(super) manifest_hash: u64,
}

/// Everything that makes up the state after an epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct Manifest {
    /// The epoch.
    pub(super) epoch: u64,
    /// The nodes that have state, by name.
    pub(super) nodes: BTreeMap<String, NodeState>,
}

/// One node's part of a [`Manifest`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct NodeState {
    /// How many tasks wrote it.
    pub(super) parallelism: u32,
    /// Its tables, by name.
    pub(super) tables: BTreeMap<String, TableState>,
}

/// One table's part of a [`NodeState`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct TableState {
    /// The table's columns.
    pub(super) table: TableDescriptor,
    /// Each subtask's runs, oldest first.
    pub(super) chains: BTreeMap<u32, Vec<RunRecord>>,
}

/// What changed in one subtask's part of a table over some epochs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct RunRecord {
    /// The first epoch whose changes it holds.
    pub(super) first_epoch: u64,
    /// The last one.
    pub(super) last_epoch: u64,
    /// Whether it holds all rows, and nothing before it counts.
    pub(super) full: bool,
    /// How many rows it has, removed ones included.
    pub(super) rows: u64,
    /// Where the rows are.
    pub(super) segment: SegmentRef,
}

/// Names a segment, and proves that what is found under the name is it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct SegmentRef {
    /// Its name, unique in the life of the checkpoint.
    pub(super) name: String,
    /// Where it lies.
    pub(super) place: Place,
    /// Its length in bytes.
    pub(super) length: u64,
    /// Its CRC-32C.
    pub(super) crc: u32,
}

/// Where a segment lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(super) enum Place {
    /// In a file of its own.
    File,
    /// In the catalogue.
    Catalogue,
}

/// Stands in the catalogue for a record that is too large for it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct Pointer {
    /// The segment that holds the record, in its envelope.
    pub(super) segment: SegmentRef,
}

/// A slot of the file `HEAD`: how far the logs reach.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct Head {
    /// Counts the writes; the larger of the two slots is the newer.
    pub(super) sequence: u64,
    /// The query's id.
    pub(super) query: String,
    /// The newest entry of the offset log.
    pub(super) planned: Option<Mark>,
    /// The newest entry of the commit log.
    pub(super) committed: Option<Mark>,
}

/// An entry of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(super) struct Mark {
    /// Its epoch.
    pub(super) epoch: u64,
    /// Its hash.
    pub(super) hash: u64,
}
