//! One writer at a time in a directory of files.
//!
//! A sink holds one lock of its output's directory for as long as it is open. A batch holds that one while it writes, and another one before
//! it: so batches wait for each other, and are refused where a query runs. The system gives the locks back when a process dies.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::path::Path;

use tidegate_runtime::{Error, Result};

/// Held by whoever writes.
const WRITER: &str = ".tidegate_writer.lock";
/// Held by the batch whose turn it is.
const BATCH: &str = ".tidegate_batch.lock";

/// The right to write files in a directory, until it is dropped. File systems that have no locks let everybody write.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use tidegate_connectors::DirectoryLock;
///
/// let lock = DirectoryLock::of_batch(dir.path())?;
/// drop(lock);
/// let again = DirectoryLock::of_batch(dir.path())?;
/// # drop(again);
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug)]
pub struct DirectoryLock {
    // Given back in this order.
    _writer: File,
    _turn: Option<File>,
}

impl DirectoryLock {
    /// For a query.
    pub(crate) fn of_query(dir: &Path) -> Result<Self> {
        Ok(DirectoryLock { _writer: writer(dir)?, _turn: None })
    }

    /// For a batch, which waits for other batches. The directory is created if it is not there.
    ///
    /// # Errors
    /// `CONCURRENT_STREAM_LOG_UPDATE` where a query writes; when the directory can't be written.
    pub fn of_batch(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(Error::io("create the output directory", dir))?;
        let turn = lock_file(dir, BATCH)?;
        match turn.lock() {
            // There are file systems without locks.
            Err(error) if error.kind() != std::io::ErrorKind::Unsupported => {
                return Err(Error::io("lock", dir.join(BATCH))(error));
            }
            _ => {}
        }
        Ok(DirectoryLock { _writer: writer(dir)?, _turn: Some(turn) })
    }

    /// Whether a name is that of a lock: it says nothing about there being rows.
    pub fn is_lock(name: &OsStr) -> bool {
        name == WRITER || name == BATCH
    }
}

fn writer(dir: &Path) -> Result<File> {
    let file = lock_file(dir, WRITER)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::InvalidArgument(format!(
            "[CONCURRENT_STREAM_LOG_UPDATE] a query that runs, or a batch, is writing files to {}: let it end, or write to another \
             directory",
            dir.display()
        ))),
        Err(TryLockError::Error(error)) if error.kind() != std::io::ErrorKind::Unsupported => {
            Err(Error::io("lock", dir.join(WRITER))(error))
        }
        _ => Ok(file),
    }
}

fn lock_file(dir: &Path, name: &str) -> Result<File> {
    let path = dir.join(name);
    File::options().create(true).append(true).open(&path).map_err(Error::io("open", path))
}
