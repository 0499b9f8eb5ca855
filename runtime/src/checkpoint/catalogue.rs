//! The catalogue as it is known in memory: what the database holds, decoded and checked once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use super::codec::{self, Encode, Kind};
use super::database::{Change, INLINE_LIMIT};
use super::journal::JournalPart;
use super::key::Key;
use super::records::{CommitEntry, Head, Manifest, Mark, Meta, OffsetEntry, Place, Pointer, SegmentRef};
use super::segment::{Segments, SmallSegments};
use crate::error::{Error, Result};

/// How many epochs' states can be restored: the newest, and one to fall back to.
const MANIFESTS: u64 = 2;

/// A record of a log.
#[derive(Debug, Clone)]
pub(super) struct Logged<T> {
    /// What it says.
    pub(super) entry: T,
    /// The hash of its bytes.
    pub(super) hash: u64,
    /// The segment that it lies in, if it is too large for the catalogue.
    pub(super) segment: Option<SegmentRef>,
}

/// All that the catalogue says, other than the journals' content where that lies in files.
#[derive(Debug)]
pub(super) struct Catalogue {
    /// What is fixed for the life of the checkpoint.
    pub(super) meta: Meta,
    /// The offset log.
    pub(super) offsets: BTreeMap<u64, Logged<OffsetEntry>>,
    /// The commit log.
    pub(super) commits: BTreeMap<u64, Logged<CommitEntry>>,
    /// The states that can be restored.
    pub(super) manifests: BTreeMap<u64, Logged<Manifest>>,
    /// The segments that lie in the catalogue.
    pub(super) small: SmallSegments,
    /// The records of each source's journal, oldest first.
    pub(super) journals: BTreeMap<String, Vec<JournalPart>>,
}

/// What a commit makes superfluous.
#[derive(Debug, Default)]
pub(super) struct Purge {
    /// Records to remove.
    pub(super) records: Vec<Key>,
    /// Segment files to remove, once the records are gone for good.
    pub(super) files: Vec<String>,
}

impl Catalogue {
    /// A new checkpoint's.
    pub(super) fn new(meta: Meta) -> Self {
        Catalogue {
            meta,
            offsets: BTreeMap::new(),
            commits: BTreeMap::new(),
            manifests: BTreeMap::new(),
            small: SmallSegments::new(),
            journals: BTreeMap::new(),
        }
    }

    /// The newest entry of the offset log.
    pub(super) fn planned(&self) -> Option<Mark> {
        newest(&self.offsets)
    }

    /// The newest entry of the commit log.
    pub(super) fn committed(&self) -> Option<Mark> {
        newest(&self.commits)
    }

    /// The state after the newest committed epoch.
    pub(super) fn state(&self) -> Manifest {
        let newest = self.committed().and_then(|mark| self.manifests.get(&mark.epoch));
        newest.map(|manifest| manifest.entry.clone()).unwrap_or_default()
    }

    /// What `HEAD` should say.
    pub(super) fn head(&self, sequence: u64) -> Head {
        Head { sequence, query: self.meta.query.clone(), planned: self.planned(), committed: self.committed() }
    }

    /// The names of all segment files that anything names.
    pub(super) fn files(&self) -> BTreeSet<&str> {
        let journals = self.journals.values().flatten().filter_map(|part| part.segment.as_ref());
        self.files_but_journals().chain(journals.map(|segment| segment.name.as_str())).collect()
    }

    /// The segment files that a commit may make superfluous. Journals are never purged, so they are left out.
    fn files_but_journals(&self) -> impl Iterator<Item = &str> {
        let records = segments_of(&self.offsets).chain(segments_of(&self.commits)).chain(segments_of(&self.manifests));
        let runs = self.manifests.values().flat_map(|manifest| manifest.entry.segments());
        records.chain(runs).filter(|segment| segment.place == Place::File).map(|segment| segment.name.as_str())
    }

    /// The names of the segments in the catalogue that a manifest names.
    pub(super) fn small_names(&self) -> BTreeSet<&str> {
        let runs = self.manifests.values().flat_map(|manifest| manifest.entry.segments());
        runs.filter(|segment| segment.place == Place::Catalogue).map(|segment| segment.name.as_str()).collect()
    }

    /// Forgets what the newest committed epoch no longer needs, with `retain` epochs to stay in the logs.
    pub(super) fn purge(&mut self, retain: u64) -> Purge {
        let Some(committed) = self.committed() else { return Purge::default() };
        let logs = (committed.epoch + 1).saturating_sub(retain);
        let manifests = (committed.epoch + 1).saturating_sub(MANIFESTS);
        let before: BTreeSet<String> = self.files_but_journals().map(str::to_owned).collect();
        let mut records = Vec::new();
        records.extend(cut(&mut self.offsets, logs).map(Key::Offsets));
        records.extend(cut(&mut self.commits, logs).map(Key::Commit));
        records.extend(cut(&mut self.manifests, manifests).map(Key::Manifest));
        records.extend(self.purge_small().into_iter().map(Key::Segment));
        let after: BTreeSet<&str> = self.files_but_journals().collect();
        let files = before.into_iter().filter(|name| !after.contains(name.as_str())).collect();
        Purge { records, files }
    }

    /// Forgets the segments in the catalogue that nothing names.
    pub(super) fn purge_small(&mut self) -> Vec<String> {
        let named: BTreeSet<String> = self.small_names().into_iter().map(str::to_owned).collect();
        self.small.extract_if(|name, _| !named.contains(name)).map(|(name, _)| name).collect()
    }
}

/// Encodes a record for the catalogue: as it is, or in a segment file with a pointer to it.
///
/// # Errors
/// When the record is too large or the file can't be written.
pub(super) fn store<T: Encode>(segments: &Segments, key: Key, kind: Kind, entry: T) -> Result<(Logged<T>, Change)> {
    let bytes = codec::encode(kind, &entry)?;
    let hash = codec::hash(&bytes);
    if bytes.len() <= INLINE_LIMIT {
        return Ok((Logged { entry, hash, segment: None }, Change::Put(key, bytes)));
    }
    let mut writer = segments.writer(&super::segment::slug(&key.to_string()));
    writer.write_all(&bytes).map_err(|error| writer.take_error().unwrap_or_else(|| Error::user(error)))?;
    let segment = writer.finish()?.segment;
    let pointer = codec::encode(Kind::Pointer, &Pointer { segment: segment.clone() })?;
    Ok((Logged { entry, hash, segment: Some(segment) }, Change::Put(key, pointer)))
}

fn newest<T>(log: &BTreeMap<u64, Logged<T>>) -> Option<Mark> {
    log.last_key_value().map(|(epoch, logged)| Mark { epoch: *epoch, hash: logged.hash })
}

fn segments_of<T>(log: &BTreeMap<u64, Logged<T>>) -> impl Iterator<Item = &SegmentRef> {
    log.values().filter_map(|logged| logged.segment.as_ref())
}

/// Removes the entries before `epoch`, oldest first.
fn cut<T>(log: &mut BTreeMap<u64, Logged<T>>, epoch: u64) -> impl Iterator<Item = u64> + use<T> {
    let kept = log.split_off(&epoch);
    std::mem::replace(log, kept).into_keys()
}
