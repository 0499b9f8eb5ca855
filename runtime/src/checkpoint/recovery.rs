//! From the database's records to a catalogue that can be trusted, or an error that says why not.
//!
//! The database may have lost any of its records without noticing, the newest ones most likely. So nothing counts because it is
//! there, or because nothing else is: entries must follow one another, each one names the one before by its hash, the commit log
//! names offsets and manifest, the newest offsets prove the journals, the manifest proves the segments, and `HEAD` says where the
//! logs end.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::catalogue::{Catalogue, Logged};
use super::codec::{self, Decode, Kind};
use super::database::{Change, RawRecord};
use super::head::HeadState;
use super::journal::JournalPart;
use super::key::Key;
use super::offsets::{OffsetRecord, journal_hash};
use super::records::{CommitEntry, JournalRecord, Manifest, Mark, Meta, OffsetEntry, Place, Pointer, SegmentRef};
use super::segment::{Segments, SmallSegments};
use super::watermarks::Watermarks;
use crate::error::{Error, Result};
use crate::source::{JournalEntry, Offset};
use crate::types::{Epoch, NodeId, QueryId, Watermark};

/// Where a query goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// The query's id.
    pub(crate) query: QueryId,
    /// The newest committed epoch, whose state is restored.
    pub(crate) committed: Option<Epoch>,
    /// That epoch's own watermark.
    pub(crate) watermark: Option<Watermark>,
    /// What was known of event time after it.
    pub(crate) watermarks: Watermarks,
    /// The settings that the newest logged epoch fixes for those after it.
    pub(crate) settings: BTreeMap<String, String>,
    /// The epochs to run again, in order, with what was logged for them.
    pub(crate) uncommitted: Vec<OffsetRecord>,
    /// Where each source ends in the newest logged epoch.
    pub(crate) last_offsets: HashMap<NodeId, Offset>,
    /// Where each source ends in the newest committed epoch.
    pub(crate) committed_offsets: HashMap<NodeId, Offset>,
    /// What each source journalled, oldest first.
    pub(crate) journals: HashMap<NodeId, Vec<JournalEntry>>,
    /// The trigger time of the newest logged epoch: a later epoch must not have an earlier one.
    pub(crate) last_trigger_time_ms: Option<i64>,
}

/// A catalogue that passed all checks.
#[derive(Debug)]
pub(super) struct Checked {
    /// What it says.
    pub(super) catalogue: Catalogue,
    /// The journals, by source.
    pub(super) journals: BTreeMap<String, Vec<JournalEntry>>,
    /// What to change so that the database says the same.
    pub(super) repairs: Vec<Change>,
    /// Whether the newest committed epoch was given up.
    pub(super) fell_back: bool,
}

/// The records, not yet understood.
pub(super) struct Records<'a> {
    path: &'a Path,
    segments: &'a Segments,
    records: BTreeMap<Key, Vec<u8>>,
}

impl<'a> Records<'a> {
    /// The records of the catalogue at `path`.
    ///
    /// # Errors
    /// When one has a name that no record has.
    pub(super) fn new(path: &'a Path, segments: &'a Segments, raw: Vec<RawRecord>) -> Result<Self> {
        let key = |name: &[u8]| {
            let text = String::from_utf8_lossy(name).into_owned();
            Key::decode(name).ok_or_else(|| Error::damaged(path, format!("a record has the unknown name {text:?}")))
        };
        let records = raw.into_iter().map(|(name, value)| Ok((key(&name)?, value))).collect::<Result<_>>()?;
        Ok(Records { path, segments, records })
    }

