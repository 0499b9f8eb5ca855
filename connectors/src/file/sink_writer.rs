//! Writes an epoch's rows where no reader sees them.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use tidegate_runtime::{EpochInfo, Error, Result, SinkWriter, Staged, failpoint};
use uuid::Uuid;

use super::format::Format;

/// Where files wait for their epoch's commit; hidden from readers of the directory.
pub(crate) const STAGING: &str = "_staging";

/// A file that waits for its epoch's commit.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StagedFile {
    /// Its name in the staging directory.
    pub(crate) file: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
}

/// The writer of one task. What it has not staged when it is dropped is removed, so that a full disk gets its space back.
#[derive(Debug)]
pub(crate) struct FileWriter {
    staging: PathBuf,
    subtask: usize,
    format: Format,
    /// The open epoch's file, from its first row on.
    open: Option<OpenFile>,
    /// Encoded rows, kept for its allocation.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct OpenFile {
    epoch: EpochInfo,
    file: File,
    path: PathBuf,
    staged: StagedFile,
    is_staged: bool,
}

impl FileWriter {
    pub(crate) fn new(staging: PathBuf, subtask: usize, format: Format) -> Self {
        FileWriter { staging, subtask, format, open: None, buffer: Vec::new() }
    }

    fn create(&self, epoch: EpochInfo) -> Result<OpenFile> {
        let name = format!("{:05}-{:05}-{}.tmp", epoch.epoch.number(), self.subtask, Uuid::new_v4());
        let path = self.staging.join(&name);
        let file = File::create_new(&path).map_err(Error::io("create", &path))?;
        Ok(OpenFile { epoch, file, path, staged: StagedFile { file: name, rows: 0, bytes: 0, crc32c: 0 }, is_staged: false })
    }
}

impl SinkWriter for FileWriter {
    fn write(&mut self, epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        let mut open = match self.open.take() {
            Some(open) if open.epoch.epoch != epoch.epoch => {
                let found = open.epoch.epoch;
                return Err(Error::Protocol(format!("rows of epoch {} while epoch {found} is not staged", epoch.epoch)));
            }
            Some(open) => open,
            None => self.create(epoch)?,
        };
        self.buffer.clear();
        self.format.encode(&batch, open.staged.rows == 0, &mut self.buffer)?;
        open.append(&self.buffer, batch.num_rows())?;
        self.open = Some(open);
        Ok(())
    }

    fn stage(&mut self, _epoch: EpochInfo) -> Result<Staged> {
        failpoint::hit("sink.stage")?;
        match self.open.take() {
            Some(open) => open.finish(),
            None => Staged::encode(0, &None::<StagedFile>),
        }
    }
}

impl OpenFile {
    fn append(&mut self, bytes: &[u8], rows: usize) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))?;
        self.staged.rows += rows as u64;
        self.staged.bytes += bytes.len() as u64;
        self.staged.crc32c = crc32c::crc32c_append(self.staged.crc32c, bytes);
        Ok(())
    }

    fn finish(mut self) -> Result<Staged> {
        self.file.sync_all().map_err(Error::io("sync", &self.path))?;
        self.is_staged = true;
        Staged::encode(self.staged.rows, &Some(std::mem::take(&mut self.staged)))
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if !self.is_staged
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a file that was not staged can't be removed");
        }
    }
}
