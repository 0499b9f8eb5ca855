//! The catalogue's database: sled 0.34.7 behind the fences that it needs.
//!
//! What is known of that release, and what is done about it here:
//!
//! | defect | fence |
//! | --- | --- |
//! | its `flush` does not sync the disk | after each flush the file is synced by a handle of our own; an error ends the run |
//! | a crash during open leaves `snap.*.generating`, which no later open survives | removed before opening |
//! | a crash while `conf` is written leaves a part of it, which no later open survives | removed before opening: it holds constants |
//! | damage makes it panic, hang, or drop the rest of the log | opened on a thread, with a deadline; nothing is read after that; the rest is `recovery`'s |
//! | large values become files that are never synced nor reclaimed | values up to [`INLINE_LIMIT`] only, and segments that hold 68 of them |
//! | an old segment lives on while a page of it is not written again | few records live long: [`journal`](super::journal) packs them |
//! | large batches take gigabytes | at most [`BATCH_ITEMS`] items |
//! | its threads hold its lock for a moment after it was dropped | tried again for a moment: the checkpoint's own lock is already ours |

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::key::Key;
use crate::error::{Error, Result, catch_panic};
use crate::failpoint;

/// The largest value that the database is given.
pub(super) const INLINE_LIMIT: usize = 8 << 10;

/// A page holds 17 items before it is split, and becomes a file of its own when it outgrows a quarter of a segment.
const SEGMENT_BYTES: usize = 2 << 20;
const PAGE_ITEMS: usize = 17;
/// What the database may add to an item: the length of the longest key, and room for its own header.
const KEY_LIMIT: usize = 4 << 10;
const _: () = assert!(PAGE_ITEMS * (INLINE_LIMIT + KEY_LIMIT + 64) + 1024 <= SEGMENT_BYTES / 4);

/// How many changes are made in one step.
pub(super) const BATCH_ITEMS: usize = 1_000;
const CACHE_BYTES: u64 = 16 << 20;
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// A record as the database holds it.
pub(super) type RawRecord = (Vec<u8>, Vec<u8>);

/// One change of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Writes a record.
    Put(Key, Vec<u8>),
    /// Removes a record.
    Remove(Key),
}

/// The open database. Only written to: its records are read once, by [`Database::open`].
#[derive(Debug)]
pub(super) struct Database {
    /// Taken by drop only.
    sled: Option<sled::Db>,
    /// Our own handle on the database's file: a write error that the system noticed is reported to each handle once.
    file: File,
    path: PathBuf,
    deadline: Duration,
    /// What failed. From then on it is unknown what the disk holds, so nothing more is written.
    failure: Option<String>,
}

impl Database {
    /// Opens or creates the database in `dir` and reads all its records.
    ///
    /// # Errors
    /// [`Error::CheckpointDamaged`] when it can't be read, or not within `deadline`: then the thread that tries is left behind.
    pub(super) fn open(dir: &Path, deadline: Duration) -> Result<(Self, Vec<RawRecord>)> {
        remove_untrusted_files(dir)?;
        let path = dir.to_path_buf();
        let (sled, records) = within(deadline, "tg-catalog-open", &path.clone(), move || {
            let sled = open_sled(&path)?;
            let records = scan(&sled, &path)?;
            Ok((sled, records))
        })?;
        let path = dir.join("db");
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        Ok((Database { sled: Some(sled), file, path, deadline, failure: None }, records))
    }

    /// Makes changes durable, all or none of them. More than fit a batch are made in their order, so that what makes the others
    /// count belongs last. `point` is the fail point between the changes and their flush.
    ///
    /// # Errors
    /// Any error ends the life of this handle: no later call succeeds.
    pub(super) fn apply(&mut self, changes: Vec<Change>, point: &'static str) -> Result<()> {
        self.check()?;
        self.try_apply(&changes, point).inspect_err(|error| self.failure = Some(error.to_string()))
    }

