//! Writes an epoch's rows where no reader sees them.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use tidegate_runtime::{EpochInfo, Error, Result, SinkWriter, Staged, failpoint};
use uuid::Uuid;

use super::format::{Encoder, Format};

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
}

#[derive(Debug)]
struct OpenFile {
    epoch: EpochInfo,
    name: String,
    path: PathBuf,
    rows: u64,
    /// `None` when the file is complete, or its completion has failed.
    encoder: Option<Encoder>,
    is_staged: bool,
}

/// A file that is being written, and what the manifest will say of it.
#[derive(Debug)]
pub(crate) struct StagedBytes {
    file: File,
    path: PathBuf,
    bytes: u64,
    crc32c: u32,
}

impl StagedBytes {
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).map_err(Error::io("write", &self.path))
    }
}

impl Write for StagedBytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl FileWriter {
    pub(crate) fn new(staging: PathBuf, subtask: usize, format: Format) -> Self {
        FileWriter { staging, subtask, format, open: None }
    }

    fn create(&self, epoch: EpochInfo, schema: &SchemaRef) -> Result<OpenFile> {
        let name = format!("{:05}-{:05}-{}.tmp", epoch.epoch.number(), self.subtask, Uuid::new_v4());
        let path = self.staging.join(&name);
        let file = File::create_new(&path).map_err(Error::io("create", &path))?;
        let mut open = OpenFile { epoch, name, path: path.clone(), rows: 0, encoder: None, is_staged: false };
        open.encoder = Some(self.format.encoder(schema, StagedBytes { file, path, bytes: 0, crc32c: 0 })?);
        Ok(open)
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
            None => self.create(epoch, batch.schema_ref())?,
        };
        open.append(&batch)?;
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
    fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        self.encoder.as_mut().ok_or_else(complete)?.write(batch)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<Staged> {
        let staged = self.encoder.take().ok_or_else(complete)?.finish()?;
        staged.file.sync_all().map_err(Error::io("sync", &self.path))?;
        self.is_staged = true;
        let file = StagedFile { file: self.name.clone(), rows: self.rows, bytes: staged.bytes, crc32c: staged.crc32c };
        Staged::encode(self.rows, &Some(file))
    }
}

fn complete() -> Error {
    Error::Protocol("the staged file is complete already".to_owned())
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
