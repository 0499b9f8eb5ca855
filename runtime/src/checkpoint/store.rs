//! The writing end of a checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CheckpointOptions;
use super::catalogue::{Catalogue, Logged, store};
use super::codec::{self, ENVELOPE_BYTES, Kind};
use super::compaction::Compactor;
use super::database::{Change, Database, INLINE_LIMIT};
use super::descriptor::TopologyDescriptor;
use super::head::{self, HeadFile, HeadState};
use super::journal::{self, JournalPart, NewPart};
use super::key::Key;
use super::lock::Lock;
use super::manifest::{Merged, NewRun};
use super::offsets::OffsetRecord;
use super::records::{CommitEntry, JournalRecord, Manifest, Meta, OffsetEntry, Place};
use super::recovery::{Checked, Records, Recovered};
use super::runs::{SnapshotWriter, StateReader};
use super::segment::{NewSegment, Segments, SmallSegments, sync_dir};
use super::watermarks::Watermarks;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::state::{HASH_NAME, KEY_GROUPS};
use crate::types::{Epoch, NodeId, QueryId, Watermark};

/// The epochs that must stay in the logs: the newest, and the one that its state may fall back to.
const LEAST_RETAINED: u64 = 2;

/// An open checkpoint. One thread writes to it.
///
/// An error of any write leaves the disk in an unknown state, so no later write succeeds. What is durable is found out by the
/// next open.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    query: QueryId,
    retain: u64,
    // In the order in which they are dropped: the lock last.
    compactor: Compactor,
    database: Database,
    head: HeadFile,
    sequence: u64,
    segments: Segments,
    catalogue: Catalogue,
    /// The state that the checkpoint was opened with.
    opened: StateReader,
    /// Segment files that the durable catalogue no longer names.
    released: Vec<String>,
    _lock: Lock,
}

impl Checkpoint {
    /// Opens the checkpoint in `dir` for this topology, or makes a new one there.
    ///
    /// # Errors
    /// [`Error::CheckpointLocked`], [`Error::CheckpointMismatch`], [`Error::CheckpointVersion`] or [`Error::CheckpointDamaged`];
    /// or a file can't be read or written.
    pub(crate) fn open(dir: &Path, topology: &TopologyDescriptor, options: &CheckpointOptions) -> Result<(Self, Recovered)> {
        create_dir(dir)?;
        let mut lock = Lock::take(dir)?;
        lock.sign(None)?;
        let head = head::read(dir)?;
        let catalog = dir.join("catalog");
        if head != HeadState::Missing && !catalog.join("db").exists() {
            return Err(Error::damaged(dir, "there is a HEAD but no catalogue"));
        }
        create_dir(&catalog)?;
        create_dir(&dir.join("segments"))?;
        let segments = Segments::new(&dir.join("segments"), options.inline_limit.min(INLINE_LIMIT - ENVELOPE_BYTES));
        let (database, records) = Database::open(&catalog, options.open_deadline)?;
        let checked = if records.is_empty() {
            create(dir, topology, &head, &segments)?
        } else {
            let mut records = Records::new(dir, &segments, records)?;
            let meta = records.meta()?;
            check_topology(dir, topology, &meta)?;
            records.check(meta, &head, options.allow_fallback)?
        };
        Opening { dir: dir.to_path_buf(), lock, head, database, segments, checked }.finish(options)
    }