    /// Whether it can be written to.
    ///
    /// # Errors
    /// When an earlier call failed.
    pub(super) fn check(&self) -> Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(failure) => Err(Error::user(format!("the checkpoint takes no more writes since one failed: {failure}"))),
        }
    }

    /// Takes no more writes: another file of the checkpoint failed.
    pub(super) fn poison(&mut self, error: &Error) {
        self.failure.get_or_insert_with(|| error.to_string());
    }

    fn try_apply(&self, changes: &[Change], point: &'static str) -> Result<()> {
        let Some(sled) = &self.sled else { return Err(Error::PeerGone) };
        for chunk in changes.chunks(BATCH_ITEMS) {
            let batch = batch(chunk)?;
            catch_panic(|| sled.apply_batch(batch).map_err(|error| self.error(error)))?;
        }
        failpoint::hit(point)?;
        catch_panic(|| sled.flush().map_err(|error| self.error(error)))?;
        self.file.sync_data().map_err(Error::io("sync", &self.path))
    }

    fn error(&self, error: sled::Error) -> Error {
        sled_error(&self.path, error)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // It flushes and joins threads of its own, and may never end if its file was damaged.
        let sled = self.sled.take();
        let dropped = within(self.deadline, "tg-catalog-end", &self.path, move || {
            drop(sled);
            Ok(())
        });
        if let Err(error) = dropped {
            tracing::warn!(%error, "catalogue not closed");
        }
    }
}

fn batch(changes: &[Change]) -> Result<sled::Batch> {
    let mut batch = sled::Batch::default();
    for change in changes {
        match change {
            Change::Put(key, value) => {
                let name = key.encode();
                if name.len() > KEY_LIMIT || value.len() > INLINE_LIMIT {
                    return Err(Error::InvalidArgument(format!("record {key} of {} bytes is too large", value.len())));
                }
                batch.insert(name, value.as_slice());
            }
            Change::Remove(key) => batch.remove(key.encode()),
        }
    }
    Ok(batch)
}

fn open_sled(path: &Path) -> Result<sled::Db> {
    let config = sled::Config::default()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
        .print_profile_on_drop(false);
    let patience = Instant::now() + LOCK_PATIENCE;
    loop {
        match config.open() {
            Ok(sled) => return Ok(sled),
            Err(error) if is_locked(&error) && Instant::now() < patience => thread::park_timeout(Duration::from_millis(5)),
            Err(error) if is_locked(&error) => {
                let owner = "an earlier run, whose database has not closed yet".to_owned();
                return Err(Error::CheckpointLocked { path: path.to_path_buf(), owner });
            }
            Err(error) => return Err(sled_error(path, error)),
        }
    }
}