    /// What is fixed for the life of the checkpoint.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub(super) fn meta(&mut self) -> Result<Meta> {
        let bytes = self.records.remove(&Key::Meta).ok_or_else(|| self.damaged("the record meta is missing"))?;
        self.decode(&Key::Meta, Kind::Meta, &bytes).map(|meta: Logged<Meta>| meta.entry)
    }

    /// Checks all records, each by itself and against all others.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(super) fn check(mut self, meta: Meta, head: &HeadState, allow_fallback: bool) -> Result<Checked> {
        let mut catalogue = Catalogue::new(meta);
        catalogue.offsets = self.log(Key::Offsets, Kind::Offsets, |entry: &OffsetEntry| entry.epoch)?;
        catalogue.commits = self.log(Key::Commit, Kind::Commit, |entry: &CommitEntry| entry.epoch)?;
        self.check_logs(&catalogue)?;
        self.check_head(&catalogue, head)?;
        let mut repairs = Vec::new();
        let journals = self.journals(&mut catalogue, &mut repairs)?;
        catalogue.small = self.small()?;
        let fell_back = self.manifests(&mut catalogue, allow_fallback, &mut repairs)?;
        repairs.extend(catalogue.purge_small().into_iter().map(|name| Change::Remove(Key::Segment(name))));
        Ok(Checked { catalogue, journals, repairs, fell_back })
    }

    /// Takes the records of a log, which must follow one another.
    fn log<T: Decode<()>>(
        &mut self,
        key: fn(u64) -> Key,
        kind: Kind,
        epoch: impl Fn(&T) -> u64,
    ) -> Result<BTreeMap<u64, Logged<T>>> {
        let mut log: BTreeMap<u64, Logged<T>> = BTreeMap::new();
        let taken: Vec<(Key, Vec<u8>)> = self.records.extract_if(key(0)..=key(u64::MAX), |_, _| true).collect();
        for (name, bytes) in taken {
            let logged: Logged<T> = self.decode(&name, kind, &bytes)?;
            let number = epoch(&logged.entry);
            if name != key(number) {
                return Err(self.damaged(format!("record {name} is of epoch {number}")));
            }
            if let Some((last, _)) = log.last_key_value().filter(|(last, _)| **last + 1 != number) {
                return Err(self.damaged(format!("the records between {} and {name} are missing", key(*last))));
            }
            log.insert(number, logged);
        }
        Ok(log)
    }

    fn check_logs(&self, catalogue: &Catalogue) -> Result<()> {
        let Catalogue { meta, offsets, commits, .. } = catalogue;
        if let (Some((first, _)), None) = (offsets.first_key_value(), commits.last_key_value())
            && *first > 0
            && meta.given_up.is_none()
        {
            return Err(self.damaged(format!("the commit log is missing before epoch {first}")));
        }
        for (epoch, logged) in offsets {
            let commit = |epoch: &u64| meta.given_up.is_none_or(|given_up| *epoch > given_up);
            self.check_previous(Key::Offsets, *epoch, logged.entry.previous, offsets)?;
            match epoch.checked_sub(1).filter(commit).zip(logged.entry.commit) {
                Some((before, _)) if commits.is_empty() => {
                    return Err(self.damaged(format!("record commits/{before} is missing")));
                }
                Some((before, hash)) => self.check_commit(before, hash, commits)?,
                None => {}
            }
        }
        for (epoch, logged) in commits {
            self.check_previous(Key::Commit, *epoch, logged.entry.previous, commits)?;
            self.check_offsets_of(*epoch, &logged.entry, offsets)?;
        }
        Ok(())
    }

    fn check_previous<T>(
        &self,
        key: fn(u64) -> Key,
        epoch: u64,
        hash: Option<u64>,
        log: &BTreeMap<u64, Logged<T>>,
    ) -> Result<()> {
        let before = epoch.checked_sub(1);
        if before.is_some() != hash.is_some() {
            return Err(self.damaged(format!("record {} does not name the one before it", key(epoch))));
        }
        match before.and_then(|before| log.get(&before)).filter(|before| Some(before.hash) != hash) {
            Some(_) => Err(self.damaged(format!("record {} follows another one than is there", key(epoch)))),
            None => Ok(()),
        }
    }

    /// Epoch `before` was committed when the epoch after it was logged.
    fn check_commit(&self, before: u64, hash: u64, commits: &BTreeMap<u64, Logged<CommitEntry>>) -> Result<()> {
        match commits.get(&before) {
            Some(commit) if commit.hash == hash => Ok(()),
            Some(_) => Err(self.damaged(format!("record commits/{before} is another one than the offset log names"))),
            // The oldest entries of the offset log name commits that are purged.
            None if commits.first_key_value().is_some_and(|(first, _)| before < *first) => Ok(()),
            None => Err(self.damaged(format!("record commits/{before} is missing"))),
        }
    }

    fn check_offsets_of(&self, epoch: u64, commit: &CommitEntry, offsets: &BTreeMap<u64, Logged<OffsetEntry>>) -> Result<()> {
        match offsets.get(&epoch) {
            Some(logged) if logged.hash == commit.offsets_hash => Ok(()),
            Some(_) => Err(self.damaged(format!("record offsets/{epoch} is another one than was committed"))),
            None if offsets.first_key_value().is_some_and(|(first, _)| epoch < *first) => Ok(()),
            None => Err(self.damaged(format!("record offsets/{epoch} is missing"))),
        }
    }

    /// The logs must reach as far as `HEAD` says. A crash before it was written leaves it behind, never ahead.
    fn check_head(&self, catalogue: &Catalogue, head: &HeadState) -> Result<()> {
        let HeadState::Known(head) = head else {
            tracing::warn!(checkpoint = %self.path.display(), "HEAD can't be read and is written anew");
            return Ok(());
        };
        if head.query != catalogue.meta.query {
            return Err(self.damaged(format!("HEAD is of query {}, the catalogue of query {}", head.query, catalogue.meta.query)));
        }
        self.check_mark("planned", head.planned, &catalogue.offsets)?;
        self.check_mark("committed", head.committed, &catalogue.commits)
    }

    fn check_mark<T>(&self, what: &str, mark: Option<Mark>, log: &BTreeMap<u64, Logged<T>>) -> Result<()> {
        let Some(mark) = mark else { return Ok(()) };
        match log.last_key_value() {
            None => return Err(self.damaged(format!("HEAD says that epoch {} was {what}, the catalogue knows none", mark.epoch))),
            Some((last, _)) if *last < mark.epoch => {
                let text = format!("HEAD says that epoch {} was {what}, the catalogue ends at epoch {last}", mark.epoch);
                return Err(self.damaged(text));
            }
            Some(_) => {}
        }
        match log.get(&mark.epoch).filter(|logged| logged.hash != mark.hash) {
            Some(_) => Err(self.damaged(format!("epoch {} was {what} otherwise than the catalogue says", mark.epoch))),
            None => Ok(()),
        }
    }

    /// Takes the journals, whose completeness the newest offsets prove. What was journalled for an epoch that never got its
    /// offsets is removed.
    fn journals(&mut self, catalogue: &mut Catalogue, repairs: &mut Vec<Change>) -> Result<BTreeMap<String, Vec<JournalEntry>>> {
        let mut journals: BTreeMap<String, Vec<JournalEntry>> = BTreeMap::new();
        let planned = catalogue.planned();
        for (key, bytes) in self.take(|key| matches!(key, Key::Journal { .. })) {
            let Key::Journal { node, epoch } = key.clone() else { continue };
            if planned.is_none_or(|planned| epoch > planned.epoch) {
                repairs.push(Change::Remove(key));
                continue;
            }
            let logged: Logged<JournalRecord> = self.decode(&key, Kind::Journal, &bytes)?;
            catalogue.journals.entry(node.clone()).or_default().push(JournalPart::new(epoch, &logged));
            let entries = logged.entry.entries.into_iter();
            let entries = entries.map(|(epoch, data)| JournalEntry { epoch: Epoch::new(epoch), data });
            journals.entry(node).or_default().extend(entries);
        }
        if let Some(newest) = catalogue.offsets.values().next_back() {
            self.check_journals(&newest.entry, &journals)?;
        }
        Ok(journals)
    }

    fn check_journals(&self, newest: &OffsetEntry, journals: &BTreeMap<String, Vec<JournalEntry>>) -> Result<()> {
        for source in &newest.sources {
            let entries = journals.get(&source.node).map(Vec::as_slice).unwrap_or_default();
            let hash = entries.iter().fold(0, |hash, entry| journal_hash(hash, entry.epoch.number(), &entry.data));
            if hash != source.journal_hash {
                return Err(self.damaged(format!("the journal of source {} is not complete", source.node)));
            }
        }
        Ok(())
    }

    fn small(&mut self) -> Result<SmallSegments> {
        let mut small = SmallSegments::new();
        for (key, bytes) in self.take(|key| matches!(key, Key::Segment(_))) {
            let content = codec::unseal(Kind::Segment, &bytes).map_err(|fault| fault.at(self.path, &key))?;
            if let Key::Segment(name) = key {
                small.insert(name, Arc::from(content));
            }
        }
        Ok(small)
    }

    /// Takes the manifests and decides which state is restored. `true` if it is not the newest one.
    fn manifests(&mut self, catalogue: &mut Catalogue, allow_fallback: bool, repairs: &mut Vec<Change>) -> Result<bool> {
        let mut found: BTreeMap<u64, Result<Logged<Manifest>>> = BTreeMap::new();
        for (key, bytes) in self.take(|key| matches!(key, Key::Manifest(_))) {
            let Key::Manifest(epoch) = key else { continue };
            match catalogue.commits.get(&epoch) {
                Some(commit) => drop(found.insert(epoch, self.manifest(epoch, &bytes, commit.entry.manifest_hash))),
                None => repairs.push(Change::Remove(key)),
            }
        }
        let Some(Mark { epoch, .. }) = catalogue.committed() else { return Ok(false) };
        let newest = found.remove(&epoch).unwrap_or_else(|| Err(self.damaged(format!("record manifest/{epoch} is missing"))));
        let older = epoch.checked_sub(1).and_then(|epoch| found.remove(&epoch)).and_then(Result::ok);
        repairs.extend(found.into_keys().map(|epoch| Change::Remove(Key::Manifest(epoch))));
        match newest.and_then(|newest| self.check_segments(&newest.entry, &catalogue.small).map(|()| newest)) {
            Ok(newest) => {
                catalogue.manifests.extend(older.map(|older| (older.entry.epoch, older)));
                catalogue.manifests.insert(epoch, newest);
                Ok(false)
            }
            Err(error) => {
                let older = older.filter(|_| allow_fallback).ok_or(error)?;
                self.fall_back(catalogue, epoch, older, repairs).map(|()| true)
            }
        }
    }

    fn fall_back(&self, catalogue: &mut Catalogue, lost: u64, older: Logged<Manifest>, repairs: &mut Vec<Change>) -> Result<()> {
        self.check_segments(&older.entry, &catalogue.small)?;
        tracing::warn!(checkpoint = %self.path.display(), epoch = lost, "state is damaged, going back one epoch");
        catalogue.meta.given_up = Some(lost);
        catalogue.commits.remove(&lost);
        catalogue.manifests.insert(older.entry.epoch, older);
        repairs.push(Change::Put(Key::Meta, codec::encode(Kind::Meta, &catalogue.meta)?));
        repairs.extend([Change::Remove(Key::Commit(lost)), Change::Remove(Key::Manifest(lost))]);
        Ok(())
    }

    fn manifest(&self, epoch: u64, bytes: &[u8], hash: u64) -> Result<Logged<Manifest>> {
        let manifest: Logged<Manifest> = self.decode(&Key::Manifest(epoch), Kind::Manifest, bytes)?;
        if manifest.hash != hash || manifest.entry.epoch != epoch {
            return Err(self.damaged(format!("record manifest/{epoch} is another one than was committed")));
        }
        Ok(manifest)
    }

    fn check_segments(&self, manifest: &Manifest, small: &SmallSegments) -> Result<()> {
        manifest.segments().try_for_each(|segment| self.segments.check(segment, small))
    }

    fn take(&mut self, wanted: impl Fn(&Key) -> bool) -> Vec<(Key, Vec<u8>)> {
        self.records.extract_if(.., |key, _| wanted(key)).collect()
    }

    /// A record, wherever it lies.
    fn decode<T: Decode<()>>(&self, key: &Key, kind: Kind, bytes: &[u8]) -> Result<Logged<T>> {
        if !codec::claims(Kind::Pointer, bytes) {
            let entry = codec::decode(kind, bytes).map_err(|fault| fault.at(self.path, key))?;
            return Ok(Logged { entry, hash: codec::hash(bytes), segment: None });
        }
        let pointer: Pointer = codec::decode(Kind::Pointer, bytes).map_err(|fault| fault.at(self.path, key))?;
        let bytes = self.read(&pointer.segment)?;
        let entry = codec::decode(kind, &bytes).map_err(|fault| fault.at(self.path, key))?;
        Ok(Logged { entry, hash: codec::hash(&bytes), segment: Some(pointer.segment) })
    }

    fn read(&self, segment: &SegmentRef) -> Result<Vec<u8>> {
        if segment.place != Place::File {
            return Err(self.damaged(format!("a record lies in segment {}, which is no file", segment.name)));
        }
        self.segments.read(segment)
    }

    fn damaged(&self, what: impl Into<String>) -> Error {
        Error::damaged(self.path, what)
    }
}