    /// Logs an epoch: once this returns, the epoch is run with these offsets, now or after a restart. Epochs are logged in
    /// order, and may be logged before the ones before them are committed. Logging the same again changes nothing.
    ///
    /// # Errors
    /// [`Error::Protocol`] when the epoch is not the next one, or was logged with other content; or a write failed.
    pub(crate) fn log_offsets(&mut self, record: OffsetRecord, journal: Vec<(NodeId, Vec<u8>)>) -> Result<()> {
        self.database.check()?;
        failpoint::hit("offsets.before")?;
        let epoch = record.epoch.number();
        let entry = self.offset_entry(&record, &journal)?;
        if let Some(logged) = self.catalogue.offsets.get(&epoch) {
            return if logged.entry.same_content(&entry) { Ok(()) } else { Err(logged_otherwise(epoch)) };
        }
        let (logged, changes, parts) = self.offset_changes(epoch, entry, journal)?;
        failpoint::hit("offsets.torn")?;
        self.database.apply(changes, "offsets.flush")?;
        self.catalogue.offsets.insert(epoch, logged);
        for (node, part) in parts {
            self.catalogue.journals.entry(node).or_default().push(part);
        }
        failpoint::hit("offsets.after")?;
        self.write_head()
    }

    /// A handle that writes snapshots.
    pub(crate) fn snapshot_writer(&self) -> SnapshotWriter {
        SnapshotWriter { segments: self.segments.clone() }
    }

    /// A handle that reads the state of the epoch that was the newest committed one when the checkpoint was opened.
    pub(crate) fn state_reader(&self) -> StateReader {
        self.opened.clone()
    }

    /// Commits an epoch: once this returns, a restart goes on after it, with these runs in its state. Epochs are committed in
    /// order.
    ///
    /// A node whose runs come from another number of tasks than its state must bring all its state, as full runs of all tasks.
    ///
    /// # Errors
    /// [`Error::Protocol`] when the epoch is not the next one, was not logged, or its runs don't fit; or a write failed, now or
    /// in the background.
    pub(crate) fn commit(&mut self, epoch: Epoch, watermarks: &Watermarks, runs: Vec<NewRun>) -> Result<()> {
        self.database.check()?;
        let offsets_hash = self.check_next(epoch.number())?;
        let merges = self.compactor.take_finished()?;
        let mut manifest = self.catalogue.state();
        let (adopted, outdated): (Vec<Merged>, Vec<Merged>) = merges.into_iter().partition(|merged| manifest.adopt(merged));
        manifest.add(epoch.number(), &runs)?;
        let new = adopted.into_iter().map(|merged| merged.segment).chain(runs.into_iter().map(|run| run.segment)).collect();
        self.commit_manifest(manifest, offsets_hash, watermarks, new)?;
        let outdated = outdated.into_iter().filter(|merged| merged.run.segment.place == Place::File);
        self.released.extend(outdated.map(|merged| merged.run.segment.name));
        failpoint::hit("commit.after")?;
        self.write_head()?;
        let state = self.catalogue.committed().and_then(|mark| self.catalogue.manifests.get(&mark.epoch));
        state.map_or(Ok(()), |state| self.compactor.start(&state.entry, &self.catalogue.small))
    }

    /// Packs the journals and removes the files that the catalogue no longer names.
    ///
    /// # Errors
    /// When the journals can't be written or a file can't be removed.
    pub(crate) fn clean(&mut self) -> Result<()> {
        failpoint::hit("clean.before")?;
        self.pack_journals()?;
        while let Some(name) = self.released.pop() {
            self.segments.remove(&name)?;
            failpoint::hit("clean.mid")?;
        }
        Ok(())
    }

    /// The query's id.
    pub(crate) fn query_id(&self) -> QueryId {
        self.query
    }

    /// Waits until nothing is being merged.
    #[cfg(test)]
    pub(super) fn wait_for_compaction(&self) {
        self.compactor.wait();
    }

    /// How many runs the longest chain has.
    #[cfg(test)]
    pub(super) fn longest_chain(&self) -> usize {
        self.catalogue.state().chains().map(|(_, _, runs)| runs.len()).max().unwrap_or_default()
    }