fn scan(sled: &sled::Db, path: &Path) -> Result<Vec<RawRecord>> {
    let record = |item: sled::Result<(sled::IVec, sled::IVec)>| item.map(|(key, value)| (key.to_vec(), value.to_vec()));
    sled.iter().map(record).collect::<sled::Result<_>>().map_err(|error| sled_error(path, error))
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

fn sled_error(path: &Path, error: sled::Error) -> Error {
    match error {
        sled::Error::Io(source) => Error::Io { action: "use the database", path: path.to_path_buf(), source },
        other @ (sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::Corruption { .. }) => Error::damaged(path, format!("its database says: {other}")),
    }
}

/// Removes what a crash during an earlier open may have left half written, so that every later open would fail.
///
/// `snap.*.generating` is only a cache of the log. `conf` is written in place, unsynced, and holds nothing but our own constants:
/// sled writes it anew. A release that changes one of the constants must look at the catalogue's format version instead.
fn remove_untrusted_files(dir: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(Error::io("list", dir))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name == "conf" || (name.starts_with("snap.") && name.ends_with(".generating")) {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Runs `call` on a thread of its own and waits for it until the deadline.
fn within<T: Send + 'static>(
    deadline: Duration,
    name: &str,
    path: &Path,
    call: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (done, result) = mpsc::sync_channel(1);
    let run = move || {
        // After the deadline nobody listens; what was opened is dropped here, where it may hang.
        drop(done.send(catch_panic(call)));
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Error::io("start a thread for", path))?;
    match result.recv_timeout(deadline) {
        Ok(Err(Error::Panicked { message })) => Err(Error::damaged(path, format!("its database panicked: {message}"))),
        Ok(result) => result,
        Err(_) => Err(Error::damaged(path, format!("its database did not answer within {deadline:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    fn put(key: Key, size: usize) -> Change {
        Change::Put(key, vec![7; size])
    }

    #[test]
    fn the_largest_values_never_become_blobs() {
        let dir = tempfile::tempdir().unwrap();
        let (mut database, records) = Database::open(dir.path(), DEADLINE).unwrap();
        assert_eq!(records, []);
        for epoch in 0..400 {
            let name = format!("{epoch:01000}");
            database.apply(vec![put(Key::Segment(name), INLINE_LIMIT), put(Key::Manifest(epoch), INLINE_LIMIT)], "test").unwrap();
        }
        database.apply((0..1500).map(|epoch| put(Key::Offsets(epoch), 300)).collect(), "test").unwrap();
        assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
        drop(database);
        let (_database, records) = Database::open(dir.path(), DEADLINE).unwrap();
        assert_eq!(records.len(), 2300);
        assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
    }

    #[test]
    fn values_over_the_limit_are_refused_and_so_is_everything_after() {
        let dir = tempfile::tempdir().unwrap();
        let (mut database, _) = Database::open(dir.path(), DEADLINE).unwrap();
        assert!(database.apply(vec![put(Key::Meta, INLINE_LIMIT + 1)], "test").unwrap_err().to_string().contains("too large"));
        let refused = database.apply(vec![put(Key::Meta, 1)], "test").unwrap_err().to_string();
        assert!(refused.contains("takes no more writes"), "{refused}");
    }

    #[test]
    fn an_unfinished_snapshot_does_not_brick_it() {
        let dir = tempfile::tempdir().unwrap();
        let (mut database, _) = Database::open(dir.path(), DEADLINE).unwrap();
        database.apply(vec![put(Key::Meta, 1)], "test").unwrap();
        drop(database);
        fs::write(dir.path().join("snap.0000000000000ABC.generating"), [0; 10]).unwrap();
        let (_database, records) = Database::open(dir.path(), DEADLINE).unwrap();
        assert_eq!(records.len(), 1);
    }

    #[test]
    fn a_settings_file_cut_anywhere_does_not_brick_it() {
        let dir = tempfile::tempdir().unwrap();
        drop(Database::open(dir.path(), DEADLINE).unwrap());
        let whole = fs::read(dir.path().join("conf")).unwrap();
        for length in 0..=whole.len() {
            fs::write(dir.path().join("conf"), &whole[..length]).unwrap();
            drop(Database::open(dir.path(), DEADLINE).unwrap_or_else(|error| panic!("cut to {length} bytes: {error}")));
            assert_eq!(fs::read(dir.path().join("conf")).unwrap(), whole);
        }
    }

    #[test]
    fn it_can_be_reopened_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for epoch in 0..20 {
            let (mut database, records) = Database::open(dir.path(), DEADLINE).unwrap();
            assert_eq!(records.len(), epoch);
            database.apply(vec![put(Key::Offsets(epoch as u64), 10)], "test").unwrap();
        }
    }

    #[test]
    fn a_call_that_hangs_or_panics_is_damage() {
        let path = Path::new("somewhere");
        let (_never, wait) = mpsc::channel::<()>();
        let hung = within(Duration::from_millis(20), "tg-test", path, move || {
            wait.recv().unwrap();
            Ok(())
        });
        assert!(hung.unwrap_err().to_string().contains("did not answer within 20ms"));
        let panicked = within(DEADLINE, "tg-test", path, || -> Result<()> { panic!("slipped") });
        assert!(panicked.unwrap_err().to_string().contains("panicked: slipped"));
    }
}
