//! One writer at a time in a directory of files.
//!
//! A query holds one lock of its output's directory for as long as it runs. A batch holds that one while it writes, and another one before
//! it: so batches wait for each other, and are refused where a query runs. The system gives the locks back when a process dies.

use std::fs::{File, TryLockError};
use std::path::Path;

use arrow::datatypes::SchemaRef;
use tidegate_connectors::FileSink;
use tidegate_runtime::{Epoch, Error, LastCommitted, Result, Sink, SinkContext, SinkSupplier, SinkWriter, Staged};

/// Held by whoever writes.
const WRITER: &str = ".tidegate_writer.lock";
/// Held by the batch whose turn it is.
const BATCH: &str = ".tidegate_batch.lock";

/// Whether a name is that of a lock: it says nothing about there being rows.
pub(super) fn is_lock(name: &std::ffi::OsStr) -> bool {
    name == WRITER || name == BATCH
}

/// The right to write in a directory, until it is dropped.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    // Given back in this order.
    _writer: File,
    _turn: Option<File>,
}

impl DirectoryLock {
    /// For a query. The directory is created if it is not there.
    fn of_query(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(Error::io("create the output directory", dir))?;
        Ok(DirectoryLock { _writer: writer(dir)?, _turn: None })
    }

    /// For a batch, which waits for other batches. The directory is created if it is not there.
    pub(super) fn of_batch(dir: &Path) -> Result<Self> {
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

/// The file sink of a query, with its directory to itself while it runs.
pub(crate) struct ExclusiveFiles {
    files: FileSink,
}

impl ExclusiveFiles {
    pub(crate) fn new(files: FileSink) -> Self {
        ExclusiveFiles { files }
    }
}

impl SinkSupplier for ExclusiveFiles {
    fn check_input(&self, schema: &SchemaRef) -> Result<()> {
        self.files.check_input(schema)
    }

    fn supply(&self) -> Result<Box<dyn Sink>> {
        let inner = self.files.supply()?;
        let dir = self.files.directory();
        // In an object store the manifest itself lets one writer only commit an epoch.
        if dir.to_str().is_some_and(super::is_url) {
            return Ok(inner);
        }
        Ok(Box::new(LockedFiles { inner, dir: dir.to_path_buf(), lock: None }))
    }

    fn describe(&self) -> String {
        self.files.describe()
    }
}

struct LockedFiles {
    inner: Box<dyn Sink>,
    dir: std::path::PathBuf,
    lock: Option<DirectoryLock>,
}

impl Sink for LockedFiles {
    fn open(&mut self, context: SinkContext) -> Result<()> {
        self.lock = Some(DirectoryLock::of_query(&self.dir)?);
        self.inner.open(context)
    }

    fn last_committed(&mut self) -> Result<LastCommitted> {
        self.inner.last_committed()
    }

    fn writer(&mut self, subtask: usize) -> Result<Box<dyn SinkWriter>> {
        self.inner.writer(subtask)
    }

    fn commit(&mut self, epoch: Epoch, staged: Vec<Staged>) -> Result<()> {
        self.inner.commit(epoch, staged)
    }

    fn close(&mut self) -> Result<()> {
        self.inner.close()
    }
}