    /// The epochs of the offset log, the commit log and the manifests.
    #[cfg(test)]
    pub(super) fn logged_epochs(&self) -> (std::ops::Range<u64>, std::ops::Range<u64>, std::ops::Range<u64>) {
        fn epochs<T>(log: &BTreeMap<u64, T>) -> std::ops::Range<u64> {
            *log.keys().next().unwrap_or(&0)..log.keys().next_back().map_or(0, |last| last + 1)
        }
        (epochs(&self.catalogue.offsets), epochs(&self.catalogue.commits), epochs(&self.catalogue.manifests))
    }

    /// How many segment files the catalogue names.
    #[cfg(test)]
    pub(super) fn named_files(&self) -> usize {
        self.catalogue.files().len()
    }

    fn offset_entry(&self, record: &OffsetRecord, journal: &[(NodeId, Vec<u8>)]) -> Result<OffsetEntry> {
        let epoch = record.epoch.number();
        let next = self.catalogue.planned().map_or(0, |mark| mark.epoch + 1);
        let before = epoch.checked_sub(1).and_then(|before| self.catalogue.offsets.get(&before));
        if epoch > next || (epoch > 0 && before.is_none()) {
            return Err(Error::Protocol(format!("offsets of epoch {epoch} come where those of epoch {next} are due")));
        }
        let sources: BTreeSet<&str> = self.catalogue.meta.topology.sources.iter().map(|(node, _)| node.as_str()).collect();
        let by_node: BTreeMap<&str, &[u8]> = journal.iter().map(|(node, data)| (node.as_str(), data.as_slice())).collect();
        if by_node.len() != journal.len() {
            return Err(Error::Protocol(format!("offsets of epoch {epoch} journal twice for a source")));
        }
        let mut entry = record.entry(&sources, &by_node, before.map(|logged| &logged.entry))?;
        entry.previous = before.map(|logged| logged.hash);
        entry.commit = epoch.checked_sub(1).and_then(|before| self.catalogue.commits.get(&before)).map(|logged| logged.hash);
        Ok(entry)
    }

    fn offset_changes(
        &self,
        epoch: u64,
        entry: OffsetEntry,
        journal: Vec<(NodeId, Vec<u8>)>,
    ) -> Result<(Logged<OffsetEntry>, Vec<Change>, Vec<NewPart>)> {
        let (mut changes, mut parts) = (Vec::new(), Vec::new());
        for (node, data) in journal {
            let node = node.as_str().to_owned();
            let key = Key::Journal { node: node.clone(), epoch };
            let record = JournalRecord { node: node.clone(), entries: vec![(epoch, data)] };
            let (logged, change) = store(&self.segments, key, Kind::Journal, record)?;
            changes.push(change);
            parts.push((node, JournalPart::new(epoch, &logged)));
        }
        // Last: it is what makes the journal's entries count.
        let (logged, change) = store(&self.segments, Key::Offsets(epoch), Kind::Offsets, entry)?;
        changes.push(change);
        if logged.segment.is_some() || parts.iter().any(|(_, part)| part.segment.is_some()) {
            self.segments.sync()?;
        }
        Ok((logged, changes, parts))
    }

    /// Makes many small records of a journal one. One batch replaces them, so that no entry is ever missing or there twice.
    fn pack_journals(&mut self) -> Result<()> {
        for (node, parts) in &mut self.catalogue.journals {
            while let Some(from) = journal::due(parts) {
                let record = journal::pack(node, &parts[from..], &self.segments)?;
                let Some((last, others)) = parts[from..].split_last() else { break };
                // It takes the place of the last one.
                let (logged, put) = store(&self.segments, last.key(node), Kind::Journal, record)?;
                let packed = JournalPart::new(last.epoch, &logged);
                failpoint::hit("journal.pack")?;
                if packed.segment.is_some() {
                    self.segments.sync()?;
                }
                let changes = std::iter::once(put).chain(others.iter().map(|part| Change::Remove(part.key(node)))).collect();
                self.database.apply(changes, "journal.flush")?;
                let files = parts.drain(from..).filter_map(|part| part.segment);
                self.released.extend(files.map(|segment| segment.name));
                parts.push(packed);
            }
        }
        Ok(())
    }

