//! The file `LOCK`: a checkpoint belongs to one query at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::types::QueryId;

/// Holds the lock for as long as it lives.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
}

/// Who holds the lock: for the error that others get.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    query: Option<String>,
    pid: u32,
    host: Option<String>,
    started: u64,
}

impl Lock {
    /// Takes the lock of the checkpoint `dir`, without waiting.
    ///
    /// # Errors
    /// [`Error::CheckpointLocked`] when another query has it, in this process or another.
    pub(super) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("LOCK");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { path, file }),
            Err(TryLockError::WouldBlock) => Err(Error::CheckpointLocked { path: dir.to_path_buf(), owner: owner(&path) }),
            Err(TryLockError::Error(source)) => Err(Error::Io { action: "lock", path, source }),
        }
    }

    /// Writes down who holds the lock.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(super) fn sign(&mut self, query: Option<QueryId>) -> Result<()> {
        let owner = Owner {
            query: query.map(|query| query.to_string()),
            pid: std::process::id(),
            host: std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned()),
            started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        };
        let text = serde_json::to_vec(&owner).map_err(Error::user)?;
        self.replace(&text).map_err(Error::io("write", &self.path))
    }

    fn replace(&mut self, text: &[u8]) -> std::io::Result<()> {
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(text)
    }
}

/// What the lock file says of its owner: it may be half written, or not readable while it is locked.
fn owner(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_string(&mut text));
    match read.ok().and_then(|_| serde_json::from_str::<Owner>(&text).ok()) {
        Some(owner) => describe(&owner),
        None => "another query".to_owned(),
    }
}

fn describe(owner: &Owner) -> String {
    let query = owner.query.as_ref().map_or_else(|| "a query".to_owned(), |query| format!("query {query}"));
    let host = owner.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    format!("{query} (process {}{host})", owner.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_taker_learns_who_was_first() {
        let dir = tempfile::tempdir().unwrap();
        let query = QueryId::random();
        let mut first = Lock::take(dir.path()).unwrap();
        first.sign(Some(query)).unwrap();
        let refused = Lock::take(dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("query {query} (process {}", std::process::id())), "{refused}");
        drop(first);
        Lock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_lock_file_that_says_nothing_still_locks() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Lock::take(dir.path()).unwrap();
        assert!(matches!(Lock::take(dir.path()), Err(Error::CheckpointLocked { owner, .. }) if owner == "another query"));
    }
}
