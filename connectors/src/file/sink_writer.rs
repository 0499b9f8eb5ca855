//! Writes an epoch's rows where no reader sees them.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use tidegate_runtime::{EpochInfo, Error, Result, SinkWriter, Staged, failpoint};
use uuid::Uuid;

use super::format::{Encoder, Format};
use super::partition_rows::PartitionRows;

/// Where files wait for their epoch's commit; hidden from readers of the directory.
pub(crate) const STAGING: &str = "_staging";

/// With more partitions in an epoch than this, the file of one is ended so that another can be begun.
const MAX_OPEN_FILES: usize = 128;

/// A file that waits for its epoch's commit.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StagedFile {
    /// Its name in the staging directory.
    pub(crate) file: String,
    /// The partition that it belongs to, as a path below the output directory; empty without partitions.
    pub(crate) directory: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
    /// It was ended because it can't be longer.
    pub(crate) is_full: bool,
}

/// When a file is full and another is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileLimits {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// The writer of one task. What it has not staged when it is dropped is removed, so that a full disk gets its space back.
#[derive(Debug)]
pub(crate) struct FileWriter {
    staging: PathBuf,
    subtask: usize,
    format: Format,
    limits: FileLimits,
    partitions: PartitionRows,
    /// Those of the file that an epoch without rows becomes, if it is to become one.
    columns_of_nothing: Option<SchemaRef>,
    /// The epoch that rows are written for.
    epoch: Option<EpochInfo>,
    /// The files of the epoch that are being written, by their partitions.
    open: HashMap<String, OpenFile>,
    /// The files of the epoch that are complete, in the order in which they were begun.
    full: Vec<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    name: String,
    path: PathBuf,
    directory: String,
    rows: u64,
    /// `None` when the file is complete, or its completion has failed.
    encoder: Option<Encoder>,
    /// What the manifest will say of it, once it is complete.
    complete: Option<StagedFile>,
    is_full: bool,
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
    pub(crate) fn new(file: File, path: PathBuf) -> Self {
        StagedBytes { file, path, bytes: 0, crc32c: 0 }
    }

    /// Makes the file durable, as one that was modified at `time`; gives its length and checksum.
    pub(crate) fn seal(self, time: std::time::SystemTime) -> std::io::Result<(u64, u32)> {
        self.file.set_modified(time)?;
        self.file.sync_all()?;
        Ok((self.bytes, self.crc32c))
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes
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
    pub(crate) fn new(staging: PathBuf, subtask: usize, format: Format, limits: FileLimits, partitions: PartitionRows) -> Self {
        let (open, full) = (HashMap::new(), Vec::new());
        FileWriter { staging, subtask, format, limits, partitions, columns_of_nothing: None, epoch: None, open, full }
    }

    /// Makes a file of an epoch without rows too, with these columns.
    pub(crate) fn columns_of_nothing(self, columns_of_nothing: Option<SchemaRef>) -> Self {
        FileWriter { columns_of_nothing, ..self }
    }

    fn create(&self, epoch: EpochInfo, directory: &str, schema: &SchemaRef) -> Result<OpenFile> {
        let name = format!("{:05}-{:05}-{}.tmp", epoch.epoch.number(), self.subtask, Uuid::new_v4());
        let path = self.staging.join(&name);
        let created = File::create_new(&path).or_else(|error| match error.kind() {
            // The directory was idle for so long that it was cleared away.
            std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(&self.staging)?;
                File::create_new(&path)
            }
            _ => Err(error),
        });
        let file = created.map_err(Error::io("create", &path))?;
        let directory = directory.to_owned();
        let mut open = OpenFile {
            name,
            path: path.clone(),
            directory,
            rows: 0,
            encoder: None,
            complete: None,
            is_full: false,
            is_staged: false,
        };
        open.encoder = Some(self.format.encoder(schema, StagedBytes::new(file, path))?);
        Ok(open)
    }

    /// Writes rows of one partition, into as many files as they fill.
    fn write_partition(&mut self, epoch: EpochInfo, directory: &str, batch: &RecordBatch) -> Result<()> {
        let (mut at, rows) = (0, batch.num_rows());
        while at < rows {
            let mut open = match self.open.remove(directory) {
                Some(open) => open,
                None => {
                    self.make_room()?;
                    self.create(epoch, directory, batch.schema_ref())?
                }
            };
            let room = usize::try_from(self.limits.rows - open.rows).unwrap_or(usize::MAX);
            let len = room.min(rows - at);
            open.append(&batch.slice(at, len))?;
            at += len;
            if open.rows >= self.limits.rows || open.len() >= self.limits.bytes {
                open.is_full = true;
                open.finish()?;
                self.full.push(open);
            } else {
                self.open.insert(directory.to_owned(), open);
            }
        }
        Ok(())
    }

    fn make_room(&mut self) -> Result<()> {
        if self.open.len() >= MAX_OPEN_FILES {
            let largest = self.open.iter().max_by_key(|(_, open)| open.rows).map(|(directory, _)| directory.clone());
            if let Some(mut open) = largest.and_then(|directory| self.open.remove(&directory)) {
                open.finish()?;
                self.full.push(open);
            }
        }
        Ok(())
    }
}

impl SinkWriter for FileWriter {
    fn write(&mut self, epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        match self.epoch {
            Some(open) if open.epoch != epoch.epoch => {
                let found = open.epoch;
                self.open.clear();
                self.full.clear();
                return Err(Error::Protocol(format!("rows of epoch {} while epoch {found} is not staged", epoch.epoch)));
            }
            _ => self.epoch = Some(epoch),
        }
        for (directory, rows) in self.partitions.split(&batch)? {
            self.write_partition(epoch, &directory, &rows)?;
        }
        Ok(())
    }

    fn stage(&mut self, epoch: EpochInfo) -> Result<Staged> {
        failpoint::hit("sink.stage")?;
        self.epoch = None;
        let mut files = std::mem::take(&mut self.full);
        if let Some(columns) = &self.columns_of_nothing
            && files.is_empty()
            && self.open.is_empty()
        {
            let mut nothing = self.create(epoch, "", columns)?;
            nothing.append(&RecordBatch::new_empty(SchemaRef::clone(columns)))?;
            self.open.insert(String::new(), nothing);
        }
        let mut open: Vec<OpenFile> = std::mem::take(&mut self.open).into_values().collect();
        open.iter_mut().try_for_each(OpenFile::finish)?;
        files.append(&mut open);
        // A map has no order, and the names of the files should be the same for the same rows.
        files.sort_by(|one, other| one.directory.cmp(&other.directory));
        let staged: Vec<StagedFile> = files.iter_mut().filter_map(OpenFile::stage).collect();
        Staged::encode(staged.iter().map(|file| file.rows).sum(), &staged)
    }
}

impl OpenFile {
    fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        self.encoder.as_mut().ok_or_else(complete)?.write(batch)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// About how many bytes it has.
    fn len(&self) -> u64 {
        self.encoder.as_ref().map_or(0, Encoder::len)
    }

    fn finish(&mut self) -> Result<()> {
        let staged = self.encoder.take().ok_or_else(complete)?.finish()?;
        staged.file.sync_all().map_err(Error::io("sync", &self.path))?;
        self.complete = Some(StagedFile {
            file: self.name.clone(),
            directory: self.directory.clone(),
            rows: self.rows,
            bytes: staged.bytes,
            crc32c: staged.crc32c,
            is_full: self.is_full,
        });
        Ok(())
    }

    /// Leaves the file to the commit.
    fn stage(&mut self) -> Option<StagedFile> {
        self.is_staged = self.complete.is_some();
        self.complete.take()
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