    /// The hash of the epoch's offsets, if it is the one to commit.
    fn check_next(&self, epoch: u64) -> Result<u64> {
        let next = self.catalogue.committed().map_or(0, |mark| mark.epoch + 1);
        if epoch != next {
            return Err(Error::Protocol(format!("commit of epoch {epoch} comes where that of epoch {next} is due")));
        }
        let logged = self.catalogue.offsets.get(&epoch);
        logged.map(|logged| logged.hash).ok_or_else(|| Error::Protocol(format!("commit of epoch {epoch}, which was not logged")))
    }

    /// The commit point: one batch makes manifest, small segments and commit log entry durable, and forgets what they replace.
    fn commit_manifest(
        &mut self,
        manifest: Manifest,
        offsets_hash: u64,
        watermarks: &Watermarks,
        new: Vec<NewSegment>,
    ) -> Result<()> {
        let epoch = manifest.epoch;
        let (manifest, manifest_change) = store(&self.segments, Key::Manifest(epoch), Kind::Manifest, manifest)?;
        let commit = CommitEntry {
            epoch,
            next_watermark: watermarks.next.map(Watermark::micros),
            reported: watermarks.reported_micros(),
            offsets_hash,
            previous: self.catalogue.committed().map(|mark| mark.hash),
            manifest_hash: manifest.hash,
        };
        let (commit, commit_change) = store(&self.segments, Key::Commit(epoch), Kind::Commit, commit)?;
        failpoint::hit("commit.before")?;
        if manifest.segment.is_some() || new.iter().any(|segment| segment.bytes.is_none()) {
            self.segments.sync()?;
        }
        let mut changes = small_changes(&new, &mut self.catalogue.small)?;
        changes.extend([manifest_change, commit_change]);
        self.catalogue.manifests.insert(epoch, manifest);
        self.catalogue.commits.insert(epoch, commit);
        let purge = self.catalogue.purge(self.retain);
        // Last: should the batch be too large for one, nothing goes before what replaces it is there.
        changes.extend(purge.records.into_iter().map(Change::Remove));
        self.database.apply(changes, "commit.flush")?;
        self.released.extend(purge.files);
        Ok(())
    }

    fn write_head(&mut self) -> Result<()> {
        self.sequence += 1;
        let head = self.catalogue.head(self.sequence);
        self.head.write(&head).inspect_err(|error| self.database.poison(error))
    }
}

/// A checkpoint whose records have been checked and that is yet to be put in order.
struct Opening {
    dir: PathBuf,
    lock: Lock,
    head: HeadState,
    database: Database,
    segments: Segments,
    checked: Checked,
}

impl Opening {
    fn finish(mut self, options: &CheckpointOptions) -> Result<(Checkpoint, Recovered)> {
        failpoint::hit("recover.mid")?;
        let recovered = self.checked.recovered(&self.dir)?;
        let mut sequence = match &self.head {
            HeadState::Known(head) => head.sequence,
            HeadState::Missing | HeadState::Unreadable => 0,
        };
        // A new checkpoint has its catalogue first. One that falls back has its HEAD first, in both slots, so that it is never ahead.
        if !self.checked.fell_back {
            self.repair()?;
        }
        // A HEAD without a catalogue is damage: the catalogue's name comes first. One that is there came after it.
        if !matches!(self.head, HeadState::Known(_)) {
            sync_dir(&self.dir.join("catalog"))?;
            sync_ancestors(&self.dir)?;
        }
        let mut file = HeadFile::open(&self.dir)?;
        let is_current = matches!(&self.head, HeadState::Known(head) if *head == self.checked.catalogue.head(head.sequence));
        let writes = if self.checked.fell_back { 2 } else { usize::from(!is_current) };
        for _ in 0..writes {
            sequence += 1;
            file.write(&self.checked.catalogue.head(sequence))?;
        }
        sync_dir(&self.dir)?;
        self.repair()?;
        self.sweep()?;
        self.lock.sign(Some(recovered.query))?;
        let manifest = Arc::new(self.checked.catalogue.state());
        let opened = StateReader { segments: self.segments.clone(), small: self.checked.catalogue.small.clone(), manifest };
        let checkpoint = Checkpoint {
            query: recovered.query,
            retain: options.min_epochs_to_retain.max(LEAST_RETAINED),
            compactor: Compactor::new(self.segments.clone()),
            database: self.database,
            head: file,
            sequence,
            segments: self.segments,
            catalogue: self.checked.catalogue,
            opened,
            released: Vec::new(),
            _lock: self.lock,
        };
        Ok((checkpoint, recovered))
    }