impl Checked {
    /// Where the query goes on.
    ///
    /// # Errors
    /// When the logged query id is none.
    pub(super) fn recovered(&mut self, path: &Path) -> Result<Recovered> {
        let Catalogue { meta, offsets, commits, .. } = &self.catalogue;
        let query = QueryId::parse(&meta.query).ok_or_else(|| Error::damaged(path, "the query's id can't be read"))?;
        let committed = commits.last_key_value().map(|(epoch, _)| *epoch);
        let newest = offsets.values().next_back().map(|logged| &logged.entry);
        let uncommitted = offsets.values().filter(|logged| committed.is_none_or(|committed| logged.entry.epoch > committed));
        let commit = commits.values().next_back().map(|logged| &logged.entry);
        let committed_entry = committed.and_then(|epoch| offsets.get(&epoch)).map(|logged| &logged.entry);
        Ok(Recovered {
            query,
            committed: committed.map(Epoch::new),
            watermark: committed_entry.and_then(|entry| entry.watermark).map(Watermark::from_micros),
            watermarks: commit.map(|c| Watermarks::logged(c.next_watermark, &c.reported)).unwrap_or_default(),
            settings: newest.map(|entry| entry.settings.clone()).unwrap_or_default(),
            uncommitted: uncommitted.map(|logged| logged.entry.record()).collect(),
            last_offsets: newest.map(ends).unwrap_or_default(),
            committed_offsets: committed_entry.map(ends).unwrap_or_default(),
            journals: std::mem::take(&mut self.journals)
                .into_iter()
                .map(|(node, entries)| (NodeId::new(node), entries))
                .collect(),
            last_trigger_time_ms: newest.map(|entry| entry.trigger_time_ms),
        })
    }
}

fn ends(entry: &OffsetEntry) -> HashMap<NodeId, Offset> {
    let end = |node: &String, end: &Option<String>| Some((NodeId::new(node), Offset::from_json(end.clone()?)));
    entry.sources.iter().filter_map(|source| end(&source.node, &source.end)).collect()
}