    fn repair(&mut self) -> Result<()> {
        let repairs = std::mem::take(&mut self.checked.repairs);
        if repairs.is_empty() { Ok(()) } else { self.database.apply(repairs, "recover.flush") }
    }

    fn sweep(&self) -> Result<()> {
        let named = self.checked.catalogue.files();
        let garbage = self.segments.list()?.into_iter().filter(|name| !named.contains(name.as_str()));
        for name in garbage {
            tracing::debug!(%name, "segment that nothing names removed");
            self.segments.remove(&name)?;
        }
        Ok(())
    }
}

/// What a new checkpoint begins with.
fn create(dir: &Path, topology: &TopologyDescriptor, head: &HeadState, segments: &Segments) -> Result<Checked> {
    if *head != HeadState::Missing || !segments.list()?.is_empty() {
        return Err(Error::damaged(dir, "its catalogue is empty, but there are other files of a checkpoint"));
    }
    let meta = Meta {
        query: QueryId::random().to_string(),
        key_groups: KEY_GROUPS,
        hash: HASH_NAME.to_owned(),
        topology: topology.clone(),
        given_up: None,
    };
    let repairs = vec![Change::Put(Key::Meta, codec::encode(Kind::Meta, &meta)?)];
    Ok(Checked { catalogue: Catalogue::new(meta), journals: BTreeMap::new(), repairs, fell_back: false })
}

fn check_topology(dir: &Path, topology: &TopologyDescriptor, meta: &Meta) -> Result<()> {
    let mut differences = topology.differences(&meta.topology);
    if meta.key_groups != KEY_GROUPS {
        differences.push(format!("there are {KEY_GROUPS} key groups, before {}", meta.key_groups));
    }
    if meta.hash != HASH_NAME {
        differences.push(format!("keys are hashed by {HASH_NAME}, before by {}", meta.hash));
    }
    if differences.is_empty() { Ok(()) } else { Err(Error::CheckpointMismatch { path: dir.to_path_buf(), differences }) }
}

fn small_changes(new: &[NewSegment], small: &mut SmallSegments) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for NewSegment { segment, bytes } in new {
        if let Some(bytes) = bytes {
            changes.push(Change::Put(Key::Segment(segment.name.clone()), codec::seal(Kind::Segment, bytes)?));
            small.insert(segment.name.clone(), Arc::clone(bytes));
        }
    }
    Ok(changes)
}

fn logged_otherwise(epoch: u64) -> Error {
    Error::Protocol(format!("epoch {epoch} is already logged, with other offsets"))
}

/// Makes the checkpoint's own name durable, and those of the directories that were made for it, before its first HEAD is written.
/// Directories that may not be read were not made by us.
fn sync_ancestors(dir: &Path) -> Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let path = dir.canonicalize().map_err(Error::io("resolve", dir))?;
    for ancestor in path.ancestors().skip(1) {
        match fs::File::open(ancestor) {
            Ok(directory) => directory.sync_all().map_err(Error::io("sync", ancestor))?,
            Err(_) => break,
        }
    }
    Ok(())
}

/// Makes a directory that only its owner can look into. One that is there stays as it is.
fn create_dir(dir: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(Error::io("create", dir))
}
